"""Steps and time that a search still takes, against searches that are played to their end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.experiments.capacity.bracketing import NextStep, Outcome, SearchRange, StepResult, next_step
from ws_load_test.experiments.capacity.remaining import Remaining, remaining

SECOND = 10**9


def steps_left(where, limit):
    """Before each step of a search: its range, and how many steps it took from there."""
    tried, ranges = [], []
    while isinstance(step := next_step(where, tried), NextStep):
        ranges.append(remaining(where, tried, lambda _: 2 * SECOND))
        tried.append(StepResult(step.load_level, Outcome.MET if step.load_level <= limit else Outcome.MISSED))
    return [(one, len(tried) - place) for place, one in enumerate(ranges)]


@given(st.floats(50, 1e5), st.sampled_from([None, 2_000.0, 64_000.0]), st.sampled_from([0.02, 0.05, 0.3]))
@settings(max_examples=40, deadline=None)
def test_the_range_holds_what_comes(limit, maximum, precision):
    where = SearchRange(100, maximum, precision)
    for left, came in steps_left(where, limit):
        # Loads are rounded, so that a limit between two that are played can take one step more or less.
        assert came >= left.fewest_steps - 1
        assert not left.is_bounded or came <= left.most_steps + 1
        assert (left.least_ns, left.most_ns) == (left.fewest_steps * 2 * SECOND, left.most_steps * 2 * SECOND)


def test_it_narrows_to_one_step():
    ranges = [left for left, _ in steps_left(SearchRange(100), 1000)]
    assert not ranges[0].is_bounded
    bounded = [one.most_steps for one in ranges if one.is_bounded]
    assert bounded == sorted(bounded, reverse=True)
    assert (ranges[-1].fewest_steps, ranges[-1].most_steps) == (1, 1)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Remaining(1, 1, 5e9, 5e9, is_bounded=True), "1 step left, about 5 s"),
        (Remaining(4, 7, 28e9, 130.4e9, is_bounded=True), "4 to 7 steps left, 28 s to 2 min 10 s"),
        (Remaining(9, 9, 60e9, 60e9, is_bounded=False), "at least 9 steps left, 60 s"),
        (Remaining(0, 0, 0, 0, is_bounded=True), ""),
    ],
)
def test_it_is_put_in_words(left, words):
    assert left.describe() == words
