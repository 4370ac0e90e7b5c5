"""Excerpts of sessions in the words of the page: what each shows, and its steps and messages as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labeled import NO_VALUE, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.session_excerpts import Entry, Excerpt, Reason, RoleExcerpts

HEADINGS = ("from the opening", "what", "name", "late by", "took", "result")
"""Columns of the table of an excerpt."""
HEADINGS_OF_PARTIAL = ("from when it was due", *HEADINGS[1:])
"""The same of a session of which only the last step is known."""
HOW_TO_READ = (
    "A bar is a step, from when its message was sent until it was complete; the line before it is the wait until it "
    "was due. Diamonds are messages that completed no step. A run follows a few sessions of each role; the contents of "
    "messages are not kept."
)
LONGEST_NAME = 28
"""Characters of a name in a chart: longer ones would take the place of the time axis."""
_KINDS = {
    "open": "step (open)",
    "step": "step",
    "timer": "timer",
    "leave": "step (leave)",
    "reaction": "message, on",
    "delivery": "delivery",
    "push": "push",
    "fault": "fault",
}
_FATES = {"": "still awaited", "sent": "sent", "unanswered": "not completed", "not-sent": "could not be sent"}


def distinct(found: RoleExcerpts) -> list[tuple[Reason, Excerpt]]:
    """Returns the excerpts of a role, without those of which another has every entry."""
    kept: list[tuple[Reason, Excerpt]] = []
    for reason, one in sorted(found.all(), key=lambda pair: -len(pair[1].entries)):
        places = {_place(entry) for entry in one.entries}
        if not any(
            other.session == one.session
            and other.opened_ns == one.opened_ns
            and places <= {_place(entry) for entry in other.entries}
            for _, other in kept
        ):
            kept.append((reason, one))
    order = [reason for reason, _ in found.all()]
    return sorted(kept, key=lambda pair: order.index(pair[0]))


def _place(entry: Entry) -> tuple[str, str, int]:
    return entry.kind, entry.name, entry.at_ns


def title(role: str, reason: Reason, one: Excerpt) -> str:
    """Returns the heading of an excerpt."""
    session = f"{sanitize(role)}, session {format_count(one.session)}"
    if reason == "slowest":
        return f"{session}: the slowest step, {format_duration(one.took_ns)}"
    if one.fault:
        return f"{session}: failed at {sanitize(one.failed_at)}"
    return f"{session}: {'from its opening to its end' if one.ended_ns is not None else 'its beginning'}"


def caption(one: Excerpt) -> str:
    """Returns sentences about an excerpt: when the session opened, became ready and ended, and what is left out."""
    if one.is_partial:
        words = "This session was not among those that were followed: only the step at which it failed is known. "
        return f"{words}{_end(one)}"
    parts = [f"It opened {_since_begin(one.opened_ns)}"]
    if one.ready_ns is not None:
        parts.append(f"was ready {format_duration(one.ready_ns)} later")
    left = f" {count_of(one.left_out, 'step or message', 'steps and messages')} before these are left out."
    return f"{' and '.join(parts)}. {_end(one)}{left if one.left_out else ''}"


def _since_begin(opened_ns: int | None) -> str:
    if opened_ns is None:
        return "before the load began"
    return f"{format_duration(abs(opened_ns))} {'before' if opened_ns < 0 else 'after'} the start of the load"


def _end(one: Excerpt) -> str:
    if one.ended_ns is None:
        return "It went on after what is shown."
    after = f"after {format_duration(one.ended_ns)}"
    if one.fault:
        return f"It failed {after}: {sanitize(one.fault)}."
    return f"It ended as planned, or with the run, {after}."


def row(entry: Entry) -> list[str]:
    """Returns the cells of an entry, under `HEADINGS`."""
    late = took = NO_VALUE
    result = ""
    if entry.is_step:
        late, took = _late_by(entry), format_duration(_took_ns(entry))
        result = _FATES.get(entry.fate, "completed")
        if entry.fate == "completed" and entry.count > 1:
            result = f"completed by {format_count(entry.count)} messages"
    elif entry.count > 1:
        took = format_duration(_took_ns(entry))
        result = f"{format_count(entry.count)} of them"
    at = f"{'-' * (entry.at_ns < 0)}{format_duration(abs(entry.at_ns))}"
    return [at, _KINDS[entry.kind], sanitize(entry.name) or NO_VALUE, late, took, result]


def tip(entry: Entry) -> str:
    """Returns an entry in one line, for the pointer."""
    at, what, name, late, took, result = row(entry)
    head = what if name == NO_VALUE else f"{what} {name}"
    if not entry.is_step:
        return f"{head}, {result} within {took}, at {at}" if entry.count > 1 else f"{head}, at {at}"
    return f"{head}: {result} after {took}; due at {at}, sent {late} later"


def lane(entry: Entry) -> str:
    """Returns the name of the line of a chart that an entry stands on."""
    if entry.kind == "fault":
        return "faults"
    if not entry.name:
        return {"push": "pushes", "delivery": "deliveries"}.get(entry.kind, entry.kind)
    name = sanitize(entry.name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def lanes(entries: Sequence[Entry]) -> list[tuple[bool, str]]:
    """Returns the lines of a chart from the top: those of steps, of messages, of faults, as they are first needed."""
    order = {"reaction": 1, "delivery": 1, "push": 2, "fault": 3}
    found = dict.fromkeys((order.get(one.kind, 0), one.is_step, lane(one)) for one in entries)
    return [(is_step, name) for _, is_step, name in sorted(found, key=lambda key: key[0])]


def _late_by(entry: Entry) -> str:
    return NO_VALUE if entry.sent_ns is None else format_duration(max(0, entry.sent_ns - entry.at_ns))


def _took_ns(entry: Entry) -> int | None:
    return None if entry.until_ns is None else max(0, entry.until_ns - entry.at_ns)
