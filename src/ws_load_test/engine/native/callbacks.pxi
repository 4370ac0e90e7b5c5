# Calls of the plain C back into the loop.

cdef void _on_control(void *loop, void *session, int opcode, const uint8_t *payload, unsigned size) noexcept nogil:
    (<Reactor>loop)._control(<ws_session *>session, opcode, payload, size)


cdef int _on_message(void *loop, void *session, int opcode, const uint8_t *payload, size_t size) noexcept nogil:
    (<Reactor>loop).opcode = opcode
    return (<Reactor>loop)._message(<ws_session *>session, False, payload, size)


cdef int _on_part(void *loop, void *session, int opcode, const uint8_t *payload, size_t size) noexcept nogil:
    return (<Reactor>loop)._part(<ws_session *>session, payload, size)


cdef int _on_delivery(void *loop, void *session, int opcode, const uint8_t *payload, size_t size) noexcept nogil:
    return (<Reactor>loop)._delivery(<ws_session *>session, payload, size)


cdef int _on_question(
    void *loop, int what, unsigned place, const uint8_t *payload, size_t size, ws_value *value
) noexcept nogil:
    return (<Reactor>loop)._ask(what, place, payload, size, value)
