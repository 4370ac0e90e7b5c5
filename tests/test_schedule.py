"""Pace is arithmetic: shares are disjoint, complete and in order; the rate's integral says how many are due."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants, LoadProfile, Stage
from ws_load_test.plan.values import connection_stages

SECOND = 10**9

stages = st.builds(
    Stage,
    duration_ns=st.integers(1_000_000, 20 * SECOND),
    start=st.one_of(st.just(0.0), st.floats(0.001, 2000)),
    end=st.one_of(st.just(0.0), st.floats(0.001, 2000)),
)
shapes = st.lists(stages, min_size=1, max_size=5).map(lambda found: LoadProfile(tuple(found)))


def instants(pace: ArrivalSchedule, messages: int | None = None) -> np.ndarray:
    due = DueInstants(pace, messages)
    return due.of(np.arange(due.count() + 3))


@settings(deadline=None, max_examples=60)
@given(shapes)
@example(LoadProfile((Stage(10 * SECOND, 1000, 1000),)))
@example(LoadProfile((Stage(3 * SECOND, 0, 1000), Stage(2 * SECOND, 1000, 0))))
def test_as_many_are_due_as_the_integral_says(shape):
    due = instants(ArrivalSchedule(shape))
    assert abs(len(due) - shape.cumulative(shape.duration_ns)) <= 0.5 + 1e-6
    assert (np.diff(due) >= 0).all()
    assert not len(due) or (due[0] >= 0 and due[-1] < shape.duration_ns)


@settings(deadline=None, max_examples=60)
@given(shapes, st.floats(0, 1))
def test_by_any_instant_as_many_are_due_as_the_integral_until_then(shape, part):
    until_ns = int(shape.duration_ns * part)
    due = int((instants(ArrivalSchedule(shape)) < until_ns).sum())
    assert abs(due - shape.cumulative(until_ns)) <= 0.5 + 1e-3


@given(st.floats(0.01, 1e6), st.integers(1, 10**12), st.lists(st.floats(0, 1.1), max_size=20))
def test_a_steady_rate_has_the_instants_of_the_general_form(rate, duration_ns, shares):
    """To the last bit, as one worker may take the one for a message and another the other."""
    profile = LoadProfile((Stage(duration_ns, rate, rate),))
    steady, general = ArrivalSchedule(profile), ArrivalSchedule(profile)
    assert steady._is_steady
    general._is_steady = False
    integral = np.array([*sorted(share * steady.total for share in shares), steady.total, 2 * steady.total])
    assert steady.due_ns(integral).tolist() == general.due_ns(integral).tolist()


@settings(deadline=None, max_examples=60)
@given(shapes, st.sampled_from(["constant", "poisson"]), st.data())
def test_any_choice_of_messages_has_the_instants_of_the_whole(shape, arrivals, data):
    """In any order of questions, for they are computed again where that must be."""
    pace = ArrivalSchedule(shape, arrivals, seed=11)
    whole = instants(pace)
    due = DueInstants(pace)
    for _ in range(4):
        first, step = data.draw(st.integers(0, len(whole) + 9)), data.draw(st.integers(1, 900))
        assert due.of(np.arange(first, len(whole) + 1000, step)).tolist() == whole[first::step].tolist()


@settings(deadline=None, max_examples=40)
@given(shapes, st.integers(0, 3000), st.sampled_from(["constant", "poisson"]))
def test_a_number_of_messages_is_kept_to_exactly(shape, messages, arrivals):
    pace = ArrivalSchedule(LoadProfile((*shape.stages, Stage(3600 * SECOND, 50, 50))), arrivals, seed=3)
    assert DueInstants(pace, messages).count() == len(instants(pace, messages)) == messages


@settings(deadline=None, max_examples=40)
@given(shapes, st.integers(0, 2000), st.floats(0, 1), st.sampled_from(["constant", "poisson"]))
def test_messages_of_the_warm_up_come_on_top(shape, messages, part, arrivals):
    pace = ArrivalSchedule(shape, arrivals, seed=4)
    whole, warmup_ns = instants(pace), int(shape.duration_ns * part)
    due = DueInstants(pace, messages, warmup_ns=warmup_ns)
    early = int((whole < warmup_ns).sum())
    assert due.before(warmup_ns) == early
    assert due.of(np.arange(len(whole) + 1)).tolist() == whole[: early + messages].tolist()
    assert due.count() == min(len(whole), early + messages)


def test_random_instants_are_the_same_however_far_one_went_before():
    pace = ArrivalSchedule(LoadProfile.constant(50_000, SECOND), "poisson", 9)
    late = DueInstants(pace).of(np.arange(45_000, 45_010))
    due = DueInstants(pace)
    whole = due.of(np.arange(60_000))
    assert late.tolist() == whole[45_000:45_010].tolist()
    assert due.of(np.arange(100)).tolist() == whole[:100].tolist()
    assert due.before(SECOND // 2) == int((whole < SECOND // 2).sum())


def test_a_constant_rate_is_evenly_spaced_and_has_no_burst_at_the_start():
    due = instants(ArrivalSchedule(LoadProfile.constant(1000, 10 * SECOND)))
    assert len(due) == 10_000
    assert due[0] == 500_000
    assert set(np.diff(due).tolist()) == {1_000_000}
    assert due[-1] == 10 * SECOND - 500_000


def test_a_ramp_is_the_square_root_that_it_should_be():
    due = instants(ArrivalSchedule(LoadProfile((Stage(4 * SECOND, 0, 1000),))))
    # N(t) = 125 t², so message k is due at sqrt((k + 1/2) / 125).
    expected = [math.sqrt((k + 0.5) / 125) * 1e9 for k in range(2000)]
    assert np.abs(due - np.array(expected)).max() <= 1


def test_a_shape_is_read_where_stages_meet():
    shape = LoadProfile((Stage(SECOND, 0, 10), Stage(SECOND, 4, 4), Stage(SECOND, 4, 0)))
    assert [shape.value_at(ns) for ns in (0, SECOND // 2, SECOND, SECOND + 1, 5 * SECOND // 2, 9 * SECOND)] == [
        0,
        5,
        4,
        4,
        2,
        0,
    ]
    assert shape.peak == 10
    assert shape.cumulative(3 * SECOND) == 5 + 4 + 2
    assert shape.cumulative(10 * SECOND) == 11


def kolmogorov_smirnov(values: np.ndarray) -> float:
    """The largest distance between the values' distribution and the exponential one of mean 1."""
    values = np.sort(values)
    count = len(values)
    expected = 1 - np.exp(-values)
    ranks = np.arange(1, count + 1)
    return float(max((ranks / count - expected).max(), (expected - (ranks - 1) / count).max()))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_arrivals_are_exponential_apart(seed):
    due = instants(ArrivalSchedule(LoadProfile.constant(2000, 10 * SECOND), "poisson", seed))
    gaps = np.diff(due) / (SECOND / 2000)
    # 1.628 / sqrt(n) is the asymptotic critical value at 1 % (Kolmogorov's distribution).
    assert kolmogorov_smirnov(gaps) < 1.628 / math.sqrt(len(gaps))
    assert kolmogorov_smirnov(gaps * 1.05) > 1.628 / math.sqrt(len(gaps)), "the test could not fail"


