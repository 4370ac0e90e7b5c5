"""Metrics, read by the parsers of those who will."""

import math
import re
import shutil
import subprocess
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_families

from factories.results import (
    MICRO,
    MILLI,
    NASTY,
    answers,
    histogram,
    interval,
    recording,
    results,
    several,
    text_of,
    usual,
)
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.metric_families import BOUNDS_NS, PREFIX, cumulative_counts
from ws_load_test.metrics.tally import Tally


def families(made):
    return {
        family.name.removeprefix(PREFIX): family
        for family in text_string_to_metric_families(text_of("openmetrics", made))
    }


def value(found, name, **labels):
    (sample,) = [one for one in found[name].samples if one.labels == labels]
    return sample.value


def test_counts_are_the_summarys():
    made = results(usual())
    found = families(made)
    for word in ("due", "sent", "answered", "unanswered", "dropped", "pushed"):
        assert found[f"messages_{word}"].type == "counter"
        assert value(found, f"messages_{word}") == getattr(made.summary.messages, word)
    for word in ("attempted", "opened", "failed", "lost", "reconnected", "recycled"):
        assert value(found, f"connections_{word}") == getattr(made.summary.connections, word)
    assert {one.labels["code"]: one.value for one in found["connections_closed"].samples} == {"1000": 7, "1011": 3}
    assert {one.labels["kind"]: one.value for one in found["faults"].samples} == {
        "closed:1011": 3,
        "connect-refused": 1,
    }
    assert (value(found, "sent_bytes"), found["sent_bytes"].unit) == (11_000, "bytes")
    assert value(found, "duration_seconds") == made.summary.duration_s == 1.5
    assert value(found, "answered_per_second") == made.summary.throughput_per_s
    assert value(found, "generator_cpu_ratio") == 0.5
    assert (value(found, "passed"), value(found, "generator_saturated")) == (1, 0)
    (about,) = found["run_info"].samples
    assert about.labels == {
        "tool": "ws-load-test 0.1.0",
        "target": "ws://h/",
        "started_at": "2026-03-01T12:00:07.25Z",
    }


def test_every_name_begins_with_ours_and_every_family_says_what_it_is():
    text = text_of("openmetrics", results(usual()))
    names = re.findall(r"^# TYPE (\S+) \w+$", text, re.MULTILINE)
    assert names == re.findall(r"^# HELP (\S+) [A-Z].*\.$", text, re.MULTILINE)
    assert all(name.startswith(PREFIX) for name in names)
    assert len(names) == len(set(names))
    for name, unit in re.findall(r"^# UNIT (\S+) (\w+)$", text, re.MULTILINE):
        assert name.endswith(f"_{unit}")
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1


def test_times_are_histograms_in_seconds():
    found = families(results(usual()))["response_time_seconds"]
    assert (found.type, found.unit) == ("histogram", "seconds")
    samples = {(one.name.rpartition("_")[2], one.labels.get("le")): one.value for one in found.samples}
    times = results(usual()).aggregate.tally.response_time_ns
    assert samples["count", None] == samples["bucket", "+Inf"] == 1003
    assert samples["sum", None] == times.sum / 1e9
    assert samples["bucket", "0.01"] == 1003
    # 10 µs itself is in a bucket that ends a little above it.
    assert samples["bucket", "1e-05"] == 0
    assert samples["bucket", "2e-05"] == 1


def test_thresholds_are_reported_by_what_was_asked():
    checks = [
        ThresholdCheck(check="p99 > 50ms", option="fail-if", value=1, passed=True),
        ThresholdCheck(check="p99 > 50ms", option="abort-if", value=1, passed=False),
        ThresholdCheck(check="p99 > 50ms", option="abort-if", value=1, passed=True),
    ]
    found = families(results(usual(), checks=checks))
    assert value(found, "threshold_passed", check="fail if p99 > 50ms") == 1
    assert value(found, "threshold_passed", check="abort if p99 > 50ms") == 0
    assert value(found, "passed") == 0


def test_of_a_run_without_anything_all_is_zero():
    found = families(results(recording()))
    assert value(found, "messages_sent") == value(found, "duration_seconds") == 0
    assert "answered_per_second" not in found
    assert value(found, "response_time_seconds", le="+Inf") == 0


@given(st.lists(st.integers(0, LARGEST) | st.integers(0, 10**11), max_size=50))
def test_a_bucket_holds_the_times_up_to_its_bound(values):
    made = histogram(*values)
    counts = list(cumulative_counts(made))
    assert [bound for bound, _ in counts] == list(BOUNDS_NS)
    for bound, count in counts:
        # A time counts as the highest of its bucket, which is less than a thousandth above it.
        assert sum(one <= bound * (1 - 1 / 1024) for one in values) <= count <= sum(one <= bound for one in values)
    assert [count for _, count in counts] == sorted(count for _, count in counts)
    if made.max is not None and made.max <= BOUNDS_NS[-1]:
        assert counts[-1][1] == made.count


@settings(max_examples=30, deadline=None)
@given(several)
def test_any_recordings_can_be_read(made):
    taken = results(*made)
    found = families(taken)
    assert value(found, "response_time_seconds", le="+Inf") == taken.aggregate.tally.response_time_ns.count
    assert math.isfinite(value(found, "duration_seconds"))


@pytest.mark.parametrize("words", [NASTY, '"} 1\n# EOF', "\\", '\\"', "\\n"])
def test_no_words_of_a_target_break_it(words):
    tally = Tally(opened=1, faults=Counter({words: 2, "reset": 1}), closed=Counter({"1000": 1}))
    found = families(results(recording(interval(tally), target=f"ws://h/{words}")))
    assert sum(one.value for one in found["faults"].samples) == 3
    assert value(found, "connections_opened") == 1
    assert len(found["faults"].samples) == 2


def test_kinds_that_look_the_same_are_one_sample():
    tally = Tally(opened=1, faults=Counter({"a\x00": 2, "a\x01": 3}))
    assert value(families(results(recording(interval(tally)))), "faults", kind="a?") == 5


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_a_label_says_what_was_said(words):
    shown = "".join(letter if letter.isprintable() else "?" for letter in words)
    found = families(results(recording(interval(answers(MICRO, MILLI, opened=1, faults=Counter({words: 1}))))))
    assert value(found, "faults", kind=shown) == 1


def older(text):
    """The same for the older text format, in which a counter's family has the name of its samples."""
    for name in re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE):
        text = re.sub(rf"^# (TYPE|HELP) {name} ", rf"# \1 {name}_total ", text, flags=re.MULTILINE)
    return text


def test_readers_of_the_older_format_take_it_as_well():
    text = text_of("openmetrics", results(usual()))
    found = {one.name: one.value for family in older_families(text) for one in family.samples if not one.labels}
    assert found[f"{PREFIX}messages_sent_total"] == 1006


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_promtool_finds_nothing_to_complain_of():
    def complaints(text):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        return done.stderr.splitlines()

    text = text_of("openmetrics", results(usual()))
    assert complaints(older(text)) == []
    # It reads the older format, and so misses the texts of counters, and nothing else.
    assert all(line.endswith("_total no help text") for line in complaints(text))
