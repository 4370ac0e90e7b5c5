"""Excerpts of sessions of a scenario: what was sent, what came and what went wrong, in order and with the instants.

A run follows some sessions of each role and keeps up to three excerpts of them: the beginning of the first session, the
stretch around the slowest step, and the end of a session that failed. No content of a message is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

MOST_ENTRIES = 60
"""Entries of an excerpt, at most: more would overlap on a chart as wide as a page."""
MOST_READ = 4 * MOST_ENTRIES
"""Entries that are read of an excerpt in a recording: later versions of the tool can have more."""
LONGEST_NAME = 4096
"""Characters of a name that are read: those of steps and faults are short."""

_Instant = Annotated[int, msgspec.Meta(ge=-(1 << 60), le=1 << 60)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]

EntryKind = Literal["open", "step", "timer", "leave", "reaction", "delivery", "push", "fault"]
"""A step of one part of a role; messages that completes no step: taken by a reaction, published by another session, or
unsolicited; a fault."""
Fate = Literal["", "completed", "sent", "unanswered", "not-sent"]
"""End of a step: it is still awaited, was completed, sent a message that awaits no other, was not completed, or could
not send."""
Reason = Literal["first", "slowest", "failed"]
"""An excerpt shows the beginning of the first session, the slowest step, or the end of a session that failed."""


class Entry(msgspec.Struct, array_like=True):
    """One step, or messages of a kind that followed each other. Instants are ns from `Excerpt.opened_ns`."""

    kind: EntryKind
    name: _Name
    """Name of the step, the reaction or the fault; empty elsewhere."""
    at_ns: _Instant
    """Instant at which the step was due, at which the first message was read, or at which the fault happened."""
    sent_ns: _Instant | None = None
    """Instant at which a step's message was sent, or at which it began to wait; None: not yet."""
    until_ns: _Instant | None = None
    """Instant at which a step was over, or at which the last message was read; None: it is not over."""
    count: _Count = 1
    """Messages of the step's answer, or messages or faults that followed each other."""
    fate: Fate = ""

    @property
    def is_step(self) -> bool:
        """True for a step."""
        return self.kind in STEP_KINDS

    @property
    def end_ns(self) -> int:
        """Latest instant that is known of it."""
        return max(self.at_ns, self.sent_ns or self.at_ns, self.until_ns or self.at_ns)


STEP_KINDS = frozenset({"open", "step", "timer", "leave"})


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one session."""

    session: _Count
    """Number of the session in the run."""
    opened_ns: _Instant | None = None
    """Instant at which it opened, from the start of the load; None where the load had not begun."""
    ready_ns: _Instant | None = None
    """Instant at which it had taken its opening steps, from when it opened; None: it never did, or later."""
    ended_ns: _Instant | None = None
    """Instant at which it ended, from when it opened; None: later."""
    failed_at: _Name = ""
    """Step at which it failed; empty: it did not, or later."""
    fault: _Name = ""
    """Fault that ended it."""
    took_ns: _Count = 0
    """Response time of the slowest step in it."""
    left_out: _Count = 0
    """Entries of the session before these that are left out."""
    is_partial: bool = False
    """True for a session that was not followed: only the step at which it failed is known, and instants are from when
    that was due."""
    entries: Annotated[list[Entry], msgspec.Meta(max_length=MOST_READ)] = []
    """Steps and messages, in the order in which they began."""


@dataclass(slots=True)
class RoleExcerpts:
    """Excerpts of one role's sessions; merging keeps those that show most, in any order of merging."""

    first: Excerpt | None = None
    """Beginning of the session with the lowest number of those that were followed."""
    slowest: Excerpt | None = None
    """Stretch around the slowest step of all that were followed."""
    failed: Excerpt | None = None
    """End of a session that failed: of one that was followed if there is one, and of the first of these to end."""

    def add(self, reason: Reason, found: Excerpt) -> None:
        """Keeps an excerpt if it shows more than the one there is."""
        known: Excerpt | None = getattr(self, reason)
        if known is None or _rank(reason, found) < _rank(reason, known):
            setattr(self, reason, found)

    def merge(self, other: RoleExcerpts) -> None:
        """Adds the excerpts of another."""
        for reason, found in other.all():
            self.add(reason, found)

    def all(self) -> list[tuple[Reason, Excerpt]]:
        """Returns the excerpts that there are, and what each shows."""
        both: list[tuple[Reason, Excerpt | None]] = [
            ("first", self.first),
            ("slowest", self.slowest),
            ("failed", self.failed),
        ]
        return [(reason, one) for reason, one in both if one is not None]

    def encode(self) -> dict[str, Any]:
        """Returns the form on the wire and in recordings."""
        return {reason: msgspec.to_builtins(one) for reason, one in self.all()}

    @classmethod
    def read(cls, data: Any) -> RoleExcerpts:
        """Reads the form of `encode`.

        Raises:
            ValueError: The data are of another form.
        """
        try:
            return cls(**msgspec.convert(data, _Encoded))
        except msgspec.ValidationError as error:
            raise ValueError(f"the excerpts of a role's sessions are of another form: {error}") from None


_Encoded = dict[Reason, Excerpt]


def _rank(reason: Reason, one: Excerpt) -> tuple[tuple[int, ...], bytes]:
    """Returns the rank of an excerpt by what it shows; the lowest is kept, and no two have the same."""
    if reason == "first":
        place: tuple[int, ...] = (one.session, one.opened_ns or 0)
    elif reason == "slowest":
        place = (-one.took_ns, one.session)
    else:
        place = (one.is_partial, (one.opened_ns or 0) + (one.ended_ns or 0), one.session)
    return place, msgspec.json.encode(one)
