"""Metrics of real runs while they go on, read by those who are meant to: Prometheus' parsers and a real collector."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_families

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode

COLLECTOR = Path(__file__).parent.parent / "otlp_collector.py"
TOKEN = "geheim1234"


@contextlib.contextmanager
def collecting(folder, manner="takes"):
    """The address of a collector in a process of its own."""
    folder.mkdir()
    command = [sys.executable, COLLECTOR, folder, manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def watched(echo_url, tmp_path_factory):
    """A run that is scraped and pushed while it goes on, and what there is of it in the end."""
    folder = tmp_path_factory.mktemp("watched")
    with collecting(folder / "pushes") as collector:
        environ = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={TOKEN}",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=ci",
            # Unset, by the standard; the library takes an empty one for no number.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "",
            # The URL is http://, whatever this says.
            "OTEL_EXPORTER_OTLP_INSECURE": "false",
        }
        files = ["--openmetrics", folder / "run.om", "-o", folder / "run.jsonl"]
        shown = ["--metrics-port", 0, "--metrics-linger", "20s", "--otlp", collector, "-v", "debug"]
        load = [f"{echo_url}?token={TOKEN}", "-c", 3, "-r", 500, "-d", "2s", "--json"]
        command = [sys.executable, "-m", "ws_load_test", *load, *files, *shown]
        with (folder / "told").open("w") as told, (folder / "out").open("w") as out:
            process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=told, env=environ)
            try:
                scrapes = scraped_to_the_end(folder / "told", process)
            finally:
                process.kill()
                process.wait()
    requests = [
        ExportMetricsServiceRequest.FromString(path.read_bytes()) for path in sorted((folder / "pushes").glob("*.pb"))
    ]
    return {
        "code": process.returncode,
        "summary": json.loads((folder / "out").read_text()),
        "file": samples(text_string_to_metric_families((folder / "run.om").read_text())),
        "scrapes": scrapes,
        "pushes": requests,
        "headers": [json.loads(path.read_text()) for path in sorted((folder / "pushes").glob("*.json"))],
        "told": (folder / "told").read_text(),
        "all": "".join(path.read_text() for path in folder.iterdir() if path.is_file()),
    }


def scraped_to_the_end(told, process):
    until = time.monotonic() + 90
    while not (found := re.search(r"^metrics: (\S+)$", told.read_text(), re.MULTILINE)):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    scrapes = []
    while process.poll() is None:
        assert time.monotonic() < until, "it goes on, although the last metrics have been read"
        # The endpoint has gone, and the process is about to.
        with contextlib.suppress(OSError), urllib.request.urlopen(found[1], timeout=5) as answer:
            scrapes.append(answer.read().decode())
        time.sleep(0.05)
    return scrapes


def samples(families):
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def phase_of(scrape):
    found = samples(older_families(scrape))
    return next((key[1][1] for key, value in found.items() if key[0].endswith("_phase") and value), None)


def pushed(request):
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name.removeprefix("ws_load_test."): metric for metric in scope.metrics}


def test_the_run_is_followed_while_it_goes_on(watched):
    assert watched["code"] == 0
    phases = list(dict.fromkeys(phase_of(scrape) for scrape in watched["scrapes"]))
    assert phases[-2:] == ["measured", "closing"]
    name = ("ws_load_test_messages_answered_total",)
    counts = [samples(older_families(scrape))[name] for scrape in watched["scrapes"]]
    assert counts == sorted(counts)
    assert 0 < next(filter(None, counts)) < watched["summary"]["messages"]["answered"] == counts[-1]
    measured = next(scrape for scrape in watched["scrapes"] if phase_of(scrape) == "measured")
    assert samples(older_families(measured))["ws_load_test_connections_open",] == 3


def test_the_last_scrape_is_what_the_file_says(watched):
    last = samples(older_families(watched["scrapes"][-1]))
    shared = watched["file"].keys() & last.keys()
    assert len(shared) == 4 * 25 + 6 + 6 + 1 + 2 + 3, "histograms, messages, connections, a code, bytes, gauges"
    assert {key: last[key] for key in shared} == {key: watched["file"][key] for key in shared}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_promtool_finds_nothing_to_complain_of(watched):
    text = watched["scrapes"][-1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_last_push_has_the_counts_of_the_summary(watched):
    assert len(watched["pushes"]) >= 3
    found = pushed(watched["pushes"][-1])
    for room in ("messages", "connections"):
        for word, count in watched["summary"][room].items():
            if f"{room}_{word}" in found and word != "closed":
                (point,) = found[f"{room}_{word}"].sum.data_points
                assert point.as_int == count
    assert found["messages_sent"].sum.data_points[0].as_int == watched["summary"]["messages"]["sent"] > 700
    (closed,) = found["connections_closed"].sum.data_points
    assert (closed.attributes[0].value.string_value, closed.as_int) == ("1000", 3)


@pytest.mark.parametrize("name", ["response_time", "service_time", "send_lag", "connect_time"])
def test_histograms_agree_bucket_for_bucket(watched, name):
    (point,) = pushed(watched["pushes"][-1])[name].histogram.data_points
    file = watched["file"]
    reached = 0
    for bound, count in zip([*map(repr, point.explicit_bounds), "+Inf"], point.bucket_counts, strict=True):
        reached += count
        assert file[f"ws_load_test_{name}_seconds_bucket", ("le", bound)] == reached
    assert point.count == reached == file[f"ws_load_test_{name}_seconds_count",] > 0
    assert point.sum == file[f"ws_load_test_{name}_seconds_sum",]
    stats = watched["summary"].get(f"{name}_ns") or watched["summary"]["generator"][f"{name}_ns"]
    assert (point.min, point.max) == (stats["min"] / 1e9, stats["max"] / 1e9)


def test_pushes_count_upwards_from_one_start(watched):
    points = [pushed(request)["messages_sent"].sum.data_points[0] for request in watched["pushes"]]
    assert len({point.start_time_unix_nano for point in points}) == 1
    times = [point.time_unix_nano for point in points]
    assert times == sorted(set(times))
    assert [point.as_int for point in points] == sorted(point.as_int for point in points)
    resources = [
        request.resource_metrics[0].resource.SerializeToString(deterministic=True) for request in watched["pushes"]
    ]
    assert len(set(resources)) == 1
    said = {one.key: one.value.string_value for one in watched["pushes"][0].resource_metrics[0].resource.attributes}
    assert said["deployment.environment"] == "ci"
    assert said["ws_load_test.target"].endswith("/?token=***")


def test_a_secret_goes_where_it_belongs_and_nowhere_else(watched):
    assert {headers["x-token"] for headers in watched["headers"]} == {TOKEN}
    assert TOKEN not in watched["all"] + "".join(watched["scrapes"])
    assert not any(TOKEN.encode() in request.SerializeToString() for request in watched["pushes"])


def test_the_libraries_say_nothing_even_when_we_say_much(watched):
    ours = ("INFO: ", "metrics: ", "DEBUG: Using selector: ")
    assert [line for line in watched["told"].splitlines() if not line.startswith(ours)] == []


def test_a_collector_that_refuses_changes_nothing_but_a_sentence(echo_url, program, tmp_path):
    with collecting(tmp_path / "pushes", "refuses") as collector:
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={TOKEN}"}
        done = program(echo_url, "-n", 50, "--otlp", collector, env=environ)
    assert done.returncode == 0
    assert "p99" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"WARNING: --otlp: (\d) of \1 pushes did not reach the collector at {collector} \(PERMISSION_DENIED\); "
        "the last one is among them, so the counts there are not those of the whole run",
        last,
    )
    assert TOKEN not in done.stderr


class Posts(BaseHTTPRequestHandler):
    """Takes pushes over HTTP."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.posts.append((self.path, headers, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_pushes_over_http(echo_url, program):
    with HTTPServer(("127.0.0.1", 0), Posts) as server:
        server.posts = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_HEADERS": "x=y"}
        try:
            done = program(echo_url, "-n", 50, "-q", "--otlp", f"http://127.0.0.1:{server.server_port}", env=environ)
        finally:
            server.shutdown()
            thread.join()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path, headers, body = server.posts[-1]
    assert (path, headers["content-type"], headers["x"]) == ("/v1/metrics", "application/x-protobuf", "y")
    (point,) = pushed(ExportMetricsServiceRequest.FromString(body))["messages_answered"].sum.data_points
    assert point.as_int == 50


