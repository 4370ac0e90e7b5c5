"""The whole intent of a run: what to open, what to send, for how long. Frozen, checked, printable, serialisable.

`make_plan` is the one way in: it takes options as the command line and a plan file name them, reads their values, and
raises `PlanError` with every problem at once, each naming the option that caused it.
"""

from __future__ import annotations

import msgspec

from ws_load_test.common.sharding import Shard
from ws_load_test.common.units import (
    format_count,
    format_duration,
    format_rate,
    format_share,
)
from ws_load_test.messages import Message, SetupMessage
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.session_policy import DisconnectStorm, MisbehavingClients, ReconnectPolicy
from ws_load_test.plan.target import Target


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole intent of a run."""

    target: Target
    connections: int = 1
    load: ClosedLoop | OpenLoop = ClosedLoop()
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

    def describe(self) -> list[tuple[str, str]]:
        """The plan in words, secrets hidden: a label and a sentence part for each line."""
        length = (
            format_duration(self.duration_ns)
            if self.duration_ns is not None
            else f"{format_count(self.messages or 0)} messages in all"
        )
        if self.warmup_ns:
            length += f", after a warm-up of {format_duration(self.warmup_ns)} that is not counted"
        lines = [
            ("connections", self._describe_connections()),
            ("load", self._describe_load()),
            ("message", self.message.describe()),
            ("replies", self.correlation.describe()),
            ("length", length),
            (
                "timeouts",
                f"{format_duration(self.timeout_ns)} for a reply, {format_duration(self.connect_timeout_ns)} to open",
            ),
            ("workers", f"{self.workers} {'process' if self.workers == 1 else 'processes'}"),
        ]
        if self.ping_interval_ns is not None:
            lines.append(("keep-alive", f"a ping on each connection every {format_duration(self.ping_interval_ns)}"))
        if self.bind:
            lines.append(("bind", f"{self.bind[0]} and {len(self.bind) - 1} more" if self.bind[1:] else self.bind[0]))
        return [*self.target.describe(), *lines, *self._describe_sessions(), *self._describe_verdict()]

    def _describe_verdict(self) -> list[tuple[str, str]]:
        lines = [("fails if", " or ".join(self.fail_if))] if self.fail_if else []
        if self.abort_if:
            lines.append(("aborts if", f"{' or '.join(self.abort_if)}, after {format_duration(self.abort_grace_ns)}"))
        return lines

    def _describe_sessions(self) -> list[tuple[str, str]]:
        lines = []
        if self.setup_messages:
            words = "is sent and its reply awaited" if len(self.setup_messages) == 1 else "are sent, each after a reply"
            lines.append(("first", f"{format_count(len(self.setup_messages))} {words} before the load"))
        if self.message.feed is not None:
            lines.append(("feed", self.message.feed.describe()))
        if self.reconnect.policy != "none":
            lines.append(("lost", self.reconnect.describe()))
        if self.lifetime_ns is not None:
            lines.append(("lifetime", f"{format_duration(self.lifetime_ns)}, then closed and another opened instead"))
        if self.disconnect_storm is not None:
            moment = format_duration(self.disconnect_storm.at_ns)
            lines.append(
                ("storm", f"{format_share(self.disconnect_storm.share)} of the connections are cut off after {moment}")
            )
        if self.misbehaving is not None:
            lines.append(("misbehaving", self.misbehaving.describe()))
        return lines

    def _describe_load(self) -> str:
        if isinstance(self.load, ClosedLoop):
            return (
                f"closed: {format_count(self.load.in_flight)} in flight on each connection, the next when a reply comes"
            )
        if not self.load.rate.peak:
            return "none: the connections are held open"
        words = f"open: {self.load.rate.describe(format_rate)}"
        if self.load.arrivals == "poisson":
            words += f", Poisson arrivals of seed {self.load.seed}"
        if self.load.max_in_flight is not None:
            words += f", at most {format_count(self.load.max_in_flight)} in flight on each connection"
        return words

    def _describe_connections(self) -> str:
        if self.connection_profile is not None:
            return self.connection_profile.describe(format_count)
        if self.connect_rate_per_s is None:
            return f"{format_count(self.connections)}, opened as fast as the target takes them"
        last_ns = (self.connections - 1) * 1e9 / self.connect_rate_per_s
        rate = format_rate(self.connect_rate_per_s)
        return f"{format_count(self.connections)}, opened at {rate}, the last after {format_duration(last_ns)}"
