"""Messages of a run, fixed or varying. Frames of fixed messages are encoded and masked ahead of time."""

from __future__ import annotations

import random
from typing import Literal

import msgspec

from ws_load_test.common.units import format_bytes
from ws_load_test.messages.feed import Feed
from ws_load_test.messages.random_values import random_characters
from ws_load_test.messages.sizes import SizeDistribution
from ws_load_test.websocket import frames

DEFAULT_PAYLOAD = b"PING"
LARGEST_CONTENTS_BYTES = 1 << 30
"""Bytes of the contents of all messages together, 1 GiB, since each worker gets and holds them all."""
_FILLER_BLOCK_BYTES = 1 << 20
"""Random bytes drawn at once for filler."""
Kind = Literal["text", "binary", "ping"]
_OPCODES: dict[Kind, int] = {"text": frames.TEXT, "binary": frames.BINARY, "ping": frames.PING}
_PLURALS: dict[Kind, str] = {"text": "texts", "binary": "binary messages", "ping": "ping frames"}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The messages that a run sends, over and over."""

    kind: Kind = "text"
    """``ping`` sends control frames; their pongs are the replies."""
    size_bytes: int = len(DEFAULT_PAYLOAD)
    """Bytes of payload; the mean if it varies, an estimate if fields or feeds decide."""
    payload: bytes = DEFAULT_PAYLOAD
    """The payload itself, or the first of several; empty in a recording, which keeps only the size of those given."""
    alternatives: tuple[bytes, ...] = ()
    """The payloads of further messages."""
    weights: tuple[int, ...] = ()
    """Relative frequency of each of several messages; empty if there is one."""
    is_template: tuple[bool, ...] = ()
    """True for each message that has fields; empty if none has."""
    fields: tuple[str, ...] = ()
    """The fields of all messages: ``seq``, ``feed.token``."""
    sizes: SizeDistribution | None = None
    """Sizes of generated messages; None if they do not vary."""
    feed: Feed | None = None
    """Source of the ``feed.`` fields, those of the target's URL and headers included."""
    environment: dict[str, str] = {}
    """Variables that the ``env.`` fields name, those of the target included, and their values; empty in a recording."""
    largest_bytes: int | None = None
    """Bytes that practically no varying message exceeds; None for a fixed one. Use `max_bytes`."""
    trace_share: float | None = None
    """Share of the values of ``{traceparent}`` that ask for a trace; None where nothing has the field."""
    generated: bool = False
    """True for the text of a fixed ``--size``, which the size alone makes again."""

    @property
    def opcode(self) -> int:
        """The opcode of its frame."""
        return _OPCODES[self.kind]

    @property
    def is_dynamic(self) -> bool:
        """True if one message can differ from the next."""
        return bool(self.weights or self.fields or self.sizes)

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest payload to expect; an estimate if a feed decides."""
        return self.size_bytes if self.largest_bytes is None else self.largest_bytes

    @property
    def contents_bytes(self) -> int:
        """Bytes of the contents of all messages, which every worker holds."""
        return len(self.payload) + sum(map(len, self.alternatives))

    def without_payload(self) -> Message:
        """The same without contents, which a recording must not hold; the default message is no secret."""
        is_default = self.payload == DEFAULT_PAYLOAD and not self.alternatives
        payload = DEFAULT_PAYLOAD if is_default else b""
        return msgspec.structs.replace(self, payload=payload, alternatives=(), environment={})

    def describe(self) -> str:
        """Describes the messages in a phrase."""
        if self.sizes is not None:
            kind = "ping frame" if self.kind == "ping" else self.kind
            return f"{kind} of {self.sizes.describe()}"
        size = format_bytes(self.size_bytes)
        if self.weights:
            text = f"{len(self.weights)} {_PLURALS[self.kind]} in turn"
            if len(set(self.weights)) > 1:
                text += f", weights {':'.join(map(str, self.weights))}"
        elif self.kind == "ping":
            text = f"a ping frame with {'about ' if self.fields else ''}{size} of payload; its pong is the reply"
        else:
            text = f"{self.kind}, {'about ' if self.fields else ''}{size}"
        if self.fields:
            *first, last = self.fields
            text += f", with {'fields' if first else 'the field'} {', '.join(first)}{' and ' if first else ''}{last}"
        return text

    def frames(self, count: int) -> memoryview:
        """Encodes `count` copies of a fixed message as frames, one after another and all of one size.

        Encoding and masking a message costs more than sending it, so it is done once for a run. Later rounds repeat the
        masks of the first: RFC 6455, section 5.3 forbids that to protect proxies from scripts in browsers, and no
        server can notice.
        """
        return memoryview(b"".join(frames.encode_client_frame(self.opcode, self.payload) for _ in range(count)))


class SetupMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that is sent once in each session, before the load."""

    payload: bytes = b""
    """The payload itself; empty in a recording."""
    is_template: bool = False
    """True if it has fields, which are rendered for each connection."""


def filler_text(size_bytes: int) -> bytes:
    """Returns `size_bytes` ASCII letters and digits, the same in every run so that runs compare."""
    rng, filler = random.Random(size_bytes), bytearray()  # noqa: S311 - filler, not a secret
    while len(filler) < size_bytes:
        filler += random_characters(rng, min(size_bytes, _FILLER_BLOCK_BYTES))
    return bytes(filler[:size_bytes])