def test_ctrl_c_while_it_lingers_ends_it_and_keeps_what_was_reported(echo_url, start):
    process = start(echo_url, "-n", 50, "--metrics-port", 0, "--metrics-linger", "1m", "--json")
    text = ""
    # JSON at the terminal ends with a brace at the start of a line.
    while not text.endswith("\n}\n"):
        text += process.stdout.readline()
    assert json.loads(text)["messages"]["answered"] == 50
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert process.stderr.read().splitlines()[1:] == []


def test_a_port_in_use_ends_it_before_the_run(capsys, tmp_path):
    import socket

    plan = tmp_path / "plan.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plan.write_text(f'url = "ws://h.invalid/"\nmetrics-port = {port}\n')
        assert main(["--plan", str(plan)]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.err == (
        f"ws-load-test: --metrics-port: cannot listen on 127.0.0.1:{port}: address already in use; "
        "name another port, 0 for any that is free, or another --metrics-host\n"
    )
    assert told.out == ""


def test_nothing_is_left_where_the_run_cannot_begin(capsys, tmp_path):
    arguments = ["ws://h.invalid/", "--metrics-port", "0", "--metrics-linger", "1m", "-o", str(tmp_path)]
    assert main(arguments) == ExitCode.OUTPUT_FAILED
    assert "cannot write the recording" in capsys.readouterr().err


def test_a_dry_run_has_no_metrics(capsys):
    assert main(["ws://h.invalid/", "--probe", "--metrics-port", "0"]) == ExitCode.USAGE
    assert "--metrics-port: a probe" in capsys.readouterr().err
