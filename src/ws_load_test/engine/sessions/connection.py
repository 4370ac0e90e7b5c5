"""One session's frames: the hot path of reading, and every way in which a session ends.

What it costs. `Connection.data_received` runs once per read of a socket, whatever number of replies the read holds.
Per read it takes one clock reading, next to the read and before anything else; per reply a few bytecodes: the first
byte of a frame is compared with the one that an ordinary reply has, which checks FIN, the reserved bits and the
opcode in a single comparison, and the second byte gives the frame's end. Nothing is copied, and no object is made for
a frame. Everything that is not an ordinary whole reply (control frames, fragments, frames cut by the end of a read,
nonsense) leaves the loop for a method below it. A read whose frames are many is worked through in several turns of the
event loop (`LoopTurns`), whatever they are; what that costs an ordinary read is two tests and a sum.

So does every frame where the content of replies matters (`Session.needs_payload`): the same loop with a head that no
frame has. A message then costs about a microsecond more, and its payload is copied once.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.other_protocols import described
from ws_load_test.engine.sessions.read_policy import NO_FAST_PATH, ReadPolicy
from ws_load_test.engine.sessions.session import READ_COUNTED, Session, SessionListener
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import DeflateTooLargeError, PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.sessions.message_trace import MessageTrace
    from ws_load_test.engine.sessions.sender import Sender

SLICE_BYTES = 1 << 16
"""Bytes that are worked through in one go: 3 ms of the smallest frames there are. Larger reads are taken in slices."""
SLOW_SLICE_BYTES = 128
"""Bytes after which the turn's time is looked at, in frames that may each take microseconds."""
SMALL_PIECE_BYTES = 4096
"""Pieces of a frame below this go into one buffer while the frame is not whole: each object has an overhead, and a
target can cut a large frame into single bytes."""
LOOKED_AT_BYTES = 256
"""Bytes of what is no frame that are looked at for what it is instead."""
_WHOLE_MESSAGES = frozenset({frames.FIN | frames.TEXT, frames.FIN | frames.BINARY})
"""First bytes of messages in one frame."""
_new_utf8_check = codecs.getincrementaldecoder("utf-8")
INCOMPLETE = 1 << 62
"""End of a frame whose header is cut off: behind any data."""


