"""Players of the sessions that a worker follows: each step and message is noted as it happens.

They are subclasses of the players of all other sessions, which therefore pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.scenario.audience_player import ReceivesDeliveries
from ws_load_test.engine.scenario.exchange import Exchange
from ws_load_test.engine.scenario.player import GONE, LEAVING, OPENING, Player
from ws_load_test.engine.scenario.repeating import RepeatingStep
from ws_load_test.engine.scenario.session_notes import RoleNotes, evenly_picked
from ws_load_test.metrics.session_excerpts import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.scenario.compiled import CompiledReaction
    from ws_load_test.engine.scenario.compiled_step import Captures, CompiledStep
    from ws_load_test.engine.scenario.rows import ScenarioRows
    from ws_load_test.engine.scenario.session_notes import SessionNotes
    from ws_load_test.engine.scenario.shared import SteppingSession
    from ws_load_test.metrics.session_excerpts import EntryKind

PlayerType = TypeVar("PlayerType", bound="type[Player]")
"""Class of players."""


class NotedExchange(Exchange):
    """Steps that are noted. Without slots: there are few of them, and they go with any kind of player."""

    entry: Entry | None = None
    """The present step; None before the first."""

    @property
    def notes(self) -> SessionNotes:
        """Notes of its session."""
        raise NotImplementedError

    @property
    def entry_kind(self) -> EntryKind:
        """Part of the role that the present step is of."""
        return "timer"

    def begin(self, player: SteppingSession, step: CompiledStep, due_ns: int) -> bool:
        """Takes a step that is due, and notes it unless it only waits."""
        if step.outgoing is None and step.completes is None:
            return super().begin(player, step, due_ns)
        entry = self.entry = self.notes.step(self.entry_kind, step.name, due_ns)
        awaits = super().begin(player, step, due_ns)
        if not entry.fate:
            entry.sent_ns = self.sent_ns
            if not awaits:
                entry.fate, entry.until_ns = "sent", self.sent_ns
        return awaits

    def _send(self, player: SteppingSession, step: CompiledStep, due_ns: int) -> bool:
        has_left = super()._send(player, step, due_ns)
        if not has_left and self.entry is not None:
            self.entry.fate, self.entry.until_ns = "not-sent", self.sent_ns
        return has_left

    def _complete(self, player: SteppingSession, step: CompiledStep, payload: bytes, at_ns: int) -> None:
        entry, notes, owner = self.entry, self.notes, player.connection.owner
        if entry is not None:
            notes.completed(entry, at_ns, self.answer.messages if self.answer is not None else 1)
            if step.to_totals and self.due_ns >= owner.samples.measured_from_ns:
                notes.may_be_slowest(entry, at_ns - self.due_ns)
        super()._complete(player, step, payload, at_ns)

    def _check(self, player: SteppingSession, step: CompiledStep, payload: bytes) -> Fault | None:
        fault = super()._check(player, step, payload)
        if fault is not None:
            self.notes.fault(fault.key)
        return fault

    def give_up(self, player: SteppingSession) -> None:
        """Counts a message that awaits a reply as unanswered, and notes it."""
        if self.deadline_ns and self.entry is not None:
            self.entry.fate, self.entry.until_ns = "unanswered", monotonic_ns()
        super().give_up(player)


class NotedTimer(NotedExchange, RepeatingStep):
    """A timer of a session that is followed."""

    @property
    def notes(self) -> SessionNotes:
        """Notes of its session."""
        return cast("FollowedPlayer", self.player).notes


class FollowedPlayer(NotedExchange, Player):
    """One session of a role, of which each step and message is noted."""

    timer_type = NotedTimer
    _notes: SessionNotes

    @property
    def notes(self) -> SessionNotes:
        """Notes of the session."""
        return self._notes

    @property
    def entry_kind(self) -> EntryKind:
        """Part of the role that the present step is of."""
        return "open" if self.phase == OPENING else "leave" if self.phase == LEAVING else "step"

    def open(self) -> None:
        """Begins: the session has opened."""
        followed = cast("FollowingLoad", self.load).followed
        assert followed is not None
        self._notes = followed.begin(self)
        super().open()

    def _be_ready(self, now_ns: int) -> None:
        self.notes.ready_ns = now_ns
        super()._be_ready(now_ns)

    def capture(self, captures: Captures, payload: bytes, where: str) -> Fault | None:
        """Keeps values of a message; a place that has none is a fault."""
        fault = super().capture(captures, payload, where)
        if fault is not None:
            self.notes.fault(fault.key)
        return fault

    def react(self, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
        """Takes a message that a reaction is for."""
        self.notes.message("reaction", reaction.name, at_ns)
        super().react(place, reaction, payload, at_ns)
        if reaction.fault:
            self.notes.message("fault", reaction.fault, at_ns)

    def count_push(self, payload: bytes, at_ns: int) -> int:
        """Counts a message that nothing takes."""
        self.notes.message("push", "", at_ns)
        return super().count_push(payload, at_ns)

    def on_ended(self) -> None:
        """Takes note that the session has ended."""
        if self.phase != GONE:
            place, fault = self.place, self.connection.close_fault
            super().on_ended()
            self.notes.end("" if fault is None else place, "" if fault is None else fault.key)


class FollowedRecipient(FollowedPlayer, ReceivesDeliveries):
    """The same where others publish to the session."""

    def open(self) -> None:
        """Begins: the session has opened."""
        # Reads that are known as deliveries would not be noted.
        self.recipient.reads = {}
        super().open()

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read at an instant, and notes a delivery that no step and no reaction takes."""
        notes, is_delivery = self.notes, self.recipient.is_delivery(payload)
        before = notes.changes
        replies = super().on_message(opcode, payload, at_ns)
        if is_delivery and notes.changes == before:
            notes.message("delivery", "", at_ns)
        return replies


