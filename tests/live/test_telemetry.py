"""Metrics of a run while it goes on: what they are, and how they are served and pushed."""

import contextlib
import http.client
import json
import logging
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricExportResult
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_families

from factories.results import MICRO, MILLI, SECOND, answers, histogram, interval, recording, results, usual
from ws_load_test import make_plan
from ws_load_test.common.errors import UsageError
from ws_load_test.live.telemetry import otlp_exporter, prometheus
from ws_load_test.live.telemetry.otlp_encoding import (
    MAX_BUCKETS,
    MAX_SCALE,
    OtlpEncoder,
    _exponential,
)
from ws_load_test.live.telemetry.otlp_exporter import OtlpExporter
from ws_load_test.live.telemetry.prometheus import PrometheusEndpoint
from ws_load_test.live.telemetry.publisher import MetricsPublisher, start_publishing
from ws_load_test.live.telemetry.settings import OtlpTarget, TelemetrySettings, read_settings
from ws_load_test.live.telemetry.snapshot import RunInfo, RunMetrics, Snapshot
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.metric_families import BOUNDS_NS, PREFIX, cumulative_counts
from ws_load_test.metrics.recording import LostWorker, WorkerUsage
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.exports.openmetrics import _families

OPEN = make_plan("ws://h/?token=geheim", rate=100, workers=1)
CLOSED = make_plan("ws://h/")
ABOUT = RunInfo("1.2.3", "ws://h/", 7)
near_bounds = st.builds(lambda bound, off: bound + off, st.sampled_from(BOUNDS_NS), st.integers(-2, 2))
times = st.lists(st.integers(0, LARGEST) | st.integers(0, 10**11) | near_bounds, max_size=60)


def live_after(made, plan=OPEN):
    live = RunMetrics(plan, "1.2.3")
    for one in made.intervals:
        live.add_interval(IntervalEvent.decode(one))
    return live


def by_name(families):
    return {family.name: family for family in families}


def only(family):
    (point,) = family.points
    return point.value


# --- Families ---


@given(times)
@example([BOUNDS_NS[0]])
@example([BOUNDS_NS[3] - 1, BOUNDS_NS[3]])
def test_a_bound_has_as_many_times_as_a_walk_over_the_buckets_finds(values):
    made = histogram(*values)
    walked = [sum(n for _, high, n in made.iter_buckets() if min(high, made.max) <= bound) for bound in BOUNDS_NS]
    assert [count for _, count in cumulative_counts(made)] == walked


@pytest.mark.parametrize("load", ["open", "closed"])
def test_what_is_known_at_the_end_is_what_the_file_says(load):
    made = (
        usual() if load == "open" else recording(interval(answers(MILLI, 3 * MILLI, due_when_sent=True)), load="closed")
    )
    taken = results(made)
    file = by_name(_families(taken))
    live = by_name(live_after(made, OPEN if load == "open" else CLOSED).latest.families)
    own = {"run_info", "passed", "threshold_passed", "generator_saturated", "generator_cpu_ratio", "generator_workers"}
    assert file.keys() - live.keys() == own - {"run_info", "threshold_passed", "generator_workers"} & file.keys()
    for name in file.keys() & live.keys() - own:
        assert file[name] == live[name], name
    assert live["service_time_seconds"].times.count == (1003 if load == "open" else 2)


def test_only_the_file_balances_what_was_never_reported():
    made = recording(interval(answers(MILLI, due=9, sent=5)), lost=[1])
    file, live = by_name(_families(results(made))), by_name(live_after(made).latest.families)
    differing = {name for name in file.keys() & live.keys() if name[:3] != "run" and file[name] != live[name]}
    assert differing == {"messages_unanswered", "messages_dropped", "generator_workers"}
    assert [only(file[f"messages_{word}"]) for word in ("unanswered", "dropped")] == [4, 4]
    assert [only(live[f"messages_{word}"]) for word in ("unanswered", "dropped")] == [0, 0]


