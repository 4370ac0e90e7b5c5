"""Resting place of a session's code: it goes on within the call that ends its rest, and is cancelled as anywhere."""

import asyncio
import contextvars
import functools

import pytest

from engine.scenario.scenes import S, role, world
from ws_load_test.engine.scenario.resting_place import RestingPlace

NAME = contextvars.ContextVar("name", default="outside")


def in_a_loop(test):
    """Runs a test that is a coroutine."""
    return functools.wraps(test)(lambda *args, **options: asyncio.run(test(*args, **options)))


def outside_of_tasks(function):
    """Calls a function as a loop calls those of sockets and timers. Returns what it returns."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(lambda: done.set_result(function()))
    return done


async def rests(place, log, times=3):
    NAME.set("inside")
    for number in range(times):
        await place
        log.append((number, NAME.get()))


@in_a_loop
async def test_code_goes_on_at_once_and_in_its_own_context():
    place, log = RestingPlace(), []
    task = asyncio.create_task(rests(place, log))
    await asyncio.sleep(0)

    def end():
        place.end()
        return list(log), NAME.get()

    assert await outside_of_tasks(end) == ([(0, "inside")], "outside")
    assert await outside_of_tasks(end) == ([(0, "inside"), (1, "inside")], "outside")
    assert not task.done()
    await outside_of_tasks(end)
    await task
    assert not place.is_taken


@in_a_loop
async def test_within_another_task_or_later_code_goes_on_in_the_next_turn():
    place, log = RestingPlace(), []
    task = asyncio.create_task(rests(place, log, 2))
    await asyncio.sleep(0)
    place.end()
    assert not log
    await asyncio.sleep(0)
    assert log == [(0, "inside")]
    await outside_of_tasks(lambda: place.end(later=True))
    await task
    assert len(log) == 2


@in_a_loop
async def test_an_end_while_nothing_rests_or_goes_on_is_none():
    place, log = RestingPlace(), []
    place.end()
    task = asyncio.create_task(rests(place, log, 2))
    await asyncio.sleep(0)
    place.end()
    place.end()
    await asyncio.sleep(0.01)
    assert len(log) == 1
    assert place.is_taken
    await outside_of_tasks(place.end)
    await task


@in_a_loop
async def test_a_task_that_rests_can_be_cancelled_and_rest_again():
    place, log = RestingPlace(), []

    async def code():
        try:
            async with asyncio.timeout(0):
                await place
        except TimeoutError:
            log.append("late")
        await place
        log.append("ended")

    task = asyncio.create_task(code())
    for _ in range(5):
        await asyncio.sleep(0)
    assert place.is_taken
    await outside_of_tasks(place.end)
    await task
    assert log == ["late", "ended"]


@pytest.mark.parametrize("ends", [True, False])
@in_a_loop
async def test_a_cancellation_comes_before_an_end_that_follows_it_but_not_behind_one(ends):
    place = RestingPlace()
    task = asyncio.create_task(rests(place, [], 1))
    await asyncio.sleep(0)
    if ends:
        place.end(later=True)
        assert not place.cancel()
        await task
        return
    assert task.cancel("no more")
    place.end()
    with pytest.raises(asyncio.CancelledError, match="no more"):
        await task
    assert not place.is_taken


@in_a_loop
async def test_a_task_that_was_cancelled_before_it_rests_does_not():
    place = RestingPlace()

    async def code():
        asyncio.current_task().cancel()
        await place

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(code())


@in_a_loop
async def test_a_rest_for_a_turn_is_over_by_itself():
    place, log = RestingPlace(), []

    async def code():
        await place.for_a_turn()
        log.append("over")

    task = asyncio.create_task(code())
    await asyncio.sleep(0)
    assert place.is_taken
    place.end()
    assert not log
    await task
    assert not place.is_taken


CODE = """
import asyncio
from ws_load_test import role

@role
async def user(session):
    async for turn in session.iterations():
        await session.exchange('ask', until='contains:a', name='ask')
        await session.receive('contains:b', name='receive')
        await session.exchange('more', until='contains:c', name='more')
        await session.wait('10s')
"""


@in_a_loop
async def test_a_session_takes_its_next_step_within_the_read_that_completes_one_and_at_the_end_of_a_wait(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(CODE)

    def reads(*messages):
        one.receive(*messages)
        return one.sent()

    def waits(until_ns):
        one.now(until_ns)
        return one.sent()

    with world(role(python=f"{path}:user")) as one:
        one.open()
        await asyncio.sleep(0)
        one.start()
        for _ in range(5):
            await asyncio.sleep(0)
        assert one.sent() == ["ask"]
        for turn in range(3):
            if turn != 1:
                # What was read before a message left does not answer it, and what is awaited may come with the rest.
                assert await outside_of_tasks(lambda: reads("a", "b")) == ["more"]
            else:
                assert await outside_of_tasks(lambda: reads("push", "a")) == []
                assert await outside_of_tasks(lambda: reads("b", "push")) == ["more"]
            assert await outside_of_tasks(lambda: reads("c")) == []
            assert await outside_of_tasks(lambda turn=turn: waits((10 * turn + 9) * S)) == []
            assert await outside_of_tasks(lambda turn=turn: waits((10 * turn + 10) * S)) == ["ask"]
        tally = one.counts()
        assert (tally.sent, tally.answered, tally.pushed) == (7, 6, 2)
        assert tally.send_lag_ns.max == 0
        assert tally.roles["user"].iterations_completed == 3


ENDLESS = """
from ws_load_test import role

@role
async def user(session):
    async for turn in session.iterations():
        session.values["turns"] = str(turn)
"""


@in_a_loop
async def test_iterations_that_take_no_time_let_others_have_their_turn(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(ENDLESS)
    with world(role(python=f"{path}:user")) as one:
        session = one.open()
        await asyncio.sleep(0)
        one.start()
        for _ in range(20):
            await asyncio.sleep(0)
        assert 5 < int(session.sender.values["turns"]) < 20
        session.sender.stop_sending()
        for _ in range(5):
            await asyncio.sleep(0)
        assert session.sender.is_over
