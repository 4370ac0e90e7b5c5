"""Turns: whatever workers and sessions there are, each message is one worker's, and the mix is even."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.plan.load_sharing import Leftover, Turns, split

SESSIONS = st.lists(st.integers(0, 60), min_size=1, max_size=5)


def owners(turns, rounds=2):
    """The worker of each message of some rounds, in order."""
    found = {}
    for worker, weight in enumerate(turns.weights):
        for number in turns.numbers(worker, np.arange(rounds * weight)).tolist() if weight else ():
            assert number not in found
            found[number] = worker
    assert sorted(found) == list(range(turns.first, turns.first + rounds * sum(turns.weights)))
    return [found[number] for number in sorted(found)]


@settings(deadline=None)
@given(SESSIONS, st.integers(0, 10**6))
def test_each_message_is_one_workers_and_each_session_has_as_many(sessions, first):
    turns = Turns(sessions, first)
    dealt = owners(turns)
    for worker, weight in enumerate(turns.weights):
        assert dealt.count(worker) == 2 * weight
        # Every session of the run has the same part of the load, to within the sum of what is left over.
        if any(sessions):
            assert weight * sum(sessions) == sessions[worker] * sum(turns.weights)


@settings(deadline=None)
@given(SESSIONS)
def test_the_turns_are_evenly_mixed(sessions):
    turns = Turns(sessions)
    whole = sum(turns.weights)
    dealt = owners(turns)
    for worker, weight in enumerate(turns.weights):
        reached = 0
        for number, owner in enumerate(dealt, 1):
            reached += owner == worker
            assert abs(reached - number * weight / whole) <= len(sessions)


@settings(deadline=None)
@given(SESSIONS, st.integers(0, 1000), st.integers(0, 300), st.integers(0, 300))
def test_a_number_has_its_position(sessions, first, low, more):
    turns = Turns(sessions, first)
    for worker, weight in enumerate(turns.weights):
        if weight:
            numbers = turns.numbers(worker, np.arange(800))
            assert turns.position(worker, first + low) == int((numbers < first + low).sum())
            inside = numbers[(numbers >= first + low) & (numbers < first + low + more)]
            assert turns.between(worker, first + low, first + low + more).tolist() == inside.tolist()
        else:
            assert not len(turns.between(worker, first, first + 100))


def test_numbers_far_out_are_exact():
    turns = Turns([50_001, 50_000])
    position = 10**12
    [number] = turns.numbers(0, np.array([position]))
    assert turns.position(0, int(number)) == position
    assert turns.position(0, int(number) + 1) == position + 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.data())
def test_what_is_left_goes_to_those_that_have_sessions_each_message_once(sessions, data):
    before = Turns(data.draw(st.lists(st.integers(0, 9), min_size=len(sessions), max_size=len(sessions))))
    after = Turns(sessions, first=data.draw(st.integers(0, 200)))
    without = [worker for worker, count in enumerate(sessions) if not count]
    leftovers = [Leftover(worker, data.draw(st.integers(0, after.first)), (10_000 + worker,)) for worker in without]
    expected = [number for one in leftovers for number in one.left]
    expected += [n for one in leftovers for n in before.between(one.worker, one.next, after.first).tolist()]
    shares = [before.left_to(worker, leftovers, after).tolist() for worker in range(len(sessions))]
    assert sorted(number for share in shares for number in share) == sorted(expected)
    if any(sessions):
        assert not any(shares[worker] for worker in without)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any))
def test_a_split_adds_up_and_is_in_proportion(total, weights):
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) <= 1
