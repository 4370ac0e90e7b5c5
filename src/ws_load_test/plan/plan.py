"""The whole intent of a run: what to open, what to send, for how long. Frozen, checked, printable, serialisable.

`make_plan` is the one way in: it takes options as the command line and a plan file name them, reads their values, and
raises `PlanError` with every problem at once, each naming the option that caused it.
"""

from __future__ import annotations

import msgspec

from ws_load_test.common.sharding import Shard
from ws_load_test.messages import Message, SetupMessage
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import ClosedLoop, Load
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.session_policy import DisconnectStorm, MisbehavingClients, ReconnectPolicy
from ws_load_test.plan.target import Target


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole intent of a run."""

    target: Target
    connections: int = 1
    load: Load = ClosedLoop()
    message: Message = Message()
    setup_messages: tuple[SetupMessage, ...] = ()
    """Sent once in each session, before the load, each when the reply to the one before has come."""
    correlation: Correlation = Correlation()
    duration_ns: int | None = None
    """How long messages are sent and measured; None when `messages` says when to stop."""
    messages: int | None = None
    """How many messages are sent in all, the warm-up's apart; None when `duration_ns` says when to stop."""
    warmup_ns: int = 0
    """How long the load runs before anything counts."""
    timeout_ns: int = 10 * 10**9
    """How long a reply may take."""
    connect_timeout_ns: int = 10 * 10**9
    """How long opening a session may take, name resolution to upgrade."""
    connect_rate_per_s: float | None = None
    """How many sessions are dialled a second; None: as fast as they open."""
    connection_profile: LoadProfile | None = None
    """How many connections are open over the run; None: `connections`, from start to end."""
    ping_interval_ns: int | None = None
    """How often every connection is pinged; the pongs have a histogram of their own."""
    reconnect: ReconnectPolicy = ReconnectPolicy()
    lifetime_ns: int | None = None
    """How long a session lives before it is closed and another opened in its place; None: to the end."""
    disconnect_storm: DisconnectStorm | None = None
    misbehaving: MisbehavingClients | None = None
    bind: tuple[str, ...] = ()
    """Source addresses, taken in turn; empty: what the system chooses."""
    fail_if: tuple[str, ...] = ()
    """Conditions that must not hold when the run is over; `verdict_options` has their grammar."""
    abort_if: tuple[str, ...] = ()
    """The same, and the run is stopped when one of them holds."""
    abort_grace_ns: int = 5 * 10**9
    """How long must have been measured before `abort_if` is looked at."""
    workers: int = 1
    warnings: tuple[str, ...] = ()
    """What is allowed and yet perhaps not meant, a sentence for each."""

    def redacted(self) -> Plan:
        """The same plan without secrets and without the payload: what may be written to a file or shown."""
        return msgspec.structs.replace(
            self,
            target=self.target.redacted(),
            message=self.message.without_payload(),
            setup_messages=(SetupMessage(),) * len(self.setup_messages),
            correlation=self.correlation.redacted(),
        )

    @property
    def may_reopen_sessions(self) -> bool:
        """Whether new sessions may open during the load, so that one without any is not over."""
        comes_back = self.reconnect.policy != "none" or self.lifetime_ns is not None
        return comes_back or self.connection_profile is not None

    def connections_in(self, share: Shard) -> int:
        """How many connections a worker's share has."""
        return share.size(self.connections)
