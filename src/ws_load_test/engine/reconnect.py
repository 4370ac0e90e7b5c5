"""Sessions that end before the run does: dialled again as the plan says, renewed in turn, cut off in a storm."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.plan.session_policy import pick_share

if TYPE_CHECKING:
    from ws_load_test.engine.connection_factory import LoadConnection
    from ws_load_test.engine.connection_pool import ConnectionPool

BETWEEN_ATTEMPTS_NS = 10_000_000
"""Even who comes back at once does not dial a dead target thousands of times a second."""


class Reconnector:
    """What becomes of the sessions of one crew that end."""

    def __init__(self, crew: ConnectionPool) -> None:
        plan = crew.plan
        self.active = plan.reconnect.policy != "none" or plan.lifetime_ns is not None
        """Whether a session that ends may be followed by another."""
        self._crew = crew
        self._plan = plan
        self._chance = random.Random(crew.share.index)  # noqa: S311 - jitter, not a secret
        self._group: asyncio.TaskGroup | None = None
        self._renewing: set[LoadConnection] = set()
        self._storm_ns: dict[int, int] = {}
        """When the sessions were cut off that are not back yet."""
        self._last_open_ns = 0
        """When a session last carried the load."""
        self._starting = self.active
        """Whether those that are missing from the start are still to be called."""
        self._reconnecting: set[int] = set()
        """The numbers of the connections that are being brought back."""
        self._lifetimes: dict[LoadConnection, asyncio.TimerHandle] = {}

    @property
    def in_progress(self) -> bool:
        """Whether a session is being brought back."""
        return self._starting or bool(self._reconnecting)

    async def run(self, measured_from_ns: int) -> None:
        """Brings sessions back until it is cancelled."""
        if not self.active:
            return
        self._last_open_ns = monotonic_ns()
        try:
            async with asyncio.TaskGroup() as self._group:
                for connection in self._crew.ready():
                    self.session_ready(connection, first=True)
                if self._plan.reconnect.policy != "none":
                    self._dial_missing()
                self._starting = False
                self._crew.finish_if_empty()
                storm = self._plan.disconnect_storm
                if storm is not None:
                    await asyncio.sleep(max(0, measured_from_ns + storm.at_ns - monotonic_ns()) / NS_PER_S)
                    self._disconnect_share(storm.share)
                await asyncio.Event().wait()
        finally:
            self._group = None

    def session_ready(self, connection: LoadConnection, *, first: bool = False) -> None:
        """The load has begun on a session: its lifetime counts from here."""
        lifetime_ns = self._plan.lifetime_ns
        if lifetime_ns is None or self._group is None:
            return
        if first:
            # Or all would leave at once, for ever.
            lifetime_ns = lifetime_ns * (connection.number + 1) // self._plan.connections
        timer = asyncio.get_running_loop().call_later(lifetime_ns / NS_PER_S, self._expire, connection)
        self._lifetimes[connection] = timer

    def session_ended(self, connection: LoadConnection, *, lost: bool) -> None:
        """A session is over; `lost` says that nobody here wanted that."""
        cut = connection.number in self._storm_ns
        renewed = connection in self._renewing and not cut
        self._renewing.discard(connection)
        timer = self._lifetimes.pop(connection, None)
        if timer is not None:
            timer.cancel()
        if connection.number in self._reconnecting:
            # It ended before the load began on it: whoever dialled it dials on.
            return
        self._last_open_ns = monotonic_ns()
        if renewed or cut or (lost and self._plan.reconnect.policy != "none"):
            self._schedule(connection.number, renewed=renewed)

    def _dial_missing(self) -> None:
        """Those that could not be opened, or were lost, before the load began."""
        share = self._crew.share
        here = {connection.number for connection in self._crew.connections if not connection.closing}
        for position in range(self._plan.connections_in(share)):
            if share.global_index(position) not in here:
                self._schedule(share.global_index(position), renewed=False)

    def _schedule(self, number: int, *, renewed: bool) -> None:
        if self._group is not None:
            self._reconnecting.add(number)
            self._group.create_task(self._reconnect(number, monotonic_ns(), renewed=renewed))

    def _expire(self, connection: LoadConnection) -> None:
        if connection.closing or self._crew.stopping:
            return
        self._renewing.add(connection)
        self._crew.close_when_idle(connection)

    def _disconnect_share(self, share: float) -> None:
        crew = self._crew
        numbers = pick_share(share, self._plan.connections)
        for connection in [one for one in crew.connections if one.number in numbers and not one.closing]:
            tally = crew.tally
            unanswered = tally.unanswered
            self._storm_ns[connection.number] = monotonic_ns()
            connection.abort()
            tally.storm_disconnected += 1
            tally.storm_unanswered += tally.unanswered - unanswered

    async def _reconnect(self, number: int, lost_ns: int, *, renewed: bool) -> None:
        crew, policy = self._crew, self._plan.reconnect
        attempt = 0
        while not crew.stopping:
            wait_ns = 0 if renewed and not attempt else policy.backoff_ns(attempt, self._chance)
            if attempt:
                wait_ns = max(wait_ns, BETWEEN_ATTEMPTS_NS)
            await asyncio.sleep(wait_ns / NS_PER_S)
            attempt += 1
            if await crew.dial(number):
                self._reconnecting.discard(number)
                break
            if self._target_unreachable():
                crew.finished.set()
                return
        else:
            return
        now_ns = monotonic_ns()
        if renewed:
            crew.tally.recycled += 1
            return
        crew.tally.reconnected += 1
        crew.tally.reconnect_time_ns.record(now_ns - lost_ns)
        storm_ns = self._storm_ns.pop(number, None)
        if storm_ns is not None:
            crew.tally.storm_recovery_time_ns.record(now_ns - storm_ns)

    def _target_unreachable(self) -> bool:
        """Whether a run that only its messages end would never end, because nobody can be reached any more."""
        waited_ns = monotonic_ns() - self._last_open_ns
        late = self._plan.messages is not None and waited_ns > self._plan.connect_timeout_ns
        return late and not self._crew.has_ready
