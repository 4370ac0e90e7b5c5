"""Trace contexts of messages (W3C Trace Context, level 1): the field ``{traceparent}``."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

from ws_load_test.messages.template_field import FieldScope, PlainField

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE_CONTEXTS = "traces"
"""Name of the `TraceContexts` in the expressions of fields."""
DEFAULT_TRACE_SHARE = 0.01
"""Share of the trace contexts that ask the target to record a trace: few enough to change nothing about its load."""
TRACE_ID_CHARACTERS = 32
TRACEPARENT_BYTES = 55
"""Bytes of a value: version, trace id, parent id and flags, with hyphens between them (section 3.2)."""
_BLOCK_VALUES = 256
"""Values made at once: a value then costs 0.6 µs, and no block is a pause."""
_INVALID_PARENT = "0" * 16
_INVALID_TRACE = "0" * TRACE_ID_CHARACTERS
_SAMPLED = "01"


def trace_id_of(traceparent: str) -> str:
    """Returns the trace id in a value of ``traceparent``."""
    return traceparent[3 : 3 + TRACE_ID_CHARACTERS]


def is_sampled(traceparent: str) -> bool:
    """True if a value of ``traceparent`` asks for a trace to be recorded."""
    return traceparent.endswith(_SAMPLED)


class TraceContexts:
    """Makes values of ``traceparent``, each with a trace id of its own; the same object for all messages of a worker.

    Ids are the system's entropy, so no run repeats those of another. The flag *sampled* follows from the trace id, as
    with the sampler TraceIdRatioBased of OpenTelemetry. The texts that open a connection share one value.
    """

    __slots__ = ("_next", "_of_connections", "_opening", "latest")

    def __init__(self, share: float = DEFAULT_TRACE_SHARE) -> None:
        """Takes the share of the values that have the flag *sampled*, from 0 to 1."""
        self._next = chain.from_iterable(_blocks(share)).__next__
        self._of_connections: dict[int, str] = {}
        self._opening = ""
        self.latest = ""
        """The value that was made last."""

    def next(self) -> str:
        """Returns a new value; that of the connection while the texts that open one are rendered."""
        if self._opening:
            return self._opening
        self.latest = value = self._next()
        return value

    def renew(self, connection: int) -> None:
        """Gives a connection that is about to be dialed a value of its own."""
        self._of_connections[connection] = self._next()

    def of_connection(self, connection: int) -> str:
        """Returns the value of a connection; empty where it has none."""
        return self._of_connections.get(connection, "")

    def begin_opening(self, connection: int) -> None:
        """Has `next` return the value of a connection until `end_opening`."""
        self._opening = self.of_connection(connection)

    def end_opening(self) -> None:
        """Has `next` return new values again."""
        self._opening = ""


class Traceparent(PlainField):
    """``{traceparent}``."""

    __slots__ = ()

    name = "traceparent"
    example = "{traceparent}"
    help = "trace context (W3C): a new trace for each message or connection, of which --trace asks to record a share"

    @property
    def max_bytes(self) -> int:
        """Bytes of every value."""
        return TRACEPARENT_BYTES

    def expression(self, scope: FieldScope) -> str:
        """A call that returns the next value."""
        return scope.bind(TRACE_CONTEXTS, TraceContexts) + ".next()"


def _blocks(share: float) -> Iterator[list[str]]:
    """Yields lists of values, without end."""
    bound = round(share * (1 << 64))
    while True:
        digits = os.urandom(24 * _BLOCK_VALUES).hex()
        ids = [(digits[at : at + 32], digits[at + 32 : at + 48]) for at in range(0, len(digits), 48)]
        yield [
            f"00-{trace}-{parent}-{_SAMPLED if int(trace[16:], 16) < bound else '00'}"
            for trace, parent in ids
            # Ids of zeros alone are invalid (sections 3.2.2.3 and 3.2.2.4).
            if trace != _INVALID_TRACE and parent != _INVALID_PARENT
        ]