def test_what_is_shown_beside():
    live = RunMetrics(OPEN, "1.2.3")
    empty = by_name(live.latest.families)
    assert [point.value for point in empty["phase"].points] == [0, 0, 0, 0]
    assert only(empty["interval_sent_per_second"]) == only(empty["connections_open"]) == 0
    assert "answered_per_second" not in empty
    misbehaving = Tally(closed=Counter({"1006": 2}))
    live.add_interval(
        IntervalEvent.decode(interval(Tally(attempted=9, opened=9, misbehaving=misbehaving), index=0, phase="opening"))
    )
    warm = Tally(warmup_sent=30, warmup_answered=20, closed=Counter({"1011": 3}))
    live.add_interval(IntervalEvent.decode(interval(warm, phase="warmup", length_ns=SECOND // 2)))
    found = by_name(live.latest.families)
    assert only(found["connections_open"]) == 4
    assert (only(found["interval_sent_per_second"]), only(found["interval_answered_per_second"])) == (60, 40)
    loads = [WorkerUsage(0, 250 * MILLI, SECOND), WorkerUsage(1, 500 * MILLI, SECOND)]
    snapshot = live.add_interval(IntervalEvent.decode(interval(answers(MILLI, sent=7), index=2, workers=loads)))
    found = by_name(snapshot.families)
    assert {point.labels["phase"]: point.value for point in found["phase"].points} == {
        "opening": 0,
        "warmup": 0,
        "measured": 1,
        "closing": 0,
    }
    assert (only(found["interval_sent_per_second"]), only(found["interval_generator_cpu_ratio"])) == (7, 0.5)
    assert (only(found["messages_sent"]), only(found["duration_seconds"])) == (7, 1)
    assert found["run_info"].points[0].labels == {"tool": "ws-load-test 1.2.3", "target": "ws://h/?token=***"}
    live.add_interval(IntervalEvent.decode(interval(answers(MILLI), index=3)))
    assert by_name(snapshot.families)["response_time_seconds"].times.count == 1, "what was handed out stays"


def test_sessions_of_a_lost_worker_are_not_open_any_more():
    live = RunMetrics(OPEN, "1")
    live.add_interval(IntervalEvent.decode(interval(Tally(opened=10), index=0, phase="opening")))
    # What a worker told of later intervals ends with it at once.
    shown = []
    for open_sessions in (4, 7):
        lost = [LostWorker(1, "killed by SIGKILL", SECOND, open_sessions)]
        live.add_interval(IntervalEvent.decode(interval(answers(MILLI), lost=lost)))
        shown.append(only(by_name(live.latest.families)["connections_open"]))
    assert shown == [6, 0]


# --- The endpoint ---


@contextmanager
def serving(live, **options):
    endpoint = PrometheusEndpoint(live, options.pop("host", "127.0.0.1"), 0, **options)
    try:
        yield endpoint
    finally:
        endpoint.close()
        endpoint.wait_for_last_scrape()


def ask(url, method="GET", **headers):
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)) as connection:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def samples(families):
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def test_both_formats_say_what_the_file_says():
    made = usual()
    live = live_after(made)
    with serving(live) as endpoint:
        _, older_headers, older = ask(endpoint.url)
        _, newer_headers, newer = ask(endpoint.url, Accept="application/openmetrics-text; version=1.0.0")
    assert older_headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert newer_headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    found = samples(text_string_to_metric_families(newer))
    assert samples(older_families(older)) == found
    file = samples(text_string_to_metric_families("".join(_text(results(made)))))
    shared = {key for key in file if key[0].startswith((f"{PREFIX}messages", f"{PREFIX}connections", f"{PREFIX}fault"))}
    shared |= {key for key in file if "_time_seconds_" in key[0] or "_lag_seconds_" in key[0]}
    assert len(shared) == 6 + 6 + 2 + 2 + 4 * 25
    assert {key: found[key] for key in shared} == {key: file[key] for key in shared}


def _text(taken):
    from ws_load_test.report.exports import FORMATS

    return FORMATS["openmetrics"](taken)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_promtool_finds_nothing_to_complain_of():
    with serving(live_after(usual())) as endpoint:
        text = ask(endpoint.url)[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_else_can_be_asked():
    with serving(live_after(usual()), host="localhost") as endpoint:
        root = endpoint.url.removesuffix("/metrics")
        status, headers, text = ask(endpoint.url)
        assert (status, headers["Content-Length"]) == (200, str(len(text)))
        bare = ask(endpoint.url, "HEAD")
        assert (bare[0], bare[1]["Content-Length"], bare[1]["Content-Type"], bare[2]) == (
            200,
            headers["Content-Length"],
            headers["Content-Type"],
            "",
        )
        assert [ask(root + path)[0] for path in ("/", "/metrics/", "/favicon.ico", "/x")] == [404] * 4
        assert ask(endpoint.url, "POST")[0] == 405
        some = ask(f"{endpoint.url}?name[]={PREFIX}messages_sent_total")[2]
        assert [line for line in some.splitlines() if line[0] != "#"] == [f"{PREFIX}messages_sent_total 1006.0"]


def test_a_client_that_leaves_or_is_silent_disturbs_no_other(capfd):
    with serving(live_after(usual())) as endpoint:
        where = urlsplit(endpoint.url)
        with socket.create_connection((where.hostname, where.port)) as silent:
            for said in (b"", b"GET /metrics HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00"):
                leaver = socket.create_connection((where.hostname, where.port))
                leaver.sendall(said)
                leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                leaver.close()
            assert ask(endpoint.url)[0] == 200
            silent.close()
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use_is_reported_and_nothing_is_left():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        collector = OtlpTarget("http://127.0.0.1:9/", "http/protobuf")
        with pytest.raises(UsageError) as caught:
            start_publishing(OPEN, TelemetrySettings(port=port, collector=collector), "1")
    assert str(caught.value) == (
        f"--metrics-port: cannot listen on 127.0.0.1:{port}: address already in use; "
        "name another port, 0 for any that is free, or another --metrics-host"
    )


def test_a_host_that_is_not_ours():
    with pytest.raises(UsageError, match=r"--metrics-port: cannot listen on nowhere\.invalid:0: "):
        PrometheusEndpoint(RunMetrics(OPEN, "1"), "nowhere.invalid", 0)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.b", "\ud800"])
def test_a_host_that_is_no_name(host):
    with pytest.raises(UsageError) as caught:
        PrometheusEndpoint(RunMetrics(OPEN, "1"), host, 0)
    assert f"cannot listen on {host}:0: no machine can have such a name; name another port" in str(caught.value)


def test_it_stays_until_the_last_metrics_are_read():
    live = live_after(usual())
    endpoint = PrometheusEndpoint(live, "127.0.0.1", 0, linger_s=30)
    ask(endpoint.url)
    endpoint.close()
    waiting = threading.Thread(target=endpoint.wait_for_last_scrape)
    waiting.start()
    assert ask(endpoint.url, "HEAD")[0] == 200
    assert ask(f"{endpoint.url}?name[]={PREFIX}messages_sent_total")[0] == 200
    waiting.join(0.1)
    assert waiting.is_alive(), "neither what was read before, a bare head nor some of them are the last metrics"
    assert f"{PREFIX}messages_sent_total 1006.0" in ask(endpoint.url)[2]
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(ConnectionRefusedError):
        ask(endpoint.url)


class Held:
    """A run whose metrics are drawn when a test lets them."""

    def __init__(self, live):
        self.asked, self.gate = threading.Event(), threading.Event()
        self._live, self._first = live, True

    @property
    def latest(self):
        if threading.current_thread() is not threading.main_thread() and self._first:
            self._first = False
            self.asked.set()
            assert self.gate.wait(60)
        return self._live.latest


def test_a_scrape_that_failed_is_not_the_last_one(caplog):
    live = Held(live_after(usual()))
    endpoint = PrometheusEndpoint(live, "127.0.0.1", 0, linger_s=0.5)
    endpoint.close()
    where = urlsplit(endpoint.url)
    impatient = socket.create_connection((where.hostname, where.port))
    impatient.sendall(f"GET /metrics HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    assert live.asked.wait(60)
    impatient.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    impatient.close()
    live.gate.set()
    endpoint.wait_for_last_scrape()
    assert caplog.messages == [f"--metrics-linger: no client has read the last metrics at {endpoint.url}"]


def test_the_last_answer_says_how_long_it_is():
    endpoint = PrometheusEndpoint(live_after(usual()), "127.0.0.1", 0, linger_s=30)
    endpoint.close()
    _, headers, text = ask(endpoint.url)
    endpoint.wait_for_last_scrape()
    assert headers["Content-Length"] == str(len(text))


def test_no_client_read_the_last_metrics(caplog):
    endpoint = PrometheusEndpoint(live_after(usual()), "127.0.0.1", 0, linger_s=0.05)
    endpoint.close()
    endpoint.wait_for_last_scrape()
    assert caplog.messages == [f"--metrics-linger: no client has read the last metrics at {endpoint.url}"]


def test_a_run_that_never_began_is_not_waited_for():
    endpoint = PrometheusEndpoint(RunMetrics(OPEN, "1"), "127.0.0.1", 0, linger_s=30)
    endpoint.close()
    endpoint.wait_for_last_scrape()


@pytest.mark.parametrize(
    ("option", "extra", "module"),
    [
        ("--metrics-port", "prometheus", "prometheus_client"),
        ("--otlp", "otlp", "opentelemetry.exporter.otlp.proto.grpc.metric_exporter"),
    ],
)
def test_an_extra_that_is_not_installed_is_named(option, extra, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    wanted = (
        TelemetrySettings(port=0)
        if extra == "prometheus"
        else TelemetrySettings(collector=OtlpTarget("http://h", "grpc"))
    )
    with pytest.raises(UsageError) as caught:
        start_publishing(OPEN, wanted, "1")
    assert str(caught.value).startswith(f"{option}: needs ")
    assert str(caught.value).endswith(f"; install it with pip install 'ws-load-test[{extra}]'")


# --- The watcher ---


class Taking:
    def __init__(self):
        self.taken = []
        self.ends = []

    def export(self, snapshot):
        self.taken.append(snapshot)

    def close(self):
        self.ends.append("close")

    def flush(self):
        self.ends.append("linger")


def test_the_watcher_hands_over_all_before_it_is_closed():
    consumer = Taking()
    watcher = MetricsPublisher(RunMetrics(OPEN, "1"), [consumer])
    for one in usual().intervals:
        watcher(IntervalEvent.decode(one))
    watcher.close()
    assert [only(by_name(one.families)["messages_due"]) for one in consumer.taken] == [0, 1000, 1006, 1007]
    assert [one.elapsed_ns for one in consumer.taken] == [SECOND, 2 * SECOND, 5 * SECOND // 2, 4 * SECOND]
    watcher.flush()
    assert consumer.ends == ["close", "linger"]


# --- In OpenTelemetry's words ---


def translated(live, about=ABOUT):
    return encode_metrics(OtlpEncoder(about).translate(live.latest)).resource_metrics[0]


def metrics_of(live):
    return {metric.name: metric for metric in translated(live).scope_metrics[0].metrics}


UNITS = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


def test_names_translate_to_those_of_prometheus():
    live = live_after(usual())
    found = set()
    for metric in metrics_of(live).values():
        total = "_total" if metric.HasField("sum") else ""
        found.add(metric.name.replace(".", "_") + UNITS.get(metric.unit, "") + total)
    expected = {
        PREFIX + family.name + ("_total" if family.kind == "counter" else "")
        for family in live.latest.families
        if family.name != "run_info"
    }
    assert found == expected
    assert metrics_of(live)["ws_load_test.messages_sent"].unit == "{message}"
    assert metrics_of(live)["ws_load_test.answered_per_second"].unit == ""


def test_counts_are_cumulative_from_the_start():
    live = live_after(usual())
    found = metrics_of(live)
    sent = found["ws_load_test.messages_sent"].sum
    assert sent.is_monotonic
    assert sent.aggregation_temporality == 2
    (point,) = sent.data_points
    assert (point.as_int, point.start_time_unix_nano, point.time_unix_nano) == (1006, 7, live.latest.at_ns)
    kinds = found["ws_load_test.faults"].sum.data_points
    assert {one.attributes[0].value.string_value: one.as_int for one in kinds} == {
        "connect-refused": 1,
        "closed:1011": 3,
    }


def test_a_histogram_has_the_buckets_of_the_other_formats_and_exact_extremes():
    live = live_after(usual())
    data = metrics_of(live)["ws_load_test.response_time"].histogram
    (point,) = data.data_points
    taken = by_name(live.latest.families)["response_time_seconds"].times
    assert data.aggregation_temporality == 2
    assert (point.count, point.sum) == (1003, taken.sum / 1e9)
    assert (point.min, point.max) == (1e-5, 1e-2)
    assert list(point.explicit_bounds) == [bound / 1e9 for bound in BOUNDS_NS]
    reached = [sum(point.bucket_counts[: place + 1]) for place in range(len(BOUNDS_NS))]
    assert reached == [count for _, count in cumulative_counts(taken)]
    assert sum(point.bucket_counts) == 1003


def test_of_no_times_there_are_no_extremes():
    (point,) = metrics_of(RunMetrics(OPEN, "1"))["ws_load_test.response_time"].histogram.data_points
    assert (point.count, point.sum, sum(point.bucket_counts)) == (0, 0, 0)
    assert not point.HasField("min")
    assert not point.HasField("max")


@given(times)
def test_exponential_buckets_are_off_by_a_thousandth_at_most(values):
    made = histogram(*values)
    facts = {"start_time_unix_nano": 1, "time_unix_nano": 2, "count": made.count, "sum": 0, "min": 0, "max": 0}
    point = _exponential(made, facts)
    counts = point.positive.bucket_counts
    assert point.scale <= MAX_SCALE
    assert len(counts) <= MAX_BUCKETS
    assert point.zero_count == values.count(0)
    assert point.zero_count + sum(counts) == len(values)
    reached = point.zero_count
    for place, count in enumerate(counts):
        reached += count
        bound_ns = 2 ** ((point.positive.offset + place + 1) / 2**point.scale) * 1e9
        low, high = bound_ns * (1 - 1 / 1024) * (1 - 1e-12), bound_ns * (1 + 1e-12)
        assert sum(one <= low for one in values) <= reached <= sum(one <= high for one in values)


def test_exponential_buckets_are_as_fine_as_they_may_be():
    facts = {"start_time_unix_nano": 1, "time_unix_nano": 2, "count": 3, "sum": 0, "min": 0, "max": 0}
    near = _exponential(histogram(MILLI, 2 * MILLI, 10 * MILLI), facts)
    assert (near.scale, near.positive.offset) == (5, math.ceil(math.log2(1e-3) * 32) - 1)
    wide = _exponential(histogram(10 * MICRO, 100 * SECOND), facts)
    assert wide.scale == 2
    # A time counts up to the end of its bucket: one second is 2^0, and no more.
    assert _exponential(histogram(SECOND), facts).positive.offset == -1


def test_they_are_sent_where_the_environment_wants_them(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "BASE2_exponential_bucket_histogram")
    live = live_after(usual())
    (point,) = metrics_of(live)["ws_load_test.response_time"].exponential_histogram.data_points
    assert (point.count, sum(point.positive.bucket_counts), point.max) == (1003, 1003, 1e-2)


def attributes(live, about=ABOUT):
    return {one.key: one.value.string_value for one in translated(live, about).resource.attributes}


def test_the_resource_says_what_is_run_and_the_environment_has_the_last_word(monkeypatch):
    live = RunMetrics(OPEN, "1.2.3")
    found = attributes(live, live.info)
    assert found.pop("service.instance.id") != attributes(live)["service.instance.id"]
    assert found == {
        "service.name": "ws-load-test",
        "service.version": "1.2.3",
        "host.name": socket.gethostname(),
        "ws_load_test.target": "ws://h/?token=***",
    }
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=ci,host.name=box")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    found = attributes(live)
    assert (found["deployment.environment"], found["host.name"], found["service.name"]) == ("ci", "box", "mine")


# --- Pushes ---


class Exporter:
    """Takes pushes as it is told to: each is one of the results, or waits for the event."""

    def __init__(self, *results, gate=None):
        self.results = list(results)
        self.gate = gate
        self.taken = []
        self.begun = threading.Event()

    def export(self, data):
        self.begun.set()
        if self.gate is not None:
            self.gate.wait(60)
        self.taken.append(data)
        result = self.results.pop(0) if self.results else MetricExportResult.SUCCESS
        if isinstance(result, Exception):
            raise result
        return result

    def shutdown(self):
        if self.gate is not None:
            self.gate.set()


COLLECTOR = OtlpTarget("http://c:4317/", "grpc")
LOST = MetricExportResult.FAILURE


def snapshot(reached_s):
    return Snapshot((), 1, reached_s * SECOND)


@pytest.fixture
def pusher(monkeypatch):
    monkeypatch.setattr(otlp_exporter, "LAST_PUSH_TIMEOUT_S", 0.3)

    def make(exporter):
        monkeypatch.setattr(otlp_exporter, "_exporter", lambda *_: exporter)
        monkeypatch.setattr(otlp_exporter, "_translator", lambda _: lambda one: one.elapsed_ns // SECOND)
        return OtlpExporter(COLLECTOR, ABOUT)

    return make


def settled(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def ended(made):
    made.close()
    made.flush()


def test_it_pushes_each_few_seconds_and_at_the_end(pusher, caplog):
    exporter = Exporter()
    made = pusher(exporter)
    for reached_s, pushed in [(1, [1]), (3, [1]), (6, [1, 6]), (10, [1, 6]), (12, [1, 6, 12]), (13, [1, 6, 12])]:
        made.export(snapshot(reached_s))
        settled(lambda pushed=pushed: exporter.taken == pushed)
    ended(made)
    assert exporter.taken == [1, 6, 12, 13]
    assert caplog.messages == []


def test_what_was_pushed_is_not_pushed_again_at_the_end(pusher):
    exporter = Exporter()
    made = pusher(exporter)
    made.export(snapshot(1))
    ended(made)
    assert exporter.taken == [1]
    ended(pusher(exporter))
    assert exporter.taken == [1]


def test_how_often_is_the_environments_to_say(pusher, monkeypatch):
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
    exporter = Exporter()
    made = pusher(exporter)
    for reached_s in (1, 2, 3):
        made.export(snapshot(reached_s))
        settled(lambda reached_s=reached_s: exporter.taken[-1:] == [reached_s])
    ended(made)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "often")
    with pytest.raises(UsageError, match="OTEL_METRIC_EXPORT_INTERVAL is no number of milliseconds"):
        pusher(exporter)


def test_a_slow_collector_delays_no_other_and_gets_the_newest(pusher, caplog):
    gate = threading.Event()
    exporter = Exporter(gate=gate)
    made = pusher(exporter)
    began = time.monotonic()
    for reached_s in (1, 10, 20, 30):
        made.export(snapshot(reached_s))
        assert exporter.begun.wait(60)
    assert time.monotonic() - began < 30
    gate.set()
    ended(made)
    assert exporter.taken == [1, 30]
    assert caplog.messages == [], "what was replaced has not failed"


def test_only_what_was_pushed_or_still_waits_can_fail(pusher, caplog):
    exporter = Exporter(LOST, LOST, gate=threading.Event())
    made = pusher(exporter)
    for reached_s in (1, 10, 20, 30):
        made.export(snapshot(reached_s))
        assert exporter.begun.wait(60)
    ended(made)
    (message,) = caplog.messages
    assert message.startswith("--otlp: 2 of 2 pushes did not reach the collector")


def test_a_collector_that_hangs_is_left_in_the_end(pusher, caplog):
    exporter = Exporter(LOST, gate=threading.Event())
    made = pusher(exporter)
    made.export(snapshot(1))
    ended(made)
    (message,) = caplog.messages
    assert message == (
        "--otlp: 1 of 1 pushes did not reach the collector at http://c:4317/ (no answer for 0.3 s); the last one is "
        "among them, so the counts there are not those of the whole run"
    )


def test_a_collector_that_fails_is_reported_once_and_at_the_end(pusher, caplog):
    exporter = Exporter(LOST, RuntimeError("no"), MetricExportResult.SUCCESS)
    made = pusher(exporter)
    for reached_s in (1, 10, 20):
        made.export(snapshot(reached_s))
        settled(lambda reached_s=reached_s: exporter.taken[-1:] == [reached_s])
    ended(made)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "--otlp: the collector at http://c:4317/ does not take the metrics; the run goes on",
        "--otlp: 2 of 3 pushes did not reach the collector at http://c:4317/; the last one did, and it has all counts",
    ]


def test_what_the_libraries_log_stays_off_the_terminal_and_says_why(caplog):
    libraries = otlp_exporter._OtelLogFilter()
    inner = logging.getLogger("opentelemetry.exporter.ours")
    cases = [
        (("metrics", "c:4317", LOST, "bad token geheim"), "FAILURE"),
        (("metrics", 503, "geheim"), "HTTP 503"),
        (("metrics", None, ConnectionError("geheim")), "ConnectionError"),
    ]
    for words, why in cases:
        inner.error("%s " * len(words), *words)
        assert libraries.why == why
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    inner.info("unheard")
    assert (libraries.complaints, caplog.messages) == (4, [])
    libraries.remove()
    inner.error("heard")
    assert caplog.messages == ["heard"]
    assert libraries.complaints == 4


@pytest.mark.parametrize(
    ("protocol", "name", "value"),
    [
        # Not over gRPC, which keeps descriptors to itself for as long as its process lives.
        ("http/protobuf", "HEADERS", "x token geheim"),
        ("grpc", "COMPRESSION", "zip"),
        ("grpc", "TIMEOUT", "soon"),
        ("http/protobuf", "TIMEOUT", "soon"),
    ],
)
def test_an_environment_that_cannot_be_used(protocol, name, value, monkeypatch, caplog):
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.raises(UsageError, match="a variable of the environment that begins with OTEL_EXPORTER") as caught:
        OtlpExporter(OtlpTarget("http://127.0.0.1:9/", protocol), ABOUT)
    assert value not in str(caught.value)
    assert caplog.messages == []
    assert logging.getLogger("opentelemetry").propagate


def test_a_variable_that_is_empty_is_unset(monkeypatch):
    variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    monkeypatch.setenv(variable, "")
    ended(OtlpExporter(OtlpTarget("http://127.0.0.1:9/", "http/protobuf"), ABOUT))
    assert os.environ[variable] == "", "it is left to whom we start"


@pytest.mark.parametrize(("url", "insecure"), [("http://h:1", True), ("HTTP://h:1", True), ("https://h:1", False)])
def test_whether_grpc_has_tls_is_the_urls_to_say(url, insecure, monkeypatch):
    from opentelemetry.exporter.otlp.proto.grpc import metric_exporter

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_INSECURE", str(not insecure))
    made = []
    # Not the real one, which keeps descriptors for as long as its process lives.
    monkeypatch.setattr(metric_exporter, "OTLPMetricExporter", lambda **options: made.append(options) or Exporter())
    ended(OtlpExporter(OtlpTarget(url, "grpc"), ABOUT))
    assert made == [{"endpoint": url, "insecure": insecure}]


# --- Options ---


@pytest.mark.parametrize(
    ("url", "environ", "protocol", "full"),
    [
        ("http://h:4317", {}, "grpc", "http://h:4317"),
        ("https://h", {}, "grpc", "https://h"),
        ("http://h:4318", {}, "http/protobuf", "http://h:4318/v1/metrics"),
        ("http://h:4318/", {}, "http/protobuf", "http://h:4318/v1/metrics"),
        ("http://h/api/v1/otlp/v1/metrics", {}, "http/protobuf", "http://h/api/v1/otlp/v1/metrics"),
        ("http://h:1", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http/protobuf", "http://h:1/v1/metrics"),
        ("http://h:4318/x", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc", "http://h:4318/x"),
        (
            "http://h:1",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": " "},
            "grpc",
            "http://h:1",
        ),
        (
            "http://h:1",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": ""},
            "grpc",
            "http://h:1",
        ),
        (
            "http://h:1",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"},
            "http/protobuf",
            "http://h:1/v1/metrics",
        ),
    ],
)
def test_what_a_collector_speaks(url, environ, protocol, full):
    found, problems = read_settings({"otlp": url}, environ)
    assert problems == []
    assert found.collector == OtlpTarget(full, protocol)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics_port": "70000"}, "--metrics-port: 70000 is no port"),
        ({"metrics_port": "many"}, '--metrics-port: "many" is not a whole number'),
        ({"metrics_port": True}, '--metrics-port: "True" is not a port'),
        ({"metrics_port": 1, "metrics_host": "http://x"}, "--metrics-host: is no address"),
        ({"metrics_port": 1, "metrics_host": ""}, "--metrics-host: is no address"),
        ({"metrics_host": "0.0.0.0"}, "--metrics-host: needs --metrics-port"),
        ({"metrics_linger": "5s"}, "--metrics-linger: needs --metrics-port"),
        ({"metrics_port": 1, "metrics_linger": "long"}, '--metrics-linger: "long"'),
        ({"otlp": "h:4317"}, "--otlp: is no http:// or https:// URL"),
        ({"otlp": "http://"}, "--otlp: is no http:// or https:// URL"),
        ({"otlp": "http://h:geheim"}, "--otlp: is no URL"),
        ({"otlp": "http://joe:geheim@h"}, "--otlp: has user info in its URL"),
        ({"otlp": 7}, "--otlp: a number is not text"),
    ],
)
def test_what_cannot_be_meant(options, words):
    (problem,) = read_settings(options, {})[1]
    assert str(problem).startswith(words)
    assert "geheim" not in str(problem)


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"])
def test_a_protocol_that_is_not_spoken(name):
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", name: "http/json"}
    (problem,) = read_settings({"otlp": "http://h"}, environ)[1]
    assert str(problem) == f"--otlp: {name} is neither grpc nor http/protobuf, which are spoken here"


def test_options_of_a_plan_file_may_be_numbers():
    found, problems = read_settings({"metrics_port": 9100, "metrics_linger": 20, "metrics_host": "[::1]"}, {})
    assert (found, problems) == (TelemetrySettings(9100, "::1", 20 * SECOND), [])
    assert not read_settings({}, {})[0]


def test_an_address_is_shown_without_its_secrets():
    assert OtlpTarget("http://h/v1/metrics?api-key=geheim", "http/protobuf").label == "http://h/v1/metrics?api-key=***"
    assert json.dumps(OtlpTarget("http://h/x", "grpc").label) == '"http://h/x"'


def answer_for(endpoint, *lines):
    """The status that a request with these header lines gets."""
    where = urlsplit(endpoint.url)
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall("\r\n".join(["GET /metrics HTTP/1.1", *lines, "", ""]).encode())
        with client.makefile("rb") as answer:
            return int(answer.readline().split()[1])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9", "localhost:9464", "LOCALHOST.", "a.localhost", "[::1]:1", "127.1.2.3", "scraper:80"],
)
def test_it_answers_for_its_own_names(host):
    with serving(live_after(usual()), allowed=["Scraper."]) as endpoint:
        assert answer_for(endpoint, f"Host: {host}") == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "0.0.0.0",
    ],
)
def test_a_page_of_another_origin_reads_nothing(host):
    with serving(live_after(usual()), host="0.0.0.0") as endpoint:
        assert answer_for(endpoint, f"Host: {host}") == (200 if host == "0.0.0.0" else 421)


def test_a_host_is_named_once():
    with serving(live_after(usual())) as endpoint:
        assert answer_for(endpoint) == 200, "what names none is no browser"
        assert answer_for(endpoint, "Host:") == 421
        assert answer_for(endpoint, "Host: localhost", "Host: evil.example") == 421
        assert answer_for(endpoint, "Host: localhost/evil.example") == 421


def test_slow_and_many_clients_are_cut_off(monkeypatch):
    monkeypatch.setattr(prometheus, "REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(prometheus, "MOST_CLIENTS", 3)
    with serving(live_after(usual())) as endpoint, contextlib.ExitStack() as leaving:
        where = urlsplit(endpoint.url)
        clients = [leaving.enter_context(socket.create_connection((where.hostname, where.port))) for _ in range(6)]
        started = time.monotonic()
        for client in clients:
            client.settimeout(10)
            with contextlib.suppress(OSError):
                # Without an end, and without a pause that a time-out would notice.
                while time.monotonic() - started < 50:
                    client.sendall(b"GET /metrics HTTP/1.1\r\nX: " if client is clients[0] else b"x")
                    time.sleep(0.01)
        assert time.monotonic() - started < 40
        assert ask(endpoint.url)[0] == 200


@pytest.mark.parametrize("name", ["", "a:80", "http://x", "a b", "a,,b"])
def test_a_name_to_answer_for_has_no_port(name):
    _, problems = read_settings({"metrics_port": 0, "metrics_allow_host": [name]}, {})
    assert [problem.option for problem in problems] == ["--metrics-allow-host"]
    assert read_settings({"metrics_port": 0, "metrics_allow_host": "a,[::1]"}, {})[0].allowed == ("a", "[::1]")
