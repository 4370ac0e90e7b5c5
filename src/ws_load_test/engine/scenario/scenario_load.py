"""Load of a scenario: the players of one worker, and what they share.

Each session goes through the steps of its role by itself. Of iterations on a schedule (`iterations`), and of sessions
that arrive (`arrivals`), each worker has the share of its sessions; the load is not dealt anew while it goes on.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.fan_out.deliveries import SubscriberConnection
from ws_load_test.engine.scenario.alarms import Alarms
from ws_load_test.engine.scenario.arrivals import RoleArrivals
from ws_load_test.engine.scenario.audience_player import AudienceCoroutinePlayer, AudiencePlayer, RolePublishers
from ws_load_test.engine.scenario.compiled import CompiledRole
from ws_load_test.engine.scenario.compiled_step import StepTimes
from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
from ws_load_test.engine.scenario.followed_player import FollowedSessions
from ws_load_test.engine.scenario.iterations import IterationSchedule
from ws_load_test.engine.scenario.player import Player
from ws_load_test.engine.scenario.role_schedule import RoleSchedule, sessions_by_worker
from ws_load_test.engine.scenario.rows import ScenarioRows
from ws_load_test.engine.scenario.texts import Texts
from ws_load_test.engine.scenario.tracing_player import (
    TracingAudienceCoroutinePlayer,
    TracingAudiencePlayer,
    TracingCoroutinePlayer,
    TracingPlayer,
)
from ws_load_test.metrics.scenario_metrics import AT_DIAL
from ws_load_test.plan.load_sharing import LoadState
from ws_load_test.websocket.frames import NORMAL_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ws_load_test.common.faults import Fault
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.conversations.streamed import Recorder
    from ws_load_test.engine.exchange_traces import TraceLog
    from ws_load_test.engine.fan_out.audience import Audience
    from ws_load_test.engine.scenario.followed_player import PlayerType
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.messages.generator import MessageGenerator
    from ws_load_test.messages.template_field import Row
    from ws_load_test.plan.load_sharing import LoadSwitch
    from ws_load_test.plan.plan import Plan


class SessionKeeper(Protocol):
    """The pool of connections, as far as sessions need it that come and go by themselves."""

    @property
    def connections(self) -> Iterable[Connection]:
        """Connections whose TCP connection is open."""
        ...

    def end_session(self, connection: Connection, fault: Fault) -> None:
        """Closes a session for a fault of the target's."""
        ...

    def retire(self, connection: Connection, *, replace: bool, code: int) -> None:
        """Closes a session as soon as it is idle; with `replace`, another takes its place."""
        ...


