"""The search, against servers whose limit is known."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.experiments.capacity.bracketing import (
    CONFIRMATIONS,
    GROWTH,
    MAX_STEPS,
    NextStep,
    Outcome,
    Purpose,
    SearchRange,
    SearchResult,
    StepResult,
    StopReason,
    next_step,
)

MET, MISSED, BOUND = Outcome.MET, Outcome.MISSED, Outcome.GENERATOR_BOUND
SLACK = 1.011
"""Amounts have three digits, so that the ends of a bracket may be a little nearer to each other than they could."""
precisions = st.sampled_from([0.01, 0.05, 0.1, 0.3])
limits = st.floats(100, 1e6)


def search(where, server):
    """What a search comes to, and its steps; `server` says how an amount turns out, and when."""
    tried, moves = [], []
    while not isinstance(move := next_step(where, tried), SearchResult):
        assert len(tried) < MAX_STEPS
        moves.append(move)
        tried.append(StepResult(move.load_level, server(move.load_level, len(tried))))
    return move, tried, moves


def most_steps(where, limit):
    """How many steps a search takes at most for a limit that answers the same way each time."""
    growing = math.ceil(math.log(max(limit, where.first) / where.first, GROWTH)) + 2
    narrowing = math.ceil(math.log2(math.log(GROWTH) / math.log1p(where.precision))) + 2
    return growing + narrowing + CONFIRMATIONS


@settings(max_examples=60, deadline=None)
@given(limits, precisions, st.booleans())
def test_a_hard_limit_is_in_the_bracket(limit, precision, whole):
    where = SearchRange(100, precision=precision, whole=whole)
    answer, tried, moves = search(where, lambda amount, _: MET if amount <= limit else MISSED)
    assert answer.stop_reason is StopReason.FOUND
    assert answer.lower <= limit < answer.upper
    assert answer.upper <= answer.lower * (1 + precision) or (whole and answer.upper == answer.lower + 1)
    assert (answer.lower_times, answer.upper_times) == (2, 2)
    assert len(tried) <= most_steps(where, limit)
    assert [move.purpose for move in moves[-2:]] == [Purpose.CONFIRM] * 2
    assert not answer.contradicted
    if whole:
        assert all(amount == int(amount) for amount, _ in tried)


@settings(max_examples=60, deadline=None)
@given(limits, st.integers(), st.sampled_from([0.0, 0.01, 0.03, 0.08]))
def test_a_noisy_limit_widens_the_bracket_and_no_more(limit, seed, noise):
    chance = random.Random(seed)
    low, high = limit * (1 - noise), limit * (1 + noise)

    def server(amount, _):
        return MET if amount < low or (amount < high and chance.random() < 0.5) else MISSED

    answer, _, _ = search(SearchRange(50), server)
    assert answer.stop_reason in (StopReason.FOUND, StopReason.UNSETTLED)
    # Whatever chance said, what always fails is above, and what never does is below.
    assert answer.lower < high
    assert answer.lower >= low / 1.05 / SLACK
    assert answer.stop_reason is StopReason.UNSETTLED or low <= answer.upper <= high * 1.05 * SLACK
    assert all(answer.lower < one < (answer.upper or math.inf) for one in answer.unsure)
    if not answer.unsure and answer.stop_reason is StopReason.FOUND:
        assert answer.upper <= answer.lower * 1.05


@settings(max_examples=60, deadline=None)
@given(limits, st.floats(-0.002, 0.002))
def test_a_limit_that_drifts_is_met_on_its_way(limit, drift):
    answer, tried, _ = search(
        SearchRange(50), lambda amount, step: MET if amount <= limit * (1 + drift * step) else MISSED
    )
    end = limit * (1 + drift * len(tried))
    assert answer.lower <= max(limit, end)
    assert answer.upper >= min(limit, end)
    assert answer.upper <= answer.lower * 1.05 * (1 + abs(drift) * len(tried) + 0.06)


@settings(max_examples=60, deadline=None)
@given(limits, st.floats(0.2, 5), precisions)
def test_a_limit_of_the_generator_is_never_the_targets(limit, ratio, precision):
    generator = max(limit * ratio, 100)

    def server(amount, _):
        # Whatever the target would do there: a generator at its limit cannot tell.
        return BOUND if amount > generator else MET if amount <= limit else MISSED

    answer, tried, _ = search(SearchRange(100, precision=precision), server)
    if any(outcome is MISSED for amount, outcome in tried if amount == answer.upper):
        assert answer.stop_reason is StopReason.FOUND
        assert answer.lower <= limit < answer.upper
    else:
        assert answer.stop_reason is StopReason.GENERATOR
        assert answer.upper is None
        assert answer.lower <= min(limit, generator)
        assert answer.bound > generator
        assert answer.bound <= answer.lower * (1 + precision)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([None, 150, 12_345]), st.booleans())
def test_whatever_happens_it_ends(data, most, whole):
    outcomes = st.sampled_from([MET, MET, MISSED, BOUND, Outcome.NOTHING_OPENED])
    answer, tried, _ = search(SearchRange(100, most, whole=whole), lambda *_: data.draw(outcomes))
    if answer.stop_reason is StopReason.ALL_MET:
        assert (answer.lower, answer.unsure) == (most, ())
    assert all(100 <= amount <= (most or math.inf) for amount, _ in tried)
    if answer.lower is not None and answer.upper is not None:
        assert answer.lower < answer.upper
    if answer.stop_reason is StopReason.FOUND:
        assert [one.outcome for one in tried if one.load_level == answer.lower].count(MET) == 2
        failures = [one.outcome for one in tried if one.load_level == answer.upper]
        assert MET not in failures
        assert len(failures) - failures.count(BOUND) >= 2


def replay(*steps, **where):
    return next_step(SearchRange(**{"first": 100, **where}), [StepResult(*step) for step in steps])


def test_it_grows_narrows_and_confirms():
    amounts = [
        move.load_level for move in search(SearchRange(100), lambda amount, _: MET if amount <= 1000 else MISSED)[2]
    ]
    assert amounts == [100, 200, 400, 800, 1600, 1130, 951, 1040, 995, 995, 1040]


def test_all_met_up_to_the_most():
    answer, tried, _ = search(SearchRange(100, 350), lambda *_: MET)
    assert [one.load_level for one in tried] == [100, 200, 350, 350]
    assert answer == SearchResult(StopReason.ALL_MET, 350, 2)


@pytest.mark.parametrize(("turns", "contradicted"), [([MET, MISSED], (400,)), ([MET, BOUND, BOUND], ())])
def test_a_most_that_did_not_hold_is_not_called_met(turns, contradicted):
    """400 met the objectives once, and then the target missed them, or the generator was late twice."""
    steps = [(100, MET), (200, MET), *((400, outcome) for outcome in turns)]
    while isinstance(move := replay(*steps, maximum=400), NextStep):
        steps.append((move.load_level, MET))
    assert (move.stop_reason, move.upper) == (StopReason.UNSETTLED, None)
    assert 380 < move.lower < 400
    assert (move.lower_times, move.unsure, move.contradicted) == (2, (400,), contradicted)


def test_not_even_the_lowest():
    answer, tried, _ = search(SearchRange(100), lambda *_: MISSED)
    assert [one.load_level for one in tried] == [100, 100]
    assert answer == SearchResult(StopReason.NONE_MET, None, 0, 100, 2)


def test_an_end_that_turns_out_otherwise_is_an_end_no_more():
    steps = [(100, MET), (200, MISSED), (141, MISSED), (119, MISSED), (109, MISSED), (104, MISSED), (100, MET)]
    assert replay(*steps).load_level == 104
    # It met the objectives now, so it is no end any more, and both sides of it are looked at more closely.
    assert [replay(*steps, (104, MET)).load_level, replay(*steps, (104, MET), (102, MET)).load_level] == [102, 106]
    closer = [*steps, (104, MET), (102, MET), (106, MISSED), (102, MET)]
    assert replay(*closer).load_level == 106
    settled = replay(*closer, (106, MISSED))
    assert (settled.stop_reason, settled.lower, settled.upper, settled.unsure) == (StopReason.FOUND, 102, 106, (104,))
    assert replay(*closer, (106, MET)).load_level == 107


def test_one_bad_moment_does_not_end_the_growth():
    answer, tried, _ = search(SearchRange(100), lambda amount, step: MISSED if step == 0 or amount > 1000 else MET)
    assert [one.load_level for one in tried[:3]] == [100, 100, 200]
    assert (answer.lower, answer.upper, answer.contradicted, answer.unsure) == (995, 1040, (100,), ())


def test_one_bad_moment_of_the_generator_is_tried_again():
    def server(amount, step):
        return BOUND if step == 1 else MET if amount <= 1000 else MISSED

    answer, _, _ = search(SearchRange(100), server)
    assert answer.stop_reason is StopReason.FOUND
    assert answer.lower <= 1000 < answer.upper


def test_a_third_step_decides_between_the_generator_and_the_target():
    assert replay((100, MISSED), (100, BOUND)).load_level == 100
    assert replay((100, MISSED), (100, BOUND), (100, BOUND)).stop_reason is StopReason.GENERATOR
    assert replay((100, MISSED), (100, BOUND), (100, MISSED)).stop_reason is StopReason.NONE_MET


def test_what_the_generator_spoiled_below_a_miss_is_tried_again_and_then_unsure():
    steps = [(100, MET), (200, MISSED), (141, BOUND)]
    assert replay(*steps) == NextStep(141, Purpose.CONFIRM)
    assert replay(*steps, (141, MISSED)).load_level == 119
    assert replay(*steps, (141, MET)).load_level == 168
    spoiled = [*steps, (141, BOUND), (119, MET), (129, MET), (135, MET), (138, MET), (168, MISSED), (154, MISSED)]
    spoiled += [(147, MISSED), (144, MISSED), (138, MET), (144, MISSED)]
    answer = replay(*spoiled)
    assert (answer.stop_reason, answer.lower, answer.upper, answer.unsure) == (StopReason.FOUND, 138, 144, (141,))
    assert answer.contradicted == ()


@pytest.mark.parametrize(
    ("steps", "ending"),
    [
        ([(100, Outcome.NOTHING_OPENED)], StopReason.NOTHING_OPENED),
        ([(100, Outcome.NOTHING_MEASURED)], StopReason.NOTHING_MEASURED),
        ([(100, Outcome.NOT_JUDGED)], StopReason.NOT_JUDGED),
        ([(100, MET), (200, Outcome.NOT_JUDGED)], StopReason.NOT_JUDGED),
        ([(100, MET), (200, Outcome.NOTHING_OPENED), (141, Outcome.NOTHING_OPENED)], StopReason.GONE),
        ([(100, MET), (200, MISSED), (141, Outcome.INTERRUPTED)], StopReason.INTERRUPTED),
        ([(100, Outcome.INTERRUPTED)], StopReason.INTERRUPTED),
    ],
)
def test_early_ends_say_what_is_known(steps, ending):
    answer = replay(*steps)
    assert answer.stop_reason is ending
    assert answer.lower == (100 if len(steps) > 1 else None)


def test_a_target_that_refuses_once_is_tried_lower():
    assert replay((100, MET), (200, Outcome.NOTHING_OPENED)).load_level == 141
    # An overloaded target can lose every session, or answer nothing in time.
    assert replay((100, MET), (200, Outcome.NOTHING_MEASURED), (141, Outcome.NOTHING_MEASURED)).load_level == 119


def test_neighbouring_whole_numbers_are_as_near_as_it_gets():
    answer, tried, _ = search(SearchRange(1, whole=True), lambda amount, _: MET if amount <= 3 else MISSED)
    assert (answer.stop_reason, answer.lower, answer.upper) == (StopReason.FOUND, 3, 4)
    assert [one.load_level for one in tried] == [1, 2, 4, 3, 3, 4]
