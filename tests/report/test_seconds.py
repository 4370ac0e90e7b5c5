"""The chart over time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.analysis.aggregate import Aggregate, IntervalStats
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.terminal.glyphs import spark
from ws_load_test.report.terminal.sparklines import MOST_COLUMNS, over_time

SECOND = 10**9


def stretch(number, answered=1000, *, p50=10_000, p99=90_000, faults=0, length_ns=SECOND):
    return IntervalStats(
        from_ns=number * SECOND,
        to_ns=number * SECOND + length_ns,
        answered=answered,
        faults=faults,
        response_p50_ns=p50,
        response_p90_ns=p99,
        response_p99_ns=p99,
        send_lag_p50_ns=None,
        send_lag_p99_ns=None,
        loop_lag_p90_ns=None,
        workers=(),
    )


def chart(*stretches, encoding="utf-8"):
    return [line.plain for line in over_time(Aggregate(Tally(), (tuple(stretches),)), encoding)]


def drawn(line):
    return re.split(" {2,}", line[14:])[0]


def test_each_second_is_a_column_between_its_lowest_and_its_highest():
    lines = chart(stretch(0, 100), stretch(1, 400, p99=180_000), stretch(2, 800, p50=5_000))
    assert lines == [
        "over time     one column is 1 s",
        "throughput    ▁▄█  100/s to 800/s",
        "p50           ██▄  5 µs to 10 µs",
        "p99           ▄█▄  90 µs to 180 µs",
    ]


def test_faults_have_a_row_where_there_were_any():
    lines = chart(stretch(0), stretch(1, faults=8), stretch(2, faults=1))
    assert lines[-1] == "faults         █▁  0 to 8"


def test_a_second_without_answers_is_a_gap():
    lines = chart(stretch(0), stretch(1, 0, p50=None, p99=None), stretch(2))
    assert lines[1] == "throughput    █ █  0/s to 1,000/s"
    assert lines[2] == "p50           █ █  10 µs"
    nothing = [stretch(number, 0, p50=None, p99=None) for number in range(3)]
    assert chart(*nothing)[2].endswith("\N{EN DASH}")


def test_a_rate_is_of_the_time_it_took():
    assert chart(stretch(0), stretch(1), stretch(2, 600, length_ns=SECOND * 6 // 10))[1].endswith("  1,000/s")


def test_what_is_much_shorter_than_a_second_is_left_out():
    assert drawn(chart(stretch(0), stretch(1), stretch(2), stretch(3, 9, length_ns=SECOND // 10))[1]) == "███"


def test_too_short_a_run_and_several_recordings_have_none():
    few = [stretch(number) for number in range(3)]
    assert chart(*few)
    assert not chart(*few[1:])
    assert not over_time(Aggregate(Tally(), (tuple(few), tuple(few))), "utf-8")


@pytest.mark.parametrize("seconds", [59, 61, 3600, 100_000])
def test_long_runs_are_merged_into_columns_that_fit(seconds):
    slow = seconds // 2
    lines = chart(*(stretch(k, faults=k == slow, p99=900_000 if k == slow else 90_000) for k in range(seconds)))
    assert max(map(len, lines)) <= 80
    assert len(drawn(lines[1])) <= MOST_COLUMNS
    # One slow second shows, however many are merged.
    assert drawn(lines[3]).count("█") == 1
    assert drawn(lines[3]).count("▁") == len(drawn(lines[1])) - 1
    assert ("highest" in lines[0]) == (len(drawn(lines[1])) < seconds)
    assert lines[-1].endswith("0 to 1")


def test_rates_of_merged_columns_are_means():
    lines = chart(*(stretch(k, 1000 if k % 2 else 3000) for k in range(1000)))
    rates = [int(text.replace(",", "")) for text in re.findall(r"([\d,]+)/s", lines[1])]
    assert rates
    assert all(1900 <= rate <= 2100 for rate in rates)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**12)), min_size=3, max_size=200))
def test_any_course_fits(seconds):
    lines = chart(*(stretch(k, answered, p50=p, p99=p) for k, (answered, p) in enumerate(seconds)))
    assert max(map(len, lines)) <= 80
    assert len(lines) == 4


def test_ascii():
    lines = chart(stretch(0, 100), stretch(1, 400), stretch(2, 800), encoding="ascii")
    assert lines[1] == "throughput    _~#  100/s to 800/s"


@pytest.mark.parametrize(
    ("share", "letter"), [(None, " "), (0, " "), (1e-9, "▁"), (0.5, "▄"), (0.99, "█"), (1, "█"), (1.1, "█")]
)
def test_a_column_is_as_high_as_its_share(share, letter):
    assert spark(share, "utf-8") == letter
    assert spark(share, "ascii").isascii()
