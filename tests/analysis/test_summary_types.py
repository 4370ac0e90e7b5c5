"""The typed summary: its encoding is that of stored examples, letter for letter."""

import re
from pathlib import Path

import msgspec
import pytest

from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.summary_types import Summary, ThresholdCheck, TimeStats
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording_file import read_recording

DATA = Path(__file__).parents[1] / "data"


def without_sentences(text):
    """The text of a summary without its warnings, whose words are no interface."""
    return re.sub(r'"(warnings|reasons)": \[[^\]]*\]', r'"\1": []', text)


@pytest.mark.parametrize("name", ["storm", "unkind"])
def test_the_printed_summary_is_the_stored_one(name):
    stored = (DATA / "summaries" / f"{name}.json").read_text()
    summary = summarize([read_recording(DATA / "recordings_v1" / f"{name}.jsonl")])
    for form in (summary, msgspec.to_builtins(summary), msgspec.convert(msgspec.to_builtins(summary), Summary)):
        printed = msgspec.json.format(msgspec.json.encode(form), indent=2).decode() + "\n"
        assert without_sentences(printed) == without_sentences(stored)


def test_statistics_have_the_keys_of_json():
    histogram = Histogram()
    assert TimeStats.of(histogram) is None
    for value in range(1000, 2000):
        histogram.record(value)
    stats = TimeStats.of(histogram)
    assert {key: stats.value(key) for key in histogram.stats()} == histogram.stats()
    assert (stats.p99_9, stats.p99_99) == (stats.value("p99.9"), stats.value("p99.99"))
    with pytest.raises(KeyError):
        stats.value("p42")


def test_a_check_has_only_the_keys_that_apply():
    check = ThresholdCheck(check="p99 > 1s", passed=True, option="fail-if")
    assert msgspec.to_builtins(check) == {"check": "p99 > 1s", "value": None, "passed": True, "option": "fail-if"}
    assert not check.stopped_run
