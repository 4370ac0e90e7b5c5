"""Clocks of other machines: compared by pings that take their time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.clock_model import MAX_DRIFT, ClockComparison, ClockOffset
from ws_load_test.fleet.cluster.clock_offset import ClockSample, compare_clocks

DELAYS = st.integers(0, 10**9)


@given(
    st.integers(-(10**15), 10**15),
    st.floats(-MAX_DRIFT, MAX_DRIFT),
    st.lists(st.tuples(DELAYS, DELAYS), min_size=1, max_size=15),
)
def test_the_truth_is_within_the_bounds_whatever_the_way_takes(ahead_ns, rate, ways):
    at_ns, pings = 0, []
    for there_ns, back_ns in ways:
        read_ns = at_ns + there_ns
        pings.append(ClockSample(at_ns, read_ns + ahead_ns + round(rate * read_ns), read_ns + back_ns))
        at_ns += there_ns + back_ns + 1000
    found = compare_clocks(pings)
    assert found.lowest_ns - 1 <= ahead_ns + rate * found.at_ns <= found.highest_ns + 1
    shortest_ns = min(there + back for there, back in ways)
    assert found.offset.error_ns <= (shortest_ns + 1) // 2 + MAX_DRIFT * shortest_ns + 2


def test_the_quickest_question_and_the_quickest_reply_count():
    slow, there, back = (
        ClockSample(0, 5_000_900, 1_000),
        ClockSample(2_000, 5_002_010, 2_090),
        ClockSample(3_000, 5_003_070, 3_080),
    )
    # 10 ns there at most, 10 ns back at most, and 1 ns of drift in between.
    assert compare_clocks([slow, there, back]) == ClockComparison(3_040, 4_999_989, 5_000_011)
    assert ClockOffset(5_000_000, 10).to_remote(7) == 5_000_007


def test_it_takes_a_ping():
    with pytest.raises(ValueError, match="empty"):
        compare_clocks([])
