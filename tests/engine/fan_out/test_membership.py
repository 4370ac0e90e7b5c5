"""Claims of members that come and go, and turns of reading, against plain words for the same."""

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.engine.fan_out.membership import MemberColumns, RoomMembers, Standing
from ws_load_test.engine.fan_out.read_turns import ReadTurns

TIMEOUT = 10
STEP = st.integers(1, 15)


def claim(stays, from_ns, to_ns, *, recovery):
    """Returns the claim to a publish that was sent between two instants; by (dial, set up, end, ended by target)."""
    was_member = False
    for dial, ready, end, by_target in stays:
        if dial > to_ns:
            if recovery and was_member:
                return Standing.EXPECTED
            break
        if end <= from_ns:
            was_member = True
        elif ready > from_ns or end <= to_ns:
            return Standing.AMBIGUOUS
        elif end >= to_ns + TIMEOUT:
            return Standing.EXPECTED
        elif not by_target:
            return Standing.LEFT
        elif not recovery:
            return Standing.CUT_OFF if end < from_ns + TIMEOUT else Standing.AMBIGUOUS
        else:
            was_member = True
    return Standing.AWAITED if recovery and was_member else Standing.OUT


@given(
    lengths=st.lists(st.tuples(STEP, STEP, STEP, st.booleans()), min_size=1, max_size=4),
    sent=st.integers(0, 100),
    unsure=st.integers(0, 12),
    recovery=st.booleans(),
)
def test_a_claim_is_that_of_the_stays(lengths, sent, unsure, recovery):
    room = RoomMembers(0, [0, 1], MemberColumns([True, True]), 0)
    room.joining(1, 0)
    room.joined(1, 0)
    stays, at = [], 0
    for away, joining, there, by_target in lengths:
        dial, ready, end = at + away, at + away + joining, at + away + joining + there
        room.joining(0, dial)
        room.joined(0, ready)
        room.left(0, end, by_target=by_target)
        # Of two notes of one end the first counts.
        room.left(0, end + 1, by_target=not by_target)
        stays.append((dial, ready, end, by_target))
        at = end
    found = room.standings(sent, sent + unsure, TIMEOUT, recovery=recovery)
    assert found[0] == claim(stays, sent, sent + unsure, recovery=recovery)
    assert found[1] == Standing.EXPECTED
    assert not room.all_are_members_since(sent)


def test_all_are_members_once_the_last_has_joined():
    room = RoomMembers(0, [0, 1], MemberColumns([True, True]), 0)
    for place, at in ((0, 5), (1, 9)):
        room.joining(place, at - 1)
        room.joined(place, at)
    assert [room.all_are_members_since(at) for at in (4, 8, 9, 20)] == [False, False, True, True]
    room.left(0, 30, by_target=True)
    assert not room.all_are_members_since(20)


def test_stays_that_are_long_over_are_forgotten():
    room = RoomMembers(0, [0], MemberColumns([True]), 0)
    for dial in (0, 100, 200):
        room.joining(0, dial)
        room.joined(0, dial + 1)
        room.left(0, dial + 50, by_target=False)
    assert room.standings(20, 20, TIMEOUT)[0] == Standing.EXPECTED
    room.forget_before(100)
    assert room.standings(20, 20, TIMEOUT)[0] == Standing.OUT
    assert room.standings(120, 120, TIMEOUT)[0] == Standing.EXPECTED


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), min_size=1, max_size=6))
def test_read_lag_is_the_time_since_the_first_read_of_a_turn(turns):
    async def main():
        noted, at, expected = ReadTurns(), 1000, []
        for steps in turns:
            first = None
            for step in steps:
                at += step
                if not noted.is_open:
                    noted.begin(at)
                    first = at
                assert first is not None, "it is open within a turn alone"
                expected.append((at, at - first))
            at += 10
            await asyncio.sleep(0)
        times = np.array([one for one, _ in expected])
        assert noted.lags(times).tolist() == [lag for _, lag in expected]
        noted.forget()
        last = np.array([expected[-1][0]])
        assert noted.lags(last).tolist() == [expected[-1][1]], "the turn that goes on is kept"

    asyncio.run(main())


def test_what_was_missed_is_awaited_until_the_time_out_after_the_return():
    room = RoomMembers(0, [0], MemberColumns([True]), 0)
    room.joining(0, 0)
    room.joined(0, 1)
    room.left(0, 10, by_target=True)
    room.joining(0, 30)
    room.joined(0, 40)
    by = {
        now: room.standings(20, 20, TIMEOUT, recovery=True, now_ns=now)[0]
        for now in (40, 40 + TIMEOUT - 1, 40 + TIMEOUT)
    }
    assert list(by.values()) == [Standing.AWAITED, Standing.AWAITED, Standing.EXPECTED]
    assert room.standings(20, 20, TIMEOUT, recovery=True)[0] == Standing.EXPECTED
