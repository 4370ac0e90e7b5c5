"""What is sent: messages, fixed or varying; of those that do not vary, frames encoded and masked ahead of time."""

from __future__ import annotations

import random
import string
from typing import Literal

import msgspec

from ws_load_test.common.units import format_bytes
from ws_load_test.messages.feed import Feed
from ws_load_test.messages.sizes import SizeDistribution
from ws_load_test.websocket import frames

DEFAULT_PAYLOAD = b"PING"
Kind = Literal["text", "binary", "ping"]
_OPCODES: dict[Kind, int] = {"text": frames.TEXT, "binary": frames.BINARY, "ping": frames.PING}
_SEVERAL: dict[Kind, str] = {"text": "texts", "binary": "binary messages", "ping": "ping frames"}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The messages that a run sends, over and over."""

    kind: Kind = "text"
    """``ping`` sends control frames, and takes their pongs for the replies."""
    size_bytes: int = len(DEFAULT_PAYLOAD)
    """Bytes of payload; the mean where it varies, estimated where fields or feeds decide."""
    payload: bytes = DEFAULT_PAYLOAD
    """The payload itself, or the first of several; empty in a recording, which keeps only its size."""
    alternatives: tuple[bytes, ...] = ()
    """The payloads of further messages."""
    weights: tuple[int, ...] = ()
    """Of several messages: how often each is sent beside the others; empty where there is but one."""
    is_template: tuple[bool, ...] = ()
    """Which of the messages have fields; empty where none has."""
    fields: tuple[str, ...] = ()
    """The fields of all messages: ``seq``, ``feed.token``."""
    sizes: SizeDistribution | None = None
    """Of generated messages whose sizes vary."""
    feed: Feed | None = None
    """What fields are filled from, those of the target's URL and headers included."""
    largest_bytes: int | None = None
    """Of varying messages: what practically none passes. Use `most_bytes`."""

    @property
    def opcode(self) -> int:
        """The opcode of its frame."""
        return _OPCODES[self.kind]

    @property
    def is_dynamic(self) -> bool:
        """Whether one message may differ from the next."""
        return bool(self.weights or self.fields or self.sizes)

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest payload to reckon with; an estimate where a feed decides."""
        return self.size_bytes if self.largest_bytes is None else self.largest_bytes

    def without_payload(self) -> Message:
        """The same without contents: what a recording may hold."""
        return msgspec.structs.replace(self, payload=b"", alternatives=())

    def describe(self) -> str:
        """The messages in words."""
        if self.sizes is not None:
            kind = "ping frame" if self.kind == "ping" else self.kind
            return f"{kind} of {self.sizes.describe()}"
        size = format_bytes(self.size_bytes)
        if self.weights:
            words = f"{len(self.weights)} {_SEVERAL[self.kind]} in turn"
            if len(set(self.weights)) > 1:
                words += f", weights {':'.join(map(str, self.weights))}"
        elif self.kind == "ping":
            words = f"a ping frame with {'about ' if self.fields else ''}{size} of payload; its pong is the reply"
        else:
            words = f"{self.kind}, {'about ' if self.fields else ''}{size}"
        if self.fields:
            *first, last = self.fields
            words += f", with {'fields' if first else 'the field'} {', '.join(first)}{' and ' if first else ''}{last}"
        return words

    def frames(self, count: int) -> memoryview:
        """`count` copies of a message that does not vary as frames, one after another and all of one size.

        Encoding and masking a message costs more than sending it, so it is done once for a run; the frames of later
        rounds repeat the masks of the first, which RFC 6455, section 5.3 asks of browsers not to do, for the sake of
        proxies, and which no server can tell.
        """
        return memoryview(b"".join(frames.encode_client_frame(self.opcode, self.payload) for _ in range(count)))


class SetupMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that is sent once in each session, before the load."""

    payload: bytes = b""
    """Empty in a recording."""
    is_template: bool = False
    """Its fields are filled in for each connection."""


def filler_text(size_bytes: int) -> bytes:
    """Text of `size_bytes` ASCII letters and digits, the same in every run so that runs compare."""
    letters = random.Random(size_bytes)  # noqa: S311 - filler, not a secret
    return "".join(letters.choices(string.ascii_letters + string.digits, k=size_bytes)).encode()
