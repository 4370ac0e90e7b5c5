"""Sessions that end before the run does: dialed again by policy, recycled in turn, cut off in a storm."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.plan.session_policy import pick_share
from ws_load_test.websocket.frames import NORMAL_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

MIN_RETRY_DELAY_NS = 10_000_000
"""Delay (10 ms) before any attempt but the first: a dead target is not dialed thousands of times a second."""


class DialingPool(Protocol):
    """The pool of connections, as far as reconnecting needs it."""

    plan: Plan
    share: Shard
    finished: asyncio.Event

    @property
    def tally(self) -> Tally:
        """Counts of the sessions."""
        ...

    @property
    def stopping(self) -> bool:
        """True once the load is over."""
        ...

    @property
    def has_ready(self) -> bool:
        """True if any connection carries the load, or can."""
        ...

    def open_numbers(self) -> set[int]:
        """Returns the numbers of the connections that are open, and not about to close."""
        ...

    def of_numbers(self, numbers: Container[int]) -> list[Connection]:
        """Returns those of them that have one of these numbers."""
        ...

    def numbers_at_start(self) -> Sequence[int]:
        """Returns the numbers of the sessions that are to be there from the start."""
        ...

    def ready(self) -> list[Connection]:
        """Returns the connections on which the load may begin."""
        ...

    async def dial(self, number: int) -> bool:
        """Dials a session. Returns True if it opened."""
        ...

    def close_when_idle(self, connection: Connection, code: int) -> None:
        """Closes a session as soon as nothing is in flight on it."""
        ...

    def finish_if_empty(self) -> None:
        """Ends the load if no connection is open, and none will be."""
        ...


class Reconnector:
    """Brings back the sessions of one pool that end."""

    def __init__(self, pool: DialingPool) -> None:
        plan = pool.plan
        self.active = plan.replaces_sessions
        """A session that ends may be followed by another."""
        self._pool = pool
        self._plan = plan
        self._rng = random.Random(pool.share.index)  # noqa: S311 - jitter, not a secret
        self._group: asyncio.TaskGroup | None = None
        self._recycling: set[Connection] = set()
        self._storm_ns: dict[int, int] = {}
        """Instant at which each session was cut off that is not back yet."""
        self._last_open_ns = 0
        """Instant at which a session last carried the load."""
        self._starting = self.active
        """The connections that are missing from the start are not dialed again yet."""
        self._reconnecting: dict[int, bool] = {}
        """Numbers of the connections that are being brought back; True where the session before was recycled."""
        self._opened: set[int] = set()
        """Numbers of the connections that have opened before."""
        self._lifetimes: dict[Connection, asyncio.TimerHandle] = {}

    @property
    def in_progress(self) -> bool:
        """True while a session is being brought back."""
        return self._starting or bool(self._reconnecting)

    def brings_back(self, number: int) -> bool:
        """Returns True while a session is being brought back."""
        return number in self._reconnecting

    def forget(self, number: int) -> None:
        """Takes note that a session of this number, if there is another, takes the place of none."""
        self._opened.discard(number)

    async def run(self, measured_from_ns: int) -> None:
        """Brings sessions back until it is cancelled."""
        if not self.active:
            return
        self._last_open_ns = monotonic_ns()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for connection in self._pool.ready():
                    self.session_ready(connection, first=True)
                if self._plan.reconnect.policy != "none":
                    self._dial_missing()
                self._starting = False
                self._pool.finish_if_empty()
                storm = self._plan.disconnect_storm
                if storm is not None:
                    await asyncio.sleep(max(0, measured_from_ns + storm.at_ns - monotonic_ns()) / NS_PER_S)
                    self._disconnect_share(storm.share)
                await asyncio.Event().wait()
            finally:
                # Before the group ends its tasks: sessions that end meanwhile are none of them.
                self._group = None

    def session_ready(self, connection: Connection, *, first: bool = False) -> None:
        """The load has begun on a session: its lifetime counts from here."""
        lifetime_ns = self._plan.lifetime_ns
        if lifetime_ns is None or self._group is None:
            return
        if first:
            # Staggered, or all would leave at once, for ever.
            lifetime_ns = lifetime_ns * (connection.number + 1) // self._plan.connections
        timer = asyncio.get_running_loop().call_later(lifetime_ns / NS_PER_S, self.recycle, connection)
        self._lifetimes[connection] = timer

    def session_opened(self, number: int) -> None:
        """Counts a session that takes the place of another, whether or not the load will begin on it."""
        if not self.active:
            return
        if number not in self._opened:
            self._opened.add(number)
        elif self._reconnecting.get(number):
            self._pool.tally.recycled += 1
        else:
            self._pool.tally.reconnected += 1
        if number in self._reconnecting:
            # If it ends before the load begins on it, the next takes the place of a lost one.
            self._reconnecting[number] = False

    def session_ended(self, connection: Connection, *, lost: bool) -> None:
        """A session is over; `lost` where the target ended it."""
        cut = connection.number in self._storm_ns
        recycled = connection in self._recycling and not cut
        self._recycling.discard(connection)
        timer = self._lifetimes.pop(connection, None)
        if timer is not None:
            timer.cancel()
        if connection.number in self._reconnecting:
            # It ended before the load began on it: the task that dialed it dials on.
            return
        self._last_open_ns = monotonic_ns()
        if recycled or cut or (lost and self._plan.reconnect.policy != "none"):
            self._schedule(connection.number, recycled=recycled)

    def _dial_missing(self) -> None:
        """Brings back the sessions that could not be opened, or were lost, before the load began."""
        here = self._pool.open_numbers()
        for number in self._pool.numbers_at_start():
            if number not in here:
                self._schedule(number, recycled=False)

    def _schedule(self, number: int, *, recycled: bool) -> None:
        if self._group is not None:
            self._reconnecting[number] = recycled
            self._group.create_task(self._reconnect(number, monotonic_ns(), recycled=recycled))

    def recycle(self, connection: Connection, code: int = NORMAL_CLOSURE) -> None:
        """Closes a session as soon as it is idle; another takes its place."""
        if connection.closing or self._pool.stopping:
            return
        self._recycling.add(connection)
        self._pool.close_when_idle(connection, code)

    def _disconnect_share(self, share: float) -> None:
        pool = self._pool
        for connection in pool.of_numbers(pick_share(share, self._plan.connections)):
            tally = pool.tally
            unanswered = tally.unanswered
            self._storm_ns[connection.number] = monotonic_ns()
            connection.abort()
            tally.storm_disconnected += 1
            tally.storm_unanswered += tally.unanswered - unanswered

    async def _reconnect(self, number: int, lost_ns: int, *, recycled: bool) -> None:
        pool, policy = self._pool, self._plan.reconnect
        is_first = number not in self._opened
        attempt = 0
        while not pool.stopping:
            wait_ns = 0 if recycled and not attempt else policy.backoff_ns(attempt, self._rng)
            if attempt:
                wait_ns = max(wait_ns, MIN_RETRY_DELAY_NS)
            await asyncio.sleep(wait_ns / NS_PER_S)
            attempt += 1
            if await pool.dial(number):
                self._reconnecting.pop(number, None)
                break
            if self._target_unreachable():
                pool.finished.set()
                return
        else:
            return
        now_ns = monotonic_ns()
        if recycled or is_first:
            return
        pool.tally.reconnect_time_ns.record(now_ns - lost_ns)
        storm_ns = self._storm_ns.pop(number, None)
        if storm_ns is not None:
            pool.tally.storm_recovery_time_ns.record(now_ns - storm_ns)

    def _target_unreachable(self) -> bool:
        """True if a run that ends with its last message would never end, because the target is out of reach."""
        waited_ns = monotonic_ns() - self._last_open_ns
        late = self._plan.messages is not None and waited_ns > self._plan.connect_timeout_ns
        return late and not self._pool.has_ready
