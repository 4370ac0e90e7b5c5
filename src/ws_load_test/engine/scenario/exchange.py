"""One step on its way: when it was due and sent, and what completes it. The hot path of scenarios.

What it costs: benchmarks/scenario.py has the time of a step, and the bytes of a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.conversations.streamed import Answer, record_answer, record_gap
from ws_load_test.metrics.sample_buffer import LAST_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.engine.conversations.streamed import Recorder
    from ws_load_test.engine.scenario.compiled_step import CompiledStep
    from ws_load_test.engine.scenario.shared import SteppingSession

NOT_MEASURED_NS = 0
"""Due instant of a message that left before the measured time, as far as that was known."""


class Exchange:
    """A step of a session, from its sending to the message that completes it; it serves one step after the other."""

    __slots__ = ("answer", "armed_ns", "awaiting", "deadline_ns", "due_ns", "held_until_ns", "sent_ns", "seq", "step")

    step: CompiledStep | None
    """The step; None: there is none just now."""

    def __init__(self) -> None:
        self.step = None
        self.awaiting = False
        """The step waits for a message."""
        self.due_ns = 0
        self.sent_ns = 0
        """Instant at which its message was sent, or at which it began to wait for one."""
        self.held_until_ns = 0
        """Instant before which no session was free for its iteration, where that waited for one."""
        self.seq = 0
        """Number of the latest message."""
        self.deadline_ns = 0
        """Instant at which it is overdue; 0: it awaits nothing."""
        self.armed_ns = 0
        """Instant of the alarm that is set; there is one for many steps, as their deadlines move on."""
        self.answer: Answer | None = None
        """Messages of its answer that have come, where that is many; None elsewhere."""

    def completed(self, player: SteppingSession, at_ns: int) -> None:
        """Takes note that the step was completed by a message read at an instant."""
        raise NotImplementedError

    # --- Sending ----------------------------------------------------------------------------------------------------

    def begin(self, player: SteppingSession, step: CompiledStep, due_ns: int) -> bool:
        """Takes a step that is due: sends its message, and begins to await what completes it.

        Returns:
            True if it awaits a message; False if it is complete.
        """
        self.step, self.due_ns = step, due_ns
        if step.outgoing is not None:
            awaiting = self._send(player, step, due_ns)
        else:
            awaiting = True
            # What was read together with the message that completed the step before may complete this one.
            self.sent_ns = due_ns
            if step.completes is not None:
                self._count_awaited(step, due_ns)
        if step.completes is None or player.connection.closing:
            return False
        self.awaiting = awaiting
        if step.stream is not None:
            self.answer = Answer(due_ns, self.sent_ns)
        deadline_ns = self.deadline_ns = self.sent_ns + step.timeout_ns
        if not self.armed_ns or deadline_ns < self.armed_ns:
            self.armed_ns = deadline_ns
            player.load.alarms.set_deadline(deadline_ns, self)
        return True

    def _send(self, player: SteppingSession, step: CompiledStep, due_ns: int) -> bool:
        """Sends the step's message. Returns False if it could not leave, which is counted."""
        publishing = step.publishing
        if publishing is not None:
            publishing.prepare(player, due_ns)
        seq = self.seq = player.load.next_number()
        assert step.outgoing is not None
        frame = step.outgoing.frame(seq, player)
        self.sent_ns = monotonic_ns()
        has_left = player.write(frame)
        row = step.row
        if has_left and step.counts_at_once and step.completes is not None and due_ns >= row.samples.measured_from_ns:
            row.exchanges += 1
            player.connection.owner.tally.bytes_sent += len(frame)
        else:
            self._count_send(player, step, len(frame), has_left=has_left)
        if publishing is not None and has_left:
            publishing.confirm(player)
            owner = player.connection.owner
            owner.tally.publishes_sent += step.to_totals and due_ns >= owner.samples.measured_from_ns
        return has_left

    def _count_send(self, player: SteppingSession, step: CompiledStep, frame_bytes: int, *, has_left: bool) -> None:
        """Counts the step's message, which has left or not, where more is to be counted than that it was sent."""
        owner, row, due_ns, awaits = player.connection.owner, step.row, self.due_ns, step.completes is not None
        if due_ns >= row.samples.measured_from_ns:
            row.is_used = True
            self._count_sent(row, has_left=has_left, awaits=awaits)
        if not step.to_totals:
            owner.tally.bytes_sent += frame_bytes if has_left else 0
        elif due_ns >= owner.samples.measured_from_ns:
            self._count_sent(owner, has_left=has_left, awaits=awaits)
            owner.tally.bytes_sent += frame_bytes if has_left else 0
        else:
            # A worker may learn of its start a little late: what completes the step counts no more than its message.
            self.due_ns = NOT_MEASURED_NS
            owner.tally.warmup_sent += has_left

    def _count_sent(self, recorder: Recorder, *, has_left: bool, awaits: bool) -> None:
        """Counts a message that was due, and has left or not."""
        tally = recorder.tally
        tally.due += 1
        if not has_left:
            tally.dropped += 1
            return
        tally.sent += 1
        if not awaits:
            tally.unawaited += 1
            recorder.samples.note_unanswered(self.due_ns, self.sent_ns, 1, self.held_until_ns)

    def _count_awaited(self, step: CompiledStep, due_ns: int) -> None:
        row = step.row
        if due_ns >= row.samples.measured_from_ns:
            row.is_used = True
            row.tally.due += 1
            row.tally.sent += 1

    # --- What comes -------------------------------------------------------------------------------------------------

    def offer(self, player: SteppingSession, payload: bytes, at_ns: int) -> bool:
        """Takes a message read at an instant, if it completes the step or is surely part of its answer."""
        # What was read before the step's message left answers something else.
        if at_ns < self.sent_ns:
            return False
        step = self.step
        assert step is not None
        assert step.completes is not None
        if not step.completes(payload, self.seq, player):
            return step.stream is not None and self._offer_first(player, payload, at_ns)
        if self.answer is not None:
            self._add_part(player, payload, at_ns, is_first=self._may_be_first(player, payload), is_last=True)
        self._complete(player, step, payload, at_ns)
        return True

    def offer_part(self, player: SteppingSession, payload: bytes, at_ns: int) -> bool:
        """Takes a message that nothing else takes, if it is part of the step's answer."""
        answer, step = self.answer, self.step
        if answer is None or step is None or step.stream is None or at_ns < self.sent_ns:
            return False
        stream = step.stream
        if stream.belongs is not None and not stream.belongs(payload, self.seq, player):
            return False
        if not answer.has_begun and stream.is_first is not None:
            # What comes before the message that counts as the first is none of the answer's that a user sees.
            answer.messages += 1
            answer.size_bytes += len(payload)
            self._count_streamed(player, step)
            return True
        self._add_part(player, payload, at_ns, is_first=stream.is_first is None, is_last=False)
        return True

    def _offer_first(self, player: SteppingSession, payload: bytes, at_ns: int) -> bool:
        """Takes a message that counts as the first of an answer, or like it."""
        if not self._may_be_first(player, payload):
            return False
        self._add_part(player, payload, at_ns, is_first=True, is_last=False)
        return True

    def _may_be_first(self, player: SteppingSession, payload: bytes) -> bool:
        """Returns True for a message that a check of `first` is satisfied with."""
        assert self.step is not None
        stream = self.step.stream
        if stream is None or stream.is_first is None:
            return False
        if stream.belongs is not None and not stream.belongs(payload, self.seq, player):
            return False
        return stream.is_first(payload, self.seq, player)

    def _complete(self, player: SteppingSession, step: CompiledStep, payload: bytes, at_ns: int) -> None:
        due_ns = self.due_ns
        self.awaiting, self.deadline_ns, self.answer = False, 0, None
        step.row.is_used = True
        samples = step.row.samples
        row = samples.length
        samples.due[row] = due_ns
        samples.sent[row] = self.sent_ns
        samples.done[row] = at_ns
        if self.held_until_ns > due_ns:
            samples.hold_next(self.held_until_ns)
        samples.length = row + 1
        if row == LAST_ROW:
            samples.flush()
        owner = player.connection.owner
        if step.to_totals and not step.counts_at_once:
            if self.held_until_ns > due_ns:
                owner.samples.hold_next(self.held_until_ns)
            owner.samples.append(due_ns, self.sent_ns, at_ns, 1)
        if step.publishing is not None and step.to_totals and due_ns >= owner.samples.measured_from_ns:
            owner.tally.publishes_acknowledged += 1
        if step.captures:
            player.capture(step.captures, payload, str(step))
        if step.expect:
            self._check(player, step, payload)
        self.completed(player, at_ns)

    def _check(self, player: SteppingSession, step: CompiledStep, payload: bytes) -> Fault | None:
        """Counts the fault of the first check of `expect` that a message fails. Returns it; None if it fails none."""
        if self.due_ns < step.row.samples.measured_from_ns:
            return None
        for name, test in step.expect:
            if not test(payload, self.seq, player):
                text = f"completed {step} with a message that fails expect {name}"
                fault, owner = Fault(FaultKind.CHECK_FAILED, text=text), player.connection.owner
                owner.fault(fault)
                step.row.count_fault(fault, owner)
                return fault
        return None

    # --- Answers of many messages -----------------------------------------------------------------------------------

    def _recorders(self, player: SteppingSession, step: CompiledStep) -> Iterator[Recorder]:
        """Yields those who count a message of the answer: the step's row, and the run where it is of the load."""
        row, owner = step.row, player.connection.owner
        if self.due_ns >= row.samples.measured_from_ns:
            row.is_used = True
            yield row
        if step.to_totals and self.due_ns >= owner.samples.measured_from_ns:
            yield owner

    def _count_streamed(self, player: SteppingSession, step: CompiledStep) -> None:
        for recorder in self._recorders(player, step):
            recorder.tally.streamed += 1

    def _add_part(self, player: SteppingSession, payload: bytes, at_ns: int, *, is_first: bool, is_last: bool) -> None:
        """Adds a message to the answer; `is_first`: it counts as the first, if none has."""
        answer, step = self.answer, self.step
        assert answer is not None
        assert step is not None
        assert step.stream is not None
        stream = step.stream
        answer.messages += 1
        answer.size_bytes += len(payload)
        had_begun, gap_ns = answer.has_begun, at_ns - answer.last_ns
        begins = not had_begun and (is_first or stream.is_first is None)
        if begins or had_begun:
            answer.has_begun, answer.last_ns = True, at_ns
        for recorder in self._recorders(player, step):
            recorder.tally.streamed += 1
            if had_begun:
                record_gap(recorder, gap_ns, stream.stall_ns)
            elif begins:
                recorder.tally.first_time_ns.record(max(0, at_ns - answer.due_ns))
            if is_last:
                record_answer(recorder, answer, payload, at_ns, stream.read_count)

    # --- Ending -----------------------------------------------------------------------------------------------------

    def has_deadline(self, at_ns: int) -> bool:
        """Returns True if an alarm for the deadline is needed at an instant; sets that of a later step instead."""
        raise NotImplementedError

    def needs_alarm(self, player: SteppingSession, at_ns: int) -> bool:
        """Returns True if the step is overdue at an instant for which an alarm is set: it may be of a step before."""
        if at_ns != self.armed_ns:
            return False
        if self.deadline_ns == at_ns and not player.has_ended:
            return True
        self.armed_ns = self.deadline_ns if not player.has_ended else 0
        if self.armed_ns:
            player.load.alarms.set_deadline(self.armed_ns, self)
        return False

    def ring(self, player: SteppingSession, at_ns: int) -> None:
        """Takes note of the alarm for the deadline."""
        if not self.needs_alarm(player, at_ns):
            return
        self.armed_ns = 0
        step = self.step
        assert step is not None
        what = "sent nothing that completes" if self.awaiting else "did not read the message of"
        text = f"{what} {step} within {format_duration(step.timeout_ns)}"
        player.fail(step, Fault(FaultKind.REPLY_TIMEOUT, text=text))

    def on_alarm(self, kind: int, at_ns: int) -> None:
        """Takes note of an alarm (`AlarmTarget`)."""
        raise NotImplementedError

    def give_up(self, player: SteppingSession) -> None:
        """Counts a message that awaits a reply as unanswered, and forgets it."""
        step, was_awaiting = self.step, self.awaiting
        self.awaiting, self.deadline_ns = False, 0
        answer, self.answer = self.answer, None
        if not was_awaiting or step is None:
            return
        wait_ns = max(0, monotonic_ns() - self.due_ns)
        for recorder in self._recorders(player, step):
            recorder.tally.unanswered += 1
            recorder.tally.unanswered_wait_ns.record(wait_ns)
            recorder.samples.note_unanswered(self.due_ns, self.sent_ns, 1, self.held_until_ns)
            recorder.tally.broken_off += answer is not None and answer.messages > 0
