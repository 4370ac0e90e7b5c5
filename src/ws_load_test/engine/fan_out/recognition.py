"""Recognition of deliveries: from a message to its publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ws_load_test.messages.marker import Marker

if TYPE_CHECKING:
    from ws_load_test.messages.marker import MarkerCodec
    from ws_load_test.plan.correlation import CorrelationId, IdExtractor


class Recognized(NamedTuple):
    """Finding in a message."""

    markers: tuple[Marker, ...] = ()
    """Publishes of this run that it delivers."""
    is_foreign: bool = False
    """It has the marker of another run."""


class Recognizer(Protocol):
    """Rule by which a message is a delivery."""

    def recognize(self, payload: bytes) -> Recognized:
        """Returns what a message delivers."""
        ...

    def sent(self, payload: bytes, marker: Marker) -> None:
        """Takes note of a message that has left."""
        ...


class MarkerRecognizer:
    """Finds markers, which say everything themselves."""

    def __init__(self, codec: MarkerCodec) -> None:
        self._codec = codec

    def recognize(self, payload: bytes) -> Recognized:
        """Returns the markers in a message."""
        # A target may quote what was published, or send it twice in one message: that is one delivery.
        markers = tuple(dict.fromkeys(self._codec.find(payload)))
        return Recognized(markers, not markers and self._codec.has_foreign(payload))

    def sent(self, payload: bytes, marker: Marker) -> None:
        """Does nothing: the marker is in the message."""


class IdRecognizer:
    """Finds the id of a message that this worker has sent."""

    def __init__(self, message_id: IdExtractor, delivery_id: IdExtractor) -> None:
        """Takes what finds the id in a message of ours, and in a delivery."""
        self._message_id = message_id
        self._delivery_id = delivery_id
        self._sent: dict[CorrelationId, Marker] = {}

    def recognize(self, payload: bytes) -> Recognized:
        """Returns the publish whose id a message has."""
        key = self._delivery_id(payload)
        marker = None if key is None else self._sent.get(key)
        return Recognized() if marker is None else Recognized((marker,))

    def sent(self, payload: bytes, marker: Marker) -> None:
        """Remembers the id of a message."""
        key = self._message_id(payload)
        if key is not None:
            self._sent[key] = marker
