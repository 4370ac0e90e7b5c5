"""The whole intent of a run: what to open, what to send, for how long. Frozen, checked, printable, serialisable.

`make_plan` is the one way in: it takes options as the command line and a plan file name them, reads their values, and
raises `PlanError` with every problem at once, each naming the option that caused it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ws_load_test.common.sharding import Shard
from ws_load_test.messages import Message, SetupMessage
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.fan_out import FanOut
from ws_load_test.plan.load import ClosedLoop, Load
from ws_load_test.plan.node import NodeRule
from ws_load_test.plan.ranges import Connections, Count, Duration, PerSecond, Workers
from ws_load_test.plan.scenario.estimate import publishes_per_s
from ws_load_test.plan.scenario.model import Scenario
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.session_policy import DisconnectStorm, MisbehavingClients, ReconnectPolicy
from ws_load_test.plan.target import Target
from ws_load_test.plan.timed_commands import TimedCommand

ReplyInstant = Literal["auto", "read", "kernel"]
EngineName = Literal["auto", "native", "native-epoll", "portable"]
DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""64 MiB."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole intent of a run."""

    target: Target
    """Target, and the way to it."""
    connections: Connections = 1
    """Sessions open at the same time, over all workers; the most of them, where `connection_profile` varies."""
    load: Load = ClosedLoop()
    """Load model: when messages fall due."""
    message: Message = Message()
    """Messages of the load, without their payload in a recording."""
    setup_messages: tuple[SetupMessage, ...] = ()
    """Sent once in each session, before the load, each when the reply to the one before has come."""
    correlation: Correlation = Correlation()
    """Rules by which replies answer messages."""
    fan_out: FanOut | None = None
    """Publishers and subscribers; None: every session sends, and receives its replies."""
    scenario: Scenario | None = None
    """Roles and their steps, in place of `message`, `setup_messages` and `correlation`; None: there are none."""
    duration_ns: Duration | None = None
    """Measured time; None if `messages` ends the run."""
    messages: Count | None = None
    """Messages sent in all, those of the warm-up apart; None if `duration_ns` ends the run."""
    warmup_ns: Duration = 0
    """Time that the load runs before anything counts."""
    timeout_ns: Duration = 10 * 10**9
    """Longest time that a reply can take."""
    connect_timeout_ns: Duration = 10 * 10**9
    """Longest time that opening a session can take, from name resolution to upgrade."""
    open_timeout_ns: Duration | None = None
    """Longest time of the opening, after which the load begins on the sessions that are open; None: no bound."""
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    """Payload of the largest message that is taken from the target, compressed or not."""
    connect_rate_per_s: PerSecond | None = None
    """Sessions dialed per second; None: as fast as they open."""
    connection_profile: LoadProfile | None = None
    """Open connections over the run; None: `connections`, from start to end."""
    ping_interval_ns: Duration | None = None
    """Time between two pings on each connection; the pongs have a histogram of their own."""
    reconnect: ReconnectPolicy = ReconnectPolicy()
    """Policy for sessions that are lost."""
    lifetime_ns: Duration | None = None
    """Age at which a session is closed and another opened in its place; None: no bound."""
    disconnect_storm: DisconnectStorm | None = None
    """Sessions that are cut off at one moment; None: none."""
    misbehaving: MisbehavingClients | None = None
    """Clients that misbehave on purpose; None: none."""
    node: NodeRule | None = None
    """Place where the target names the node that a session is on; None: nodes are not told apart."""
    commands: tuple[TimedCommand, ...] = ()
    """Shell commands that the machine which leads the run carries out while it goes on."""
    bind: tuple[str, ...] = ()
    """Source addresses, used in turn; empty: the system chooses."""
    name: str = ""
    """Name of the run; empty where it has none."""
    fail_if: tuple[str, ...] = ()
    """Conditions that must not hold when the run is over; `thresholds` has their grammar."""
    slo: tuple[str, ...] = ()
    """Objectives: conditions of the same grammar that must hold when the run is over."""
    abort_if: tuple[str, ...] = ()
    """The same as `fail_if`, and the run is stopped when one of them holds."""
    abort_grace_ns: Duration = 5 * 10**9
    """Measured time before the first check of `abort_if`."""
    engine: EngineName = "auto"
    """Engine that the workers run: ``auto`` is the native one where it is built and can run the plan."""
    reply_instant: ReplyInstant = "auto"
    """Instant at which a reply has come: when it was ``read``, or when the ``kernel`` received it."""
    workers: Workers = 1
    """Worker processes, on all machines together."""
    warnings: tuple[str, ...] = ()
    """Sentences about what is allowed and perhaps a mistake."""

    def redacted(self) -> Plan:
        """The same plan without secrets and without the payload: what may be written to a file or shown."""
        return msgspec.structs.replace(
            self,
            target=self.target.redacted(),
            message=self.message.without_payload(),
            setup_messages=(SetupMessage(),) * len(self.setup_messages),
            correlation=self.correlation.redacted(),
            commands=tuple(one.redacted() for one in self.commands),
            fan_out=None if self.fan_out is None else self.fan_out.redacted(),
            scenario=None if self.scenario is None else self.scenario.redacted(),
        )

    @property
    def has_deliveries(self) -> bool:
        """True if some of the sessions receive what others publish: in a fan-out, or as the audience of a scenario."""
        return self.fan_out is not None or (self.scenario is not None and bool(self.scenario.audience))

    @property
    def may_reopen_sessions(self) -> bool:
        """True if new sessions can open during the load, so that a load without any session is not over."""
        return self.replaces_sessions or self.dials_under_load

    @property
    def dials_under_load(self) -> bool:
        """True if sessions are dialed for the first time during the load."""
        arrive = self.scenario is not None and self.scenario.has_arrivals
        return arrive or self.connection_profile is not None

    @property
    def replaces_sessions(self) -> bool:
        """True if a session that ends can be followed by another of its number."""
        by_role = self.scenario is not None and self.scenario.replaces_sessions
        return self.reconnect.policy != "none" or self.lifetime_ns is not None or by_role

    @property
    def peak_publishes_per_s(self) -> float | None:
        """Highest rate of messages that a fan-out delivers; None where the steps of a scenario do not bound it."""
        return self.load.peak_per_s if self.scenario is None else publishes_per_s(self.scenario)

    def connections_in(self, shard: Shard) -> int:
        """Returns the number of connections of a worker's shard."""
        return shard.size(self.connections)
