# Terms of replies for the loop, from Python's objects to the structs of `talk.h`: how they are matched and checked.

cdef uint8_t *_copied(bytes text) except NULL:
    cdef uint8_t *copy = <uint8_t *>malloc(len(text) + 1)
    if not copy:
        raise MemoryError
    memcpy(copy, PyBytes_AsString(text), len(text))
    return copy


cdef int _set_path(ws_path *path, tuple steps) except -1:
    """Takes a path: names as bytes, places in an array as integers."""
    path.steps = <ws_step *>calloc(len(steps) + 1, sizeof(ws_step))
    if not path.steps:
        raise MemoryError
    path.names = 0
    for step in steps:
        if isinstance(step, bytes):
            path.steps[path.count].name = _copied(step)
            path.steps[path.count].size = len(step)
            path.names += path.names == path.count
        else:
            path.steps[path.count].place = min(step, <uint64_t>-1 >> 1)
        path.count += 1
    return 0


cdef ws_check *_new_checks(list checks, unsigned *count) except NULL:
    """Takes checks: their kind, a path in JSON, and the text there, or anywhere in a message; None: any value."""
    cdef ws_check *made = <ws_check *>calloc(len(checks) + 1, sizeof(ws_check))
    if not made:
        raise MemoryError
    for kind, steps, text in checks:
        made[count[0]].kind = kind
        made[count[0]].is_any = text is None
        _set_path(&made[count[0]].path, steps)
        made[count[0]].text = _copied(text or b"")
        made[count[0]].size = len(text or b"")
        count[0] += 1
    return made


cdef int _set_rules(ws_rules *to, rules) except -1:
    """Takes how replies are matched and checked (`Rules` in rules.py)."""
    to.by, to.pongs = rules.by, rules.pongs
    if rules.expected_pong is not None:
        to.pong, to.pong_size = _copied(rules.expected_pong), len(rules.expected_pong)
    _set_path(&to.in_message, rules.in_message)
    _set_path(&to.in_reply, rules.in_reply)
    to.ignore = _new_checks(rules.ignore, &to.ignored)
    to.expect = _new_checks(rules.expect, &to.expected)
    to.failed = <uint64_t *>calloc(to.expected + 1, sizeof(uint64_t))
    if not to.failed:
        raise MemoryError
    return 0


cdef int _set_stream(ws_rules *rules, ws_streams *to, stream) except -1:
    """Takes the rules of answers that are many messages (`StreamRules` in rules.py)."""
    rules.until = _new_checks(stream.until, &rules.untils)
    rules.first = _new_checks(stream.first, &rules.firsts)
    to.stall, to.reads_count = stream.stall_ns, stream.reads_count
    return _set_path(&to.count, stream.count_at)


cdef uint64_t _hash_of(uint64_t connection, bytes key):
    return ws_id_hash(<const uint8_t *>PyBytes_AsString(key), len(key), connection)


def find_in_json(tuple steps, bytes payload):
    """Returns the value at a path as the compiled loop finds it: a text; None if there is none; else ``...``.

    ``...`` means that Python's own extractor is asked, for what is seldom.
    """
    cdef ws_path path
    cdef ws_value value
    memset(&path, 0, sizeof(path))
    try:
        _set_path(&path, steps)
        found = ws_find(&path, <const uint8_t *>PyBytes_AsString(payload), len(payload), &value)
        if found == WS_FOUND:
            return PyBytes_FromStringAndSize(<const char *>value.text, value.size).decode()
        return ... if found == WS_ASK else None
    finally:
        ws_path_free(&path)


cdef void *_grown(void *memory, size_t size) except NULL:
    memory = realloc(memory, size)
    if not memory:
        raise MemoryError
    return memory


cdef void *_more_room(void *memory, uint32_t from_count, uint32_t to_count, size_t size) except NULL:
    memory = ws_more_room(memory, from_count * size, to_count * size)
    if not memory:
        raise MemoryError
    return memory
