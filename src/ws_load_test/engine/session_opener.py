"""Opening of one worker's sessions: all at the start, one again after a loss, or as a profile over time asks."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind, classify_host_error
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.sessions.session_setup import wait_until_ready
from ws_load_test.plan.schedule import evenly_spaced_ns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.connect.connect_timings import BegunDial
    from ws_load_test.engine.connect.dialer import Dialer
    from ws_load_test.engine.connection_factory import ConnectionFactory
    from ws_load_test.engine.disconnect_log import DisconnectLog
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.session import Session
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

MAX_CONCURRENT_DIALS = 128
"""Dials under way: more would overrun the accept queues of most servers, and lost SYNs come back a second later."""
MIN_ROUND_DIALS = 16
"""Dials of a round that goes one of several ways, at least."""
PROFILE_CHECK_S = 0.02
"""Time between two adjustments of the number of connections to its profile: steps that no chart shows."""


class OpeningPool(Protocol):
    """The pool of connections, as far as opening them needs it."""

    plan: Plan
    share: Shard
    factory: ConnectionFactory
    disconnects: DisconnectLog
    finished: asyncio.Event

    @property
    def tally(self) -> Tally:
        """Counts of all dials."""
        ...

    @property
    def connections(self) -> Container[Connection]:
        """Connections whose TCP connection is open."""
        ...

    def numbers_at_start(self) -> Sequence[int]:
        """Returns the numbers of the sessions that are to be there from the start."""
        ...

    def new_connection(self, number: int) -> Connection:
        """Returns connection `number` of the run, about to be dialed."""
        ...

    def begin(self, connection: Connection) -> bool:
        """Begins the load on a session that is set up. Returns False if it has ended meanwhile."""
        ...

    def dial_failed(self, fault: Fault, count: int = 1, *, number: int | None = None) -> None:
        """Counts a fault that kept `count` sessions from opening."""
        ...

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        ...

    def never_opened(self, number: int, *, called_off: bool) -> None:
        """Takes note that a dial has failed, or that the end of the run has called it off."""
        ...

    def not_dialed(self, number: int) -> None:
        """Takes note that a session of the opening is not dialed."""
        ...

    def close_surplus(self, wanted: int) -> None:
        """Closes the newest sessions of those that are more than wanted."""
        ...


class DialBudget:
    """Dials under way, of which there are never more than a limit."""

    def __init__(self, limit: int = MAX_CONCURRENT_DIALS) -> None:
        self.limit = limit
        """Dials that may be under way."""
        self._slots = asyncio.Semaphore(limit)
        self.free = limit
        """Dials that may begin at once."""

    async def acquire(self) -> None:
        """Begins a dial, as soon as one may."""
        await self._slots.acquire()
        self.free -= 1

    def release(self) -> None:
        """Ends a dial."""
        self.free += 1
        self._slots.release()


class TimeoutRounds:
    """Notices that a target takes no more connections: whole rounds of dials have timed out.

    A round is as many dials as may be under way, or the part of them that goes one of several ways, so that it takes
    about one time-out. One is enough where no session has opened; a target that has opened some gets a second round, as
    it may only have been busy.
    """

    def __init__(self, round_dials: int = MAX_CONCURRENT_DIALS) -> None:
        self._round_dials = round_dials
        self._has_opened = False
        self._recent: deque[bool] = deque(maxlen=2 * round_dials)
        self._late = 0
        """Dials among the recent ones that have timed out."""

    def note(self, *, opened: bool, timed_out: bool) -> None:
        """Takes the outcome of a dial."""
        self._has_opened |= opened
        if len(self._recent) == self._recent.maxlen:
            self._late -= self._recent[0]
        self._recent.append(timed_out)
        self._late += timed_out

    @property
    def needed(self) -> int:
        """Number of dials that must have timed out, one after another but for one in 64."""
        return (2 if self._has_opened else 1) * self._round_dials

    def are_hopeless(self) -> bool:
        """Returns True if further dials would time out as well."""
        needed = self.needed
        if self._late < needed - needed // 64:
            return False
        latest = islice(reversed(self._recent), needed)
        return len(self._recent) >= needed and sum(latest) >= needed - needed // 64


class SessionOpener:
    """Dials and sets up the sessions of one pool; failures are counted, not raised."""

    def __init__(self, pool: OpeningPool, dialer: Dialer) -> None:
        self._pool = pool
        self._dialer = dialer
        self._budget = DialBudget()
        self._dialed = 0
        """Connections of the share that were dialed for the first time."""
        self._begun = self._skipped = self._cut_off = 0
        """Dials of the opening that were begun; that were not, because they would time out; that its end cut off."""
        self._setups: set[asyncio.Task[bool]] = set()
        """Sessions that are being set up, and may go on with that after the opening."""
        self._rounds: dict[int, TimeoutRounds] = {}
        """Outcomes of dials by the way that they took: the URL, and the address if they are given."""

    async def open_all(self) -> None:
        """Dials every session of the share, at the plan's rate or as fast as they open, until its time-out."""
        limit_ns = self._pool.plan.open_timeout_ns
        numbers = self._pool.numbers_at_start()
        total = len(numbers)
        try:
            async with asyncio.timeout(None if limit_ns is None else limit_ns / NS_PER_S):
                await self._open_all(numbers)
        except TimeoutError:
            self._count_unopened(numbers)
        if self._skipped:
            self._give_up(self._skipped, total)

    async def _open_all(self, numbers: Sequence[int]) -> None:
        pool, plan, total = self._pool, self._pool.plan, len(numbers)
        try:
            await self._dialer.resolve()
        except DialError as error:
            pool.tally.attempted += total
            pool.tally.failed += total
            for number in numbers:
                pool.not_dialed(number)
            pool.dial_failed(error.fault, total)
            pool.finished.set()
            return
        if plan.connection_profile is not None:
            return
        from_ns = monotonic_ns()
        async with self._dialing() as dials:
            for number in numbers:
                rounds = self._rounds_of(number)
                if plan.connect_rate_per_s is not None and not rounds.are_hopeless():
                    due_ns = from_ns + evenly_spaced_ns(number, plan.connect_rate_per_s)
                    await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
                if not rounds.are_hopeless():
                    await self._budget.acquire()
                    if not rounds.are_hopeless():
                        self._begun += 1
                        self._launch(dials, number)
                        continue
                    self._budget.release()
                pool.not_dialed(number)
                self._skipped += 1

    @asynccontextmanager
    async def _dialing(self) -> AsyncIterator[asyncio.TaskGroup]:
        """A group of dials, all of which have ended on exit; where that is by an exception, they are called off."""
        async with asyncio.TaskGroup() as dials:
            yield dials

    def _launch(self, dials: asyncio.TaskGroup, number: int) -> None:
        """Begins a dial as one of a group; it is one of those under way already."""
        dials.create_task(self._dial(number))

    def _rounds_of(self, number: int) -> TimeoutRounds:
        """Returns the outcomes of those dials that went the way of a connection."""
        ways = self._dialer.ways
        way = number % ways
        if way not in self._rounds:
            self._rounds[way] = TimeoutRounds(max(MIN_ROUND_DIALS, self._budget.limit // ways))
        return self._rounds[way]

    def _give_up(self, missing: int, total: int) -> None:
        """Counts the sessions that are not dialed because the target takes no more."""
        tally = self._pool.tally
        tally.attempted += missing
        tally.failed += missing
        timeout = format_duration(self._pool.plan.connect_timeout_ns)
        needed = max(rounds.needed for rounds in self._rounds.values() if rounds.are_hopeless())
        text = (
            f"takes no more connections: {needed} dials in a row timed out after {timeout}, so that "
            f"{format_count(missing)} of {format_count(total)} on one worker were not dialed"
        )
        self._pool.dial_failed(Fault(FaultKind.NOT_DIALED, text=text), missing)

    def _count_unopened(self, numbers: Sequence[int]) -> None:
        """Counts the sessions that were not open when the time of the opening was over."""
        total = len(numbers)
        missing = total - self._begun - self._skipped
        for number in numbers[total - missing :]:
            self._pool.not_dialed(number)
        tally = self._pool.tally
        tally.attempted += missing
        tally.failed += missing
        text = (
            f"the opening was over after {format_duration(self._pool.plan.open_timeout_ns)} (--open-timeout): of"
            f" {format_count(total)} on one worker, {format_count(missing)} were not dialed, and"
            f" {format_count(self._cut_off)} dials were cancelled"
        )
        if missing or self._cut_off:
            self._pool.dial_failed(Fault(FaultKind.OPEN_TIMEOUT, text=text), missing + self._cut_off)

    async def follow_profile(self, start_ns: int) -> None:
        """Opens and closes connections as their profile over time asks; what failed or was lost is not replaced."""
        pool, profile = self._pool, self._pool.plan.connection_profile
        if profile is None:
            return
        given_up = 0
        """Number of the connections dialed that the profile has taken back."""
        async with self._dialing() as dials:
            while not pool.finished.is_set():
                wanted = pool.share.size(round(profile.value_at(monotonic_ns() - start_ns)))
                for _ in range(min(wanted + given_up - self._dialed, self._budget.free)):
                    await self._budget.acquire()
                    position, self._dialed = self._dialed, self._dialed + 1
                    self._launch(dials, pool.share.global_index(position))
                given_up = max(given_up, self._dialed - wanted)
                pool.close_surplus(wanted)
                await asyncio.sleep(PROFILE_CHECK_S)

    async def dial(self, number: int) -> bool:
        """Dials a session again, once fewer dials are under way than may be. Returns True if it opened."""
        await self._budget.acquire()
        return await self._dial(number)

    async def _dial(self, number: int, begun: BegunDial | None = None) -> bool:
        """Dials a session, which is one of the dials under way; sets it up, and begins the load on it.

        Goes on with a dial that has been begun elsewhere.
        """
        pool = self._pool
        connection = pool.new_connection(number)
        if begun is None:
            pool.disconnects.dialed()
        # A dial that the end of the run cancels has neither opened nor failed.
        called_off = opened = False
        try:
            timings = await self._dialer.dial(connection, number, pool.factory.renderer(number), begun)
            opened = True
        except (DialError, OSError) as error:
            self._count_failure(number, error)
            return False
        except asyncio.CancelledError:
            opened = connection in pool.connections or connection.ended
            if opened:
                # A loop that is cancelled while it opens a transport closes it, and does not report that.
                connection.abort()
                pool.transport_closed(connection)
            called_off = not opened
            self._cut_off += called_off
            raise
        finally:
            self._budget.release()
            pool.tally.attempted += 1
            pool.tally.cancelled += called_off
            pool.tally.failed += not (opened or called_off)
            if not opened:
                pool.never_opened(number, called_off=called_off)
        self._rounds_of(number).note(opened=True, timed_out=False)
        timings.record_in(pool.tally)
        return await self._make_ready(connection)

    def _count_failure(self, number: int, error: DialError | OSError) -> None:
        """Counts what kept a session from opening, be it the target's fault or this machine's."""
        pool = self._pool
        if isinstance(error, DialError):
            pool.disconnects.refused()
            pool.dial_failed(error.fault, number=number)
            self._rounds_of(number).note(opened=False, timed_out=error.fault.is_timeout)
            return
        failing = classify_host_error(error)
        if failing is None:
            raise error
        pool.tally.host_errors[str(failing)] += 1

    async def _make_ready(self, connection: Connection) -> bool:
        """Sets up a session that has opened, and begins the load on it. Returns False if it has ended meanwhile."""
        pool = self._pool
        if pool.plan.open_timeout_ns is None or not connection.receiver.blocks_load:
            return await self._set_up(connection)
        # The end of the opening cancels dials, and not the set-up of sessions, which join the load later.
        setting_up = asyncio.create_task(self._set_up(connection))
        self._setups.add(setting_up)
        setting_up.add_done_callback(self._setups.discard)
        return await asyncio.shield(setting_up)

    async def _set_up(self, connection: Connection) -> bool:
        """Waits until a session is set up, and begins the load on it. Returns False if it has ended meanwhile."""
        await wait_until_ready(connection, self._pool.plan.timeout_ns)
        return self._pool.begin(connection)

    def close(self) -> None:
        """Ends what dials need beside the event loop: nothing here."""

    def collect_into(self, tally: Tally) -> None:
        """Adds what the dialer has noted since the last call: look-ups of names, what redirects left behind."""
        self._dialer.take_notes(tally)
