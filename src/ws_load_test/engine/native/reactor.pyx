# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The compiled loop: reads and writes the sockets of sessions that are lent to it, and counts what it sees.

It knows no plan. A session is lent with its descriptor (`lend`) and goes back (`give_back`) with all that is left of it:
messages in flight, bytes that have not left, a frame that has not come whole. Whatever is not ordinary goes back to
Python as an *event*: a frame that is odd, an end of the stream, a message that must not leave.

A turn has two phases (`_turn`): everything that is readable is read, then everything that was answered is sent again.
That costs 3 % less than one session after the other at 100 sessions, 8 % at 1,000 (instruction caches). The clock is
read after each `recv` and before each `send`: 23 ns each, and neither instant is shared by a batch.

What is kept of a session is in `session.h`, and all that the kernel is asked for in `kernel.h`: by io_uring what is
sent in the second phase leaves together, 32 messages a call, with instants between the clock before and after it.
"""

cimport cython
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, rand, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize

cdef class Reactor

include "messages.pxi"
include "loans.pxi"
include "together.pxi"
include "source.pxi"
include "deliveries.pxi"
include "tls.pxi"

cdef enum:
    READS_A_TURN = 16  # reads of one session before the others have their turn: a megabyte
    SENDS_A_TURN = 128  # messages that fall due and leave between two reads, as in the portable engine
    LARGEST_PONG = 131  # bytes of a frame
    PONGS_BYTES = 4096  # bytes of the answers to pings that are written at once
    QUEUED_PONG_BYTES = 4096  # bytes that wait for the kernel above which only the latest ping is answered
    QUEUED_BYTES = 1048576  # bytes that wait for the kernel above which a message of a schedule is dropped
    # Kinds of events, as bits: a session has each at most once between two calls of `events`.
    GOES_BACK = 1
    STARVED = 2
    IDLE = 4
    PONG = 8

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef struct Answered:
    uint32_t slot
    uint32_t count


cdef struct Counts:
    uint64_t sent, warmup_sent, due, dropped
    uint64_t answered, unanswered, answered_in_window, warmup_answered, pushed, pushed_bytes, surplus_replies
    uint64_t late_replies, duplicate_replies, unknown_id, out_of_order, greetings
    uint64_t bytes_sent, answers_left_out, write_blocked_ns
    int64_t bytes_received  # below 0 where bytes of an earlier interval are counted by Python instead


@cython.final
cdef class Reactor:
    """Sessions that are lent, what is in flight on them, and the counts of both."""

    cdef ws_kernel kernel
    cdef bint on_schedule, report_idle, waits_if_none, ended, again, no_session, wants_block, armed
    cdef ws_session *all
    cdef uint32_t capacity, used
    cdef uint32_t *free_slots
    cdef uint32_t n_free
    cdef ws_rules rules
    cdef ws_streams streams
    cdef MessageSource messages  # None where all are equal
    cdef FoundDeliveries deliveries  # None without a fan-out
    cdef ws_batch equal  # equal messages as frames, in a row
    cdef ws_batch *batch  # what leaves next
    cdef object questions, answer
    cdef size_t frame_bytes
    cdef uint32_t most_frames
    cdef uint8_t *plain
    cdef uint8_t *cipher
    cdef uint8_t *pongs
    cdef size_t pongs_size
    cdef uint32_t pong_replies
    cdef Answered *answered
    cdef uint32_t n_answered
    cdef uint32_t *changed  # slots that have events
    cdef uint32_t n_changed
    cdef uint32_t *rotation
    cdef uint32_t n_rotation
    cdef int64_t next_index
    cdef int64_t *block
    cdef Py_ssize_t n_block, cursor
    cdef ws_taker taker
    cdef Counts counts
    cdef int64_t read_at, turn_end
    cdef ws_histogram response, service, lag, unread
    cdef public int64_t measured_from, measured_until, last_done, end, remaining
    cdef public uint32_t max_in_flight
    cdef public bint kernel_instants
    cdef public int opcode  # of the message that was read last, where messages are read whole
    cdef ws_clocks clocks

    def __cinit__(
        self, bint on_schedule, bytes frames, uint32_t copies, uint64_t max_message_bytes, bint by_io_uring=False
    ):
        """Makes a loop without sessions.

        Args:
            on_schedule: Messages fall due by a schedule; else each reply makes room for the next message.
            frames: Equal messages as frames, in a row.
            copies: Their number: the most that leave together.
            max_message_bytes: Payload of the largest message that is taken.
            by_io_uring: The kernel is asked by io_uring, which it must allow (`why_no_io_uring`); else by epoll.

        Raises:
            OSError: The kernel has no descriptor, or no memory, for it.
        """
        self.kernel.epoll.ep = self.kernel.epoll.timer = -1
        self.on_schedule = on_schedule
        self.taker = ws_taker(_on_control, NULL, <void *>self, max_message_bytes, False)
        self.measured_from = self.measured_until = self.end = NEVER
        self.remaining = <int64_t>1 << 62
        self.max_in_flight = <uint32_t>-1
        self.most_frames = copies
        self.frame_bytes = len(frames) // copies
        self.batch = &self.equal
        self.equal.data = <uint8_t *>malloc(max(1, len(frames)))
        self.pongs = <uint8_t *>malloc(PONGS_BYTES)
        self.plain = <uint8_t *>malloc(WS_BUFFER)
        self.cipher = <uint8_t *>malloc(WS_BUFFER)
        self._make_histograms(0, 4)
        if not self.equal.data or not self.pongs or not self.plain or not self.cipher:
            raise MemoryError
        memcpy(self.equal.data, PyBytes_AsString(frames), len(frames))
        if ws_kernel_open(&self.kernel, by_io_uring):
            raise OSError(errno, "the kernel gave no descriptor for the loop")

    def __dealloc__(self):
        cdef uint32_t slot
        for slot in range(self.used):
            if self.all[slot].fd >= 0:
                ws_session_free(&self.all[slot])
        for histogram in range(4):
            free(self._histogram(histogram).counts)
        ws_rules_free(&self.rules)
        ws_streams_free(&self.streams)
        ws_batch_free(&self.equal)
        free(self.pongs); free(self.plain); free(self.cipher); free(self.block)
        ws_free_room(self.all, self.capacity * sizeof(ws_session))
        ws_free_room(self.free_slots, self.capacity * sizeof(uint32_t))
        ws_free_room(self.changed, self.capacity * sizeof(uint32_t))
        ws_free_room(self.rotation, self.capacity * sizeof(uint32_t))
        ws_free_room(self.answered, self.capacity * sizeof(Answered))
        ws_kernel_close(&self.kernel)

    def close(self):
        """Closes the loop's own descriptors: it runs no more, and what it has counted can still be taken."""
        ws_kernel_close(&self.kernel)

    cdef ws_histogram *_histogram(self, int number) noexcept nogil:
        if number >= 4:
            return &self.streams.times[number - 4]
        if number == 0:
            return &self.response
        return &self.service if number == 1 else &self.lag if number == 2 else &self.unread

    cdef int _make_histograms(self, int first, int end) except -1:
        for number in range(first, end):
            self._histogram(number).counts = <uint64_t *>calloc(WS_SLOTS, sizeof(uint64_t))
            if not self._histogram(number).counts:
                raise MemoryError
        return 0

    def fileno(self):
        """Returns a descriptor that is readable while `run` has something to do."""
        return ws_kernel_fd(&self.kernel)

    def match(self, rules, bint reads_whole, questions):
        """Takes how replies are matched and checked, once, before any session.

        Args:
            rules: `Rules` in rules.py.
            reads_whole: The content of messages matters.
            questions: Called with a kind of question, a number and a message, for what only Python can say.

        Raises:
            MemoryError: There is none.
        """
        _set_rules(&self.rules, rules)
        self.rules.ask, self.rules.loop, self.questions = _on_question, <void *>self, questions
        if reads_whole:
            self.taker.message, self.taker.checks_texts = _on_message, rules.checks_texts
        if rules.stream is not None:
            self.taker.message = _on_part
            _set_stream(&self.rules, &self.streams, rules.stream)
            self._make_histograms(4, 4 + WS_STREAM_TIMES)

    def vary(self, MessageSource messages not None):
        """Takes messages that are made as they leave, once, in place of equal ones."""
        self.messages, self.batch = messages, &messages.batch

    def receive(self, FoundDeliveries deliveries not None):
        """Takes what deliveries are kept in, once, of sessions that await no replies."""
        self.deliveries, self.taker.message = deliveries, _on_delivery

    # --- Lending and giving back --------------------------------------------------------------------------------------

    def lend(
        self, int fd, uint64_t connection=0, bytes early=b"", int64_t fragmented=-1, bytes fragments=b"", int opcode=0,
        uint32_t greetings=0, size_t tls=0,
    ):
        """Takes over the reading and writing of a socket. Returns the session's slot.

        Args:
            fd: A socket that does not block; it stays the caller's to close, after `give_back`.
            connection: Its number within the run.
            early: Bytes that have been read and counted: the beginning of a frame.
            fragmented: Payload bytes of a message of which fragments have come; -1 between messages.
            fragments: Their payload, where messages are read whole.
            opcode: Kind of that message.
            greetings: Messages to come at the beginning that answer nothing.
            tls: Address of the TLS connection (`tls_of`), which nothing else must use meanwhile; 0 without TLS.

        Raises:
            OSError: The socket cannot be watched.
        """
        cdef uint32_t slot
        if self.n_free:
            slot = self.free_slots[self.n_free - 1]
        else:
            self._make_room()
            slot = self.used
        cdef ws_session *s = &self.all[slot]
        ws_session_init(s)
        s.stamped = self.kernel_instants and ws_stamp(fd)
        if ws_kernel_watch(&self.kernel, fd, slot, s.stamped):
            raise OSError(errno, "the socket cannot be watched")
        if self.n_free:
            self.n_free -= 1
        else:
            self.used += 1
        s.fd = fd
        s.tls = <void *>tls
        s.connection, s.greetings = connection, greetings
        ws_resume(&s.stream, fragmented, opcode, <uint8_t *>PyBytes_AsString(fragments), len(fragments))
        if early:
            self._take(slot, <uint8_t *>PyBytes_AsString(early), len(early), ws_now_ns())
            self._call_for_events()
        return slot

    cdef int _make_room(self) except -1:
        """Doubles the number of slots, and what has a place for each."""
        if self.used < self.capacity:
            return 0
        cdef uint32_t capacity = max(<uint32_t>WS_READY, 2 * self.capacity)
        self.all = <ws_session *>_more_room(self.all, self.capacity, capacity, sizeof(ws_session))
        self.free_slots = <uint32_t *>_more_room(self.free_slots, self.capacity, capacity, sizeof(uint32_t))
        self.changed = <uint32_t *>_more_room(self.changed, self.capacity, capacity, sizeof(uint32_t))
        self.rotation = <uint32_t *>_more_room(self.rotation, self.capacity, capacity, sizeof(uint32_t))
        self.answered = <Answered *>_more_room(self.answered, self.capacity, capacity, sizeof(Answered))
        self.capacity = capacity
        return 0

    def give_back(self, uint32_t slot):
        """Ends a loan. Returns all that Python needs to go on with the session (`Loan` in reactor.pyi)."""
        cdef ws_session *s = &self.all[slot]
        _unwatch(self, slot)
        state = _loan_of(s, slot, &self.rules, &self.streams, self.taker.message != NULL)
        # Python counts these again.
        self.counts.bytes_received -= <int64_t>len(state.unread)
        self._leave_rotation(slot)
        self._drop_from_changed(slot)
        ws_session_free(s)
        self.free_slots[self.n_free] = slot
        self.n_free += 1
        return state

    cdef void _drop_from_changed(self, uint32_t slot) noexcept:
        """Takes a session out of those that have events: what is left of them concerns nothing any more."""
        cdef uint32_t place
        if self.all[slot].events:
            for place in range(self.n_changed):
                if self.changed[place] == slot:
                    self.n_changed -= 1
                    memmove(&self.changed[place], &self.changed[place + 1], (self.n_changed - place) * sizeof(uint32_t))
                    return

    # --- The loop -----------------------------------------------------------------------------------------------------

    def run(self, int64_t until_ns, int beside=-1):
        """Works until an instant, or until there is nothing to do; also returns as soon as there is an event.

        Args:
            until_ns: Instant of CLOCK_MONOTONIC.
            beside: A descriptor to wait for together with the sockets, until the instant; -1: does not wait.

        Returns:
            True if there is an event, or a block of the schedule is used up.

        Raises:
            UsageError: A row of the feed is broken.
        """
        self.turn_end = until_ns
        if self.kernel_instants:
            ws_compare_clocks(&self.clocks)
        with nogil:
            ws_kernel_begin(&self.kernel)
            while True:
                if not self._turn() and not self._has_news():
                    # The descriptor is the event loop's that watches us: it is readable for either's sake.
                    if not ws_kernel_wait(&self.kernel, beside, until_ns) or not self._turn():
                        break
                if self._has_news() or ws_now_ns() >= until_ns:
                    break
            if self.again:
                self._arm(1)
            ws_kernel_end(&self.kernel)
        if self.messages is not None:
            self.messages.fail()
        return bool(self._has_news())

    cdef bint _has_news(self) noexcept nogil:
        return self.n_changed or self.no_session or self.wants_block

    cdef int _turn(self) noexcept nogil:
        """Reads everything that is readable, then sends everything that was answered, or is due.

        Returns how many descriptors were ready, or 1 where there is more to do without one.
        """
        cdef int n = ws_kernel_poll(&self.kernel), i
        cdef uint32_t j
        for i in range(n):
            if ws_kernel_slot(&self.kernel, i) == WS_TIMER:
                ws_kernel_take_timer(&self.kernel)
                self.armed = False
            else:
                self._ready(<uint32_t>ws_kernel_slot(&self.kernel, i), i)
                ws_kernel_done(&self.kernel, i)
        for j in range(self.n_answered):
            self._make_up(self.answered[j].slot, self.answered[j].count)
        self.n_answered = 0
        _leave(self)
        if self.deliveries is not None:
            self.deliveries.found.turn_is_open = False
        if self.on_schedule and not self.armed:
            self._send_due()
        ws_kernel_end_turn(&self.kernel)
        return n if n > 0 else self.again

    cdef void _ready(self, uint32_t slot, int place) noexcept nogil:
        """Reads what a session has, and sends what waited for the kernel."""
        cdef ws_session *s = &self.all[slot]
        cdef ssize_t got
        cdef uint8_t *data
        cdef int64_t at, stamp
        cdef bint ends = ws_kernel_ends(&self.kernel, place)
        cdef uint32_t count = 0, reads = 0
        if s.fd < 0 or s.gone:
            if s.odd and self.kernel.uring != NULL:
                got = ws_kernel_receive(&self.kernel, place, s.fd, s.stamped, &data, &stamp, &at)
                if got > 0:
                    _keep_unread(self, slot, data, got)
            return
        if ws_kernel_may_write(&self.kernel, place) and s.out.end:
            self._flush(s)
        if not (ws_kernel_may_read(&self.kernel, place) or ends):
            return
        while not s.gone:
            got = ws_kernel_receive(&self.kernel, place, s.fd, s.stamped, &data, &stamp, &at)
            if got <= 0:
                if got < 0 and errno == EINTR:
                    continue
                if got == 0 or errno != EAGAIN:
                    self._goes_back(slot, 0 if got == 0 else errno)
                break
            if stamp:
                at = self._received_at(stamp, at)
            if s.tls:
                count += _decrypt(self, slot, data, got, at, False)
            else:
                self.counts.bytes_received += got
                count += self._take(slot, data, got, at)
            # Edge-triggered: a short read has emptied the socket, unless its end comes with it.
            if got < WS_BUFFER and not ends:
                break
            reads += 1
            if reads == READS_A_TURN or ws_now_ns() >= self.turn_end:
                # What is left makes another event.
                ws_kernel_watch_again(&self.kernel, s.fd, slot)
                break
        if count and not s.odd:
            if not self.n_answered or self.answered[self.n_answered - 1].slot != slot:
                self.n_answered += 1
                self.answered[self.n_answered - 1] = Answered(slot, 0)
            self.answered[self.n_answered - 1].count += count

    cdef int64_t _received_at(self, int64_t stamp, int64_t now) noexcept nogil:
        """Returns when the kernel received what was read at an instant, by the clock of all other instants."""
        cdef int64_t at = ws_received_at(&self.clocks, stamp, now)
        if at != now and now >= self.measured_from:
            ws_record(&self.unread, now - at, 1)
        return at

    cdef uint32_t _take(self, uint32_t slot, const uint8_t *data, size_t size, int64_t at) noexcept nogil:
        """Counts the replies in what was read at an instant. Returns how many messages they complete."""
        cdef ws_session *s = &self.all[slot]
        cdef size_t used
        cdef int odd
        self.read_at, self.pong_replies = at, 0
        cdef uint32_t replies = ws_read(&s.stream, data, size, &used, &odd, &self.taker, s)
        if self.pongs_size:
            self._send_pongs(s)
        if self.rules.pongs:
            if not self.taker.message:
                self.counts.pushed += replies
                replies = 0
            replies += self.pong_replies
        if odd:
            s.odd = True
            s.ping_waits = False
            ws_keep_odd(s, data + used, size - used)
            self._leave_rotation(slot)
            self._goes_back(slot, 0)
        if replies and self.rules.by <= WS_BY_ORDER:
            replies = self._pair(s, replies, at)
            if self.rules.untils:
                ws_end_read(&self.streams, slot)
        return replies

    cdef int _message(self, ws_session *s, bint is_pong, const uint8_t *payload, size_t size) noexcept nogil:
        """Takes a whole message, or a pong where they are replies. Returns the messages that it answers, 0 or 1."""
        cdef ws_match match
        cdef int found = ws_judge(
            &self.rules, &s.ids, <uint32_t>(s - self.all), s.connection, is_pong, payload, size, &s.greetings, &match
        )
        return self._count_message(s, found, &match, payload, size)

    cdef int _part(self, ws_session *s, const uint8_t *payload, size_t size) noexcept nogil:
        """Takes a whole message where answers are many. Returns the messages that it answers, 0 or 1."""
        cdef ws_match match
        cdef int found = ws_judge_part(
            &self.rules, &self.streams, s, <uint32_t>(s - self.all), payload, size, self.read_at, self.measured_from, &match
        )
        return 0 if found == WS_PART else self._count_message(s, found, &match, payload, size)

    cdef int _delivery(self, ws_session *s, const uint8_t *payload, size_t size) noexcept nogil:
        """Takes a whole message that may be a delivery. Returns 0: it answers nothing."""
        cdef int found = ws_judge_delivery(&self.rules, &self.deliveries.found, s, payload, size, self.read_at)
        return 0 if found == WS_PART else self._count_message(s, found, NULL, payload, size)

    cdef inline int _count_message(
        self, ws_session *s, int found, const ws_match *match, const uint8_t *payload, size_t size
    ) noexcept nogil:
        """Counts a message that was judged. Returns the messages that it answers, 0 or 1."""
        if found == WS_REPLY and self.rules.by == WS_BY_ORDER:
            # As in the portable engine: the instant of the reply decides, since its message is not known yet.
            if self.read_at >= self.measured_from:
                ws_check_reply(&self.rules, payload, size)
        elif found == WS_REPLY:
            if match.due >= self.measured_from:
                ws_check_reply(&self.rules, payload, size)
            s.in_flight -= 1
            self.counts.out_of_order += match.out_of_order
            self._record(match.due, match.sent, self.read_at, 1)
        elif found == WS_GREETING:
            self.counts.greetings += 1
        elif found == WS_LATE_REPLY:
            self.counts.late_replies += 1
        elif found == WS_DUPLICATE_REPLY:
            self.counts.duplicate_replies += 1
        else:
            self.counts.unknown_id += found == WS_STRAY
            self.counts.pushed += 1
            self.counts.pushed_bytes += size
        return found == WS_REPLY

    cdef int _ask(self, int what, unsigned place, const uint8_t *payload, size_t size, ws_value *value) noexcept with gil:
        """Has Python look at a message: for a value, or for the outcome of a check."""
        # What was found stays where it is until the next question.
        self.answer = self.questions(what, place, PyBytes_FromStringAndSize(<const char *>payload, size))
        if value == NULL:
            return WS_FOUND if self.answer else WS_NONE
        if self.answer is None:
            return WS_NONE
        value.text, value.size = <const uint8_t *>PyBytes_AsString(self.answer), len(self.answer)
        return WS_FOUND

    cdef uint32_t _pair(self, ws_session *s, uint32_t replies, int64_t at) noexcept nogil:
        """Pairs replies with the oldest messages in flight. Returns how many there were: further replies are pushes."""
        cdef ws_flight landed
        cdef uint32_t count
        if replies > s.in_flight:
            self.counts.pushed += replies - s.in_flight
            self.counts.surplus_replies += replies - s.in_flight
            replies = s.in_flight
        count = replies
        while count:
            landed = ws_land(s, count)
            count -= landed.count
            self._record(landed.due, landed.sent, at, landed.count)
        return replies

    cdef void _record(self, int64_t due, int64_t sent, int64_t done, uint32_t count) noexcept nogil:
        """Counts messages that were due, sent and answered together (`SampleBuffer.flush`)."""
        self.last_done = done
        if self.measured_from <= done <= self.measured_until:
            self.counts.answered_in_window += count
        if due < self.measured_from:
            self.counts.warmup_answered += count
            return
        self.counts.answered += count
        ws_record(&self.response, done - due, count)
        if self.on_schedule:
            ws_record(&self.service, done - sent, count)
            ws_record(&self.lag, sent - due, count)

    # --- Sending ------------------------------------------------------------------------------------------------------

    cdef void _make_up(self, uint32_t slot, uint32_t count) noexcept nogil:
        """Sends what so many messages that are in flight no more make room for."""
        cdef ws_session *s = &self.all[slot]
        if self.on_schedule:
            while s.backlog_length and s.in_flight < self.max_in_flight:
                self._send_one(s, ws_next_waiting(s))
            if self.report_idle or s.stopped:
                self._check_idle(slot)
        else:
            self._fire(slot, count)

    cdef void _check_idle(self, uint32_t slot) noexcept nogil:
        if self.all[slot].leaves:
            _leave(self)
        if not self.all[slot].in_flight and not self.all[slot].backlog_length:
            self._note(slot, IDLE)

    cdef void _fire(self, uint32_t slot, uint32_t count) noexcept nogil:
        """Closed loop: sends so many messages, or as many as are left."""
        cdef ws_session *s = &self.all[slot]
        cdef int64_t now
        cdef uint32_t some
        if not s.stopped and count > self.remaining:
            s.starved += count - <uint32_t>self.remaining
            count = <uint32_t>self.remaining
            self._note(slot, STARVED)
        if s.stopped or not count:
            self._check_idle(slot)
            return
        while count:
            if s.leaves:
                _leave(self)
            some = self._make(s, count)
            if not some:
                self._arm(1)
                return
            count -= some
            self.remaining -= some
            if _joins(self, s, NEVER, some):
                continue
            now = ws_now_ns()
            if not self._write(s, self.batch.data, self.batch.size, now):
                self.remaining += some
                return
            self._have_left(s, NEVER, now, some, self.batch.size)

    cdef inline uint32_t _make(self, ws_session *s, uint32_t most) noexcept nogil:
        """Makes the messages that leave next, or takes as many equal ones. Returns how many leave together; 0: none can."""
        if self.messages is not None:
            return ws_make(self.batch, &self.messages.source, &self.rules, s.connection, most)
        most = min(most, self.most_frames)
        self.batch.size = most * self.frame_bytes
        return most

    cdef inline void _have_left(self, ws_session *s, int64_t due, int64_t sent, uint32_t count, size_t size) noexcept nogil:
        """Counts messages that have left, and notes them as in flight, unless no reply is awaited."""
        if not self.on_schedule:
            due = sent
        if due >= self.measured_from or not self.on_schedule:
            self.counts.sent += count
            self.counts.bytes_sent += size
        else:
            self.counts.warmup_sent += count
        if self.rules.by == WS_BY_ORDER:
            ws_launch(s, due, sent, count)
        elif self.rules.by == WS_UNAWAITED:
            if due >= self.measured_from:
                self.counts.unanswered += count
                ws_record(&self.lag, sent - due, count)
        else:
            ws_batch_left(self.batch, &self.rules, &s.ids, <uint32_t>(s - self.all), s.connection, due, sent)
            s.in_flight += count

    cdef void _send_one(self, ws_session *s, int64_t due) noexcept nogil:
        """Open loop: sends a message that is due, or keeps it until there is room."""
        cdef int64_t now
        if s.leaves:
            _leave(self)
        if s.in_flight >= self.max_in_flight:
            ws_keep_due(s, due)
            return
        if not self._make(s, 1):
            self.counts.dropped += due >= self.measured_from
            self._arm(1)
            return
        if _joins(self, s, due, 1):
            return
        now = ws_now_ns()
        if s.out.end - s.out.at > QUEUED_BYTES or not self._write(s, self.batch.data, self.batch.size, now):
            # The session is dead, as the reader is about to find, or the target reads nothing.
            self.counts.dropped += due >= self.measured_from
            return
        self._have_left(s, due, now, 1, self.batch.size)

    cdef bint _write(self, ws_session *s, const uint8_t *data, size_t size, int64_t now) noexcept nogil:
        """Sends bytes; the kernel, or the queue for it, takes all. Returns False if the connection is broken."""
        return _encrypt(self, s, data, size, now) if s.tls else self._send(s, data, size, now)

    cdef bint _send(self, ws_session *s, const uint8_t *data, size_t size, int64_t now) noexcept nogil:
        """Hands bytes to the kernel, and keeps what it does not take. Returns False if the connection is broken."""
        cdef ssize_t taken = 0
        if not s.out.end:
            taken = ws_send(s.fd, data, size)
            if taken < 0:
                taken = -errno
        return self._taken(s, data, size, taken, now)

    cdef bint _taken(self, ws_session *s, const uint8_t *data, size_t size, ssize_t taken, int64_t now) noexcept nogil:
        """Keeps what the kernel did not take; `taken` may be a negative errno. Returns False if the connection is broken."""
        if taken == <ssize_t>size:
            return True
        if taken < 0:
            if taken != -EAGAIN and taken != -EINTR:
                # The kernel reports a reset once: the read that follows finds a mere end.
                if taken == -ECONNRESET:
                    s.error = ECONNRESET
                return False
            taken = 0
        if not s.blocked_since:
            s.blocked_since = now
            ws_kernel_await_room(&self.kernel, <uint32_t>(s - self.all))
        return ws_append(&s.out, data + taken, size - taken)

    cdef void _flush(self, ws_session *s) noexcept nogil:
        """Sends what waited, once the kernel has room again."""
        cdef ssize_t taken
        while s.out.at < s.out.end:
            taken = ws_send(s.fd, s.out.data + s.out.at, s.out.end - s.out.at)
            if taken < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    s.error = errno
                else:
                    ws_kernel_await_room(&self.kernel, <uint32_t>(s - self.all))
                return
            s.out.at += taken
        ws_clear_out(&s.out)
        self.counts.write_blocked_ns += ws_now_ns() - s.blocked_since
        s.blocked_since = 0
        if s.ping_waits:
            s.ping_waits = False
            self._pong(s, s.rest, s.ping_size)
            self._send_pongs(s)

    cdef void _pong(self, ws_session *s, const uint8_t *payload, unsigned size) noexcept nogil:
        """Answers a ping, together with others of the same read: a read can hold 32,000, and a write takes microseconds."""
        if self.pongs_size + LARGEST_PONG > PONGS_BYTES:
            self._send_pongs(s)
        self.pongs_size += ws_control_frame(self.pongs + self.pongs_size, WS_PONG, payload, size, <uint32_t>rand())

    cdef void _send_pongs(self, ws_session *s) noexcept nogil:
        if self._write(s, self.pongs, self.pongs_size, ws_now_ns()):
            self.counts.bytes_sent += self.pongs_size
        self.pongs_size = 0

    cdef void _control(self, ws_session *s, int opcode, const uint8_t *payload, unsigned size) noexcept nogil:
        """Answers a ping, only the latest while the target does not read; notes the pong that is waited for."""
        if size and not payload:
            return
        if opcode == WS_PONG:
            if s.pinged and size == 8 and not memcmp(payload, s.pong, 8):
                s.pinged, s.pong_at = False, self.read_at
                self._note(<uint32_t>(s - self.all), PONG)
            if self.rules.pongs and self.rules.by > WS_BY_ORDER:
                self.pong_replies += self._message(s, True, payload, size)
            elif self.rules.pongs:
                self.pong_replies += ws_is_pong(&self.rules, payload, size)
        elif s.ping_waits or s.out.end - s.out.at > QUEUED_PONG_BYTES:
            self.counts.answers_left_out += s.ping_waits
            ws_keep_ping(s, payload, size)
        else:
            self._pong(s, payload, size)

    # --- The schedule of the open loop --------------------------------------------------------------------------------

    cdef void _send_due(self) noexcept nogil:
        """Sends what is due, and sets the timer for what is due next."""
        self.again = False
        if not self.ended and not self.no_session:
            self._dispatch_due()
            _leave(self)

    cdef void _dispatch_due(self) noexcept nogil:
        cdef int left = SENDS_A_TURN
        cdef int64_t due
        while self.cursor < self.n_block:
            due = self.block[self.cursor]
            if due >= self.end:
                break
            if due > ws_now_ns():
                self._arm(due)
                return
            if not left:
                self.again = True
                return
            left -= 1
            if not self._dispatch(due):
                self.no_session = True
                return
            self.cursor += 1
        self.wants_block = True

    cdef void _arm(self, int64_t at) noexcept nogil:
        ws_kernel_arm(&self.kernel, at)
        self.armed = True

    cdef bint _dispatch(self, int64_t due) noexcept nogil:
        """Gives a message to the session whose turn it is. Returns False if it is to wait for another worker."""
        if not self.n_rotation:
            if self.waits_if_none:
                return False
            self.counts.due += due >= self.measured_from
            self.counts.dropped += due >= self.measured_from
            return True
        self.next_index += 1
        if self.next_index >= self.n_rotation:
            self.next_index = 0
        self.counts.due += due >= self.measured_from
        self._send_one(&self.all[self.rotation[self.next_index]], due)
        return True

    cdef void _leave_rotation(self, uint32_t slot) noexcept nogil:
        """Gives a session no more turns; the others keep theirs."""
        cdef uint32_t place
        for place in range(self.n_rotation):
            if self.rotation[place] == slot:
                self.n_rotation -= 1
                memmove(self.rotation + place, self.rotation + place + 1, (self.n_rotation - place) * sizeof(uint32_t))
                self.next_index -= place <= self.next_index
                return

    def enter_rotation(self, uint32_t slot):
        """Gives a session its turns from now on."""
        self.rotation[self.n_rotation] = slot
        self.n_rotation += 1

    def leave_rotation(self, uint32_t slot):
        """Gives a session no more turns."""
        self._leave_rotation(slot)

    @property
    def taken(self):
        """Number of messages of the present block that have been taken."""
        return self.cursor

    def schedule(self, bytes due):
        """Takes the due instants of the messages that follow, as int64 in a row, in place of those before."""
        self.n_block, self.cursor = len(due) // 8, 0
        self.block = <int64_t *>_grown(self.block, max(8, len(due)))
        memcpy(self.block, PyBytes_AsString(due), len(due))
        self.wants_block = False

    def wake(self, bint waits_if_none):
        """Sends what is due. Returns True if no message will fall due before there is a new block.

        `waits_if_none`: where no session can send it, a message waits for another worker; else it is dropped.
        """
        self.waits_if_none = waits_if_none
        self.no_session = self.wants_block = self.ended = False
        self._send_due()
        if self.again:
            self._arm(1)
        return bool(self.wants_block)

    def wake_at(self, int64_t at_ns):
        """Calls for a new block at an instant."""
        self.wants_block = False
        self._arm(at_ns)

    def dispatch(self, bint drops):
        """Takes the next message of the block, and gives it to the session whose turn it is, or drops it."""
        cdef int64_t due = self.block[self.cursor]
        self.cursor += 1
        if drops:
            self.counts.due += due >= self.measured_from
            self.counts.dropped += due >= self.measured_from
        else:
            self.waits_if_none = False
            self._dispatch(due)
            _leave(self)

    @property
    def next_due(self):
        """Due instant of the next message of the block; None if all have been taken."""
        return self.block[self.cursor] if self.cursor < self.n_block else None

    def finish(self):
        """Ends the schedule: nothing falls due any more, and sessions with nothing in flight are an event each."""
        self.ended = self.report_idle = True

    # --- One session, asked for by Python -----------------------------------------------------------------------------

    def fire(self, uint32_t slot, uint32_t count):
        """Closed loop: sends so many messages, or as many as are left."""
        self._fire(slot, count)
        _leave(self)
        self._call_for_events()

    def send(self, uint32_t slot, bytes message):
        """Sends a message of the load that Python has made. Returns False if it cannot leave, as in `_send_one`."""
        cdef ws_session *s = &self.all[slot]
        cdef const uint8_t *frame = <const uint8_t *>PyBytes_AsString(message)
        return s.out.end - s.out.at <= QUEUED_BYTES and self._write(s, frame, len(message), ws_now_ns())

    def write(self, uint32_t slot, bytes data):
        """Sends a frame that is not the load's; the pong to a ping of 8 bytes is waited for."""
        cdef ws_session *s = &self.all[slot]
        cdef const uint8_t *frame = <const uint8_t *>PyBytes_AsString(data)
        cdef int i
        if (frame[0] & 15) == WS_PING and len(data) == 14:
            s.pinged = True
            for i in range(8):
                s.pong[i] = frame[6 + i] ^ frame[2 + (i & 3)]
        self._write(s, frame, len(data), ws_now_ns())

    def stop(self, uint32_t slot):
        """Sends nothing more of the load on a session; an event says when nothing is in flight."""
        self.all[slot].stopped = True
        self._leave_rotation(slot)

    def in_flight(self, uint32_t slot):
        """Returns the messages of a session that wait for a reply, or for room."""
        return self.all[slot].in_flight + self.all[slot].backlog_length

    def oldest_sent(self, uint32_t slot):
        """Returns when the oldest message in flight was sent; 0 without one."""
        cdef ws_session *s = &self.all[slot]
        if s.ids.oldest:
            return self.rules.awaiting.all[s.ids.oldest].sent
        return ws_flight_at(s, 0).sent if s.ring_length else 0

    def blocked_since(self, uint32_t slot):
        """Returns since when bytes of a session wait for the kernel; 0 if none do."""
        return self.all[slot].blocked_since

    def expire(self, uint32_t slot, int64_t before_ns):
        """Gives up messages sent before an instant, where they have ids. Returns when each was due, and sent."""
        cdef ws_session *s = &self.all[slot]
        cdef ws_match match
        expired = []
        while ws_expired_answer(&self.rules, &self.streams, &s.ids, before_ns, self.measured_from, &match):
            expired.append((match.due, match.sent))
        s.in_flight -= <uint32_t>len(expired)
        return expired

    def make_up(self, uint32_t slot, uint32_t count):
        """Sends what so many messages that were given up make room for."""
        self._make_up(slot, count)
        _leave(self)
        self._call_for_events()

    def note_fate(self, uint64_t connection, bytes key, bint late):
        """Remembers that a message was given up, or answered, while Python had its session."""
        ws_fates_note(&self.rules.fates, _hash_of(connection, key), WS_LATE if late else WS_DUPLICATE)

    def classify(self, uint64_t connection, bytes key):
        """Returns the kind of another reply with an id: 1, to a message that was answered; 2, given up; 0: unknown."""
        return ws_fates_classify(&self.rules.fates, _hash_of(connection, key))

    def knows(self, uint64_t connection, bytes key):
        """Returns True if a message with this id was answered or given up, and is not forgotten."""
        return bool(ws_fates_know(&self.rules.fates, _hash_of(connection, key)))

    def drop_overdue(self, uint32_t slot, int64_t before_ns):
        """Drops messages that have waited for room since before an instant."""
        cdef ws_session *s = &self.all[slot]
        while s.backlog_length and ws_waiting_at(s, 0) < before_ns:
            self.counts.dropped += ws_next_waiting(s) >= self.measured_from

    # --- Events and counts --------------------------------------------------------------------------------------------

    cdef void _note(self, uint32_t slot, uint8_t event) noexcept nogil:
        if not self.all[slot].events:
            self.changed[self.n_changed] = slot
            self.n_changed += 1
        self.all[slot].events |= event

    cdef void _goes_back(self, uint32_t slot, int error) noexcept nogil:
        """Notes that Python must go on with a session: nothing more is read here."""
        self.all[slot].gone = True
        self.all[slot].error = error or self.all[slot].error
        self._note(slot, GOES_BACK)

    cdef void _call_for_events(self) noexcept:
        """Makes `fileno` readable if there are events outside of `run`."""
        if self.n_changed:
            self._arm(1)

    def events(self):
        """Returns what has happened since the last call: slot, bits of its kind, a count, an instant, a pong's payload.

        Bits: 1, the session is to be given back; 2, so many messages could not leave, as none are left; 4, nothing is
        in flight on it; 8, a pong came at the instant.
        """
        found = []
        cdef uint32_t i
        cdef ws_session *s
        for i in range(self.n_changed):
            s = &self.all[self.changed[i]]
            if s.fd >= 0 and s.events:
                found.append((self.changed[i], s.events, s.starved, s.pong_at, PyBytes_FromStringAndSize(<char *>s.pong, 8)))
                if s.events & STARVED:
                    s.starved = 0
            s.events = 0
        self.n_changed = 0
        return found

    @property
    def waits_for_session(self):
        """True if a message is due that no session here can send."""
        return bool(self.no_session)

    @property
    def waits_for_block(self):
        """True if all messages of the block have been taken."""
        return bool(self.wants_block)

    def take_counts(self):
        """Returns the counts since the last call, by their names in a tally."""
        counts = dict(self.counts, **self.streams.counts)
        memset(&self.counts, 0, sizeof(Counts))
        memset(&self.streams.counts, 0, sizeof(ws_stream_counts))
        return counts

    def take_failed(self):
        """Returns how many replies failed each check since the last call."""
        failed = [self.rules.failed[place] for place in range(self.rules.expected)]
        if failed:
            memset(self.rules.failed, 0, self.rules.expected * sizeof(uint64_t))
        return failed

    def take_histogram(self, int number):
        """Returns the values since the last call: the first bucket, counts as uint64, min, max and sum; None if empty.

        0: response times, 1: service times, 2: send lag, 3: time from the kernel's receipt of what was read to its reading,
        all in ns; of a closed loop neither 1 nor 2. From 4 on, of answers that are many messages (`streams.h`).
        """
        cdef ws_histogram *h = self._histogram(number)
        if not h.count:
            return None
        cdef uint32_t first = ws_bucket(h.min), last = ws_bucket(h.max)
        counts = PyBytes_FromStringAndSize(<char *>(h.counts + first), (last - first + 1) * sizeof(uint64_t))
        values = (first, counts, h.min, h.max, (<object>ws_sum_high(h) << 64) + <object>ws_sum_low(h))
        ws_clear(h)
        return values


def why_no_io_uring():
    """Returns what of io_uring does not work here, tried in earnest, and the errno, 0 if there is none; None if all does."""
    cdef const char *refused = ws_uring_probe()
    return None if refused == NULL else ((<bytes>refused).decode(), errno)


include "callbacks.pxi"
include "sleeping.pxi"