class Connection(Session):
    """An open session: finds the replies in the bytes that are read, answers control frames, and notes how it ended.

    The meaning of a reply is the load's: `on_replies` gets how many came in one read, and when it was read. Where
    messages are read whole, the session's receiver gets each of them first, and decides if it is a reply.
    """

    on_replies: Callable[[int, int], None]
    """Takes the number of replies that were read together, and the instant. A bound method of the sender."""
    sender: Sender
    """The session's part of the load, where it carries one."""

    trace: MessageTrace | None = None
    """Observer of what messages are counted as; replies of the load are the conversation's to report."""
    _unread: bytes | None = None
    """Bytes that were read and wait for a turn of the loop; None: nothing waits, and the transport reads."""

    def __init__(self, owner: SessionListener, reading: ReadPolicy = READ_COUNTED) -> None:
        super().__init__(owner, reading)
        self._partial: list[bytes | bytearray] = []
        self._kept_bytes = 0
        self._wanted_bytes = 0
        self._max_message_bytes = reading.max_message_bytes
        self._fragmented_bytes = -1
        """Bytes of payload of the fragments that have come of a message; -1 between messages."""
        self._head_after_fragments = self.reply_head
        self._parts = bytearray()
        """Payload of these fragments, in one piece however many they are, where messages are read whole."""
        self._message_head = 0
        self._utf8 = _new_utf8_check() if reading.check_utf8 else None

    def data_received(self, data: bytes) -> None:
        """Counts the whole replies in what was read; the hot path."""
        at_ns = monotonic_ns()
        if len(data) > SLICE_BYTES or self._unread is not None:
            self._read_in_slices(data)
            return
        self.owner.tally.bytes_received += len(data)
        if self._partial:
            data = self._reassemble(data)
        size, at, end, replies, head = len(data), 0, 0, 0, self.reply_head
        last = size - 1
        check_at = SLOW_SLICE_BYTES
        while at < last:
            length = data[at + 1]
            end = at + 2 + length if length < 126 else self._end_of_long(data, at)
            if end > size:
                break
            if data[at] == head:
                replies += 1
            else:
                replies += self._read_frame_slow(data, at, end, at_ns)
                head = self.reply_head
                if end > check_at:
                    check_at = end + SLOW_SLICE_BYTES
                    last = 0 if self.owner.loop_turns.is_over() else last
            at = end
        if at != size:
            self._leave_rest(data, at, end)
        if replies:
            self.on_replies(replies, at_ns)
        if self._pending_end is not None:
            # Only now, because the replies that came before the end, perhaps in the same read, are replies.
            self._end(*self._pending_end)

    def carry(self, sender: Sender) -> None:
        """Makes the session carry its part of a load."""
        self.sender = sender
        self.on_replies = sender.on_replies
        self.set_receiver(sender)

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message that was read whole at `at_ns`. Returns 1 if it is a reply, else 0."""
        reading = self.reading
        for test, answer in reading.answers:
            if test(payload):
                self.answer_message(opcode, answer)
                return self.count_unsolicited(payload)
        for test in reading.ignore:
            if test(payload):
                return self.count_unsolicited(payload)
        return self.receiver.on_message(opcode, payload, at_ns)

    def check_reply(self, payload: bytes) -> None:
        """Counts a fault if a reply fails one of the checks."""
        for name, test in self.reading.expect:
            if not test(payload):
                self.owner.fault(check_failure(name))
                return

    def count_unsolicited(self, payload: bytes) -> int:
        """Counts an unsolicited message. Returns 0, the number of replies it completes."""
        tally = self.owner.tally
        tally.pushed += 1
        tally.pushed_bytes += len(payload)
        if self.trace is not None:
            self.trace.message_counted("push")
        return 0

    # --- Reading what is not ordinary -------------------------------------------------------------------------------

    def _end_of_long(self, data: bytes, at: int) -> int:
        """Returns the end of a frame with a long length (RFC 6455, section 5.2); `INCOMPLETE` if its header is cut."""
        length, start = data[at + 1], at + 2
        if length == frames.LENGTH_IS_16_BIT:
            if start + 2 > len(data):
                return INCOMPLETE
            payload_bytes = int.from_bytes(data[start : start + 2])
            if frames.LENGTH_IS_16_BIT <= payload_bytes <= self._max_message_bytes:
                return start + 2 + payload_bytes
            return self._unusual_length(data, at, start + 2, payload_bytes)
        if length != frames.LENGTH_IS_64_BIT:
            self._fail_head(data[at : at + LOOKED_AT_BYTES], length)
        elif start + 8 <= len(data):
            payload_bytes = int.from_bytes(data[start : start + 8])
            if 1 << 16 <= payload_bytes <= self._max_message_bytes:
                return start + 8 + payload_bytes
            return self._unusual_length(data, at, start + 8, payload_bytes)
        return INCOMPLETE

    def _unusual_length(self, data: bytes, at: int, start: int, payload_bytes: int) -> int:
        """Returns the end of a frame whose length is not the usual, if it is right; `INCOMPLETE` if not."""
        first = data[at]
        if self._fail_head(data[at : at + LOOKED_AT_BYTES], data[at + 1]):
            return INCOMPLETE
        if payload_bytes >> 63:
            self._fail("a length with its highest bit set (RFC 6455, section 5.2)", clause="5.2")
        elif payload_bytes < (frames.LENGTH_IS_16_BIT if start - at == 4 else 1 << 16):
            self._fail("a length that is not written in the fewest bytes (RFC 6455, section 5.2)", clause="5.2")
        elif payload_bytes <= self._most_bytes(first):
            return start + payload_bytes
        else:
            self._refuse_large(f"a message of {payload_bytes} bytes, more than the {self._max_message_bytes}")
        return INCOMPLETE

    def _leave_rest(self, data: bytes, at: int, end: int) -> None:
        """Keeps what is left of a read: a frame that is cut off, at `at`, or frames for which the turn has no time."""
        rest = data[at:]
        if end > len(data) or len(rest) == 1:
            self._stash(rest, end - at if end != INCOMPLETE else 0)
        elif self._pending_end is None:
            self.owner.tally.bytes_received -= len(rest)
            self._wait_for_turn(rest)

    def _read_in_slices(self, data: bytes) -> None:
        """Works through what was read, as far as the turn has time for it."""
        if self._unread is not None:
            # More has come although the transport was asked to read no more: it waits behind what waits.
            self._unread += data
            return
        start, turns = 0, self.owner.loop_turns
        while start < len(data) and not turns.is_over():
            self.data_received(data[start : start + SLICE_BYTES])
            start += SLICE_BYTES
            if self._pending_end is not None:
                return
        if start < len(data) or turns.is_over():
            self._wait_for_turn(data[start:])

    def _wait_for_turn(self, rest: bytes) -> None:
        """Reads nothing more until a later turn; the loop would read all there is before it turned to anything else."""
        if self._unread is not None:
            self._unread += rest
            return
        self._unread = rest
        if self._transport.is_reading() and not self._transport.is_closing():
            self._transport.pause_reading()
        self.owner.loop_turns.put_off(self._read_on)

    def _read_on(self) -> None:
        """Works through what was put off, and reads again if the turn has time for all of it."""
        data, self._unread = self._unread, None
        if self.ended or data is None:
            return
        self._read_in_slices(data)
        if self._unread is None and not self._reads_slowly and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone; what came before that counts, as far as the turn has time for it."""
        if self._unread is not None:
            self._read_on()
        super().connection_lost(exc)

    def _stash(self, rest: bytes, frame_bytes: int) -> None:
        """Puts a frame aside that the read cut off; `frame_bytes` is its whole size, 0 while that is not known."""
        if self._pending_end is None:
            self._judge_cut(rest, frame_bytes)
        self._kept_bytes = 0
        self._keep(rest)
        self._wanted_bytes = max(frame_bytes, len(rest) + 1)

    def _judge_cut(self, rest: bytes, frame_bytes: int) -> None:
        """Judges the beginning of a frame that has not come whole: what follows it may never come, or take memory."""
        first, length = rest[0], rest[1] if len(rest) > 1 else 0
        if self._fail_head(rest[:LOOKED_AT_BYTES], length):
            return
        if frame_bytes and self._fragmented_bytes >= 0 and first & frames.OPCODE_BITS < frames.CLOSE:
            self._is_within_limit(self._fragmented_bytes + frame_bytes - _head_bytes(length))

    def _keep(self, piece: bytes) -> None:
        self._kept_bytes += len(piece)
        if len(piece) >= SMALL_PIECE_BYTES:
            self._partial.append(piece)
        elif self._partial and isinstance(last := self._partial[-1], bytearray):
            last += piece
        else:
            self._partial.append(bytearray(piece))

    def _reassemble(self, data: bytes) -> bytes:
        """Returns the bytes put aside and those read now, as soon as the frame is whole; nothing before."""
        if self._kept_bytes + len(data) < self._wanted_bytes:
            self._keep(data)
            return b""
        data = b"".join((*self._partial, data))
        self._partial.clear()
        return data

    def _read_frame_slow(self, data: bytes, at: int, end: int, at_ns: int) -> int:
        """Takes in a whole frame that is not an ordinary reply. Returns how many replies it completes, 0 or 1."""
        if self._pending_end is not None:
            return 0
        first, length = data[at], data[at + 1]
        opcode = first & frames.OPCODE_BITS
        if (first not in _WHOLE_MESSAGES or self._fragmented_bytes >= 0) and self._fail_head(
            data[at : at + LOOKED_AT_BYTES], length
        ):
            return 0
        if opcode >= frames.CLOSE:
            return self._control(opcode, data[at + 2 : end], at_ns)
        if self.needs_payload:
            return self._read_data_frame(first, data[at + _head_bytes(length) : end], at_ns)
        if not first & frames.FIN:
            self._fragment(end - at - _head_bytes(length))
        elif opcode != frames.CONTINUATION or self._add_fragment(end - at - _head_bytes(length)):
            return self._message(opcode)
        return 0

    def _head_problem(self, first: int, length: int) -> tuple[str, str] | None:
        """Returns the breach in the first two bytes of a frame, and its clause; None if there is none.

        The length is 0 where the second byte has not come yet.
        """
        opcode, reserved = first & frames.OPCODE_BITS, first & frames.RESERVED_BITS
        if reserved and not (reserved == frames.RSV1 and self.deflate is not None and 0 < opcode < frames.CLOSE):
            return "reserved bits set without an extension (RFC 6455, section 5.2)", "5.2"
        if opcode > frames.PONG or frames.BINARY < opcode < frames.CLOSE:
            return f"reserved opcode {opcode:#x} (RFC 6455, section 5.2)", "5.2"
        if opcode < frames.CLOSE and (opcode == frames.CONTINUATION) == (self._fragmented_bytes < 0):
            return "a message's fragments out of order (RFC 6455, section 5.4)", "5.4"
        if opcode >= frames.CLOSE and not first & frames.FIN:
            return "a control frame that is fragmented (RFC 6455, section 5.5)", "5.5"
        # What the first byte breaks comes before what the second does, however they are cut.
        if length >= frames.MASKED:
            return "a masked frame (RFC 6455, section 5.1: a server never masks)", "5.1"
        if opcode >= frames.CLOSE and length > frames.LARGEST_CONTROL_PAYLOAD:
            return "a control frame that is longer than 125 bytes (RFC 6455, section 5.5)", "5.5"
        return None

    def _fail_head(self, head: bytes, length: int) -> bool:
        """Fails for a frame that is none, and names what it looks like instead. Returns False if it is one."""
        problem = self._head_problem(head[0], length)
        if problem is None:
            return False
        (what, clause), words = problem, described(head)
        self._fail(f"{what}; {words}" if words else what, clause=clause)
        return True

    def _message(self, opcode: int) -> int:
        """Counts a message whose last, or only, frame has come. Returns how many replies it is, 0 or 1."""
        if opcode == frames.CONTINUATION:
            self._fragmented_bytes = -1
            self.reply_head = self._head_after_fragments
        elif not self.reading.pongs:
            # The opcode of this message, text or binary, is that of an ordinary reply from here on.
            self.reply_head = frames.FIN | opcode
        if not self.reading.pongs:
            return 1
        self.owner.tally.pushed += 1
        if self.trace is not None:
            self.trace.message_counted("push")
        return 0

    def _read_data_frame(self, first: int, payload: bytes, at_ns: int) -> int:
        """Takes in a frame of a message that is read whole. Returns how many replies it completes, 0 or 1."""
        if self._fragmented_bytes < 0:
            self._message_head = first
        compressed = self._message_head & frames.RSV1
        is_text = self._message_head & frames.OPCODE_BITS == frames.TEXT
        if is_text and not compressed and not self._is_utf8(payload, last=bool(first & frames.FIN)):
            return 0
        if not first & frames.FIN:
            if self._fragment(len(payload)):
                self._parts += payload
            return 0
        if self._fragmented_bytes >= 0:
            if not self._add_fragment(len(payload)):
                return 0
            self._parts += payload
            payload, self._parts = bytes(self._parts), bytearray()
            self._fragmented_bytes = -1
        if self.deflate is not None:
            plain = self._inflated(self.deflate, payload, is_text=is_text) if compressed else payload
            if plain is None:
                return 0
            payload = plain
            self.owner.tally.uncompressed_bytes_received += len(payload)
        return self.on_message(self._message_head & frames.OPCODE_BITS, payload, at_ns)

    def _inflated(self, deflate: PerMessageDeflate, payload: bytes, *, is_text: bool) -> bytes | None:
        """Returns a compressed message as it was; None if that ended the session."""
        try:
            plain = deflate.decompress(payload, self._max_message_bytes)
        except DeflateTooLargeError:
            self._refuse_large(f"compressed data that inflates to more than the {self._max_message_bytes} bytes")
        except DeflateError as error:
            self._fail(str(error), frames.INVALID_DATA, "RFC 7692 7.2.2")
        else:
            return plain if not is_text or self._is_utf8(plain, last=True) else None
        return None

    def _is_utf8(self, payload: bytes, *, last: bool) -> bool:
        """Returns False if a text is not UTF-8 (RFC 6455, section 8.1), which ends the session; True if unchecked."""
        if self._utf8 is None:
            return True
        try:
            self._utf8.decode(payload, last)
        except UnicodeDecodeError:
            self._fail("a text that is not UTF-8 (RFC 6455, section 8.1)", frames.INVALID_DATA, "8.1")
            return False
        return True

    def _fragment(self, payload_bytes: int) -> bool:
        """Takes in a frame that more frames of the same message follow. Returns False if that ended the session."""
        if self._fragmented_bytes < 0:
            self._fragmented_bytes = 0
            self._head_after_fragments, self.reply_head = self.reply_head, NO_FAST_PATH
        return self._add_fragment(payload_bytes)

    def _add_fragment(self, payload_bytes: int) -> bool:
        """Adds a frame to its message. Returns False if that is too large, which ends the session."""
        self._fragmented_bytes += payload_bytes
        return self._is_within_limit(self._fragmented_bytes)

    def _is_within_limit(self, payload_bytes: int) -> bool:
        """Returns True unless a message in fragments is too large, which ends the session."""
        if payload_bytes <= self._most_bytes(self._message_head):
            return True
        self._refuse_large(f"a message in fragments of more than the {self._max_message_bytes} bytes")
        return False

    def _most_bytes(self, first: int) -> int:
        """Returns the bytes that the frames of a message may carry, whose first one begins with this byte.

        What does not compress grows by some bytes, which must not make a message too large that is just small enough.
        """
        compressed = self.deflate is not None and (first | self._message_head) & frames.RSV1
        return self._max_message_bytes * 17 // 16 + 64 if compressed else self._max_message_bytes

    def time_pong(self, payload: bytes, at_ns: int) -> None:
        """Records the time of a ping of our own, if this is its pong."""
        if self._pinged_ns and payload == self._pinged_ns.to_bytes(8):
            self.owner.tally.keepalive_time_ns.record(max(0, at_ns - self._pinged_ns))
            self._pinged_ns = 0

    def _control(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes in a control frame (RFC 6455, section 5.5). Returns how many replies it is, 0 or 1."""
        if opcode == frames.PING:
            if not self.closing and not self.reading.no_pong:
                self.answer_ping(payload)
        elif opcode == frames.PONG:
            self.time_pong(payload, at_ns)
            if self.reading.pongs and self.reading.extract_id is not None:
                return self.on_message(opcode, payload, at_ns)
            return int(payload == self.reading.expected_pong)
        else:
            self._close_frame(payload)
        return 0


def check_failure(name: str) -> Fault:
    """Returns the fault of a reply that fails a check."""
    return Fault(FaultKind.CHECK_FAILED, text=f"sent a reply that fails --expect {name}")


def _head_bytes(length: int) -> int:
    """Returns the size of an unmasked frame's head by its second byte (RFC 6455, section 5.2)."""
    return 2 if length < frames.LENGTH_IS_16_BIT else 4 if length == frames.LENGTH_IS_16_BIT else 10
