# What is left of a session that is given back, in Python's objects (`Loan` in reactor.pyi).

from collections import namedtuple

Loan = namedtuple(
    "Loan",
    "in_flight by_id answers sent_by_id latest_answered waiting unsent blocked_since_ns cut_frame frame_bytes fragmented "
    "fragments opcode greetings unread error starved ping tls_ended tls_failure",
)
OpenAnswer = namedtuple("OpenAnswer", "key due_ns sent_ns has_begun last_ns messages size_bytes")


cdef object _loan_of(ws_session *s, uint32_t slot, ws_rules *rules, ws_streams *streams, bint reads_whole):
    """Returns all that Python needs to go on with a session, and takes its messages out that are in flight by ids."""
    cdef uint32_t i
    flights = []
    for i in range(s.ring_length):
        flight = ws_flight_at(s, i)[0]
        flights.append((flight.due, flight.sent, flight.count))
    backlog = [ws_waiting_at(s, i) for i in range(s.backlog_length)]
    unsent = PyBytes_FromStringAndSize(<char *>s.out.data + s.out.at, s.out.end - s.out.at) if s.out.end else b""
    ping = PyBytes_FromStringAndSize(<char *>s.rest, s.ping_size) if s.ping_waits else None
    unread = PyBytes_FromStringAndSize(<char *>ws_rest(s), s.rest_size) if s.rest_size else b""
    cut, cut_size = b"", 0
    head = PyBytes_FromStringAndSize(<char *>s.stream.head, s.stream.have)
    if s.odd:
        unread = head + unread
    elif s.stream.have:
        cut = head
        if s.stream.payload:
            cut_size = s.stream.have + s.stream.payload
            if s.stream.head[0] & 15 > WS_CLOSE and s.stream.control:
                cut += PyBytes_FromStringAndSize(<char *>s.stream.control, s.stream.seen)
            elif reads_whole:
                s.stream.kept_size -= s.stream.seen
                cut += PyBytes_FromStringAndSize(<char *>s.stream.kept + s.stream.kept_size, s.stream.seen)
            else:
                # The content of a message that is only counted was not kept, and is not looked at.
                cut += bytes(s.stream.seen)
    fragments = PyBytes_FromStringAndSize(<char *>s.stream.kept, s.stream.kept_size) if s.stream.kept_size else b""
    failure = (<bytes>s.tls_failure).decode() if s.tls_failure else ""
    answers = []
    by_id = _take_by_id(s, rules, streams, answers)
    if rules.by <= WS_BY_ORDER:
        _add_answer(answers, None, ws_take_answer(streams, slot))
    return Loan(
        flights, by_id, answers, s.ids.sent, s.ids.latest_answered, backlog, unsent, s.blocked_since, cut, cut_size,
        s.stream.fragmented, fragments, s.stream.opcode, s.greetings, unread, s.error, s.starved, ping, s.tls_ended,
        failure,
    )


cdef int _add_answer(list answers, key, ws_answer answer) except -1:
    """Adds an answer of which a message has come."""
    if answer.messages:
        answers.append(
            OpenAnswer(key, answer.due, answer.sent, bool(answer.has_begun), answer.last, answer.messages, answer.size)
        )
    return 0


cdef list _take_by_id(ws_session *s, ws_rules *rules, ws_streams *streams, list answers):
    """Takes out the messages of a session that are in flight by their ids, oldest first, and their answers."""
    cdef ws_awaited *oldest
    taken = []
    while s.ids.oldest:
        oldest = &rules.awaiting.all[s.ids.oldest]
        key = None
        if oldest.size != <uint32_t>WS_NO_ID:
            key = PyBytes_FromStringAndSize(<char *>ws_awaited_id(oldest), oldest.size)
        taken.append((key, oldest.due, oldest.sent, oldest.number))
        _add_answer(answers, key, ws_take_answer(streams, s.ids.oldest))
        ws_awaiting_remove(&rules.awaiting, &s.ids, oldest)
    return taken


cdef void _unwatch(Reactor loop, uint32_t slot) noexcept:
    """Watches a session no more. What the kernel has received by itself, and nothing has looked at, is kept for Python."""
    cdef ws_session *s = &loop.all[slot]
    cdef int got
    ws_kernel_unwatch(&loop.kernel, s.fd, slot)
    while True:
        got = ws_kernel_reap(&loop.kernel, slot, s.stamped, loop.cipher)
        if got == 0:
            break
        if got < 0:
            s.error = s.error or -got
        else:
            _keep_unread(loop, slot, loop.cipher, got)
    ws_kernel_recall(&loop.kernel)


cdef void _keep_unread(Reactor loop, uint32_t slot, const uint8_t *data, size_t size) noexcept nogil:
    """Keeps for Python what was received of a session that is about to go back."""
    if loop.all[slot].tls:
        _decrypt(loop, slot, data, size, 0, True)
    else:
        loop.counts.bytes_received += size
        ws_keep_rest(&loop.all[slot], data, size)
