"""Model of a scenario: roles, and what a session of each does from its opening to its end.

A role is a group of sessions that behave alike. A session goes once through the steps of `open`, again and again
through its `steps` (an *iteration* each), and once through those of `leave`. Beside them it reacts: each message that
completes no step is tried against the reactions (`on`) in their order, and is a push if none takes it; timers send
every so often. Plan files and presets are read into this model (`plan.options.scenario`); the engine compiles it, and
nothing else interprets it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ws_load_test.plan.correlation import DEFAULT_STALL_NS, Check
from ws_load_test.plan.fan_out import FanOut, Recovery, RoleSessions, SelfDelivery, SessionRange
from ws_load_test.plan.ranges import Connections, Duration, PerSecond, PositiveCount, PositiveDuration, Seed
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.plan.schedule import Arrivals

CloseCode = Annotated[int, msgspec.Meta(ge=1000, le=4999)]
LARGEST_ITERATIONS = 10**9
"""Iterations of one session: more take years."""
Iterations = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_ITERATIONS)]


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a message that a session sends."""

    payload: bytes = b""
    """Content, in which fields are filled in for each message; empty in a recording."""
    binary: bool = False
    """True for a binary message."""
    is_template: bool = False
    """True if it has fields."""


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a session takes out of a message and keeps for ``{my.NAME}``."""

    name: str
    """Name of the value in fields."""
    place: str
    """Place in the message: ``json:PATH`` or ``regex:PATTERN``, of which the first group is the value."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step: waits, sends, or waits for a message; often two or three of them, in this order."""

    name: str
    """Name under which its times are counted; steps of one name share them."""
    wait: WaitTime | None = None
    """Time before it; None: it follows at once."""
    send: Text | None = None
    """Message that it sends; None: it sends none."""
    awaits: tuple[Check, ...] = ()
    """Checks that the message must satisfy which completes it, all of them; their operands and values may have fields.
    Empty: it is complete once it has sent."""
    first: tuple[Check, ...] = ()
    """Checks of which one makes a message the first that counts of a streamed answer; empty: the first that comes."""
    until: tuple[Check, ...] = ()
    """Checks of which one makes a message the last of a streamed answer, which completes the step."""
    count: str = ""
    """Place of a number in the last message of a streamed answer; empty: none is read."""
    captures: tuple[Capture, ...] = ()
    """Values that are taken out of the message that completes it."""
    expect: tuple[Check, ...] = ()
    """Checks that this message must satisfy besides; one that fails is a fault, and the session goes on."""
    timeout_ns: PositiveDuration | None = None
    """Longest time until it is complete, after which the session has failed at this step; None: the plan's time-out."""
    deliver_to: str = ""
    """Role whose sessions in the same room receive what it sends with ``{marker}``; empty: none."""
    self_delivery: SelfDelivery = "either"
    """Delivery to the sender itself, where it is of that role: may come, must, or must not."""
    weight: float | None = None
    """Relative frequency; steps that follow each other and have one are a choice, of which one is taken each time."""
    close: CloseCode | None = None
    """Code of the close handshake that ends the session here, on purpose; None: it goes on."""

    @property
    def awaits_message(self) -> bool:
        """True if a message of the target completes it."""
        return bool(self.awaits or self.until)


class Reaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reaction to messages that complete no step: counts them, and answers if it has an answer."""

    name: str
    """Name under which they are counted."""
    when: tuple[Check, ...]
    """Checks that such a message must satisfy, all of them; their operands and values may have fields."""
    send: Text | None = None
    """Answer to each; None: there is none."""
    captures: tuple[Capture, ...] = ()
    """Values that are taken out of each."""
    fault: str = ""
    """Name of the fault that each is; empty: it is none."""
    sequence: str = ""
    """Place of a number that grows by one from message to message; empty: there is none."""
    per: str = ""
    """Place of a value for each of which the numbers are apart; empty: they are not."""
    restarts: str = ""
    """Name of the reaction whose numbers begin anew with such a message; empty: of none."""
    age: str = ""
    """Place of the target's time stamp, in ms since 1970; empty: there is none."""
    silence_ns: PositiveDuration | None = None
    """Longest time without such a message that is no stall; None: no bound."""


