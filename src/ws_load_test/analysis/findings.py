"""What the judges of a run look at, the reasons they give, and the words they share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.session_policy import MisbehavingClients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, IntervalStats
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.session_policy import Misbehavior

FEWEST_STRETCHES = 4
"""Intervals it takes to tell what lasts from a hiccup."""


MISBEHAVIORS: tuple[Misbehavior, ...] = ("slow_reader", "stalled_reader", "no_pong")
MISBEHAVIOR_NAMES: dict[Misbehavior, str] = {
    "slow_reader": "slow-reader",
    "stalled_reader": "stalled-reader",
    "no_pong": "no-pong",
}
"""Adjectives of reports: 5 slow-reader clients."""
"""The kinds of unkind connections."""


class FindingKind(StrEnum):
    """What there is to say about a run's numbers."""

    PAIRING = "pairing"
    GREETINGS = "greetings"
    HOST = "host"
    PROCESSOR = "processor"
    STARVED = "starved"
    THROTTLED = "throttled"
    GARBAGE = "garbage"
    SEND_LAG = "send-lag"
    LOOP_LAG = "loop-lag"
    RATE = "rate"
    QUEUE = "queue"
    UNANSWERED = "unanswered"
    FEW_SAMPLES = "few-samples"
    TOO_FAST = "too-fast"
    WRITE_BLOCKED = "write-blocked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to doubt a run's numbers."""

    kind: FindingKind
    text: str
    """What is the case and what to do about it, in one sentence without a full stop."""
    saturates: bool
    """Whether it makes the run generator-bound."""


@dataclass(frozen=True, slots=True)
class RunData:
    """Recordings, their digest and their loads."""

    recordings: Sequence[Recording]
    digest: Aggregate
    loads: tuple[dict[str, Any], ...]
    """The plans' loads."""

    @property
    def tally(self) -> Tally:
        """Everything together."""
        return self.digest.tally

    @property
    def intervals(self) -> list[IntervalStats]:
        """The measured time of all recordings."""
        return [stretch for part in self.digest.recordings for stretch in part]

    @property
    def is_closed_loop(self) -> bool:
        """Whether nothing but a flood was asked for."""
        return all(load.get("kind") == "closed" for load in self.loads)

    @property
    def limits_in_flight(self) -> bool:
        """Whether messages may have to wait for the target before they are sent."""
        return any(load.get("max_in_flight") is not None for load in self.loads)

    @property
    def correlation(self) -> Correlation | None:
        """How replies were paired; None where that is not known, or not the same in all recordings."""
        found = [correlation_of(recording) for recording in self.recordings]
        return found[0] if found and all(one == found[0] for one in found) else None

    @property
    def pipelines(self) -> bool:
        """Whether a connection may have sent another message before the reply to the last one came."""
        return any(load.get("kind") != "closed" or load.get("in_flight", 1) > 1 for load in self.loads)

    @property
    def connections_vary(self) -> bool:
        """Whether connections came and went as the plan asked."""
        return any(
            recording.header.plan.get(room)
            for recording in self.recordings
            for room in ("connection_profile", "lifetime_ns", "disconnect_storm")
        )

    @property
    def surplus_under_load(self) -> int:
        """Surplus replies since the load began: those before it can have been taken for no reply."""
        return sum(
            interval.encoded_tally.get("surplus_replies", 0)
            for recording in self.recordings
            for interval in recording.intervals
            if interval.phase != "opening"
        )

    @property
    def remedy(self) -> str:
        """What helps a worker that has too much to do."""
        hosts = [recording.header.host.get("cores") for recording in self.recordings]
        # More workers than cores would only take turns.
        full = any(
            isinstance(cores, int) and recording.header.workers >= cores
            for cores, recording in zip(hosts, self.recordings, strict=True)
        )
        ways = [] if full else ["add workers with -w"]
        ways += [] if self.is_closed_loop else ["lower the rate"]
        ways.append("use a machine with more cores" if full else "use another machine")
        return join_or(ways)

    def share(self, applies: Callable[[IntervalStats], bool]) -> float:
        """Returns the part of the measured time to which something applies; 0 where it is too short to tell."""
        stretches = self.intervals
        if len(stretches) < FEWEST_STRETCHES:
            return 0.0
        total = sum(stretch.length_ns for stretch in stretches)
        return sum(stretch.length_ns for stretch in stretches if applies(stretch)) / total if total > 0 else 0.0


def correlation_of(recording: Recording) -> Correlation | None:
    """Returns how replies were paired: in order, where a version wrote nothing of it; None for what is not known."""
    plan = recording.header.plan
    try:
        matching = msgspec.convert(plan.get("correlation", {}), Correlation)
    except msgspec.ValidationError:
        return None
    message = plan.get("message")
    if matching.rule == "order" and isinstance(message, dict) and message.get("kind") == "ping":
        # Versions that knew no rules paired pongs with pings, and nothing else.
        return msgspec.structs.replace(matching, rule="ping")
    return matching


def awaits_nothing(recordings: Sequence[Recording]) -> bool:
    """Returns whether no reply was awaited at all (``--match none``)."""
    found = [correlation_of(recording) for recording in recordings]
    return all(one is not None and one.rule == "none" for one in found)


def misbehaving_counts(plan: Mapping[str, Any]) -> dict[Misbehavior, int]:
    """Returns how many connections of a plan behave badly, by kind; empty where none does, or nobody can tell."""
    connections = plan.get("connections", 1)
    try:
        unkind = msgspec.convert(plan.get("misbehaving"), MisbehavingClients | None)
    except msgspec.ValidationError:
        return {}
    if unkind is None or not isinstance(connections, int):
        return {}
    found = list(unkind.assign(connections).values())
    return {kind: found.count(kind) for kind in MISBEHAVIORS if kind in found}


def percent(part: float) -> str:
    """Returns a part of a whole: ``12 %``, ``0.4 %``."""
    # More than the whole comes from laps that end a little after their interval.
    return f"{min(part, 1):.{0 if part >= 0.01 else 1}%}".replace("%", " %")


def join_or(ways: Sequence[str]) -> str:
    """Returns ways as a choice: ``a, b, or c``."""
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}{',' * (len(ways) > 2)} or {ways[-1]}"


def join_and(names: Sequence[str]) -> str:
    """Returns names as a list: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
