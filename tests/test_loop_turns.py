"""Fair turns of a loop: work without end leaves timers their turn, and nobody is left out."""

import asyncio
import itertools
import time

import pytest

from ws_load_test.common import loop_turns
from ws_load_test.common.loop_turns import TURN_NS, LoopTurns


def test_work_without_end_has_no_more_than_its_turn(monkeypatch):
    # Each reading takes a hundredth of a turn.
    readings = itertools.count(step=TURN_NS // 100)
    monkeypatch.setattr(loop_turns, "monotonic_ns", lambda: next(readings))

    async def go():
        turns, done = LoopTurns(), [0, 0, 0]

        def work(number):
            while not turns.is_over():
                done[number] += 1
            turns.put_off(lambda: work(number))

        for number in range(3):
            work(number)
        for _ in range(20):
            before = sum(done)
            await asyncio.sleep(0)
            assert sum(done) - before <= 100
        return done

    done = asyncio.run(go())
    assert min(done) > 100
    assert max(done) < 2 * min(done)


def test_what_is_put_off_keeps_its_order_and_an_error_loses_nothing():
    async def go():
        turns, seen = LoopTurns(), []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append("error"))
        for number in range(3):
            turns.put_off(lambda number=number: seen.append(number))
            turns.put_off(lambda: 1 / 0)
        assert seen == []
        for _ in range(20):
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(go()) == [0, "error", 1, "error", 2, "error"]


@pytest.mark.parametrize("turns", [2, 5])
def test_a_turn_begins_when_the_loop_has_turned(turns):
    async def go():
        budget, over = LoopTurns(), []
        for _ in range(turns):
            over.append(budget.is_over())
            time.sleep(2 * TURN_NS / 1e9)  # noqa: ASYNC251 - work that takes long
            over.append(budget.is_over())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return over

    assert asyncio.run(go()) == [False, True] * turns
