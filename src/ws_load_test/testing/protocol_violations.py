"""Frames that violate RFC 6455: each is sent instead of a reply, after `after` regular replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ws_load_test.testing.peer import Peer

    Behavior = Callable[[Peer], Awaitable[None]]


def _instead_of_reply(after: int, data: bytes, *, leave: bool = False) -> Behavior:
    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        received = 0
        async for message in peer.messages():
            if received != after:
                await peer.reply(message)
            else:
                await peer.send_raw(data)
                if leave:
                    return
            received += 1

    return behave


def reserved_opcode(opcode: int = 0x3, *, after: int = 0) -> Behavior:
    """Sends a frame with a reserved opcode (RFC 6455 section 5.2)."""
    return _instead_of_reply(after, frames.encode_frame(opcode, b"reserved"))


def reserved_bits(rsv: int = 0x40, *, after: int = 0) -> Behavior:
    """Sends a frame with reserved bits set although no extension was negotiated (section 5.2)."""
    return _instead_of_reply(after, frames.encode_frame(frames.TEXT, b"reserved", rsv=rsv))


def masked_frame(*, after: int = 0) -> Behavior:
    """Sends a masked frame, which a server must not (section 5.1)."""
    return _instead_of_reply(after, frames.encode_frame(frames.TEXT, b"masked", mask=b"\x11\x22\x33\x44"))


def oversized_frame(announced_bytes: int = 1 << 40, *, after: int = 0) -> Behavior:
    """Announces a frame of that many bytes and sends a few."""
    return _instead_of_reply(after, bytes((frames.FIN | frames.BINARY, 127)) + announced_bytes.to_bytes(8) + b"\0" * 64)


def stray_continuation(*, after: int = 0) -> Behavior:
    """Sends a continuation frame outside a message (section 5.4)."""
    return _instead_of_reply(after, frames.encode_frame(frames.CONTINUATION, b"stray"))


def interrupted_fragments(*, after: int = 0) -> Behavior:
    """Starts a second message between the fragments of a first (section 5.4)."""
    return _instead_of_reply(
        after, frames.encode_frame(frames.TEXT, b"first", fin=False) + frames.encode_frame(frames.TEXT, b"second")
    )


def fragmented_ping(*, after: int = 0) -> Behavior:
    """Sends a fragmented control frame (section 5.5)."""
    return _instead_of_reply(after, frames.encode_frame(frames.PING, b"part", fin=False))


def long_ping(*, after: int = 0) -> Behavior:
    """Sends a control frame of more than 125 bytes (section 5.5)."""
    return _instead_of_reply(after, frames.encode_frame(frames.PING, b"x" * 126))


def bad_close(body: bytes = (1005).to_bytes(2), *, after: int = 0) -> Behavior:
    """Sends a close frame with a forbidden body: a code that must not be sent, or one byte (section 7.4.1)."""
    return _instead_of_reply(after, frames.encode_frame(frames.CLOSE, body))


def invalid_text(*, after: int = 0) -> Behavior:
    """Sends a text message that is not valid UTF-8 (section 8.1)."""
    return _instead_of_reply(after, frames.encode_frame(frames.TEXT, b"\xff\xfe\xfd"))


def half_frame(*, after: int = 0) -> Behavior:
    """Sends the first half of a frame and closes the connection."""
    return _instead_of_reply(after, frames.encode_frame(frames.TEXT, b"half of this")[:7], leave=True)
