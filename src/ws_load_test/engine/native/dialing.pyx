# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The compiled dials: TCP connections and upgrades of plain sessions, many at once, in an epoll of their own.

It knows no target and no plan. A dial begins with addresses, a prepared request and a deadline, and ends as an *event*:
open, odd (its answer is Python's to judge), without a TCP connection, or late. `dial.h` has what happens in between.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

cdef extern from "backend_epoll.h" nogil:
    uint64_t WS_TIMER
    ctypedef struct ws_backend:
        int ep
        int timer
    ctypedef struct ws_ready:
        pass
    uint64_t ws_ready_slot(const ws_ready *)
    int ws_backend_open(ws_backend *)
    void ws_backend_close(ws_backend *)
    int ws_backend_fd(const ws_backend *)
    int ws_watch(ws_backend *, int, uint32_t)
    void ws_unwatch(ws_backend *, int)
    int ws_poll(ws_backend *, ws_ready *, int)
    void ws_arm(ws_backend *, int64_t)
    void ws_take_timer(ws_backend *)
    int64_t ws_now_ns()

cdef extern from "dial.h" nogil:
    ctypedef enum ws_dial_state: WS_CONNECTING, WS_ASKING, WS_OPEN, WS_ODD, WS_FAILED
    enum: WS_KEY, WS_ACCEPT, WS_KEY_BYTES
    ctypedef struct ws_dial:
        int fd
        ws_dial_state state
        int error
        int chose
        int64_t connected
        int64_t asked
        int64_t done
        int64_t patience
        int64_t deadline
        const uint8_t *request
        const char *offered
        size_t request_size
        size_t offered_size
        char key[24]
        uint8_t *answer
        size_t answer_size
    int ws_dial_connect(ws_dial *, const void *, unsigned, const void *, unsigned)
    void ws_dial_ready(ws_dial *, ws_backend *, const ws_ready *, uint8_t *)
    void ws_dial_free(ws_dial *)
    void ws_base64(char *, const uint8_t *, size_t)
    void ws_accept_of(char *, const char *)
    int ws_judge(const uint8_t *, size_t, const char *, const char *, size_t, size_t *, int *)

cdef extern from "unistd.h" nogil:
    int close(int)

cdef enum:
    A_TURN = 32  # dials that go on in a turn: what Python does with those that have opened takes a millisecond
    CHANCE_BYTES = 4096  # of the kernel, for the keys of 256 dials: a system call for each would cost as much as a key
    # States beside those of dial.h.
    LATE = 5  # its deadline has passed
    SLOW = 6  # it is not connected when it should be, and may be later


@cython.final
cdef class Dialing:
    """Dials under way."""

    cdef ws_backend kernel
    cdef ws_dial *all
    cdef uint32_t capacity, used, n_free
    cdef uint32_t *free_slots
    cdef list held
    cdef bytes chance
    cdef Py_ssize_t chance_at
    cdef uint8_t *scratch
    cdef size_t scratch_size
    cdef int64_t armed_at  # 0: the timer is not set

    def __cinit__(self):
        """Makes a loop without dials.

        Raises:
            OSError: The kernel has no descriptor, or no memory, for it.
        """
        self.kernel.ep = self.kernel.timer = -1
        self.held = []
        self.chance = b""
        if ws_backend_open(&self.kernel):
            raise OSError(errno, "the kernel gave no descriptor for the dials")

    def __dealloc__(self):
        cdef uint32_t slot
        for slot in range(self.used):
            if self.all[slot].fd >= 0:
                close(self.all[slot].fd)
                ws_dial_free(&self.all[slot])
        free(self.all); free(self.free_slots); free(self.scratch)
        ws_backend_close(&self.kernel)

    def close(self):
        """Closes the loop's own descriptors: it runs no more."""
        ws_backend_close(&self.kernel)

    def fileno(self):
        """Returns a descriptor that is readable while `run` has something to do."""
        return ws_backend_fd(&self.kernel)

    def begin(self, bytes to, bytes source, bytes request, bytes offered, int64_t patience_ns, int64_t deadline_ns):
        """Begins a dial. Returns its slot.

        Args:
            to: The target's address, a `sockaddr` of C.
            source: The address that it is dialed from, likewise; empty: the system chooses.
            request: The request up to its end; behind the name of its last header, the key's, are 24 bytes for the key.
            offered: The subprotocols in the request, with commas.
            patience_ns: Instant of CLOCK_MONOTONIC up to which it has to connect.
            deadline_ns: Instant at which it is late.

        Raises:
            OSError: No connection can be begun.
        """
        cdef uint32_t slot = self._slot()
        cdef ws_dial *d = &self.all[slot]
        memset(d, 0, sizeof(ws_dial))
        self._make_key(d)
        if <size_t>len(request) > self.scratch_size:
            self.scratch = <uint8_t *>_grown(self.scratch, len(request))
            self.scratch_size = len(request)
        d.request, d.request_size = <const uint8_t *>PyBytes_AsString(request), len(request)
        d.offered, d.offered_size = PyBytes_AsString(offered), len(offered)
        d.patience, d.deadline = patience_ns, deadline_ns
        cdef int error = ws_dial_connect(d, PyBytes_AsString(to), len(to), PyBytes_AsString(source), len(source))
        if not error and ws_watch(&self.kernel, d.fd, slot):
            error = errno
            close(d.fd)
        if error:
            self._free(slot)
            raise OSError(error, os.strerror(error))
        self.held[slot] = (request, offered)
        if not self.armed_at or patience_ns < self.armed_at:
            self._arm(patience_ns)
        return slot

    cdef void _arm(self, int64_t at_ns) noexcept:
        ws_arm(&self.kernel, at_ns)
        self.armed_at = at_ns

    cdef uint32_t _slot(self) except? 0xFFFFFFFF:
        """Returns a slot that is free."""
        cdef uint32_t capacity = max(16, 2 * self.capacity)
        if self.n_free:
            self.n_free -= 1
            return self.free_slots[self.n_free]
        if self.used == self.capacity:
            self.all = <ws_dial *>_grown(self.all, capacity * sizeof(ws_dial))
            self.free_slots = <uint32_t *>_grown(self.free_slots, capacity * sizeof(uint32_t))
            self.capacity = capacity
        self.used += 1
        self.held.append(None)
        return self.used - 1

    cdef void _free(self, uint32_t slot) noexcept:
        ws_dial_free(&self.all[slot])
        self.held[slot] = None
        self.free_slots[self.n_free] = slot
        self.n_free += 1

    cdef int _make_key(self, ws_dial *d) except -1:
        if self.chance_at + WS_KEY_BYTES > len(self.chance):
            self.chance, self.chance_at = os.urandom(CHANCE_BYTES), 0
        ws_base64(d.key, <const uint8_t *>PyBytes_AsString(self.chance) + self.chance_at, WS_KEY_BYTES)
        self.chance_at += WS_KEY_BYTES
        return 0

    def run(self):
        """Goes on with the dials whose sockets are ready, 32 at most.

        Returns:
            Those that have ended: slot; state (2 open, 3 odd, 4 not connected, 5 late, 6 slow to connect); the
            descriptor, the caller's from now on, or -1; the instants of the connection, the request and the answer, 0 where there was none; an errno, 0
            if nothing failed, -1 if the stream has ended; the key; what has come of the answer, or behind it; and if a
            subprotocol was chosen.
        """
        cdef ws_ready ready[A_TURN]
        cdef uint32_t slots[A_TURN]
        cdef int count, i, n = 0
        cdef bint expired = False
        with nogil:
            count = ws_poll(&self.kernel, ready, A_TURN)
            for i in range(count):
                if ws_ready_slot(&ready[i]) == WS_TIMER:
                    ws_take_timer(&self.kernel)
                    expired = True
                    continue
                slots[n] = <uint32_t>ws_ready_slot(&ready[i])
                ws_dial_ready(&self.all[slots[n]], &self.kernel, &ready[i], self.scratch)
                n += self.all[slots[n]].state >= WS_OPEN
        ended = [self._end(slots[i], <int>self.all[slots[i]].state) for i in range(n)]
        if expired:
            ended += self._late()
        return ended

    cdef tuple _end(self, uint32_t slot, int state):
        """Ends a dial. Returns its event."""
        cdef ws_dial *d = &self.all[slot]
        cdef int fd = d.fd
        if state == WS_OPEN or state == WS_ODD or state == SLOW:
            ws_unwatch(&self.kernel, fd)
        else:
            close(fd)
            fd = -1
        event = (
            slot, state, fd, d.connected, d.asked, d.done, d.error,
            PyBytes_FromStringAndSize(d.key, WS_KEY) if state == WS_ODD else b"",
            PyBytes_FromStringAndSize(<char *>d.answer, d.answer_size) if d.answer_size else b"",
            d.chose != 0,
        )
        self._free(slot)
        return event

    cdef list _late(self):
        """Ends the dials whose deadline has passed, and sets the timer to the next. Returns their events."""
        cdef int64_t now = ws_now_ns(), until, next_ns = 0
        cdef uint32_t slot
        cdef ws_dial *d
        cdef list ended = []
        for slot in range(self.used):
            d = &self.all[slot]
            if d.fd < 0:
                continue
            until = d.patience if d.state == WS_CONNECTING else d.deadline
            if until <= now:
                ended.append(self._end(slot, LATE if d.deadline <= now else SLOW))
            elif not next_ns or until < next_ns:
                next_ns = until
        self.armed_at = 0
        if next_ns:
            self._arm(next_ns)
        return ended

    def abandon(self, uint32_t slot):
        """Ends a dial without an event."""
        close(self.all[slot].fd)
        self._free(slot)


def accept_of(bytes key):
    """Returns the answer to a key of 24 bytes."""
    cdef char accept[28]
    if len(key) != WS_KEY:
        raise ValueError("a key has 24 bytes")
    ws_accept_of(accept, PyBytes_AsString(key))
    return PyBytes_FromStringAndSize(accept, WS_ACCEPT)


def judged(bytes answer, bytes accept, bytes offered):
    """Returns what is made of the beginning of an answer: -1 odd, 0 cut, 1 granted; and the size of its head."""
    cdef size_t size = 0
    cdef int chose = 0
    if len(accept) != WS_ACCEPT:
        raise ValueError("an answer to a key has 28 bytes")
    cdef int verdict = ws_judge(
        <const uint8_t *>PyBytes_AsString(answer), len(answer), PyBytes_AsString(accept), PyBytes_AsString(offered),
        len(offered), &size, &chose,
    )
    return verdict, size


cdef void *_grown(void *memory, size_t size) except NULL:
    memory = realloc(memory, size)
    if not memory:
        raise MemoryError
    return memory
