"""Findings about the numbers of a run: their kinds, and the data and helpers that all checks share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.aggregate import load_of
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.session_policy import MisbehavingClients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, IntervalStats
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.session_policy import Misbehavior

MIN_INTERVALS = 4
"""Fewest measured intervals that distinguish a lasting condition from a hiccup."""
MISBEHAVIORS: tuple[Misbehavior, ...] = ("slow_reader", "stalled_reader", "no_pong")
"""Kinds of misbehaving clients."""
MISBEHAVIOR_NAMES: dict[Misbehavior, str] = {
    "slow_reader": "slow-reader",
    "stalled_reader": "stalled-reader",
    "no_pong": "no-pong",
}
"""Adjectives of reports: 5 slow-reader clients."""


class FindingKind(StrEnum):
    """Kinds of reasons to doubt the numbers of a run."""

    PAIRING = "pairing"
    GREETINGS = "greetings"
    HOST = "host"
    """Errors of the machine that a worker ran on: this machine, or on a cluster the host that the text names."""
    PROCESSOR = "processor"
    STARVED = "starved"
    THROTTLED = "throttled"
    GARBAGE = "garbage"
    SEND_LAG = "send-lag"
    LOOP_LAG = "loop-lag"
    HOLD_UP = "hold-up"
    """Code of a role that kept the event loop to itself."""
    READ_LAG = "read-lag"
    RATE = "rate"
    QUEUE = "queue"
    UNANSWERED = "unanswered"
    FEW_SAMPLES = "few-samples"
    TOO_FAST = "too-fast"
    WRITE_BLOCKED = "write-blocked"
    NOT_GRANTED = "not-granted"
    NODES = "nodes"
    """No session showed the node that it was on (``--node``)."""
    COMMAND = "command"
    """A command of ``--run-at`` that failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to doubt a run's numbers."""

    kind: FindingKind
    text: str
    """The problem and its remedy, in one sentence without a full stop."""
    saturates: bool
    """True where it makes the run generator-bound."""


@dataclass(frozen=True, slots=True)
class RunData:
    """Recordings and their aggregate, as the checks need them."""

    recordings: Sequence[Recording]
    aggregate: Aggregate

    @property
    def loads(self) -> list[dict[str, Any]]:
        """Requested load of each recording."""
        return [load_of(recording) for recording in self.recordings]

    @property
    def tally(self) -> Tally:
        """Sum of all recordings."""
        return self.aggregate.tally

    @property
    def intervals(self) -> list[IntervalStats]:
        """Measured intervals of all recordings."""
        return [interval for intervals in self.aggregate.recordings for interval in intervals]

    @property
    def has_scenario(self) -> bool:
        """True where the steps of roles decide what is sent, and the awaits of steps what is a reply."""
        return any(recording.header.plan.get("scenario") is not None for recording in self.recordings)

    @property
    def due_when_sent(self) -> bool:
        """True where every message was due when it was sent (closed loop), so that no rate was requested."""
        return all(recording.header.due_when_sent for recording in self.recordings)

    @property
    def limits_in_flight(self) -> bool:
        """True where messages can have to wait for the target before they are sent (``--max-in-flight``)."""
        return any(load.get("max_in_flight") is not None for load in self.loads)

    @property
    def correlation(self) -> Correlation | None:
        """Correlation of replies; None where it is unknown, or not the same in all recordings."""
        correlations = [correlation_of(recording) for recording in self.recordings]
        first, *others = correlations or [None]
        return first if all(other == first for other in others) else None

    @property
    def pipelines(self) -> bool:
        """True where a connection can have sent another message before the reply to the last one came."""
        return not self.due_when_sent or any(load.get("in_flight", 1) > 1 for load in self.loads)

    @property
    def connections_vary(self) -> bool:
        """True where the plan opens and closes connections during the load."""
        return any(
            recording.header.plan.get(field)
            for recording in self.recordings
            for field in ("connection_profile", "lifetime_ns", "disconnect_storm")
        )

    @property
    def surplus_under_load(self) -> int:
        """Surplus replies since the load began; earlier ones cannot have been taken for replies."""
        return sum(
            interval.encoded_tally.get("surplus_replies", 0)
            for recording in self.recordings
            for interval in recording.intervals
            if interval.phase != "opening"
        )

    @property
    def remedy(self) -> str:
        """Advice for a worker that has too much to do."""
        core_counts = [recording.header.host.get("cores") for recording in self.recordings]
        # More workers than cores would only take turns.
        full = any(
            isinstance(cores, int) and recording.header.workers >= cores
            for cores, recording in zip(core_counts, self.recordings, strict=True)
        )
        ways = [] if full else ["add workers with -w"]
        ways += [] if self.due_when_sent else ["lower the rate"]
        ways.append("use a machine with more cores" if full else "use another machine")
        return join_or(ways)

    def share(self, applies: Callable[[IntervalStats], bool]) -> float:
        """Returns the share of the measured time to which a condition applies; 0 where it is too short to tell."""
        intervals = self.intervals
        if len(intervals) < MIN_INTERVALS:
            return 0.0
        total = sum(interval.length_ns for interval in intervals)
        return sum(interval.length_ns for interval in intervals if applies(interval)) / total if total > 0 else 0.0


