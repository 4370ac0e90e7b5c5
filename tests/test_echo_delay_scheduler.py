"""Delays of the echo server that timers of milliseconds could not keep."""

import asyncio
import sys

import pytest

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.timer import LoopTimer, new_timer
from ws_load_test.echo import delay_scheduler
from ws_load_test.echo.delay_scheduler import DelayScheduler

MICRO = 1_000


def test_calls_come_in_their_order_and_never_too_early():
    async def keep():
        table, came = DelayScheduler.join(), []
        start, done = monotonic_ns(), asyncio.Event()

        def note(name, at_ns):
            came.append((name, monotonic_ns() - at_ns))
            if len(came) == 4:
                done.set()

        for name, after_us in (("last", 3000), ("first", 200), ("second", 400), ("second again", 400)):
            at_ns = start + after_us * MICRO
            table.at(at_ns, lambda name=name, at_ns=at_ns: note(name, at_ns))
        await asyncio.wait_for(done.wait(), 60)
        table.leave()
        return came

    came = asyncio.run(keep())
    assert [name for name, _ in came] == ["first", "second", "second again", "last"]
    assert min(late for _, late in came) >= 0


def test_one_alarm_serves_a_loop_until_the_last_has_left():
    async def share():
        one, other = DelayScheduler.join(), DelayScheduler.join()
        assert one is other
        one.leave()
        called = asyncio.Event()
        other.at(monotonic_ns(), called.set)
        await asyncio.wait_for(called.wait(), 60)
        other.leave()
        assert DelayScheduler.join() is not other
        DelayScheduler._by_loop.pop(asyncio.get_running_loop())._timer.close()

    asyncio.run(share())


@pytest.mark.parametrize("alarm", [new_timer, LoopTimer])
def test_a_call_that_fails_takes_no_later_one_with_it(alarm, monkeypatch):
    async def fail():
        monkeypatch.setattr(delay_scheduler, "new_timer", alarm)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        table, called, at_ns = DelayScheduler.join(), asyncio.Event(), monotonic_ns()
        table.at(at_ns, [].pop)
        table.at(at_ns + 20_000 * MICRO, called.set)
        await asyncio.wait_for(called.wait(), 60)
        table.leave()

    asyncio.run(fail())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere timers count milliseconds")
def test_a_delay_of_a_fraction_of_a_millisecond_is_that_typically():
    async def lateness():
        table, late = DelayScheduler.join(), []
        for _ in range(60):
            rung = asyncio.Event()
            at_ns = monotonic_ns() + 200 * MICRO
            table.at(at_ns, rung.set)
            await rung.wait()
            late.append(monotonic_ns() - at_ns)
        table.leave()
        return sorted(late)

    # Timers of milliseconds would be 800 µs late; the least of many is not a matter of how busy the machine is.
    assert asyncio.run(lateness())[5] < 500 * MICRO