class ScenarioLoad:
    """The players of one worker."""

    due_when_sent: ClassVar[bool] = False
    player_type: type[Player] = Player
    """Class of the players; that of a probe reports each step."""
    coroutine_player_type: type[CoroutinePlayer] = CoroutinePlayer
    """The same for roles that are coroutines."""

    def __init__(
        self, plan: Plan, share: Shard, on_idle: Callable[[Connection], None], totals: Recorder | None = None
    ) -> None:
        """Takes the share of a plan, and the owner of all sessions, if that is one; `compile` makes it complete."""
        assert plan.scenario is not None
        self.sessions = 0
        self.on_change: Callable[[], None] = lambda: None
        self.on_idle = on_idle
        self.exhausted = False
        self.keeper: SessionKeeper | None = None
        """Keeper of the sessions, once there is one."""
        self.alarms = Alarms()
        self.random = Random(f"scenario {share.index} of {share.count}")  # noqa: S311 - load, not secrets
        self.rows = ScenarioRows(totals)
        self.next_number: Callable[[], int] = share.numbers().__next__
        self.audience: Audience | None = None
        """Subscribers and publishers; None where no session receives what others send."""
        self.traces: TraceLog | None = None
        """Traces of steps that are worth a look; None where no message has a trace context."""
        self.roles: tuple[CompiledRole, ...] = ()
        self.longest_end_ns = 0
        """Time that sessions can take from the end of the load to their close."""
        self._plan = plan
        self._share = share
        self._scenario = plan.scenario
        self._row_of: Callable[[int], Row] = lambda _: ()
        self._schedules: dict[str, IterationSchedule] = {}
        """Iterations of the roles that have a rate, by the role's name."""
        self._arrivals: dict[str, RoleArrivals] = {}
        """Arrivals of the roles that have a rate of them, by the role's name."""
        self.followed: FollowedSessions | None = None
        """Sessions of which each step and message is noted; None: there are none."""
        self._started_ns = 0
        self._waiting: set[int] = set()
        """Numbers of the sessions that were there at the start, and have not begun."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        share: Shard,
        owner: SessionListener,
        *,
        on_exhausted: Callable[[], None],  # noqa: ARG003 - sessions go on to the end
        on_idle: Callable[[Connection], None],
    ) -> Self:
        """Returns the load of a plan (`LoadModel.of`)."""
        # Where clients misbehave, or nodes are measured apart, each session has an owner of its own.
        is_of_all = plan.misbehaving is None and plan.node is None
        return cls(plan, share, on_idle, owner if is_of_all else None)

    def compile(self, source: MessageGenerator, row_of: Callable[[int], Row]) -> None:
        """Compiles the roles.

        Args:
            source: The worker's messages: values of fields, and numbers.
            row_of: Returns the feed's row of a connection.
        """
        texts, plan = Texts(source), self._plan
        self.next_number = source.next_number
        self._row_of = row_of
        self.roles = tuple(
            CompiledRole(
                role,
                texts,
                self.rows,
                StepTimes(plan.timeout_ns, self._scenario.stall_ns),
                first_number=self._scenario.first_number(role.name),
                rooms=self._scenario.rooms,
            )
            for role in self._scenario.roles
        )
        self.longest_end_ns = max(role.longest_end_ns for role in self.roles)
        for role in self.roles:
            self._schedule(role)

    def _schedule(self, role: CompiledRole) -> None:
        """Makes the schedules of a role: of its iterations, and of its arrivals."""
        plan, share = role.plan, self._share
        weights = sessions_by_worker(role.first_number, plan.sessions, share.count)
        if plan.rate_per_s is not None:
            schedule = RoleSchedule(plan.rate_per_s, weights, share.index)
            self._schedules[role.name] = IterationSchedule(role.name, schedule, self, self._plan.timeout_ns)
        if plan.arrive_per_s is not None:
            schedule = RoleSchedule(plan.arrive_per_s, weights, share.index, plan.arrivals, plan.seed)
            self._arrivals[role.name] = RoleArrivals(role.name, schedule, self._numbers(role), self)

    def _numbers(self, role: CompiledRole) -> Sequence[int]:
        """Returns the numbers of a role's sessions on this worker."""
        share, first = self._share, role.first_number
        places = range(share.size(first), share.size(first + role.plan.sessions))
        return [share.global_index(place) for place in places]

    def follow_some(self) -> None:
        """Follows some sessions of each role from now on: their steps and messages are noted for excerpts."""
        self.followed = FollowedSessions({role.name: self._numbers(role) for role in self.roles}, self.rows)

    def publish_to(self, audience: Audience) -> None:
        """Has messages that others receive delivered to an audience."""
        self.audience = audience
        for role in self.roles:
            role.publish_by(RolePublishers(audience))

    @property
    def has_arrivals(self) -> bool:
        """True if sessions arrive on a schedule."""
        return self._scenario.has_arrivals

    def role_of(self, number: int) -> CompiledRole:
        """Returns the role of a session by its number."""
        return next(role for role in reversed(self.roles) if number >= role.first_number)

    # --- Sessions ---------------------------------------------------------------------------------------------------

    def trace_through(self, log: TraceLog) -> None:
        """Notes the trace contexts of the steps of sessions that open from now on."""
        self.traces = log
        self.player_type, self.coroutine_player_type = TracingPlayer, TracingCoroutinePlayer

    def player(self, connection: Connection) -> Player:
        """Returns the player of a new session."""
        number = connection.number
        role, row = self.role_of(number), self._row_of(number)
        if self.audience is None:
            kind = self.player_type if role.code is None else self.coroutine_player_type
            return self._kind(kind, number)(self, role, connection, row)
        assert isinstance(connection, SubscriberConnection)
        recipient = self.audience.recipient(connection)
        if role.code is not None:
            kind_of_code = AudienceCoroutinePlayer if self.traces is None else TracingAudienceCoroutinePlayer
            return self._kind(kind_of_code, number)(self, role, connection, row, recipient)
        kind_of_audience = AudiencePlayer if self.traces is None else TracingAudiencePlayer
        return self._kind(kind_of_audience, number)(self, role, connection, row, recipient)

    def _kind(self, kind: PlayerType, number: int) -> PlayerType:
        return kind if self.followed is None else self.followed.kind_of(kind, number)

    def sender(self, connection: Connection, conversation: Conversation) -> Player:  # noqa: ARG002 - steps have theirs
        """Returns the part of the load that a new connection carries."""
        return self.player(connection)

    def opens_at_start(self, number: int) -> bool:
        """Returns True for a session that is there from the start; others arrive."""
        return self.role_of(number).plan.arrive_per_s is None

    async def arrive(self, dial: Callable[[int], Awaitable[bool]], start_ns: int, end_ns: int) -> None:
        """Dials the sessions that arrive, until it is cancelled."""
        if not self._arrivals:
            return
        try:
            async with asyncio.TaskGroup() as dials:
                try:
                    for arrivals in self._arrivals.values():
                        arrivals.begin(dials, dial, start_ns, end_ns)
                    await asyncio.Event().wait()
                finally:
                    # Before the group ends its tasks: nothing is dialed meanwhile.
                    for arrivals in self._arrivals.values():
                        arrivals.end(min(monotonic_ns(), end_ns))
        finally:
            for arrivals in self._arrivals.values():
                arrivals.drop_undialed()

    def dialing(self, number: int) -> None:
        """Takes note that a session is dialed."""
        role = self.role_of(number).name
        tally = self.rows.role(role)
        # One that arrives was due before.
        if role not in self._arrivals or not self._arrivals[role].take_due(number):
            tally.sessions_due += 1
        tally.sessions_begun += 1

    def release(self, number: int) -> None:
        """Takes note that a session is over, and is not dialed again."""
        arrivals = self._arrivals.get(self.role_of(number).name)
        if arrivals is not None:
            arrivals.release(number)

    def never_opened(self, number: int, *, called_off: bool) -> None:
        """Takes note that a dial has failed, or that the end of the run has called it off."""
        tally = self.rows.role(self.role_of(number).name)
        if called_off:
            tally.sessions_completed += 1
        else:
            tally.failed_at[AT_DIAL] += 1

    def count_end(self, player: Player) -> None:
        """Counts the end of a session, which has failed or not."""
        tally = self.rows.role(player.role.name)
        if player.connection.close_fault is None:
            tally.sessions_completed += 1
        else:
            tally.failed_at[player.place] += 1
            if self.followed is not None:
                self.followed.failed(player)

    def leaving(self, player: Player) -> None:
        """Takes note that a session goes through `leave`: it need not receive any more what others publish."""
        if self.audience is not None:
            self.audience.left(player.connection.number, by_target=False)

    def retire(self, player: Player, code: int = NORMAL_CLOSURE) -> None:
        """Lets a session end on purpose, and another take its place where its role asks for it."""
        if self.keeper is not None:
            self.keeper.retire(player.connection, replace=player.role.plan.replaces_sessions, code=code)

    def end_failed(self, player: Player, fault: Fault) -> None:
        """Ends a session that has failed."""
        if self.keeper is not None:
            self.keeper.end_session(player.connection, fault)

    # --- The load ---------------------------------------------------------------------------------------------------

    def prepare(self, start_ns: int, switch: LoadSwitch) -> None:
        """Does nothing: each worker has the share of its sessions."""

    def limit(self, count: int | None = None) -> None:
        """Does nothing: a scenario ends with its time."""

    def start(self, senders: Sequence[Player], start_ns: int, end_ns: int) -> None:
        """Begins: every session that is ready goes on to its steps."""
        for schedule in self._schedules.values():
            schedule.start(start_ns, end_ns)
        for player in senders:
            self._take(player, start_ns, first=True)
        self._started_ns = start_ns
        if self.followed is not None:
            self.followed.load_began(start_ns)

    def add(self, sender: Player) -> None:
        """Takes in a session that has become ready after the start."""
        if self.exhausted:
            sender.stop_sending()
            return
        self._take(sender, max(sender.iteration_due_ns, self._started_ns), first=False)
        self.on_change()

    def _take(self, player: Player, now_ns: int, *, first: bool) -> None:
        self.sessions += 1
        if first:
            self._waiting.add(player.connection.number)
        player.start(now_ns)
        self._waiting.discard(player.connection.number)

    def no_longer_carries(self, player: Player) -> None:
        """Counts a session less, once."""
        if player.carries_load:
            player.carries_load = False
            self.sessions -= 1
            self.on_change()

    def draw_stay_ns(self, player: Player) -> int:
        """Returns the time that a session stays, from now on."""
        role, number = player.role.plan, player.connection.number
        assert role.stay is not None
        stay_ns = role.stay.draw_ns(self.random)
        if role.stay.kind == "fixed" and number in self._waiting:
            # Those that are there from the start leave one after the other, or all would leave at once, for ever.
            return stay_ns * (number - player.role.first_number + 1) // role.sessions
        return stay_ns

    def take_idle(self, player: Player) -> None:
        """Takes a session that can take up an iteration, and gives it one that is due."""
        self._schedules[player.role.name].take_idle(player)

    def count_iteration(self, player: Player, done_ns: int) -> None:
        """Counts an iteration whose last step was complete at an instant."""
        due_ns = player.iteration_due_ns
        if due_ns >= self.rows.measured_from_ns:
            self.rows.count_iteration(player.role.name, max(0, done_ns - due_ns))

    def end(self, now_ns: int) -> int:
        """Lets every session end its step in flight. Returns 0: there is no limit that left anything."""
        self.exhausted = True
        for schedule in self._schedules.values():
            schedule.end(now_ns)
        if self.keeper is not None:
            for connection in list(self.keeper.connections):
                cast("Player", connection.sender).finish()
        return 0

    def leave(self) -> None:
        """Lets every session go through `leave`."""
        if self.keeper is not None:
            for connection in list(self.keeper.connections):
                connection.sender.stop_sending()

    def give_up(self) -> None:
        """Counts all iterations of the schedules that are left as due, and drops them."""
        for schedule in self._schedules.values():
            schedule.give_up()
        for arrivals in self._arrivals.values():
            arrivals.give_up()

    def close(self) -> None:
        """Rings no more alarms."""
        self.alarms.close()

    # --- Sharing with other workers, which there is none of ---------------------------------------------------------

    @property
    def held(self) -> bool:
        """False: nothing is dealt anew."""
        return False

    def hold(self, until_ns: int, sessions: int) -> LoadState:  # noqa: ARG002 - nothing is left to others
        """Leaves nothing to others."""
        return LoadState(sessions, ended=self.exhausted)

    def switch(self, switch: LoadSwitch) -> None:
        """Does nothing: each worker keeps its share."""

    def state(self) -> LoadState:
        """Returns the number of sessions."""
        return LoadState(self.sessions, ended=self.exhausted)
