"""Clocks of other machines over time: whatever the ways take, the truth is within what is stated."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.clock_model import (
    MAX_DRIFT,
    MAX_WANDER,
    ClockComparison,
    ClockModel,
)

S = 10**9
DELAYS = st.integers(0, 50_000_000)
AHEAD = st.integers(-(10**15), 10**15)
RATES = st.floats(-MAX_DRIFT + MAX_WANDER, MAX_DRIFT - MAX_WANDER)
INSTANTS = st.integers(0, 100 * S)


class Clock:
    """A clock that is ahead, drifts, and wanders within what oscillators may."""

    def __init__(self, ahead_ns, rate, wander=0.0, period_s=20):
        self.ahead_ns, self.rate, self.wander, self.period_ns = ahead_ns, rate, wander, period_s * S

    def offset_at(self, at_ns):
        swing = self.wander * self.period_ns / math.tau * math.sin(math.tau * at_ns / self.period_ns)
        return self.ahead_ns + self.rate * at_ns + swing

    def compared(self, at_ns, there_ns, back_ns):
        """Bounds of a question that took so long there, and whose answer took so long back."""
        offset_ns = self.offset_at(at_ns)
        return ClockComparison(at_ns, math.floor(offset_ns) - back_ns, math.ceil(offset_ns) + there_ns)


CLOCKS = st.builds(Clock, AHEAD, RATES, st.floats(0, MAX_WANDER))
COMPARED = st.lists(st.tuples(INSTANTS, DELAYS, DELAYS), min_size=1, max_size=12)


@given(CLOCKS, COMPARED, st.integers(-20 * S, 120 * S))
def test_the_true_offset_is_within_the_error_at_any_instant(clock, compared, at_ns):
    model = ClockModel([clock.compared(*one) for one in compared])
    found = model.offset_at(at_ns)
    assert abs(found.offset_ns - clock.offset_at(at_ns)) <= found.error_ns
    drift = model.drift_at(at_ns)
    assert abs(drift.rate - clock.rate) <= drift.error + MAX_WANDER


@given(CLOCKS, COMPARED, INSTANTS)
def test_more_comparisons_never_make_it_less_exact(clock, compared, at_ns):
    near = [(min(at_ns + one // 2, at_ns + 50 * S), *ways) for one, *ways in compared]
    bounds = [clock.compared(*one) for one in near]
    errors_ns = [ClockModel(bounds[:count]).offset_at(at_ns).error_ns for count in range(1, len(bounds) + 1)]
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(errors_ns))


def test_the_line_is_more_exact_than_any_of_its_comparisons():
    clock = Clock(3600 * S, 30e-6)
    # Ways that are slow there and slow back in turn: none of these is better than ±500 µs.
    ways = [(1_000_000, 20_000) if number % 2 else (20_000, 1_000_000) for number in range(12)]
    bounds = [clock.compared(5 * S * number, *way) for number, way in enumerate(ways)]
    assert min(one.offset.error_ns for one in bounds) > 500_000
    found = ClockModel(bounds).offset_at(30 * S)
    assert abs(found.offset_ns - clock.offset_at(30 * S)) <= found.error_ns < 30_000
    drift = ClockModel(bounds).drift_at(30 * S)
    assert abs(drift.rate - 30e-6) <= drift.error < 2e-6


def test_one_comparison_says_nothing_of_the_drift_and_is_less_exact_with_time():
    model = ClockModel([ClockComparison.of(S, 7_000, 100)])
    assert model.drift_at(S) == (0, MAX_DRIFT)
    assert model.offset_at(S) == (7_000, 101)
    assert model.offset_at(2 * S).error_ns == 101 + MAX_DRIFT * S


def test_a_clock_that_was_set_has_an_error_as_large_as_that():
    model = ClockModel([ClockComparison.of(0, 0, 10), ClockComparison.of(S, 5 * S, 10)])
    found = model.offset_at(S // 2)
    assert found.offset_ns - found.error_ns < 10**6
    assert found.offset_ns + found.error_ns > 5 * S - 10**6


def test_comparisons_of_another_minute_count_only_where_there_is_no_nearer_one():
    model = ClockModel([ClockComparison.of(0, 0, 10), ClockComparison.of(600 * S, 10**9, 10)])
    assert model.offset_at(0).error_ns == 11
    assert model.offset_at(600 * S).offset_ns == 10**9
    with pytest.raises(ValueError, match="without a comparison"):
        ClockModel([])
