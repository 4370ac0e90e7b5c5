"""What a run's numbers lack, though the generator was not the bottleneck: told, and no more."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.findings import (
    Finding,
    FindingKind,
    RunData,
    join_and,
    percent,
)
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.plan.schedule import LoadProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.plan.correlation import Correlation

SHORT = 0.01
"""Of the messages: less is the edge of the measured time."""
GROWING = 1.5
"""Times what a steady queue holds at the end: 1 if the target keeps up, 2 if its queue grows all the time."""
NOT_CHANCE = 10
"""Messages more than that in a queue."""
TOO_FAST_NS = 2_000
"""A message needs two system calls of at least a microsecond to leave and to be answered."""
BLOCKED = 0.01
"""Of the time with a full send buffer: less, and it shows in no percentile below p99."""
MOST_GREETINGS = 10
"""Messages that came too many for each session: more are no greetings."""
MIN_TAIL_SAMPLES = 10
"""Below so many values on its far side a percentile says more about chance than about the target."""
PERCENTILES = ("5", "10", "50", "75", "90", "95", "99", "99.9", "99.99")


def data_quality_findings(evidence: RunData, *, late: bool) -> Iterator[Finding]:
    """Yields what is to be told of a run in which the generator was too slow, or was not."""
    yield from _pairing(evidence)
    yield from _rate(evidence, late=late)
    yield from _queue(evidence, late=late)
    for look in (_unanswered, _few_samples, _too_fast, _write_blocked):
        yield from look(evidence)


def too_few_in_tail(percentile: str, count: int) -> bool:
    """Returns whether fewer than `FEW` of `count` values lie on the percentile's far side."""
    share = Fraction(percentile) / 100
    return count * min(share, 1 - share) < MIN_TAIL_SAMPLES


def _pairing(evidence: RunData) -> Iterator[Finding]:
    """Replies that were paired with the wrong messages, or with none."""
    matching = evidence.correlation
    if matching is None:
        return
    if matching.by_id:
        yield from _pairing_by_id(evidence, matching)
    elif matching.rule == "order" and evidence.tally.surplus_replies:
        yield _pairing_in_order(evidence)
    elif (
        matching.rule == "order"
        and evidence.tally.faults["reply-timeout"]
        and (evidence.pipelines or evidence.tally.greetings)
    ):
        yield _pairing_with_gaps(evidence, matching)


def _pairing_in_order(evidence: RunData) -> Finding:
    tally = evidence.tally
    for_each, rest = divmod(tally.surplus_replies, max(1, tally.opened))
    greets = not rest and for_each <= MOST_GREETINGS
    too_many = f"{format_count(tally.surplus_replies)} message{'s' * (tally.surplus_replies > 1)}"
    if not evidence.surplus_under_load:
        option = f"--skip-first {for_each}" if greets else "--skip-first N"
        text = (
            f"{too_many} came before the load began, and no time is wrong for it; if sessions begin with greetings, say"
            f" so with {option}, because one that comes later would be taken for a reply"
        )
        return Finding(FindingKind.GREETINGS, text, saturates=False)
    came = f"{format_count(tally.answered + tally.surplus_replies)} for the {format_count(tally.sent)} sent"
    text = (
        f"{too_many} came too many ({came}), and replies are paired in order: pushes were probably taken for replies,"
        " so the pairing is not to be trusted, and every response time may be wrong; tell replies by their id with"
        " --match json:PATH, --match regex:PATTERN or --match echo, or say what a push is with --ignore CHECK"
    )
    if greets:
        text += f"; that is {for_each} for each session: if these are greetings, --skip-first {for_each} is enough"
    return Finding(FindingKind.PAIRING, text, saturates=False)


def _pairing_with_gaps(evidence: RunData, matching: Correlation) -> Finding:
    """A reply that is lost, and not just late, leaves its place to the next one."""
    given_up = evidence.tally.faults["reply-timeout"]
    text = (
        f"{format_count(given_up)} session{'s were' if given_up > 1 else ' was'} given up for want of a reply, and"
        " replies are paired in order: if one was lost, each later one of its session was taken for the one before it,"
        " and the times of these are too long; tell replies by their id with --match json:PATH, --match regex:PATTERN"
        " or --match echo"
    )
    if evidence.tally.greetings:
        text += f"; or is --skip-first {matching.greetings} more than there are greetings, so that it took replies?"
    return Finding(FindingKind.PAIRING, text, saturates=False)


def _pairing_by_id(evidence: RunData, matching: Correlation) -> Iterator[Finding]:
    """A rule that has found not one reply."""
    tally = evidence.tally
    if tally.answered or not tally.sent:
        return
    none = f"not one of the {format_count(tally.sent)} messages was answered"
    came = f"{format_count(tally.pushed)} other{'s' * (tally.pushed > 1)} came"
    if matching.rule == "echo":
        though = f", though {came}" if tally.pushed else ""
        text = (
            f"{none} with its own contents{though}: is it an echo server? If not, take another rule than --match echo"
        )
    elif tally.unknown_id:
        text = (
            f"{none}, and {format_count(tally.unknown_id)} came whose id was none of theirs: it is probably not where"
            f" --match {matching.rule}:{matching.selector} looks in a reply"
        )
    elif tally.pushed:
        text = f"{none}, and {came} without an id where --match {matching.rule}:{matching.selector} looks for it"
    else:
        return
    yield Finding(FindingKind.PAIRING, text, saturates=False)


