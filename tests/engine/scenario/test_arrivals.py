"""Arrivals of sessions without sockets or time: who is dialed, and who is dropped."""

import asyncio

import pytest

from engine.scenario.scenes import START_NS, S
from ws_load_test.engine.scenario.arrivals import RoleArrivals
from ws_load_test.engine.scenario.role_schedule import RoleSchedule
from ws_load_test.engine.scenario.rows import ScenarioRows


class Worker:
    """The alarms, rows and dials of a worker."""

    def __init__(self, *, places, rate=1.0):
        self.alarms, self.rows = self, ScenarioRows()
        self.at_ns = None
        self.dialed = []
        self.opens = True
        self.arrivals = RoleArrivals("visitor", RoleSchedule(rate, (1,), 0), range(places), self)

    def set(self, at_ns, target, kind):
        self.at_ns = at_ns

    async def dial(self, number):
        assert self.arrivals.take_due(number)
        assert not self.arrivals.take_due(number)
        self.dialed.append(number)
        return self.opens

    def create_task(self, dial):
        """Runs a dial at once."""
        with pytest.raises(StopIteration):
            dial.send(None)

    def until(self, at_ns):
        while self.at_ns is not None and self.at_ns <= START_NS + at_ns:
            at_ns_, self.at_ns = self.at_ns, None
            self.arrivals.on_alarm(0, at_ns_)

    @property
    def counts(self):
        tally = self.rows.role("visitor")
        return tally.sessions_due, tally.sessions_dropped


def test_each_takes_a_free_place_or_is_dropped():
    one = Worker(places=2)
    one.arrivals.begin(one, one.dial, START_NS, START_NS + 100 * S)
    # Due at 0.5 s, 1.5 s and so on.
    one.until(4 * S)
    assert one.dialed == [0, 1]
    assert one.counts == (4, 2)
    one.arrivals.release(1)
    one.arrivals.release(1)
    one.until(6 * S)
    assert one.dialed == [0, 1, 1]
    assert one.counts == (6, 3)


def test_a_dial_that_fails_leaves_its_place():
    one = Worker(places=1)
    one.opens = False
    one.arrivals.begin(one, one.dial, START_NS, START_NS + 100 * S)
    one.until(3 * S)
    assert one.dialed == [0, 0, 0]
    assert one.counts == (3, 0)


def test_what_was_due_by_the_end_is_dropped_and_the_rest_if_the_run_gives_up():
    one = Worker(places=5)
    one.arrivals.begin(one, one.dial, START_NS, START_NS + 100 * S)
    one.until(2 * S)
    # The loop was late: two more were due.
    one.arrivals.end(START_NS + 4 * S)
    one.until(10 * S)
    assert one.dialed == [0, 1]
    assert one.counts == (4, 2)
    one.arrivals.give_up()
    assert one.counts == (100, 98)


def test_one_whose_dial_had_to_wait_until_the_end_is_dropped():
    async def main():
        one = Worker(places=2)
        slots = asyncio.Semaphore(0)

        async def waits(number):
            await slots.acquire()
            raise AssertionError

        async with asyncio.TaskGroup() as dials:
            one.arrivals.begin(dials, waits, START_NS, START_NS + 100 * S)
            one.until(S)
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        one.arrivals.end(START_NS + S)
        one.arrivals.drop_undialed()
        assert one.counts == (1, 1)

    asyncio.run(main())
