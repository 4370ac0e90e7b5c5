"""The portable engine: asyncio, on any platform that Python runs on."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, ClassVar

import msgspec

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.common.event_loop import run_beside
from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.engine import Collected, EngineStatus, LoadEnd
from ws_load_test.engine.keep_alive import keep_alive
from ws_load_test.engine.loop_lag import LoopLag
from ws_load_test.engine.session_opener import SessionOpener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.engine import LoadPhase, LoadWindow
    from ws_load_test.engine.fan_out.http_publishers import HttpPublisherClient
    from ws_load_test.engine.sessions.sender import Sender
    from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
    from ws_load_test.plan.plan import Plan

TIMER_GRAIN_NS = 2 * NS_PER_MS
"""Time before an instant at which waiting turns from the loop's timers, which count milliseconds, to the clock."""
SWITCH_TIMEOUT_NS = NS_PER_S
"""Longest wait, at the end of the load, for a new share of it that the fleet has announced."""
CHANGE_DELAY_S = 0.05
"""Time for which changes in the sessions are gathered before the load begins."""
FOREVER_NS = 1 << 62
"""An instant after the end of any run."""


class PortableEngine:
    """A pool of asyncio connections and the load on them."""

    name: ClassVar[str] = "portable"
    factory_type: ClassVar[type[ConnectionFactory]] = ConnectionFactory
    """Maker of the pool's connections, and of the load on them."""
    opener_type: ClassVar[type[SessionOpener]] = SessionOpener
    """Opener of the pool's sessions."""
    pool_type: ClassVar[type[ConnectionPool]] = ConnectionPool
    """Pool of the connections."""

    @classmethod
    def unsupported(cls, plan: Plan) -> list[str]:
        """Returns the one reason why a plan cannot be run: it needs what asyncio does not say."""
        return ["it does not know when the kernel received a reply"] if plan.reply_instant == "kernel" else []

    def __init__(self, plan: Plan, share: Shard, *, multi_host: bool = False) -> None:
        self._plan = plan
        self._pool = self.pool_type(
            plan, share, multi_host=multi_host, factory_type=self.factory_type, opener_type=self.opener_type
        )
        self._stopping = False
        self._is_warmup = False
        self._collected_ns = 0
        """Instant of the last collection."""
        self._loop_lag = LoopLag()
        self._load: asyncio.Task[LoadEnd] | None = None
        self.on_load_change: Callable[[LoadState], None] | None = None
        self._next_change: asyncio.TimerHandle | None = None
        self._pool.on_load_change = self._load_changed

    # --- The run ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Dials the sessions that must be open before the load begins, unless the run is stopped."""
        pool = self._pool
        dialing = asyncio.create_task(self._open_all())
        stopped = asyncio.create_task(pool.finished.wait())
        try:
            await asyncio.wait((dialing, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._stopping:
            dialing.cancel()
            await asyncio.wait((dialing,))
        else:
            dialing.result()

    async def _open_all(self) -> None:
        await self._pool.opener.open_all()
        if self._pool.http_publishers is not None:
            await self._pool.http_publishers.open()

    def start(self, window: LoadWindow, on_phase: Callable[[LoadPhase, int], None]) -> None:
        """Begins the load at the window's start."""
        if self._pool.audience is not None:
            self._pool.audience.start(window)
        if self._pool.scenario is not None:
            # Timers send before the load begins: each message is to be of one phase, whenever its answer comes.
            self._pool.set_window(from_ns=window.measure_from_ns)
        self._pool.load.prepare(window.start_ns, window.switch)
        self._load = asyncio.create_task(self._run_load(window, on_phase))

    async def wait(self) -> LoadEnd | None:
        """Waits for the end of the load; returns None if it was never started."""
        return None if self._load is None else await self._load

    @property
    def load_state(self) -> LoadState:
        """State of this worker's share of the load."""
        pool = self._pool
        return msgspec.structs.replace(pool.load.state(), sessions=pool.carrying, open=pool.open)

    def hold(self, until_ns: int) -> LoadState:
        """Settles which messages this worker leaves to others."""
        pool = self._pool
        return msgspec.structs.replace(pool.load.hold(until_ns, pool.carrying), open=pool.open)

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share of the load."""
        self._pool.load.switch(switch)

    def give_up(self) -> None:
        """Drops what is left of the load."""
        self._pool.finished.set()

    def _load_changed(self) -> None:
        """Reports a change in the sessions: at once under load, else a few times a second.

        Before the load begins, counting the sessions that are ready takes time for each of them, and thousands open.
        """
        if self.on_load_change is None:
            return
        if self._pool.loading:
            self.on_load_change(self.load_state)
        elif self._next_change is None:
            self._next_change = asyncio.get_running_loop().call_later(CHANGE_DELAY_S, self._report_change)

    def _report_change(self) -> None:
        self._next_change = None
        if self.on_load_change is not None:
            self.on_load_change(self.load_state)

    def stop(self) -> None:
        """Sends nothing more."""
        self._stopping = True
        self._pool.finished.set()

    @property
    def published(self) -> dict[int, int]:
        """Publishes of each publisher of this worker."""
        audience = self._pool.audience
        return {} if audience is None else audience.counts

    async def drain(self, published: Mapping[int, int]) -> None:
        """Gives messages in flight their time to be answered, and deliveries theirs to come."""
        # In order an overdue reply ends its session, and with it what was sent later and may still be answered.
        expiring = (self._pool.expire_replies(),) if self._plan.correlation.by_id else ()
        async with run_beside(*expiring):
            await self._pool.drain()
        if self._pool.audience is not None:
            await self._pool.audience.drain(published, self._pool)
        await self._pool.leave()

    async def close(self) -> None:
        """Ends every session."""
        if self._next_change is not None:
            self._next_change.cancel()
            self._next_change = None
        await self._pool.close_all()

    def collect(self) -> Collected:
        """Returns what was counted since the last call."""
        self._loop_lag.collect_into(self._pool.tally.loop_lag_ns)
        tally, fault_examples = self._pool.collect()
        tally.complete_interval(warmup=self._is_warmup)
        self._collected_ns = monotonic_ns()
        audience = self._pool.audience
        if audience is None:
            return Collected(tally, fault_examples)
        return Collected(tally, fault_examples, tuple(audience.take_followed()), tuple(audience.take_slowest()))

    @property
    def status(self) -> EngineStatus:
        """State of the pool and its load."""
        pool = self._pool
        return EngineStatus(
            open_sessions=pool.open,
            ready_sessions=pool.ready_count,
            reconnecting=pool.reconnector.in_progress,
            all_sent=pool.load.exhausted,
        )

    # --- The load ---------------------------------------------------------------------------------------------------

    async def _run_load(self, window: LoadWindow, on_phase: Callable[[LoadPhase, int], None]) -> LoadEnd:
        """Warm-up and measured time, and what goes on beside them."""
        pool = self._pool
        # What lives now lives to the end; looking through it again and again would stall the loop for milliseconds.
        gc.collect()
        gc.freeze()
        if not pool.reconnector.active and (pool.scenario is None or not pool.scenario.has_arrivals):
            # A session that ends leaves cycles behind, and where others follow it these would pile up.
            gc.disable()
        await _sleep_until(window.start_ns)
        pool.loading = True
        async with run_beside(
            pool.expire_replies(),
            pool.watch_pairing(),
            pool.opener.follow_profile(window.start_ns),
            keep_alive(pool.pinged, self._plan.ping_interval_ns),
            pool.reconnector.run(window.measure_from_ns),
            pool.arrive(window.start_ns, FOREVER_NS if window.end_ns is None else window.end_ns),
            self._loop_lag.measure(),
        ):
            measured_from_ns = await self._warm_up(window, on_phase)
            end_ns = window.end_ns
            if end_ns is not None and pool.load.due_when_sent:
                # A closed loop is measured for as long as planned, whenever its measured time really began.
                end_ns += measured_from_ns - window.measure_from_ns
            if pool.open or pool.continues_without_connections:
                await self._until(end_ns)
            until_ns = await self._end_load(measured_from_ns, end_ns)
            pool.set_window(until_ns=until_ns)
            on_phase("closing", until_ns)
        return LoadEnd(measured_from_ns, until_ns, self._stopping)

    async def _warm_up(self, window: LoadWindow, on_phase: Callable[[LoadPhase, int], None]) -> int:
        """Starts the load, and returns once the measured time begins: the instant."""
        pool, load = self._pool, self._pool.load

        def begin(phase: LoadPhase, planned_ns: int) -> int:
            # A message of a closed loop belongs to the phase in which it was really sent. A schedule is as planned, or
            # earlier where there was nothing left to warm up.
            now_ns = monotonic_ns()
            at_ns = now_ns if load.due_when_sent else min(planned_ns, now_ns)
            on_phase(phase, at_ns)
            self._is_warmup = phase == "warmup"
            return at_ns

        if not load.due_when_sent:
            pool.set_window(from_ns=window.measure_from_ns)
        end_ns = FOREVER_NS if window.end_ns is None else window.end_ns
        warms_up = window.measure_from_ns > window.start_ns
        if warms_up:
            begin("warmup", window.start_ns)
            load.start(self._senders(), window.start_ns, end_ns)
            await self._until(window.measure_from_ns)
        measured_from_ns = begin("measured", window.measure_from_ns)
        if load.due_when_sent:
            pool.set_window(from_ns=measured_from_ns)
        if self._plan.messages is not None:
            load.limit()
        if not warms_up:
            load.start(self._senders(), window.start_ns, end_ns)
        return measured_from_ns

    async def _end_load(self, measured_from_ns: int, end_ns: int | None) -> int:
        """Ends the load. Returns the instant that ends the measured time: not before the last collection."""
        pool, load = self._pool, self._pool.load
        by_count = self._plan.messages is not None and not self._stopping
        await self._settle()
        if load.due_when_sent:
            ended_ns = monotonic_ns()
            if not by_count:
                load.end(ended_ns)
                return ended_ns
            await pool.drain()
            pool.tally.dropped += load.end(ended_ns)
            last_ns = pool.last_reply_ns()
            # Without a reply it took at least until there was nothing left to send.
            return max(last_ns, measured_from_ns) if last_ns else ended_ns
        ended_ns = min(monotonic_ns(), FOREVER_NS if end_ns is None else end_ns)
        load.end(ended_ns)
        if not self._stopping and (end_ns is None or ended_ns < end_ns):
            load.give_up()
        if not by_count:
            return max(ended_ns, self._collected_ns)
        await pool.drain()
        # The last message may have left behind the last reply, where one is missing or none is awaited.
        return max(pool.last_reply_ns(), ended_ns, self._collected_ns)

    async def _settle(self) -> None:
        """Waits for the share of the load that the fleet is about to change, for a time that it never takes."""
        deadline_ns = monotonic_ns() + SWITCH_TIMEOUT_NS
        while self._pool.load.held and monotonic_ns() < deadline_ns:  # noqa: ASYNC110 - a round trip
            await asyncio.sleep(0.001)

    def _senders(self) -> Sequence[Sender | HttpPublisherClient]:
        if self._pool.http_publishers is not None:
            return self._pool.http_publishers.clients
        return [connection.sender for connection in self._pool.ready() if connection.sender.sends_load]

    async def _until(self, at_ns: int | None) -> None:
        """Returns at the instant, or as soon as there is nothing left to do."""
        try:
            async with asyncio.timeout(None if at_ns is None else max(0, at_ns - monotonic_ns()) / NS_PER_S):
                await self._pool.finished.wait()
        except TimeoutError:
            # The loop's timers count milliseconds and may be one early; the schedule's last messages would be missed.
            while at_ns is not None and monotonic_ns() < at_ns:  # noqa: ASYNC110 - a moment, not a wait
                await asyncio.sleep(0)


async def _sleep_until(at_ns: int) -> None:
    """Returns at the instant, not at the millisecond behind it that the loop's timers would make of it."""
    await asyncio.sleep(max(0, at_ns - monotonic_ns() - TIMER_GRAIN_NS) / NS_PER_S)
    while monotonic_ns() < at_ns:  # noqa: ASYNC110 - a moment, not a wait
        await asyncio.sleep(0)
