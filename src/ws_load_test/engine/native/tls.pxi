# TLS connections that Python's ssl has made: where OpenSSL has them, and how the loop reads and writes on (`tls.h`).

def find_tls(str module):
    """Looks for OpenSSL among what a module is linked with. Returns True if it is there; needed before `tls_of`."""
    return bool(ws_tls_find(module.encode()))


def tls_of(object ssl_object):
    """Returns the address of OpenSSL's connection in an `ssl.SSLObject`; 0 if its place is not as it is known.

    The place is private to CPython (Modules/_ssl.c, PySSLSocket): behind the head of the object and a reference to its
    socket, before one to its context, which must be the one that Python knows. Only then it is looked at.
    """
    inner = getattr(ssl_object, "_sslobj", None)
    if type(inner).__name__ != "_SSLSocket" or type(inner).__basicsize__ < <Py_ssize_t>(5 * sizeof(void *)):
        return 0
    cdef void **fields = <void **><void *>inner
    if fields[4] != <void *>ssl_object.context or not fields[3]:
        return 0
    version = ssl_object.version()
    if not ws_tls_has_buffers(fields[3]) or (version and ws_tls_version(fields[3]) != <bytes>version.encode()):
        return 0
    return <size_t>fields[3]


cdef uint32_t _decrypt(Reactor loop, uint32_t slot, const uint8_t *data, ssize_t got, int64_t at, bint keeps) noexcept nogil:
    """Takes what was read under TLS, as `_take` does, or keeps it. A record that is cut off stays in OpenSSL's buffer."""
    cdef ws_session *s = &loop.all[slot]
    cdef int size, result
    cdef uint32_t count = 0
    ws_tls_put(s.tls, data, <int>got)
    size = ws_tls_read(s.tls, loop.plain, WS_BUFFER)
    # An odd frame ends the session, so that nothing behind it counts.
    while size > 0 and not s.odd:
        loop.counts.bytes_received += size
        if keeps:
            ws_keep_rest(s, loop.plain, size)
        else:
            count += loop._take(slot, loop.plain, size, at)
        size = ws_tls_read(s.tls, loop.plain, WS_BUFFER)
    result = WS_TLS_WANT_READ if size > 0 else ws_tls_error(s.tls, size)
    if result != WS_TLS_WANT_READ:
        s.tls_ended = True
        if result != WS_TLS_END:
            s.tls_failure = ws_tls_reason()
            if not s.tls_failure:
                s.tls_failure = b"no reason"
        loop._goes_back(slot, 0)
    # Answers of TLS itself, to a new key for instance.
    _send_encrypted(loop, s, at)
    return count


cdef bint _encrypt(Reactor loop, ws_session *s, const uint8_t *data, size_t size, int64_t now) noexcept nogil:
    """Sends bytes under TLS, as `_write` does."""
    cdef int taken
    while size:
        taken = ws_tls_write(s.tls, data, <int>min(size, <size_t>WS_BUFFER))
        if taken <= 0:
            return False
        data += taken
        size -= taken
    return _send_encrypted(loop, s, now)


cdef bint _send_encrypted(Reactor loop, ws_session *s, int64_t now) noexcept nogil:
    """Sends what OpenSSL has made. Returns False if the connection is broken."""
    cdef int size
    while True:
        size = ws_tls_take(s.tls, loop.cipher, WS_BUFFER)
        if size <= 0:
            return True
        if not loop._send(s, loop.cipher, size, now):
            return False
