"""The compiled loop asks the kernel by io_uring: what only this backend has, beside what it counts as epoll does."""

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.registry import why_missing, why_no_io_uring
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

WHY_NOT = why_missing("native") or why_no_io_uring()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"the native engine cannot use io_uring here: {WHY_NOT}")

if not WHY_NOT:
    from ws_load_test.engine.native.reactor import Reactor

GOES_BACK = 1
RING_BYTES = 1024 * 2048
"""Bytes of the buffers of a ring."""
REPLY = frames.encode_frame(frames.TEXT, b"r" * 62)
MESSAGE = frames.encode_frame(frames.TEXT, b"m" * 60, mask=b"mask")
PATIENCE_NS = 30_000_000_000
FORBIDDING = """
import ctypes, os, struct, sys
# Loads the number of the system call; refuses that of io_uring_setup with EPERM, and allows any other.
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program, 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "ws_load_test", *sys.argv[1:]])
"""
"""Runs us where seccomp forbids io_uring, as containers do."""


@pytest.fixture
def pairs():
    """Makes TCP connections, and closes them when the test has ended. The first end of each does not block."""
    with contextlib.ExitStack() as stack:

        def pair():
            with socket.create_server(("127.0.0.1", 0)) as listening:
                near = stack.enter_context(socket.create_connection(listening.getsockname()))
                far, _ = listening.accept()
            near.setblocking(False)
            return near, stack.enter_context(far)

        yield lambda count: [pair() for _ in range(count)]


def new_loop(message=MESSAGE, copies=1):
    """Returns a closed loop whose messages are answered in order."""
    reactor = Reactor(False, message * copies, copies, 1 << 30, True)
    reactor.measured_from = 0
    return reactor


class Counts:
    """What a loop has counted, added up, and its events."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.events = {}
        self._counts = {}

    def __getitem__(self, name):
        for each, count in self.reactor.take_counts().items():
            self._counts[each] = self._counts.get(each, 0) + count
        return self._counts.get(name, 0)

    def run_until(self, holds):
        """Runs the loop until something holds."""
        until_ns = monotonic_ns() + PATIENCE_NS
        while not holds():
            assert monotonic_ns() < until_ns, "it does not come about"
            self.reactor.run(monotonic_ns() + 1_000_000)
            for slot, bits, *_ in self.reactor.events():
                self.events[slot] = self.events.get(slot, 0) | bits

    def read_all(self, far, size):
        """Returns so many bytes of the other end of a connection, while the loop sends them."""
        data = bytearray()

        def complete():
            with contextlib.suppress(BlockingIOError):
                data.extend(far.recv(size - len(data), socket.MSG_DONTWAIT))
            return len(data) == size

        self.run_until(complete)
        return bytes(data)


def fill(far, stream):
    """Writes what the kernel takes of a stream of replies, without waiting. Returns how many bytes."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    return far.send(stream, socket.MSG_DONTWAIT)


def lend_answered(reactor, ends):
    """Lends connections, each of which then has a message in flight, and its reply on the way. Returns the slots."""
    slots = [reactor.lend(near.fileno()) for near, _ in ends]
    for slot, (_, far) in zip(slots, ends, strict=True):
        reactor.fire(slot, 1)
        far.sendall(REPLY)
    return slots