class FollowingLoad(Protocol):
    """Load of the players, as far as they need it to be followed."""

    followed: FollowedSessions | None


class FollowedSessions:
    """Sessions of a worker that are followed, and what is known of others that fail."""

    def __init__(self, numbers: Mapping[str, Sequence[int]], rows: ScenarioRows) -> None:
        """Takes the numbers of each role's sessions on this worker, and its counts, which take the excerpts."""
        self._notes = {role: RoleNotes(role, rows) for role in numbers}
        self._numbers = frozenset(number for found in numbers.values() for number in evenly_picked(found))
        self._kinds: dict[type[Player], type[Player]] = {}

    def kind_of(self, kind: PlayerType, number: int) -> PlayerType:
        """Returns the class of a session's player: a subclass of `kind` for one that is followed."""
        return cast("PlayerType", self._followed(kind)) if number in self._numbers else kind

    def _followed(self, kind: type[Player]) -> type[Player]:
        found = self._kinds.get(kind)
        if found is None:
            base: type[FollowedPlayer] = FollowedRecipient if issubclass(kind, ReceivesDeliveries) else FollowedPlayer
            found = cast("type[Player]", type(f"Followed{kind.__name__}", (base, kind), {}))
            self._kinds[kind] = found
        return found

    def begin(self, player: Player) -> SessionNotes:
        """Returns the notes of a session that has just opened."""
        return self._notes[player.role.name].begin(player.connection.number)

    def load_began(self, start_ns: int) -> None:
        """Takes note of the start of the load."""
        for notes in self._notes.values():
            notes.load_began_ns = start_ns

    def failed(self, player: Player) -> None:
        """Takes note of the step at which a session failed that is not followed."""
        number, step, fault = player.connection.number, player.step, player.connection.close_fault
        if number in self._numbers or fault is None:
            return
        entry: Entry | None = None
        if step is not None:
            timer = next((timer for timer in player.timers if timer.timer.step is step), None)
            kind: EntryKind = "timer" if timer else "open" if player.phase == OPENING else "step"
            exchange = player if timer is None else timer
            entry = Entry(kind, step.name, exchange.due_ns, exchange.sent_ns, fate="unanswered")
        self._notes[player.role.name].note_unfollowed(number, player.place, fault.key, entry)
