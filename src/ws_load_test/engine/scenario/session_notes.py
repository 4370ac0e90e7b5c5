"""Notes of the sessions that a worker follows, and the excerpts that are made of them.

A worker follows a few sessions of each role. What it costs: some 2 µs a step of these, and nothing for all others,
whose players have no part of this module. Of one that fails and is not followed, its last step is known.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.metrics.session_excerpts import MOST_ENTRIES, Entry, Excerpt, RoleExcerpts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.engine.scenario.rows import ScenarioRows
    from ws_load_test.metrics.session_excerpts import EntryKind, Reason

MOST_FOLLOWED = 4
"""Sessions of a role that a worker follows, by their numbers: enough to find one that is slow, and few of many."""
ENTRIES_AFTER = MOST_ENTRIES // 4
"""Entries behind the slowest step that its excerpt has."""


def evenly_picked(numbers: Sequence[int]) -> list[int]:
    """Returns the numbers of the sessions that are followed of these: the first, and others at even distances."""
    count = min(MOST_FOLLOWED, len(numbers))
    return [numbers[len(numbers) * place // count] for place in range(count)]


class RoleNotes:
    """Excerpts of one role's sessions on a worker."""

    def __init__(self, role: str, rows: ScenarioRows) -> None:
        self._role = role
        self._rows = rows
        self.load_began_ns = 0
        """Instant at which the load began; 0: it has not."""
        self.first: SessionNotes | None = None
        """Session whose beginning is kept once enough of it is known: the one with the lowest number so far."""
        self.slowest_ns = 0
        """Response time of the slowest step so far."""
        self.slowest: SessionNotes | None = None
        """Session that took it, until its excerpt is kept."""
        self._has_first = self._has_failed = False

    def begin(self, number: int) -> SessionNotes:
        """Returns the notes of a session that has just opened."""
        notes = SessionNotes(self, number)
        if not self._has_first and (self.first is None or number < self.first.number):
            self.first = notes
        return notes

    def keep_first(self, notes: SessionNotes) -> None:
        """Keeps the beginning of the first session."""
        self._has_first, self.first = True, None
        self._keep("first", notes.excerpt())

    def keep_slowest(self, notes: SessionNotes) -> None:
        """Keeps the stretch around the slowest step."""
        self.slowest = None
        self._keep("slowest", notes.excerpt(took_ns=self.slowest_ns, entry=notes.slowest))

    def keep_failed(self, found: Excerpt) -> None:
        """Keeps the end of a session that has failed; of several that were followed, the first."""
        if not self._has_failed:
            self._has_failed = not found.is_partial
            self._keep("failed", found)

    def note_unfollowed(self, number: int, failed_at: str, fault: str, entry: Entry | None) -> None:
        """Takes note that a session has failed of which only its last step is known."""
        tally = self._rows.role(self._role)
        if self._has_failed or (tally.excerpts is not None and tally.excerpts.failed is not None):
            return
        now_ns = monotonic_ns()
        opened_ns = now_ns if entry is None else entry.at_ns
        entries = [] if entry is None else [_moved(entry, opened_ns)]
        entries.append(Entry("fault", fault, now_ns - opened_ns))
        self.keep_failed(
            Excerpt(
                session=number,
                opened_ns=self.since_begin(opened_ns),
                ended_ns=now_ns - opened_ns,
                failed_at=failed_at,
                fault=fault,
                is_partial=True,
                entries=entries,
            )
        )

    def since_begin(self, at_ns: int) -> int | None:
        """Returns an instant from the start of the load; None before it."""
        return at_ns - self.load_began_ns if self.load_began_ns else None

    def _keep(self, reason: Reason, found: Excerpt) -> None:
        excerpts = RoleExcerpts()
        excerpts.add(reason, found)
        self._rows.role(self._role).add_excerpts(excerpts)


class SessionNotes:
    """Latest steps and messages of a session that is followed. Instants are monotonic ns."""

    def __init__(self, role: RoleNotes, number: int) -> None:
        self.number = number
        self.changes = 0
        """Steps and messages that were noted, and steps that were over."""
        self.slowest: Entry | None = None
        """Slowest step of the role, where this session took it."""
        self.ready_ns: int | None = None
        self._role = role
        self._opened_ns = monotonic_ns()
        self._entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self._noted = 0
        self._left_after = 0
        """Entries until the excerpt around the slowest step is complete; 0: none is to be kept."""
        self._ended_ns: int | None = None
        self._failed_at = self._fault = ""

    def step(self, kind: EntryKind, name: str, due_ns: int) -> Entry:
        """Adds a step that begins."""
        entry = Entry(kind, name, due_ns)
        self._add(entry)
        return entry

    def message(self, kind: EntryKind, name: str, at_ns: int) -> None:
        """Adds a message or a fault; those of a kind that follow each other are one entry."""
        latest = self._entries[-1] if self._entries else None
        if latest is not None and latest.kind == kind and latest.name == name and not latest.is_step:
            latest.count += 1
            latest.until_ns = at_ns
            self.changes += 1
        else:
            self._add(Entry(kind, name, at_ns))

    def fault(self, name: str) -> None:
        """Adds a fault that has just happened."""
        self.message("fault", name, monotonic_ns())

    def completed(self, entry: Entry, at_ns: int, messages: int) -> None:
        """Ends a step."""
        entry.fate, entry.until_ns, entry.count = "completed", at_ns, messages
        self.changes += 1

    def may_be_slowest(self, entry: Entry, took_ns: int) -> None:
        """Takes note of the response time of a step of the load."""
        role = self._role
        if took_ns > role.slowest_ns:
            role.slowest_ns, role.slowest = took_ns, self
            self.slowest, self._left_after = entry, ENTRIES_AFTER

    def end(self, failed_at: str, fault: str) -> None:
        """Ends the session, which has failed at a step for a fault or not."""
        now_ns = monotonic_ns()
        if fault:
            self.fault(fault)
        self._ended_ns, self._failed_at, self._fault = now_ns, failed_at, fault
        role = self._role
        if role.first is self:
            role.keep_first(self)
        if role.slowest is self:
            role.keep_slowest(self)
        if fault:
            role.keep_failed(self.excerpt())

    def excerpt(self, *, took_ns: int = 0, entry: Entry | None = None) -> Excerpt:
        """Returns what is known; `entry` is in it, however much came after it."""
        entries = list(self._entries)
        if entry is not None and not any(one is entry for one in entries):
            entries.insert(0, entry)
        opened_ns = self._opened_ns
        return Excerpt(
            session=self.number,
            opened_ns=self._role.since_begin(opened_ns),
            ready_ns=None if self.ready_ns is None else self.ready_ns - opened_ns,
            ended_ns=None if self._ended_ns is None else self._ended_ns - opened_ns,
            failed_at=self._failed_at,
            fault=self._fault,
            took_ns=took_ns,
            left_out=self._noted - len(entries),
            entries=[_moved(one, opened_ns) for one in entries],
        )

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.changes += 1
        self._noted += 1
        role = self._role
        if self._left_after:
            self._left_after -= 1
            if not self._left_after and role.slowest is self:
                role.keep_slowest(self)
        if role.first is self and self._noted == MOST_ENTRIES:
            role.keep_first(self)


def _moved(entry: Entry, by_ns: int) -> Entry:
    """Returns an entry whose instants are so much less."""
    return msgspec.structs.replace(
        entry,
        at_ns=entry.at_ns - by_ns,
        sent_ns=None if entry.sent_ns is None else entry.sent_ns - by_ns,
        until_ns=None if entry.until_ns is None else entry.until_ns - by_ns,
    )
