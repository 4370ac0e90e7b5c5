"""Load of one session that a test plays: without waits, without a server, and without files."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.scenario.alarms import DEADLINE, Alarms
from ws_load_test.engine.scenario.compiled_step import StepTimes
from ws_load_test.engine.scenario.player import WAIT
from ws_load_test.engine.scenario.repeating import TICK, RepeatingStep
from ws_load_test.engine.scenario.role_code import RoleCode
from ws_load_test.engine.scenario.scenario_load import ScenarioLoad
from ws_load_test.engine.scenario.texts import Texts
from ws_load_test.messages.feed import Feed
from ws_load_test.messages.generator import MessageGenerator
from ws_load_test.messages.marker import MarkerCodec
from ws_load_test.plan.load import RoleLoad
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.scenario.model import Role, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ws_load_test.engine.scenario.alarms import AlarmTarget, DeadlineTarget
    from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
    from ws_load_test.engine.scenario.scenario_load import SessionKeeper
    from ws_load_test.engine.scenario.texts import Speaker
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.feed import Order
    from ws_load_test.messages.publication import Publication
    from ws_load_test.messages.template_field import Row
    from ws_load_test.plan.scenario.python_role import PythonRole

FOREVER_NS = 1 << 62
"""An instant after the end of any test."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Plan of a session, as far as a test gives it."""

    iterations: int
    room: str
    feed: Mapping[str, str]
    """Row of the session by its columns."""
    env: Mapping[str, str]
    """Variables of the environment."""
    protocol: str
    """Name of a preset; empty: none."""
    fill: Mapping[str, str]
    """Texts for the places of the preset."""


class NoWaits(Alarms):
    """Alarms of which a wait rings in the next turn of the loop, a time-out and a timer when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self._time_outs: list[tuple[int, DeadlineTarget]] = []
        self._timers: list[tuple[int, RepeatingStep]] = []
        self._rings_next = False

    def set(self, at_ns: int, target: AlarmTarget, kind: int) -> None:
        """Rings a wait soon, and keeps others."""
        if isinstance(target, RepeatingStep):
            self._timers.append((at_ns, target))
        elif kind == WAIT:
            asyncio.get_running_loop().call_soon(target.on_alarm, kind, at_ns)

    def set_deadline(self, at_ns: int, target: DeadlineTarget) -> None:
        """Keeps a time-out, unless the test has asked for the next one."""
        self._time_outs.append((at_ns, target))
        if self._rings_next:
            asyncio.get_running_loop().call_soon(self.ring_deadlines)

    def ring_deadlines(self) -> None:
        """Rings all time-outs, and those that they put off."""
        self._rings_next = False
        while self._time_outs:
            at_ns, target = self._time_outs.pop(0)
            target.on_alarm(DEADLINE, at_ns)

    def ring_next_deadline(self) -> None:
        """Rings the time-out of the next step as soon as it awaits a message."""
        self._rings_next = True

    def ring_timers(self) -> int:
        """Rings each timer once; returns how many there are."""
        due, self._timers = self._timers, []
        for at_ns, timer in due:
            timer.on_alarm(TICK, at_ns)
        return len(due)


class Publishes:
    """Publishers of one session: its markers are the same in every test."""

    def __init__(self, publication: Publication, room: str) -> None:
        self._publication = publication
        self._room = room
        self._codec = MarkerCodec(b"000")
        self._latest = ""
        self.markers: list[str] = []
        """Markers of the messages that have left."""

    def prepare(self, speaker: Speaker, due_ns: int) -> None:  # noqa: ARG002 - there is one, and time stands still
        """Sets marker and room of the message that leaves next."""
        self._latest = self._codec.encode(0, len(self.markers), 0, 0).decode()
        self._publication.marker, self._publication.room = self._latest, self._room

    def confirm(self, speaker: Speaker) -> None:  # noqa: ARG002 - there is one
        """Takes note that the message has left."""
        self.markers.append(self._latest)


class _WithoutFile(MessageGenerator):
    """Messages of a session whose row of the feed is the test's."""

    row: Row = ()

    def _feed_rows(self, order: Order | None = None) -> Generator[Row]:  # noqa: ARG002 - there is one row
        while True:
            yield self.row


def load_of(
    role: PythonRole,
    around: Surroundings,
    keeper: SessionKeeper,
    on_idle: Callable[[Connection], None],
    player_type: type[CoroutinePlayer],
) -> tuple[ScenarioLoad, Publishes]:
    """Returns the load of one session of a role, and its publishers.

    Raises:
        PlanError: There is no such preset, or no such place in it.
    """
    first = _first_of(around)
    model = Role(
        role.__name__,
        1,
        iterations=(around.iterations, around.iterations),
        open=first.open,
        reactions=(*first.reactions, *role.reactions),
        timers=first.timers,
        deliver_to=role.deliver_to,
    )
    scenario = Scenario(roles=(model,), rooms=(around.room,) if around.room else ())
    plan = msgspec.structs.replace(make_plan("ws://test", workers=1), scenario=scenario, load=RoleLoad())
    columns = tuple(around.feed)
    feed = Feed("the test", "csv", columns, used=columns) if columns else None
    message = msgspec.structs.replace(plan.message, feed=feed, environment=dict(around.env))
    share = Shard(0, 1)
    load = ScenarioLoad(plan, share, on_idle)
    source = _WithoutFile(message, share, scenario.room_of)
    source.row = tuple(around.feed.values())
    load.compile(source, lambda _: source.row)
    compiled = load.roles[0]
    place = f"{inspect.getsourcefile(role.coroutine) or ''}:{role.__name__}"
    named = msgspec.structs.replace(model, python=place)
    compiled.run_code(RoleCode(named, role, Texts(source), load.rows, StepTimes(plan.timeout_ns, scenario.stall_ns)))
    publishes = Publishes(source.publication, around.room or "0")
    compiled.publish_by(publishes)
    load.coroutine_player_type = player_type
    load.keeper = keeper
    load.start((), monotonic_ns(), FOREVER_NS)
    return load, publishes


def _first_of(around: Surroundings) -> Role:
    """Returns what every role does first: nothing without a preset."""
    if not around.protocol:
        return Role("every", 1)
    waits = {"every": {"steps": [{"wait": "1s"}]}}
    rooms = [around.room] if around.room else None
    plan = make_plan("ws://test", protocol=around.protocol, fill=dict(around.fill) or None, role=waits, rooms=rooms)
    assert plan.scenario is not None
    return plan.scenario.roles[0]