def correlation_of(recording: Recording) -> Correlation | None:
    """Returns the correlation of replies: in order, where a version wrote none; None where it cannot be read."""
    plan = recording.header.plan
    try:
        correlation = msgspec.convert(plan.get("correlation", {}), Correlation)
    except msgspec.ValidationError:
        return None
    message = plan.get("message")
    if correlation.rule == "order" and isinstance(message, dict) and message.get("kind") == "ping":
        # Versions without rules paired pongs with pings, and nothing else.
        return msgspec.structs.replace(correlation, rule="ping")
    return correlation


def awaits_replies(recordings: Sequence[Recording]) -> bool:
    """False where no reply was awaited in any recording (``--match none``)."""
    correlations = map(correlation_of, recordings)
    return any(correlation is None or correlation.rule != "none" for correlation in correlations)


def has_streams(recordings: Sequence[Recording]) -> bool:
    """True where answers of some recording are many messages (``--until``)."""
    return any(found is not None and found.stream is not None for found in map(correlation_of, recordings))


def sends_messages(recordings: Sequence[Recording]) -> bool:
    """False where every recording is of a run that only held its connections (``--rate 0``)."""
    return any(_sends(load_of(recording)) for recording in recordings)


def _sends(load: Mapping[str, Any]) -> bool:
    """Returns False for a schedule of rate 0; True where the load cannot be read."""
    try:
        return load.get("kind") != "open" or msgspec.convert(load.get("rate"), LoadProfile).peak > 0
    except (msgspec.ValidationError, ValueError):
        return True


def misbehaving_counts(plan: Mapping[str, Any]) -> dict[Misbehavior, int]:
    """Returns the number of a plan's misbehaving connections by kind; empty where there are none or it is unknown."""
    connections = plan.get("connections", 1)
    try:
        clients = msgspec.convert(plan.get("misbehaving"), MisbehavingClients | None)
    except msgspec.ValidationError:
        return {}
    if clients is None or not isinstance(connections, int):
        return {}
    kinds = list(clients.assign(connections).values())
    return {kind: kinds.count(kind) for kind in MISBEHAVIORS if kind in kinds}


def percent(share: float) -> str:
    """Returns a measured share as text, at most 100 %: ``12 %``, ``0.4 %``; `format_share` shows a configured one."""
    # More than 1 comes from usage samples that end a little after their interval.
    return f"{min(share, 1):.{0 if share >= 0.01 else 1}%}".replace("%", " %")


def join_or(ways: Sequence[str]) -> str:
    """Returns alternatives: ``a, b, or c``."""
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}{',' * (len(ways) > 2)} or {ways[-1]}"


def join_and(names: Sequence[str]) -> str:
    """Returns an enumeration: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
