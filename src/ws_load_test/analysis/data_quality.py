"""Warnings about the quality of a run's data, which hold whether the generator was the bottleneck or not."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.aggregate import commands_of
from ws_load_test.analysis.findings import (
    Finding,
    FindingKind,
    RunData,
    join_and,
    percent,
)
from ws_load_test.common.units import format_count, format_duration, quoted
from ws_load_test.metrics.histogram import PERCENTILES
from ws_load_test.plan.schedule import LoadProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.correlation import Correlation

MIN_MISSING_SHARE = 0.01
"""Share of the messages above which those not sent, or not answered in time, are reported: fewer are the edge of the
measured time."""
MIN_QUEUE_GROWTH = 1.5
"""Multiple of a steady queue above which a queue was growing: 1 if the target keeps up, 2 if it grows all the time."""
CHANCE_MESSAGES = 10
"""Messages by which a queue can exceed a steady one by chance."""
MIN_REPLY_NS = 2_000
"""Shortest plausible service time: to leave and to be answered, a message needs two system calls of at least 1 µs."""
MIN_BLOCKED_SHARE = 0.01
"""Share of the time with a full send buffer above which it is reported: less shows in no percentile below p99."""
MAX_GREETINGS = 10
"""Surplus messages per session up to which they can be greetings."""
MIN_TAIL_SAMPLES = 10
"""Values beyond a percentile below which it depends more on chance than on the target."""
NOT_GRANTED = {
    "permessage-deflate": (
        "compression was offered (--deflate), and not granted",
        "their messages travelled uncompressed",
    ),
    "subprotocol": (
        "a subprotocol was offered (--subprotocol), and none was chosen",
        "the target may not know it, and speak another protocol than is meant",
    ),
    "tls-resumption": (
        "an earlier TLS session was offered, and not resumed",
        "their handshakes were full ones",
    ),
    "tls-ticket": (
        "the target gave no ticket to resume a TLS session with",
        "their handshakes were full ones",
    ),
}
"""Words for what sessions were not granted, and what that means."""


def data_quality_findings(run: RunData, *, late: bool) -> Iterator[Finding]:
    """Yields warnings about data quality; `late` means that the generator was saturated, which explains some."""
    yield from _pairing(run)
    yield from _rate(run, late=late)
    yield from _queue(run, late=late)
    for check in (_unanswered, _few_samples, _too_fast, _write_blocked, _not_granted, _nodes, _commands):
        yield from check(run)


def pairing_findings(run: RunData) -> list[Finding]:
    """Returns findings for which every response time is in doubt, while a run goes on: suspicions as well."""
    sessions = run.tally.pairing_suspected - run.tally.pairing_cleared
    found = [finding for finding in _pairing(run) if finding.kind is FindingKind.PAIRING]
    if found or sessions <= 0:
        return found
    who = "1 session was" if sessions == 1 else f"{format_count(sessions)} sessions were"
    text = (
        f"{who} often without a message in flight, and is no more: if a reply was lost, each later one is taken for"
        " that before it, and its time is too long by the time between two messages; or the target has become slower."
        " Tell replies by their id with --match json:PATH, --match regex:PATTERN or --match echo"
    )
    return [
        Finding(
            FindingKind.PAIRING, text if sessions == 1 else text.replace("is no more", "are no more"), saturates=False
        )
    ]


def pairing_is_doubted(run: RunData) -> bool:
    """True where replies are perhaps not those of their messages, so that their times may be wrong."""
    return any(finding.kind is FindingKind.PAIRING for finding in _pairing(run))


def too_few_in_tail(percentile: str, count: int) -> bool:
    """True where fewer than `MIN_TAIL_SAMPLES` of `count` values lie beyond a percentile."""
    share = Fraction(percentile) / 100
    return count * min(share, 1 - share) < MIN_TAIL_SAMPLES


def _pairing(run: RunData) -> Iterator[Finding]:
    """Yields a finding if replies were paired with the wrong messages, or with none."""
    correlation = run.correlation
    if correlation is None or run.has_scenario or not (run.tally.sent or run.tally.warmup_sent):
        # Where nothing is sent, all that comes is a push, and there is nothing to pair it with. A scenario's steps know
        # their replies by their contents.
        return
    if correlation.by_id:
        yield from _pairing_by_id(run, correlation)
    elif correlation.rule == "order" and run.tally.surplus_replies:
        yield _pairing_in_order(run)
    elif (
        correlation.rule == "order"
        and run.tally.answered
        and run.tally.faults["reply-timeout"]
        and (run.pipelines or run.tally.greetings)
    ):
        yield _pairing_with_gaps(run, correlation)


def _pairing_in_order(run: RunData) -> Finding:
    """Returns the finding that more messages came than were sent, though replies are paired in order."""
    tally = run.tally
    per_session, rest = divmod(tally.surplus_replies, max(1, tally.opened))
    greets = not rest and per_session <= MAX_GREETINGS
    too_many = f"{format_count(tally.surplus_replies)} message{'s' * (tally.surplus_replies > 1)}"
    if not run.surplus_under_load:
        option = f"--skip-first {per_session}" if greets else "--skip-first N"
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
        text += (
            f"; that is {per_session} for each session: if these are greetings, --skip-first {per_session} is enough"
        )
    return Finding(FindingKind.PAIRING, text, saturates=False)


def _pairing_with_gaps(run: RunData, correlation: Correlation) -> Finding:
    """Returns the finding that replies are missing, though the next reply takes the place of a lost one."""
    given_up = run.tally.faults["reply-timeout"]
    text = (
        f"{format_count(given_up)} session{'s were' if given_up > 1 else ' was'} given up for want of a reply, and"
        " replies are paired in order: if one was lost, each later one of its session was taken for the one before it,"
        " and the times of these are too long; tell replies by their id with --match json:PATH, --match regex:PATTERN"
        " or --match echo"
    )
    if run.tally.greetings:
        text += f"; or is --skip-first {correlation.greetings} more than there are greetings, so that it took replies?"
    return Finding(FindingKind.PAIRING, text, saturates=False)


def _pairing_by_id(run: RunData, correlation: Correlation) -> Iterator[Finding]:
    """Yields a finding if the rule for ids recognized no reply at all."""
    tally = run.tally
    if tally.answered or not tally.sent:
        return
    source = f"{correlation.rule}:{correlation.selector}"
    none = f"not one of the {format_count(tally.sent)} messages was answered"
    came = f"{format_count(tally.pushed)} other{'s' * (tally.pushed > 1)} came"
    if correlation.rule == "echo":
        though = f", though {came}" if tally.pushed else ""
        text = (
            f"{none} with its own contents{though}: is it an echo server? If not, take another rule than --match echo"
        )
    elif tally.unknown_id:
        text = (
            f"{none}, and {format_count(tally.unknown_id)} came whose id was none of theirs: it is probably not where"
            f" --match {source} looks in a reply"
        )
    elif tally.pushed:
        text = f"{none}, and {came} without an id where --match {source} looks for it"
    else:
        return
    yield Finding(FindingKind.PAIRING, text, saturates=False)


def _rate(run: RunData, *, late: bool) -> Iterator[Finding]:
    """Yields a finding if messages of a schedule were never sent."""
    if run.has_scenario:
        yield from _iterations(run.tally)
        return
    tally = run.tally
    missing = tally.due - tally.sent
    if run.due_when_sent or missing <= MIN_MISSING_SHARE * tally.due:
        return
    causes = ["the generator could not send them in time"] if late else []
    if run.limits_in_flight:
        causes.append("too few replies came to make room for them under --max-in-flight")
    if tally.lost or tally.failed:
        causes.append("connections had failed or were lost")
    elif run.connections_vary:
        causes.append("no connection of their worker was open at their time")
    many = f"{format_count(missing)} of the {format_count(tally.due)} messages that were due"
    why = " and ".join(causes) or "the run ended before they had left"
    dropped = f"{many}, {percent(missing / tally.due)}, were dropped"
    text = f"{dropped}, because {why}: the target got less than the requested rate"
    yield Finding(FindingKind.RATE, text, saturates=False)


def _iterations(tally: Tally) -> Iterator[Finding]:
    """Yields a finding for each role whose iterations fell due and found no session that was free."""
    for name, role in tally.roles.items():
        missing, waits, due = role.iterations_dropped, role.iteration_wait_ns, role.iterations_due
        if missing + waits.count <= MIN_MISSING_SHARE * due:
            continue
        parts = []
        if waits.count:
            longest = f"at most {format_duration(waits.max or 0)}, which their times include"
            parts.append(f"{format_count(waits.count)} waited for a free one, {longest}")
        if missing:
            parts.append(
                f"{format_count(missing)} ({percent(missing / due)}) were dropped, so that the target got less than the"
                " requested rate"
            )
        text = (
            f'role "{name}" has too few sessions for its rate: of the {format_count(due)} iterations that were due,'
            f" {', and '.join(parts)}; give it more sessions or a lower rate, if its iterations do not take too long"
        )
        yield Finding(FindingKind.RATE, text, saturates=False)


def _queue(run: RunData, *, late: bool) -> Iterator[Finding]:
    """Yields a finding if replies came later and later, so that the throughput stayed behind the rate."""
    tally, mean_ns = run.tally, run.tally.response_time_ns.mean()
    behind = tally.sent - tally.answered_in_window - tally.unanswered - tally.unawaited
    if run.due_when_sent or run.has_scenario or mean_ns is None or behind <= MIN_MISSING_SHARE * tally.sent:
        return
    # As many as arrive while one is answered (Little's law), at the highest rate of all machines together.
    steady = sum(map(_peak_per_s, run.loads)) * mean_ns / 1e9
    if behind <= MIN_QUEUE_GROWTH * steady + CHANCE_MESSAGES:
        return
    who = "the target or the generator" if late else "the target"
    many = f"{format_count(behind)} of the {format_count(tally.sent)} messages sent"
    text = (
        f"{many}, {percent(behind / tally.sent)}, were answered only after the measured time, and the queue was"
        f" growing: {who} did not keep up with the rate, and the longer the run, the longer the times"
    )
    yield Finding(FindingKind.QUEUE, text, saturates=False)


def _unanswered(run: RunData) -> Iterator[Finding]:
    """Yields a finding if messages without a reply are missing from the percentiles."""
    tally = run.tally
    if tally.unanswered and tally.response_time_ns.count:
        least = tally.unanswered_wait_ns.min
        waited = "" if least is None else f", which had waited at least {format_duration(least)}"
        many = f"{format_count(tally.unanswered)} unanswered message{'s' * (tally.unanswered > 1)}"
        text = f"the percentiles lack {many}{waited}: read the highest ones as lower bounds"
        yield Finding(FindingKind.UNANSWERED, text, saturates=False)


def _few_samples(run: RunData) -> Iterator[Finding]:
    """Yields a finding if percentiles rest on too few values."""
    count = run.tally.response_time_ns.count
    few = [f"p{percentile}" for percentile in PERCENTILES if too_few_in_tail(percentile, count)] if count else []
    if few:
        which = "all percentiles" if len(few) == len(PERCENTILES) else join_and(few)
        rest = "rests" if len(few) == 1 else "rest"
        text = (
            f"{which} {rest} on fewer than {MIN_TAIL_SAMPLES} of {format_count(count)} answers, so chance decides:"
            " run longer"
        )
        yield Finding(FindingKind.FEW_SAMPLES, text, saturates=False)


def _too_fast(run: RunData) -> Iterator[Finding]:
    """Yields a finding if a reply came faster than one can."""
    times = run.tally.service_time_ns
    if times.min is not None and times.min < MIN_REPLY_NS:
        why = (
            "the clock's steps are coarser than the times: read nothing below the lowest time that is not 0"
            if times.min == 0
            else "that is less than sending takes: check that the target answers each message once, and pushes none"
        )
        shown = f"{format_duration(times.min)}, and half of them up to {format_duration(times.percentile(50))}"
        text = f"the fastest reply took {shown}; {why}"
        yield Finding(FindingKind.TOO_FAST, text, saturates=False)


def _write_blocked(run: RunData) -> Iterator[Finding]:
    """Yields a finding if sending had to wait for the target or the network."""
    tally = run.tally
    wall_ns = sum(interval.length_ns for interval in run.intervals) / max(1, len(run.recordings))
    # Of sessions that replace one another only one is open at a time.
    at_once = tally.opened - tally.reconnected - tally.recycled
    if at_once > 0 and wall_ns and (part := tally.write_blocked_ns / (at_once * wall_ns)) > MIN_BLOCKED_SHARE:
        text = (
            f"the kernel's send buffers were full {percent(part)} of the time: the target, or the network, takes less"
            " than it is sent, and the times include that wait"
        )
        yield Finding(FindingKind.WRITE_BLOCKED, text, saturates=False)


def _not_granted(run: RunData) -> Iterator[Finding]:
    """Yields a finding for each thing that sessions asked for and were not granted."""
    tally = run.tally
    for asked, (what, remedy) in NOT_GRANTED.items():
        count = tally.not_granted[asked]
        if count:
            text = f"{what} in {format_count(count)} of {format_count(tally.opened)} sessions: {remedy}"
            yield Finding(FindingKind.NOT_GRANTED, text, saturates=False)


def _nodes(run: RunData) -> Iterator[Finding]:
    """Finds a place of the node's name (``--node``) that no session has shown."""
    rules = [recording.header.plan.get("node") for recording in run.recordings]
    if run.tally.opened and not run.tally.nodes and rules and isinstance(rules[0], dict):
        place = f"{rules[0].get('kind')}:{rules[0].get('name')}"
        text = f"no session showed its node at {quoted(place)}: --probe shows what the target sends"
        yield Finding(FindingKind.NODES, text, saturates=False)


def _commands(run: RunData) -> Iterator[Finding]:
    """Finds commands of ``--run-at`` that did not do what they were to."""
    for run_at in (one for recording in run.recordings for one in commands_of(recording) if one.failed):
        last = run_at.output.strip().rpartition("\n")[2].strip()
        words = f"the command {quoted(' '.join(run_at.command.split()))} {run_at.problem or exit_words(run_at.status)}"
        yield Finding(FindingKind.COMMAND, f"{words}: {last}" if last else words, saturates=False)


def exit_words(status: int | None) -> str:
    """Returns the end of a command in words."""
    if status is None:
        return "has not ended"
    return f"ended with exit status {status}" if status >= 0 else f"was ended by signal {-status}"


def _peak_per_s(load: dict[str, Any]) -> float:
    """Returns the highest requested rate of a load in messages per second; 0 where it cannot be read."""
    try:
        return msgspec.convert(load.get("rate"), LoadProfile).peak
    except (msgspec.ValidationError, ValueError):
        return 0.0
