"""Clocks of other machines: compared by pings that take their time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.fleet.cluster.clock_offset import ClockOffset, ClockSample, estimate_offset

DELAYS = st.integers(0, 10**9)


@given(st.integers(-(10**15), 10**15), st.lists(st.tuples(DELAYS, DELAYS), min_size=1, max_size=15))
def test_the_truth_is_within_the_error_whatever_the_way_takes(ahead_ns, ways):
    at_ns, pings = 0, []
    for there_ns, back_ns in ways:
        pings.append(ClockSample(at_ns, at_ns + there_ns + ahead_ns, at_ns + there_ns + back_ns))
        at_ns += there_ns + back_ns + 1000
    found = estimate_offset(pings)
    assert abs(found.offset_ns - ahead_ns) <= found.error_ns
    assert found.error_ns == -(-min(there + back for there, back in ways) // 2)


def test_the_quickest_ping_is_the_one_that_counts():
    slow, quick = ClockSample(0, 5_000_900, 1_000), ClockSample(2_000, 5_002_010, 2_020)
    assert estimate_offset([slow, quick, slow]) == ClockOffset(5_000_000, 10)
    assert ClockOffset(5_000_000, 10).to_remote(7) == 5_000_007


def test_it_takes_a_ping():
    with pytest.raises(ValueError, match="empty"):
        estimate_offset([])