class Timer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step that a session takes every so often, from its opening to its end, beside its other steps."""

    every_ns: PositiveDuration
    """Time from one to the next."""
    step: Step
    """Step that is taken; it neither waits nor closes."""


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions that behave alike; what ``like`` took from another role is in place."""

    name: str
    """Name of the role."""
    sessions: Connections
    """Sessions at the same time; where sessions arrive, the most of them (``at-most``)."""
    arrive_per_s: PerSecond | None = None
    """Rate at which sessions arrive, over all workers; None: all are there from the start."""
    arrivals: Arrivals = "constant"
    """Even distances between arriving sessions, or those of a Poisson process."""
    seed: Seed = 0
    """Seed of Poisson arrivals and of nothing else."""
    stay: WaitTime | None = None
    """Time that a session stays, from its opening; another takes its place. None: to the end of the run."""
    iterations: tuple[Iterations, Iterations] | None = None
    """Fewest and most iterations of a session, after which it leaves; None: no bound."""
    rate_per_s: PerSecond | None = None
    """Iterations that fall due a second, over all sessions of the role; None: each follows the one before."""
    open: tuple[Step, ...] = ()
    """Steps that each session takes once, before all others."""
    steps: tuple[Step, ...] = ()
    """Steps that each session takes again and again."""
    leave: tuple[Step, ...] = ()
    """Steps that each session takes once, before it is closed."""
    reactions: tuple[Reaction, ...] = ()
    """Reactions to messages that complete no step, in the order in which they are tried."""
    timers: tuple[Timer, ...] = ()
    """Steps that each session takes every so often."""
    python: str = ""
    """Coroutine that the sessions run instead of steps: ``game.py:player``; empty: none."""
    deliver_to: str = ""
    """Role whose sessions in the same room receive what this coroutine sends with ``{marker}``; empty: none."""
    self_delivery: SelfDelivery = "either"
    """Delivery to the sender itself, where it is of that role: may come, must, or must not."""

    @property
    def replaces_sessions(self) -> bool:
        """True if a session that has left is followed by another of its number."""
        return self.arrive_per_s is None and (self.stay is not None or self.iterations is not None)

    @property
    def publishes_to(self) -> frozenset[str]:
        """Names of the roles to whose sessions its messages are delivered."""
        every = (*self.open, *self.steps, *self.leave, *(timer.step for timer in self.timers))
        return frozenset(name for name in (self.deliver_to, *(step.deliver_to for step in every)) if name)


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All roles of a run, in the order of the plan file.

    Session numbers are dealt by roles: those of the first role from 0, then those of the second, and so on. A session
    that takes the place of another has its number.
    """

    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1)]
    """Roles, in the order of the plan file."""
    protocol: str = ""
    """Name of the preset that its first steps and reactions come from; empty: none."""
    rooms: tuple[str, ...] = ()
    """Names of the rooms; session i of a role is in room i mod their number. Empty: there are none."""
    stall_ns: Duration = DEFAULT_STALL_NS
    """Longest gap between two messages of a streamed answer that is no stall."""
    recovery: Recovery = "none"
    """Deliveries of what was published while a session was away: they need not come, or must."""
    timed: PositiveCount | None = None
    """Sessions of the audience whose deliveries are timed, evenly picked, those to others being counted; None: all."""

    @property
    def audience(self) -> str:
        """Name of the role whose sessions receive what others publish; empty without one."""
        names = {role.name for role in self.roles}
        # One that is no role has been reported, and is none.
        return next((name for role in self.roles for name in sorted(role.publishes_to & names)), "")

    @property
    def fan_out(self) -> FanOut | None:
        """Publishers and subscribers as the accounting of deliveries has them; None without an audience."""
        audience = next((role for role in self.roles if role.name == self.audience), None)
        if audience is None:
            return None

        def sessions_of(role: Role) -> SessionRange:
            return SessionRange(self.first_number(role.name), role.sessions)

        publishing = [role for role in self.roles if role.publishes_to]
        return FanOut(
            publishers=sum(role.sessions for role in publishing),
            subscribers=audience.sessions,
            rooms=self.rooms or ("0",),
            self_delivery=self.self_delivery,
            recovery=self.recovery,
            timed=self.timed,
            by_role=RoleSessions(self.sessions, sessions_of(audience), tuple(map(sessions_of, publishing))),
        )

    @property
    def self_delivery(self) -> SelfDelivery:
        """Delivery to a sender itself; the same for all steps."""
        for role in self.roles:
            publishing: tuple[Role | Step, ...] = (role, *role.steps)
            for one in publishing:
                if one.deliver_to:
                    return one.self_delivery
        return "either"

    @property
    def sessions(self) -> int:
        """Sessions at the same time, the most of them."""
        return sum(role.sessions for role in self.roles)

    @property
    def replaces_sessions(self) -> bool:
        """True if sessions of any role leave, and others take their places."""
        return any(role.replaces_sessions for role in self.roles)

    @property
    def has_arrivals(self) -> bool:
        """True if sessions of any role arrive on a schedule."""
        return any(role.arrive_per_s is not None for role in self.roles)

    def first_number(self, role: str) -> int:
        """Returns the number of a role's first session.

        Raises:
            KeyError: There is no such role.
        """
        first = 0
        for one in self.roles:
            if one.name == role:
                return first
            first += one.sessions
        raise KeyError(role)

    def place_of(self, connection: int) -> tuple[Role, int]:
        """Returns the role of a session, and its number in it.

        Raises:
            IndexError: No session has this number.
        """
        number = connection
        for role in self.roles:
            if number < role.sessions:
                return role, number
            number -= role.sessions
        raise IndexError(connection)

    def room_of(self, connection: int) -> str:
        """Returns the name of the room that a session is in; empty without rooms."""
        return self.rooms[self.place_of(connection)[1] % len(self.rooms)] if self.rooms else ""

    def redacted(self) -> Scenario:
        """Returns the same without the contents of messages, which a recording must not hold."""

        def bare_text(text: Text | None) -> Text | None:
            return None if text is None else msgspec.structs.replace(text, payload=b"")

        def bare_steps(steps: tuple[Step, ...]) -> tuple[Step, ...]:
            return tuple(msgspec.structs.replace(step, send=bare_text(step.send)) for step in steps)

        roles = tuple(
            msgspec.structs.replace(
                role,
                open=bare_steps(role.open),
                steps=bare_steps(role.steps),
                leave=bare_steps(role.leave),
                reactions=tuple(msgspec.structs.replace(one, send=bare_text(one.send)) for one in role.reactions),
                timers=tuple(
                    msgspec.structs.replace(timer, step=bare_steps((timer.step,))[0]) for timer in role.timers
                ),
            )
            for role in self.roles
        )
        return msgspec.structs.replace(self, roles=roles)


def split_place(place: str) -> tuple[str, str]:
    """Returns the path of the file and the name of the role of ``game.py:player``."""
    path, _, name = place.rpartition(":")
    return path, name