def test_poisson_arrivals_follow_the_shape():
    shape = LoadProfile((Stage(10 * SECOND, 0, 2000),))
    due = instants(ArrivalSchedule(shape, "poisson", 5))
    # The time change: integrals between arrivals are exponential of mean 1 whatever the rate does.
    integrals = np.array([shape.cumulative(int(one)) for one in due])
    assert kolmogorov_smirnov(np.diff(integrals)) < 1.628 / math.sqrt(len(due) - 1)


def test_seeds_differ_and_repeat():
    shape = LoadProfile.constant(100, SECOND)
    first, again, other = (instants(ArrivalSchedule(shape, "poisson", seed)).tolist() for seed in (7, 7, 8))
    assert first == again != other


def test_a_shape_says_what_it_is():
    words = LoadProfile((Stage(SECOND, 0, 10), Stage(SECOND, 10, 10), Stage(SECOND, 2, 4))).describe(
        lambda amount: f"{amount:g}"
    )
    assert words == "from 0 to 10 in 1 s, then 10 for 1 s, then from 2 to 4 in 1 s"


def test_a_decimal_comma_in_stages_has_a_hint():
    with pytest.raises(ValueError, match=r'"5" is not a stage; .* and a point where there is a decimal comma'):
        connection_stages("1s:1,5")
    with pytest.raises(ValueError, match=r"a step\)$"):
        connection_stages("5")
