"""The connections of a worker of which most are asleep (`sleeping`): what is to be done to all wakes none of them."""

from __future__ import annotations

import asyncio
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.native.sleeping import Sleepers, pinged

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.connection_factory import ConnectionFactory
    from ws_load_test.engine.keep_alive import Pinged
    from ws_load_test.engine.native.lending import Lender, NativeConnection
    from ws_load_test.engine.session_opener import SessionOpener
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.session import Session
    from ws_load_test.plan.plan import Plan


CLOSED_AT_ONCE = 256
"""Sessions that are asleep and closed between two turns of the loop: 10 ms."""


class LendingFactory(Protocol):
    """Maker of connections that can be lent."""

    lender: Lender

    def opens_asleep(self, number: int) -> None:
        """Prepares what the compiled loop needs for the messages of a session that has no connection."""
        ...


class SleepingLoad(Protocol):
    """The load on sessions that are asleep."""

    carries_asleep: bool
    """All of them carry the load."""

    def add_asleep(self, slot: int) -> None:
        """Takes in a session that has opened after the start."""
        ...

    def has_woken(self, connection: NativeConnection, slot: int) -> None:
        """Goes on with a session that has woken."""
        ...


class NativePool(ConnectionPool):
    """The connections of one share of a plan. Those in `connections` are awake."""

    def __init__(
        self,
        plan: Plan,
        share: Shard,
        *,
        multi_host: bool = False,
        factory_type: type[ConnectionFactory],
        opener_type: type[SessionOpener],
    ) -> None:
        """Opens no connection yet."""
        super().__init__(plan, share, multi_host=multi_host, factory_type=factory_type, opener_type=opener_type)
        self._lending_factory = cast("LendingFactory", self.factory)
        lender = self._lending_factory.lender
        self._sleepers = lender.sleepers = Sleepers(self, lender)
        self._sleeping_load = cast("SleepingLoad", self.load)
        self.sleeps = not (
            plan.setup_messages
            or plan.correlation.greetings
            or plan.lifetime_ns is not None
            or plan.fan_out is not None
        )
        """Sessions have nothing of their own that Python would have to keep: no set-up, no timer, no room."""
        self._orders = 0
        """Sessions that have opened, by which the newest are known."""
        self._in_flight_asleep: set[int] = set()
        """The slots of sessions that are asleep and have messages in flight, from the beginning of `drain` on."""

    # --- Falling asleep and waking ----------------------------------------------------------------------------------

    def open_asleep(self, number: int, descriptor: int) -> int | None:
        """Takes in a session that has just opened. Returns its slot; None if it has to be lent as others are."""
        self._lending_factory.opens_asleep(number)
        slot = self._sleepers.open(descriptor, number, self._orders)
        if slot is not None:
            self._orders += 1
            self._count_opened(number)
        return slot

    def begin_asleep(self, slot: int) -> None:
        """Begins the load on a session that is asleep."""
        if not self.loading:
            self._load_changed()
        elif self._sleeping_load.carries_asleep:
            self._sleeping_load.add_asleep(slot)

    def woken(self, number: int, slot: int) -> NativeConnection:
        """Returns the connection of a session that wakes."""
        connection = cast("NativeConnection", self.new_connection(number))
        self.connections[connection] = None
        if slot in self._in_flight_asleep:
            self._in_flight_asleep.discard(slot)
            self._in_flight.add(connection)
        return connection

    def on_idle_asleep(self, slot: int) -> None:
        """A session that is asleep has nothing in flight, and nothing to send just now."""
        if self.load.exhausted:
            self._on_exhausted()
        self._in_flight_asleep.discard(slot)
        self._check_drained()

    def session_opened(self, session: Session) -> None:
        """A session is open, and awake."""
        cast("NativeConnection", session).order = self._orders
        self._orders += 1
        super().session_opened(session)

    # --- All of them ------------------------------------------------------------------------------------------------

    @property
    def ready_count(self) -> int:
        """Number of sessions on which the load may begin."""
        return super().ready_count + self._sleepers.count

    @property
    def carrying(self) -> int:
        """Number of sessions that carry the load, or will when it begins."""
        return super().carrying + (0 if self.loading else self._sleepers.count)

    @property
    def has_ready(self) -> bool:
        """True if the load may begin, or has begun, on any connection."""
        return self._sleepers.count > 0 or super().has_ready

    def pinged(self) -> Sequence[Pinged]:
        """Returns the connections that are kept alive by pings."""
        return [*super().pinged(), *pinged(self._sleepers)]

    def open_numbers(self) -> set[int]:
        """Returns the numbers of the connections that are open, and not about to close."""
        return super().open_numbers() | {number for _, number, _ in self._sleepers.all()}

    def of_numbers(self, numbers: Container[int]) -> list[Connection]:
        """Returns those of them that have one of these numbers, awake."""
        self._sleepers.wake_numbers(numbers)
        return super().of_numbers(numbers)

    def _surplus(self, wanted: int) -> list[Connection]:
        """Returns the newest of those sessions that do not leave yet, without so many; they are awake then."""
        awake = [cast("NativeConnection", each) for each in super()._surplus(0)]
        candidates: list[tuple[int, NativeConnection | int]] = [(each.order, each) for each in awake]
        candidates += [(order, slot) for slot, _, order in self._sleepers.all()]
        newest = [one for _, one in sorted(candidates, key=itemgetter(0))[wanted:]]
        return [self._sleepers.wake(one) if isinstance(one, int) else one for one in newest]

    def _look_for_overdue(self, before_ns: int) -> None:
        for connection in self._sleepers.overdue(before_ns):
            self._give_up_on(connection, before_ns)

    def _look_at_queues(self) -> None:
        self._sleepers.look()

    async def drain(self) -> None:
        """Gives what is in flight its time to be answered."""
        self._in_flight_asleep = set(self._sleepers.busy())
        await super().drain()
        for slot in list(self._in_flight_asleep):
            # It has had its time.
            self._give_up_on(self._sleepers.wake(slot), monotonic_ns() - self.plan.timeout_ns)

    def _check_drained(self) -> None:
        if not self._in_flight_asleep:
            super()._check_drained()

    async def close_all(self) -> None:
        """Ends every session with a close handshake, or without one where the target no longer answers."""
        for count, slot in enumerate(self._sleepers.slots()):
            # Some at a time: the first to be answered are gone before the last have objects, and the worker reports on.
            if count % CLOSED_AT_ONCE == CLOSED_AT_ONCE - 1:
                await asyncio.sleep(0)
            if self._sleepers.is_asleep(slot):
                self._sleepers.wake(slot).close()
        await super().close_all()
