# Sessions that are asleep: lent, with no object in Python, and a descriptor that is the loop's to close.

def fall_asleep(Reactor loop, uint32_t slot, uint32_t order):
    """Makes a session that was just lent one that exists nowhere else; `order` sessions have opened before it."""
    loop.all[slot].asleep = True
    loop.all[slot].order = order


def wake(Reactor loop, uint32_t slot):
    """Makes a session one that Python has an object for.

    Returns:
        Its descriptor, from now on the caller's to close; its number; sessions that have opened before it; the payload
        of a ping whose pong is awaited, or empty.
    """
    cdef ws_session *s = &loop.all[slot]
    s.asleep = False
    ping = PyBytes_FromStringAndSize(<char *>s.pong, 8) if s.pinged or s.events & PONG else b""
    return s.fd, s.connection, s.order, ping


def is_asleep(Reactor loop, uint32_t slot):
    """Returns True if a slot has a session that is asleep."""
    return slot < loop.used and bool(loop.all[slot].asleep)


def asleep(Reactor loop):
    """Returns the sessions that are asleep: slot, number, sessions that have opened before it."""
    cdef uint32_t slot
    return [
        (slot, loop.all[slot].connection, loop.all[slot].order) for slot in range(loop.used) if loop.all[slot].asleep
    ]


def busy_asleep(Reactor loop):
    """Returns the slots of those that have messages in flight, or messages that wait for room."""
    cdef uint32_t slot
    return [slot for slot in range(loop.used) if loop.all[slot].asleep and _is_busy(&loop.all[slot])]


cdef bint _is_busy(const ws_session *s) noexcept:
    return s.in_flight or s.backlog_length


def overdue_asleep(Reactor loop, int64_t before_ns):
    """Drops messages of those that have waited for room since before an instant.

    Returns:
        The slots of those with a message in flight that was sent before it, or bytes that wait since then.
    """
    cdef uint32_t slot
    cdef int64_t oldest
    cdef list found = []
    for slot in range(loop.used):
        if loop.all[slot].asleep:
            oldest = loop.oldest_sent(slot)
            loop.drop_overdue(slot, before_ns)
            if oldest and oldest < before_ns or 0 < loop.all[slot].blocked_since < before_ns:
                found.append(slot)
    return found


def oldest_asleep(Reactor loop):
    """Returns, for each slot, when its oldest message in flight was sent as int64: 0 without one, -1 if not asleep."""
    cdef uint32_t slot
    sent = PyBytes_FromStringAndSize(NULL, loop.used * sizeof(int64_t))
    cdef int64_t *place = <int64_t *>PyBytes_AsString(sent)
    for slot in range(loop.used):
        place[slot] = loop.oldest_sent(slot) if loop.all[slot].asleep else -1
    return sent


def ping_awaits_pong(Reactor loop, uint32_t slot):
    """Returns True while the pong to a ping on a session has not come."""
    return bool(loop.all[slot].pinged)
