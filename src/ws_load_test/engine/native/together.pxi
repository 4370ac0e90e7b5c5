# Messages that leave together, by one call of io_uring: each is of a session of its own, and none is counted before it has
# left. Replies that are matched by ids, TLS and large messages leave one by one, as all do by epoll.

cdef bint _joins(Reactor loop, ws_session *s, int64_t due, uint32_t count) noexcept nogil:
    """Has the messages that were made last leave together with those of other sessions. Returns False if they cannot."""
    cdef bint is_kept = loop.messages is None  # equal messages stay where they are
    if s.tls != NULL or s.out.end or loop.rules.by > WS_BY_ORDER:
        return False
    if not ws_kernel_may_join(&loop.kernel, loop.batch.size, is_kept):
        return False
    s.leaves = True
    if ws_kernel_join(&loop.kernel, <uint32_t>(s - loop.all), s.fd, loop.batch.data, loop.batch.size, is_kept, due, count):
        _leave(loop)
    return True


cdef void _leave(Reactor loop) noexcept nogil:
    """Sends the messages that are to leave together."""
    cdef uint32_t i
    cdef ws_leaving *one
    cdef ws_session *s
    if not loop.kernel.n_leaving:
        return
    ws_kernel_send(&loop.kernel)
    for i in range(loop.kernel.n_leaving):
        one = &loop.kernel.leaving[i]
        s = &loop.all[one.slot]
        s.leaves = False
        if loop._taken(s, one.data, one.size, one.result, one.sent):
            loop._have_left(s, one.due, one.sent, one.count, one.size)
        elif loop.on_schedule:
            loop.counts.dropped += one.due >= loop.measured_from
        else:
            loop.remaining += one.count
    loop.kernel.n_leaving = 0