def test_more_bytes_than_the_buffers_hold_are_all_read(pairs):
    """They have come before the sockets are lent, so that receiving takes all buffers before any is given back."""
    ends = pairs(60)
    sizes = [fill(far, REPLY * 1000) for _, far in ends]
    assert sum(sizes) > RING_BYTES
    counts = Counts(new_loop())
    for near, _ in ends:
        counts.reactor.lend(near.fileno())
    counts.run_until(lambda: counts["bytes_received"] == sum(sizes))
    assert counts["pushed"] == sum(size // len(REPLY) for size in sizes)
    # What was ended for want of buffers has begun anew.
    for size, (_, far) in zip(sizes, ends, strict=True):
        far.sendall(REPLY[size % len(REPLY) :])
    counts.run_until(lambda: counts["bytes_received"] % len(REPLY) == 0)
    assert counts["pushed"] * len(REPLY) == counts["bytes_received"]
    assert counts.events == {}


def test_messages_that_leave_together_have_instants_of_their_own(pairs):
    counts = Counts(new_loop())
    ends = pairs(32)
    slots = lend_answered(counts.reactor, ends)
    from_ns = monotonic_ns()
    counts.run_until(lambda: counts["sent"] == 64)
    until_ns = monotonic_ns()
    flights = [counts.reactor.give_back(slot).in_flight for slot in slots]
    assert all(due_ns == sent_ns and count == 1 for ((due_ns, sent_ns, count),) in flights)
    instants = {sent_ns for ((_, sent_ns, _),) in flights}
    assert len(instants) == 32
    assert from_ns <= min(instants) <= max(instants) <= until_ns
    for _, far in ends:
        assert counts.read_all(far, 2 * len(MESSAGE)) == MESSAGE * 2


@pytest.mark.parametrize("copies", [1, 3])
def test_more_messages_than_leave_at_once_leave_all(pairs, copies):
    """Of 40 sessions, or several times of the same one."""
    counts = Counts(new_loop(copies=copies))
    ends = pairs(40)
    slots = [counts.reactor.lend(near.fileno()) for near, _ in ends]
    for slot, (_, far) in zip(slots, ends, strict=True):
        counts.reactor.fire(slot, 5)
        far.sendall(REPLY * 5)
    counts.run_until(lambda: counts["sent"] == 40 * 10)
    assert counts["answered"] == 40 * 5
    assert [counts.reactor.in_flight(slot) for slot in slots] == [5] * 40
    for _, far in ends:
        assert counts.read_all(far, 10 * len(MESSAGE)) == MESSAGE * 10


def test_what_the_kernel_takes_in_part_leaves_in_full_later(pairs):
    """Each message is larger than what a connection takes whose other end does not read; six leave together."""
    message = frames.encode_frame(frames.TEXT, bytes(range(256)) * 20_000, mask=b"mask")
    counts = Counts(new_loop(message))
    reactor, ends = counts.reactor, pairs(6)
    for near, far in ends:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        # Else the kernel lets it grow to some megabytes while it is read.
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    slots = lend_answered(reactor, ends)
    for _, far in ends:
        assert counts.read_all(far, len(message)) == message
    counts.run_until(lambda: counts["sent"] == 12)
    assert all(map(reactor.blocked_since, slots))
    for _, far in ends:
        assert counts.read_all(far, len(message)) == message
    counts.run_until(lambda: not any(map(reactor.blocked_since, slots)))
    assert counts["write_blocked_ns"] > 0
    assert counts["bytes_sent"] == 12 * len(message)


def test_a_target_that_reads_nothing_may_end(pairs):
    message = frames.encode_frame(frames.TEXT, bytes(range(256)) * 40_000, mask=b"mask")
    counts = Counts(new_loop(message))
    reactor, ends = counts.reactor, pairs(2)
    slots = [reactor.lend(near.fileno()) for near, _ in ends]
    for slot in slots:
        reactor.fire(slot, 1)
    assert all(map(reactor.blocked_since, slots))
    ends[0][1].close()
    counts.run_until(lambda: counts.events == {slots[0]: GOES_BACK})
    loans = [reactor.give_back(slot) for slot in slots]
    assert [loan.error for loan in loans] == [errno.ECONNRESET, 0]
    assert all(0 < len(loan.unsent) < len(message) and message.endswith(loan.unsent) for loan in loans)
    # Nothing of the loop keeps the connection open once the socket is closed.
    ends[1][0].close()
    left = len(message) - len(loans[1].unsent)
    while left:
        data = ends[1][1].recv(1 << 20)
        assert data, "the connection ends before all that left has come"
        left -= len(data)
    assert ends[1][1].recv(1) == b""


def test_a_reset_while_messages_leave_together_takes_none_of_them_for_sent(pairs):
    """Every second target answers, and resets the connection: what would have left there may leave elsewhere."""
    counts = Counts(new_loop())
    reactor, ends = counts.reactor, pairs(16)
    reactor.remaining = 40
    slots = lend_answered(reactor, ends)
    for _, far in ends[::2]:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
    gone = dict.fromkeys(slots[::2], GOES_BACK)
    counts.run_until(lambda: counts.events == gone and counts["sent"] >= 16 + 8)
    assert counts["sent"] + reactor.remaining == 40
    loans = {slot: reactor.give_back(slot) for slot in slots}
    assert (
        sum(count for loan in loans.values() for _, _, count in loan.in_flight) + counts["answered"] == counts["sent"]
    )
    assert {loan.error for slot, loan in loans.items() if slot in gone} == {errno.ECONNRESET}
    for slot, (_, far) in zip(slots, ends, strict=True):
        if slot not in gone:
            assert counts.read_all(far, 2 * len(MESSAGE)) == MESSAGE * 2


@pytest.mark.parametrize("end", ["none", "ordinary", "reset"])
@pytest.mark.parametrize("has_begun", [False, True])
def test_what_has_come_and_was_not_looked_at_goes_back_with_the_session(pairs, has_begun, end):
    """It is counted where it is read, and not twice. The end of another loan takes it up from the kernel."""
    counts = Counts(new_loop())
    (near, far), (other, _) = pairs(2)
    slot, another = counts.reactor.lend(near.fileno()), counts.reactor.lend(other.fileno())
    if has_begun:
        far.sendall(REPLY + REPLY[:5])
        counts.run_until(lambda: counts["bytes_received"] == len(REPLY) + 5)
    rest = REPLY[5:] + REPLY * 99 if has_begun else REPLY * 100
    far.sendall(rest)
    counts.reactor.give_back(another)
    if end == "reset":
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        counts.reactor.give_back(counts.reactor.lend(other.fileno()))
    elif end == "ordinary":
        far.close()
    loan = counts.reactor.give_back(slot)
    assert (loan.cut_frame, loan.unread) == (REPLY[:2] + bytes(3) if has_begun else b"", rest)
    assert loan.error == (errno.ECONNRESET if end == "reset" else 0)
    assert counts["bytes_received"] == (len(REPLY) + 5 if has_begun else 0)
    if end == "none":
        far.sendall(REPLY)
    assert near.recv(len(REPLY)) == (REPLY if end == "none" else b"")


def test_what_the_end_of_another_loan_has_taken_up_is_looked_at(pairs):
    """The loop's descriptor says that there is something to do, though the kernel has nothing more."""
    counts = Counts(new_loop())
    (near, far), (other, _) = pairs(2)
    counts.reactor.lend(near.fileno())
    another = counts.reactor.lend(other.fileno())
    far.sendall(REPLY)
    counts.reactor.run(monotonic_ns() + 1_000_000)
    far.sendall(REPLY)
    counts.reactor.give_back(another)
    assert select.select([counts.reactor.fileno()], [], [], 10)[0]
    counts.run_until(lambda: counts["pushed"] == 2)


def test_what_comes_behind_an_odd_frame_goes_back_with_it(pairs):
    """It is received by itself while the session waits to go back."""
    counts = Counts(new_loop())
    ((near, far),) = pairs(1)
    slot = counts.reactor.lend(near.fileno())
    close = frames.encode_frame(frames.CLOSE, frames.close_payload(1000))
    far.sendall(REPLY + close)
    counts.run_until(lambda: slot in counts.events)
    far.sendall(REPLY)
    counts.reactor.run(monotonic_ns() + 1_000_000)
    loan = counts.reactor.give_back(slot)
    assert loan.unread == close + REPLY
    assert counts["bytes_received"] == len(REPLY)


def test_a_slot_that_is_lent_again_gets_nothing_of_the_session_before(pairs):
    counts = Counts(new_loop())
    reactor, ends = counts.reactor, pairs(200)
    for number, (near, far) in enumerate(ends):
        far.sendall(REPLY * (number + 1))
        slot = reactor.lend(near.fileno())
        assert slot == 0
        if number % 2:
            assert reactor.give_back(slot).unread == REPLY * (number + 1)
        else:
            before = counts["pushed"]
            counts.run_until(lambda before=before, number=number: counts["pushed"] == before + number + 1)
            far.sendall(b"\x88")
            reactor.give_back(slot)
    assert counts.events == {}
    assert counts["pushed"] == sum(range(1, 200, 2))


def test_loops_that_have_ended_leave_no_descriptors(pairs):
    """None is inherited, either, by programs that a worker starts."""
    ends = pairs(3)

    def descriptors():
        return {int(each.name) for each in Path("/proc/self/fd").iterdir() if each.exists()}

    before = descriptors()
    for _ in range(20):
        reactor = new_loop()
        for near, _ in ends:
            reactor.lend(near.fileno())
        assert not any(map(os.get_inheritable, descriptors() - before))
        del reactor
        gc.collect()
    assert descriptors() == before


def test_signals_interrupt_nothing(pairs):
    """The handler of a signal runs whenever the loop returns to Python, and no call of the kernel is left half done."""
    counts = Counts(new_loop())
    ends = pairs(8)
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        slots = lend_answered(counts.reactor, ends)
        for turn in range(2, 200):
            counts.run_until(lambda turn=turn: counts["sent"] == 8 * turn)
            for _, far in ends:
                far.sendall(REPLY)
        counts.run_until(lambda: seen)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    counts.run_until(lambda: counts["answered"] == 8 * 199)
    assert [counts.reactor.in_flight(slot) for slot in slots] == [1] * 8


def test_where_io_uring_is_forbidden_epoll_does_and_a_run_says_so():
    with FaultyServer(behaviors.echoes) as server:
        command = [server.url, "-w", "1", "-c", "2", "-n", "20", "-v", "info", "--json"]
        ran = subprocess.run(
            [sys.executable, "-c", FORBIDDING, *command], capture_output=True, text=True, timeout=60, check=False
        )
    if ran.returncode == 77:
        pytest.skip("this kernel lets no process forbid a system call to itself")
    assert ran.returncode == 0, ran.stderr
    assert "engine: native-epoll, as there is no io_uring (io_uring_setup: Operation not permitted" in ran.stderr
    assert '"native-epoll"' in ran.stdout
