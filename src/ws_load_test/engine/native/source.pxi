# Messages that are made as they leave, from Python's objects to the structs of `render.h` and `rows.h`.

cdef int _set_template(ws_template *template, list parts) except -1:
    """Takes a template: texts, each with the kind of the hole behind it and that kind's two numbers."""
    template.parts = <ws_part *>calloc(len(parts) + 1, sizeof(ws_part))
    if not template.parts:
        raise MemoryError
    cdef ws_part *part
    for text, hole, low, span in parts:
        part = &template.parts[template.count]
        part.text = _copied(text)
        part.size = len(text)
        part.hole, part.low, part.span = hole, low, span
        template.count += 1
        template.of_feed += hole == WS_HOLE_FEED
        template.largest += part.size + ws_hole_bytes(part)
    return 0


cdef int _set_source(ws_source *source, made) except -1:
    """Takes the messages of one worker (`Source` in rules.py)."""
    source.templates = <ws_template *>calloc(len(made.templates) + 1, sizeof(ws_template))
    source.order = <uint32_t *>calloc(len(made.order) + 1, sizeof(uint32_t))
    if not source.templates or not source.order:
        raise MemoryError
    for parts in made.templates:
        source.count += 1
        _set_template(&source.templates[source.count - 1], parts)
    for place in made.order:
        source.order[source.turns] = place
        source.turns += 1
    source.shard, source.shards = made.shard
    source.first, source.mask = made.first_byte, <uint32_t>rand()
    source.rows.order, source.rows.values = made.row_order, len(made.columns)
    memcpy(source.random, PyBytes_AsString(made.seed), sizeof(source.random))
    ws_source_fit(source)
    return 0


@cython.final
cdef class MessageSource:
    """The messages of one worker, the rows of a feed that they need, and room for those that leave together."""

    cdef ws_source source
    cdef ws_batch batch
    cdef object more, failure

    def __cinit__(self, made, more):
        """Takes templates (`Source` in rules.py), and what adds rows where each is used once and all have been.

        Raises:
            MemoryError: There is none.
        """
        _set_source(&self.source, made)
        self.more = more
        self.source.rows.more, self.source.rows.loop = _on_used_up, <void *>self
        if not ws_batch_fit(&self.batch, &self.source):
            raise MemoryError

    def __dealloc__(self):
        ws_source_free(&self.source)
        ws_batch_free(&self.batch)

    def render(self, uint64_t connection):
        """Returns the next message of a connection. Raises UsageError if the feed's next row is broken."""
        if ws_rows_used_up(&self.source.rows) and not self._renew():
            self.fail()
        cdef uint8_t *payload = self.batch.data + WS_LARGEST_HEAD
        return PyBytes_FromStringAndSize(<char *>payload, ws_render(&self.source, payload, connection))

    def add_rows(self, bytes texts, bytes sizes):
        """Adds rows: their texts in a row, and the sizes of these as uint64."""
        cdef uint32_t rows = <uint32_t>(len(sizes) // (8 * max(1, self.source.rows.values)))
        cdef const uint64_t *size_of = <const uint64_t *>PyBytes_AsString(sizes)
        if not ws_rows_add(&self.source.rows, <const uint8_t *>PyBytes_AsString(texts), size_of, rows):
            raise MemoryError
        ws_source_fit(&self.source)
        if not ws_batch_fit(&self.batch, &self.source):
            raise MemoryError

    def recent_rows(self):
        """Returns the numbers of the rows of the latest messages, of a feed that is here whole."""
        cdef ws_rows *rows = &self.source.rows
        if rows.order != WS_ROWS_IN_TURN and rows.order != WS_ROWS_RANDOM:
            return []
        return [rows.recent[place] for place in range(min(rows.taken, <uint64_t>WS_RECENT_ROWS))]

    cdef int _renew(self) noexcept with gil:
        """Has rows added. Returns False if there are none: `fail` says why."""
        try:
            self.more()
        except Exception as failure:
            self.failure = failure
        return not ws_rows_used_up(&self.source.rows)

    cdef int fail(self) except -1:
        """Raises the reason why there are no more rows, if there is one."""
        if self.failure is not None:
            raise self.failure
        return 0


cdef int _on_used_up(void *messages) noexcept nogil:
    return (<MessageSource>messages)._renew()