def _rate(evidence: RunData, *, late: bool) -> Iterator[Finding]:
    """Messages of a schedule that were never sent."""
    tally = evidence.tally
    missing = tally.due - tally.sent
    if evidence.is_closed_loop or missing <= SHORT * tally.due:
        return
    causes = ["the generator could not send them in time"] if late else []
    if evidence.limits_in_flight:
        causes.append("too few replies came to make room for them under --max-in-flight")
    if tally.lost or tally.failed:
        causes.append("connections had failed or were lost")
    elif evidence.connections_vary:
        causes.append("no connection of their worker was open at their time")
    many = f"{format_count(missing)} of the {format_count(tally.due)} messages that were due"
    why = " and ".join(causes) or "the run ended before they had left"
    text = (
        f"{many}, {percent(missing / tally.due)}, were dropped, because {why}: the target got less than the asked rate"
    )
    yield Finding(FindingKind.RATE, text, saturates=False)


def _queue(evidence: RunData, *, late: bool) -> Iterator[Finding]:
    """A schedule of which replies come ever later, so that the throughput stays behind the rate."""
    tally, mean_ns = evidence.tally, evidence.tally.response_time_ns.mean()
    behind = tally.sent - tally.answered_in_window - tally.unanswered
    if evidence.is_closed_loop or mean_ns is None or behind <= SHORT * tally.sent:
        return
    # As many as arrive while one is answered (Little's law), at the highest rate of all machines together.
    steady = sum(map(_peak_per_s, evidence.loads)) * mean_ns / 1e9
    if behind <= GROWING * steady + NOT_CHANCE:
        return
    who = "the target or the generator" if late else "the target"
    many = f"{format_count(behind)} of the {format_count(tally.sent)} messages sent"
    text = (
        f"{many}, {percent(behind / tally.sent)}, were answered only after the measured time, and the queue was"
        f" growing: {who} did not keep up with the rate, and the longer the run, the longer the times"
    )
    yield Finding(FindingKind.QUEUE, text, saturates=False)


def _unanswered(evidence: RunData) -> Iterator[Finding]:
    tally = evidence.tally
    if tally.unanswered and tally.response_time_ns.count:
        least = tally.unanswered_wait_ns.min
        waited = "" if least is None else f", which had waited at least {format_duration(least)}"
        many = f"{format_count(tally.unanswered)} unanswered message{'s' * (tally.unanswered > 1)}"
        text = f"the percentiles lack {many}{waited}: read the highest ones as lower bounds"
        yield Finding(FindingKind.UNANSWERED, text, saturates=False)


def _few_samples(evidence: RunData) -> Iterator[Finding]:
    count = evidence.tally.response_time_ns.count
    few = [f"p{percentile}" for percentile in PERCENTILES if too_few_in_tail(percentile, count)] if count else []
    if few:
        which = "all percentiles" if len(few) == len(PERCENTILES) else join_and(few)
        rest = "rests" if len(few) == 1 else "rest"
        text = f"{which} {rest} on fewer than {MIN_TAIL_SAMPLES} of {format_count(count)} answers, so chance decides: run longer"
        yield Finding(FindingKind.FEW_SAMPLES, text, saturates=False)


def _too_fast(evidence: RunData) -> Iterator[Finding]:
    times = evidence.tally.service_time_ns
    if times.min is not None and times.min < TOO_FAST_NS:
        why = (
            "the clock's steps are coarser than the times: read nothing below the lowest time that is not 0"
            if times.min == 0
            else "that is less than sending takes: check that the target answers each message once, and pushes none"
        )
        shown = f"{format_duration(times.min)}, and half of them up to {format_duration(times.percentile(50))}"
        text = f"the fastest reply took {shown}; {why}"
        yield Finding(FindingKind.TOO_FAST, text, saturates=False)


def _write_blocked(evidence: RunData) -> Iterator[Finding]:
    tally = evidence.tally
    wall_ns = sum(stretch.length_ns for stretch in evidence.intervals) / max(1, len(evidence.recordings))
    # Of sessions that follow one another only one is there at a time.
    at_once = tally.opened - tally.reconnected - tally.recycled
    if at_once > 0 and wall_ns and (part := tally.write_blocked_ns / (at_once * wall_ns)) > BLOCKED:
        text = (
            f"the kernel's send buffers were full {percent(part)} of the time: the target, or the network, takes less"
            " than it is sent, and the times include that wait"
        )
        yield Finding(FindingKind.WRITE_BLOCKED, text, saturates=False)


def _peak_per_s(load: dict[str, Any]) -> float:
    try:
        return msgspec.convert(load.get("rate"), LoadProfile).peak
    except (msgspec.ValidationError, ValueError):
        return 0.0
