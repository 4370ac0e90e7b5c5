"""Opening of sessions in the compiled loop: many dials at once without a task for each.

A plain session goes from its dial to its load without asyncio: no transport of the event loop is made for it, and
nothing waits for it. What is not plain, and every answer that is not an ordinary one, goes the portable way.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import numpy as np

from ws_load_test.engine.connect.socket_transport import SocketTransport
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.native.plain_dials import (
    LATE,
    NOT_CONNECTED,
    ODD,
    SLOW,
    Ended,
    PlainDials,
    connect_error,
    new_socket,
)
from ws_load_test.engine.session_opener import SessionOpener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from ws_load_test.engine.connect.dialer import Dialer
    from ws_load_test.engine.native.lending import NativeConnection
    from ws_load_test.engine.native.plain_dials import PlainDial
    from ws_load_test.engine.native.pool import NativePool
    from ws_load_test.engine.session_opener import OpeningPool
    from ws_load_test.metrics.tally import Tally

    Outcome = bool | asyncio.Task[bool]
    """If a session has opened and may carry the load, or the task that finds it out."""
    Waiting = asyncio.TaskGroup | asyncio.Future[Outcome]
    """The group of a dial, or what waits for its outcome."""

TIMES = ("connect_time_ns", "tcp_time_ns", "upgrade_time_ns")
"""Times of a plain dial."""
TIMED_TOGETHER = 1024
"""Dials whose times are put into histograms together, at most: enough that a dial costs no more for fewer."""


class NativeOpener(SessionOpener):
    """Dials and sets up the sessions of one pool, the plain ones in the compiled loop."""

    def __init__(self, pool: OpeningPool, dialer: Dialer) -> None:
        super().__init__(pool, dialer)
        self._plain = PlainDials(dialer)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[int, tuple[PlainDial, Waiting]] = {}
        """Dials in the compiled loop by their slots, each with the group of its dial, or with what waits for it."""
        self._none_under_way = asyncio.Event()
        self._none_under_way.set()
        self._times_ns = array("q")
        """Times of plain dials that are not in a tally yet, in the order of `TIMES` for each."""
        self._native_pool = cast("NativePool", pool)
        self._vain_subprotocols = 0

    @asynccontextmanager
    async def _dialing(self) -> AsyncIterator[asyncio.TaskGroup]:
        async with super()._dialing() as dials:
            try:
                yield dials
                await self._none_under_way.wait()
            except BaseException:
                for dial in [dial for dial, waiting in self._under_way.values() if waiting is dials]:
                    self._call_off(dial)
                raise

    def _launch(self, dials: asyncio.TaskGroup, number: int) -> None:
        if not self._begin(number, dials):
            super()._launch(dials, number)

    async def dial(self, number: int) -> bool:
        """Dials a session again, once fewer dials are under way than may be. Returns True if it opened."""
        await self._budget.acquire()
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if not self._begin(number, ended):
            return await self._dial(number)
        try:
            outcome = await ended
        except asyncio.CancelledError:
            waiting = [dial for dial, future in self._under_way.values() if future is ended]
            if waiting:
                self._call_off(waiting[0])
            elif not ended.cancelled() and isinstance(task := ended.result(), asyncio.Task):
                task.cancel()
            raise
        return await outcome if isinstance(outcome, asyncio.Task) else outcome

    def collect_into(self, tally: Tally) -> None:
        """Adds what has been noted since the last call; the times of plain dials, too."""
        super().collect_into(tally)
        if self._times_ns:
            self._record_times(tally)
        if self._vain_subprotocols:
            tally.not_granted["subprotocol"] += self._vain_subprotocols
            self._vain_subprotocols = 0

    def _record_times(self, tally: Tally) -> None:
        rows = np.array(self._times_ns, np.int64).reshape(-1, len(TIMES))
        for name, column in zip(TIMES, rows.T, strict=True):
            getattr(tally, name).record_block(column)
        del self._times_ns[:]

    def close(self) -> None:
        """Begins no more dials in the compiled loop."""
        if self._loop is not None:
            self._loop.remove_reader(self._plain.loop.fileno())
            self._loop = None
        self._plain.loop.close()

    # --- Dials in the compiled loop ---------------------------------------------------------------------------------

    def _begin(self, number: int, waiting: Waiting) -> bool:
        """Begins a dial in the compiled loop. Returns False if it is not plain."""
        pool, plain = self._pool, self._plain
        if not plain.are_possible:
            return False
        try:
            dial = plain.prepare(number, pool.factory.renderer(number))
        except BaseException:
            self._budget.release()
            raise
        if dial is None:
            return False
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(plain.loop.fileno(), self._turn)
        pool.disconnects.dialed()
        self._connect(dial, waiting)
        return True

    def _connect(self, dial: PlainDial, waiting: Waiting) -> None:
        """Begins a dial with the first of its addresses that can be dialed."""
        try:
            self._plain.begin(dial)
        except (DialError, OSError) as error:
            self._fail(dial, error, waiting)
        else:
            self._under_way[dial.slot] = dial, waiting
            self._none_under_way.clear()

    def _turn(self) -> None:
        """Deals with the dials that have ended."""
        ended = [Ended(*event) for event in self._plain.loop.run()]
        # Looked up first: a dial that goes on with another address may get the slot of one that has ended.
        for end, (dial, waiting) in [(end, self._under_way.pop(end.slot)) for end in ended]:
            try:
                self._take(dial, end, waiting)
            except Exception as error:  # noqa: BLE001 - what waits for the dial is to fail for it
                _raise(error, waiting)
        if not self._under_way:
            self._none_under_way.set()

    def _take(self, dial: PlainDial, ended: Ended, waiting: Waiting) -> None:
        """Takes the end of a dial in the compiled loop."""
        if ended.state == NOT_CONNECTED:
            self._try_next(dial, connect_error(ended.error), waiting)
        elif ended.state == LATE:
            self._fail(dial, self._plain.lateness(dial, ended), waiting)
        elif ended.state in {ODD, SLOW}:
            self._hand_over(self._dial(dial.number, self._plain.begun(dial, ended)), waiting)
        else:
            self._open(dial, ended, waiting)

    def _try_next(self, dial: PlainDial, error: OSError, waiting: Waiting) -> None:
        """Goes on with the next address of a host, if there is one."""
        try:
            self._plain.next_address(dial, error)
        except (DialError, OSError) as failure:
            self._fail(dial, failure, waiting)
        else:
            self._connect(dial, waiting)

    def _open(self, dial: PlainDial, ended: Ended, waiting: Waiting) -> None:
        """Takes over a session that has opened: it falls asleep, or is lent at once if it has no set-up."""
        pool, route = self._native_pool, dial.routes[0]
        self._dialer.has_opened = True
        self._dialer.tcp.note_success(route)
        self._budget.release()
        pool.tally.attempted += 1
        slot = self._open_asleep(dial, ended)
        connection = self._lend(dial, ended) if slot is None else None
        self._rounds_of(dial.number).note(opened=True, timed_out=False)
        done_ns = ended.done_ns
        self._times_ns.extend((done_ns - dial.from_ns, ended.connected_ns - dial.from_ns, done_ns - ended.asked_ns))
        if len(self._times_ns) == len(TIMES) * TIMED_TOGETHER:
            self._record_times(pool.tally)
        self._vain_subprotocols += bool(dial.request.subprotocols) and not ended.chose
        if connection is None:
            assert slot is not None
            pool.begin_asleep(slot)
            _settle(waiting, outcome=True)
        elif connection.receiver.blocks_load:
            self._hand_over(self._make_ready(connection), waiting)
        else:
            _settle(waiting, outcome=pool.begin(connection))

    def _open_asleep(self, dial: PlainDial, ended: Ended) -> int | None:
        """Lets a session that has opened fall asleep. Returns its slot; None if it must be awake.

        What has come behind the answer may be anything, and is for the connection to read.
        """
        if ended.answer or not self._native_pool.sleeps:
            return None
        try:
            return self._native_pool.open_asleep(dial.number, ended.descriptor)
        except Exception:
            os.close(ended.descriptor)
            raise

    def _lend(self, dial: PlainDial, ended: Ended) -> NativeConnection:
        """Lends a session that has opened, unless it has a set-up. Returns its connection."""
        pool = self._pool
        assert self._loop is not None
        sock = new_socket(dial.routes[0].family, ended.descriptor)
        try:
            connection = cast("NativeConnection", pool.new_connection(dial.number))
            transport = SocketTransport(self._loop, sock, connection)
            connection.attach(transport, sock, secure=False, early=ended.answer)
            if not connection.lender.lend(connection):
                transport.resume_reading()
        except Exception:
            sock.close()
            raise
        return connection

    def _fail(self, dial: PlainDial, error: DialError | OSError, waiting: Waiting) -> None:
        """Counts a session that did not open."""
        self._budget.release()
        tally = self._pool.tally
        tally.attempted += 1
        tally.failed += 1
        self._count_failure(dial.number, error)
        _settle(waiting, outcome=False)

    def _call_off(self, dial: PlainDial) -> None:
        """Ends a dial that has neither opened nor failed."""
        del self._under_way[dial.slot]
        self._plain.loop.abandon(dial.slot)
        self._budget.release()
        self._cut_off += 1
        tally = self._pool.tally
        tally.attempted += 1
        tally.cancelled += 1
        if not self._under_way:
            self._none_under_way.set()

    def _hand_over(self, rest: Coroutine[None, None, bool], waiting: Waiting) -> None:
        """Leaves the rest of a dial to a task."""
        if isinstance(waiting, asyncio.TaskGroup):
            waiting.create_task(rest)
        else:
            _settle(waiting, outcome=asyncio.create_task(rest))


def _raise(error: Exception, waiting: Waiting) -> None:
    """Has what waits for a dial fail for an error, as a task would that had dialed."""
    if isinstance(waiting, asyncio.Future):
        if not waiting.done():
            waiting.set_exception(error)
        return
    failing = _failing(error)
    try:
        waiting.create_task(failing)
    except RuntimeError:
        # The group ends already, for another error.
        failing.close()


async def _failing(error: Exception) -> None:
    raise error


def _settle(waiting: Waiting, *, outcome: Outcome) -> None:
    """Hands the outcome of a dial to what waits for it, if anything does."""
    if isinstance(waiting, asyncio.Future) and not waiting.done():
        waiting.set_result(outcome)
