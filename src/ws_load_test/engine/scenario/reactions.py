"""Reactions of a session: counts of messages that complete no step, their numbers, ages and silences, and answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_MS, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.scenario.sequence import Sequence
from ws_load_test.engine.scenario.shared import SteppingSession

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.compiled import CompiledReaction
    from ws_load_test.metrics.scenario_metrics import ReactionTally

SILENCE = 0
"""Kind of the alarm at which silence becomes a stall."""


class ReactionState:
    """Memory of one session of the messages that a reaction took."""

    __slots__ = ("_is_silent", "_last_ns", "_longest_ns", "_player", "_reaction", "_sequences")

    def __init__(self, player: SteppingSession, reaction: CompiledReaction, now_ns: int) -> None:
        """Begins: the first message may take as long as any other."""
        self._player = player
        self._reaction = reaction
        self._sequences: dict[str | None, Sequence] = {}
        """Numbers that have come, by the value that they are apart for."""
        self._last_ns = now_ns
        self._longest_ns = 0
        """Longest time without one so far, within the measured time."""
        self._is_silent = False
        """The present silence is counted as a stall."""
        self._watch()

    def note(self, payload: bytes, at_ns: int, tally: ReactionTally) -> None:
        """Takes note of a message."""
        if self._is_silent:
            self._longest_ns = max(self._longest_ns, self._silent_ns(at_ns))
            tally.silence_ns.record(max(0, at_ns - self._last_ns))
            self._is_silent, self._last_ns = False, at_ns
            self._watch()
        elif at_ns - self._last_ns > self._longest_ns:
            self._longest_ns = max(self._longest_ns, self._silent_ns(at_ns))
        self._last_ns = at_ns
        read_number = self._reaction.read_number
        if read_number is not None:
            self._note_number(payload, read_number(payload), tally)

    def _note_number(self, payload: bytes, number: int | None, tally: ReactionTally) -> None:
        if number is None:
            tally.unnumbered += 1
            return
        read_key = self._reaction.read_key
        key = None if read_key is None else read_key(payload)
        sequence = self._sequences.get(key)
        if sequence is None:
            self._sequences[key] = Sequence(number)
            return
        place = sequence.add(number)
        if place == "next":
            return
        if place == "gap":
            tally.gaps += 1
        elif place == "late":
            tally.out_of_order += 1
        else:
            tally.repeats += 1
        if sequence.missed:
            tally.missed += sequence.missed
            sequence.missed = 0

    def restart(self, tally: ReactionTally) -> None:
        """Lets the numbers begin anew."""
        tally.restarts += 1
        self._settle(tally)

    def _settle(self, tally: ReactionTally) -> None:
        for sequence in self._sequences.values():
            tally.missed += sequence.settle()
        self._sequences.clear()

    def end(self, player: SteppingSession) -> None:
        """Counts what is still missing when the session ends."""
        tally = player.load.rows.reaction(self._reaction.key)
        self._settle(tally)
        now_ns = monotonic_ns()
        if now_ns >= player.load.rows.measured_from_ns:
            tally.longest_silence_ns.record(max(self._longest_ns, self._silent_ns(now_ns)))
        if self._is_silent:
            tally.silence_ns.record(max(0, now_ns - self._last_ns))
            self._is_silent = False

    def _silent_ns(self, at_ns: int) -> int:
        """Returns the part of the measured time between the last message and an instant."""
        rows = self._player.load.rows
        return max(0, min(at_ns, rows.measured_until_ns) - max(self._last_ns, rows.measured_from_ns))

    def _watch(self) -> None:
        silence_ns = self._reaction.silence_ns
        if silence_ns is not None:
            self._player.load.alarms.set(self._last_ns + silence_ns, self, SILENCE)

    def on_alarm(self, kind: int, at_ns: int) -> None:  # noqa: ARG002 - there is one
        """Counts a stall, unless a message has come since the alarm was set."""
        player, silence_ns = self._player, self._reaction.silence_ns
        if player.is_over or player.finishing or silence_ns is None:
            return
        if self._last_ns + silence_ns > at_ns:
            self._watch()
        else:
            self._is_silent = True
            tally = player.load.rows.reaction(self._reaction.key)
            tally.stalls += 1
            tally.longest_silence_ns.record(self._silent_ns(monotonic_ns()))


class ReactingSession(SteppingSession, Protocol):
    """A session that reacts."""

    def state_of(self, place: int) -> ReactionState | None:
        """Returns what it remembers for the reaction at a place; None where there is nothing to remember."""
        ...


def react(player: ReactingSession, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
    """Takes a message that the reaction at this place is for."""
    rows = player.load.rows
    tally = rows.reaction(reaction.key)
    tally.seen += 1
    tally.seen_in_window += rows.is_in_window(at_ns)
    state = player.state_of(place)
    if state is not None:
        state.note(payload, at_ns, tally)
    if reaction.read_stamp_ms is not None:
        _note_age(reaction.read_stamp_ms(payload), at_ns, tally)
    if reaction.captures:
        player.capture(reaction.captures, payload, f'reaction "{reaction.name}" of role "{player.role.name}"')
    if reaction.restarts is not None:
        restarted = player.state_of(reaction.restarts)
        if restarted is not None:
            restarted.restart(rows.reaction(player.role.reactions[reaction.restarts].key))
    if reaction.fault:
        text = f'sent a message for reaction "{reaction.name}" of role "{player.role.name}": {reaction.fault}'
        player.connection.owner.fault(Fault(FaultKind.REPORTED, reaction.fault, text))
    if reaction.outgoing is not None:
        _answer(player, reaction, tally)


def _answer(player: SteppingSession, reaction: CompiledReaction, tally: ReactionTally) -> None:
    """Sends the answer of a reaction, unless the target does not read."""
    outgoing = reaction.outgoing
    assert outgoing is not None
    frame = outgoing.frame(player.load.next_number(), player)
    owner_tally = player.connection.owner.tally
    if player.write(frame):
        tally.sent += 1
        owner_tally.bytes_sent += len(frame)
    else:
        owner_tally.answers_left_out += not player.connection.closing


def _note_age(stamp_ms: int | None, at_ns: int, tally: ReactionTally) -> None:
    if stamp_ms is None:
        tally.undated += 1
        return
    # By the wall clock at the instant of the reading, which was a moment ago.
    tally.record_age(time.time_ns() - (monotonic_ns() - at_ns) - stamp_ms * NS_PER_MS)
