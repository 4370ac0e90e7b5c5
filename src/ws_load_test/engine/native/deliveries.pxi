# Deliveries of a fan-out, as the compiled loop found them, until Python takes them.

@cython.final
cdef class FoundDeliveries:
    """Rows of deliveries that have come, in the order in which they did."""

    cdef ws_deliveries found

    def __dealloc__(self):
        ws_deliveries_free(&self.found)

    def begin(self, bytes head):
        """Recognizes deliveries from here on, by what their markers begin with."""
        memcpy(self.found.head, PyBytes_AsString(head), WS_MARKER_HEAD)
        self.found.has_begun = True

    @property
    def count(self):
        """Number of rows that wait to be taken."""
        return self.found.count

    def take(self):
        """Returns the rows since the last call, six int64 each, and their number is 0 from here on.

        A row has the number of the connection, those of the publisher and its publish, when this was due, from the start
        of the load, the time from due to sent, and when the delivery was read; all times in ns.
        """
        rows = PyBytes_FromStringAndSize(<char *>self.found.rows, self.found.count * sizeof(ws_delivery))
        self.found.count = 0
        return rows

    def take_turns(self):
        """Returns the instants, as int64, at which turns of the loop began to read since the last call."""
        starts = PyBytes_FromStringAndSize(<char *>self.found.starts, self.found.turns * sizeof(int64_t))
        self.found.turns = 0
        return starts

    def take_foreign(self):
        """Returns how many messages had a marker of another run since the last call."""
        count, self.found.foreign = self.found.foreign, 0
        return count


def find_markers(bytes head, bytes payload):
    """Returns the markers in a message as the compiled loop finds them, and whether it has that of another run alone."""
    cdef FoundDeliveries deliveries = FoundDeliveries()
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AsString(payload)
    cdef size_t i
    deliveries.begin(head)
    ws_find_deliveries(&deliveries.found, 0, data, len(payload), 0)
    rows = [deliveries.found.rows[i] for i in range(deliveries.found.count)]
    foreign = not rows and bool(ws_has_foreign(&deliveries.found, data, len(payload)))
    return [(row["publisher"], row["number"], row["due"], row["lag"]) for row in rows], foreign
