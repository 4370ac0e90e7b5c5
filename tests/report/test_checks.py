"""What the report says of conditions."""

from types import SimpleNamespace

import pytest
from rich.text import Text

from ws_load_test.analysis.summary_types import RunVerdict, ThresholdCheck
from ws_load_test.report.content.thresholds import stopped_by
from ws_load_test.report.terminal.tables import threshold_lines

MS = 10**6


def lines(*found):
    shown = threshold_lines(found)
    assert all(isinstance(line, Text) and line.cell_len <= 80 for line in shown)
    return [line.plain for line in shown]


def check(text, value, limit, unit, *, passed=False, option="fail-if", **more):
    return ThresholdCheck(check=text, value=value, passed=passed, option=option, limit=limit, unit=unit, **more)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (check("p99 > 50ms", 61_200_000, 50 * MS, "ns"), "  failed  fail if p99 > 50ms: 61.2 ms"),
        (check("p99 > 50ms", 5 * MS, 50 * MS, "ns", passed=True), "  passed  fail if p99 > 50ms: 5 ms"),
        # Nearer to the limit than three digits tell.
        (check("p99 > 50ms", 50_040_000, 50 * MS, "ns"), "  failed  fail if p99 > 50ms: 50.04 ms"),
        (check("p99 >= 50ms", 50 * MS, 50 * MS, "ns"), "  failed  fail if p99 >= 50ms: 50 ms"),
        (check("errors > 0.1%", 0.00101, 0.001, "share"), "  failed  fail if errors > 0.1%: 0.101 %"),
        (check("errors > 0.1%", 0.12, 0.001, "share"), "  failed  fail if errors > 0.1%: 12 %"),
        (check("errors > 1", 1234, 1, "count"), "  failed  fail if errors > 1: 1,234"),
        (check("rate < 9500", 9499.8, 9500.0, "per_s"), "  failed  fail if rate < 9500: 9,499.800/s"),
        (check("rate < 9500", 31.0, 9500.0, "per_s"), "  failed  fail if rate < 9500: 31/s"),
        (check("bytes_sent > 1kB", 2000, 1000, "bytes"), "  failed  fail if bytes_sent > 1kB: 2 kB"),
        (check("bytes_sent > 1kB", 1001, 1000, "bytes"), "  failed  fail if bytes_sent > 1kB: 1,001 B"),
        (
            check("tls.p99 > 1s", None, 10**9, "ns", why="no session opened with TLS"),
            "  failed  fail if tls.p99 > 1s: no value, no session opened with TLS",
        ),
        (ThresholdCheck(check="odd", passed=False, why="who knows"), "  failed  odd: who knows"),
        (ThresholdCheck(check="p99<50ms", value=1, passed=True), "  passed  p99<50ms"),
    ],
)
def test_a_check_is_a_line(one, line):
    assert lines(one) == [line]


def test_any_says_when_and_how_often():
    passed = check("any p99 > 80ms", 72 * MS, 80 * MS, "ns", passed=True, intervals=60, failed_intervals=0, from_ns=5)
    assert lines(passed) == ["  passed  fail if any p99 > 80ms: at worst 72 ms, over 60 intervals"]
    failed = check("any p99 > 80ms", 91 * MS, 80 * MS, "ns", intervals=60, failed_intervals=3, from_ns=4 * 10**9)
    assert " ".join(" ".join(lines(failed)).split()) == (
        "failed fail if any p99 > 80ms: 91 ms from 4 s after the start on, and so in 3 of 60 intervals"
    )


def test_what_stopped_the_run_says_when():
    stopped = check("errors > 5%", 0.12, 0.05, "share", option="abort-if", aborted_at_ns=7 * 10**9)
    assert " ".join(" ".join(lines(stopped)).split()) == (
        "failed abort if errors > 5%: 12 %, so the run was stopped 7 s after its start"
    )
    verdict = RunVerdict(passed=False, checks=[stopped, check("x", 1, 1, "ns")])
    assert stopped_by(SimpleNamespace(verdict=verdict)) == ["errors > 5%"]
