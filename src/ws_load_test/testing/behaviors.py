"""Behaviors of a `FaultyServer`: each function here is one, or returns one.

A behavior is a coroutine function over one `Peer`. It ends the connection by returning (FIN) or by `peer.reset()`
(RST), or it waits for the client to leave. Times are in nanoseconds. Frames that violate the protocol are in
`ws_load_test.testing.protocol_violations`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ws_load_test.testing.peer import Message, Peer

    Behavior = Callable[[Peer], Awaitable[None]]
    """Serves one connection."""


async def _echo(peer: Peer, messages: int | None = None) -> bool:
    """Echoes `messages` messages, or all until the client closes; returns True if the client ended it."""
    if messages == 0:
        return False
    received = 0
    async for message in peer.messages():
        await peer.reply(message)
        received += 1
        if received == messages:
            return False
    return True


async def _wait_ns(ns: int) -> None:
    await asyncio.sleep(max(0, ns) / NS_PER_S)


# --- before and instead of the upgrade ---


async def silent_after_accept(peer: Peer) -> None:
    """Accepts the connection and sends nothing, not even an answer to the upgrade request."""
    await peer.until_gone()


async def silent_after_request(peer: Peer) -> None:
    """Reads the upgrade request and never answers it."""
    await peer.read_request()
    await peer.until_gone()


async def resets_at_once(peer: Peer) -> None:
    """Resets the connection after the upgrade request."""
    await peer.read_request()
    peer.reset()


async def leaves_at_once(peer: Peer) -> None:
    """Closes the connection after the upgrade request, without an answer."""
    await peer.read_request()


def rejects(status: int, *, location: str | None = None, body: bytes = b"no\n") -> Behavior:
    """Answers the upgrade request with an HTTP status (403, 404, 503, ...; with `location` for 3xx)."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(status=status, headers={"Location": location}, body=body)

    return behave


def redirects(location: str, *, status: int = 302) -> Behavior:
    """Redirects the upgrade request to `location`."""
    return rejects(status, location=location, body=b"")


def talks_something_else(garbage: bytes = b"220 mail.example ESMTP ready\r\n\r\n") -> Behavior:
    """Answers the upgrade request in another protocol than HTTP."""

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send_raw(garbage)
        await peer.until_gone()

    return behave


async def wrong_accept(peer: Peer) -> None:
    """Upgrades with the accept key of another request (RFC 6455 section 4.1: the client must fail the connection)."""
    await peer.upgrade(accept=frames.accept_key("another key"))
    await _echo(peer)


def without_header(name: str = "Upgrade") -> Behavior:
    """Upgrades with a response that lacks a header: `Upgrade`, `Connection` or `Sec-WebSocket-Accept`."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(headers={name: None})
        await _echo(peer)

    return behave


async def dribbled_upgrade(peer: Peer) -> None:
    """Upgrades byte by byte, then echoes."""
    await peer.read_request()
    peer.seen.upgraded += 1
    for byte in peer.response():
        await peer.send_raw(bytes((byte,)))
        await asyncio.sleep(0)
    await _echo(peer)


def early_message(payload: bytes = b"welcome", *, opcode: int = frames.TEXT) -> Behavior:
    """Sends a first message in the TCP segment of the upgrade response, then echoes."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(together_with=frames.encode_frame(opcode, payload))
        await _echo(peer)

    return behave


# --- correct behavior, exactly counted ---


async def echoes(peer: Peer) -> None:
    """Echoes everything, and answers pings and the closing handshake; `seen` counts."""
    await peer.upgrade()
    await _echo(peer)


# --- endings ---


def closes_after(messages: int, code: int = 1000, reason: str = "") -> Behavior:
    """Echoes that many messages, then starts the closing handshake and completes it."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        if await _echo(peer, messages):
            return
        await peer.send_frame(frames.CLOSE, frames.close_payload(code, reason))
        while (await peer.read_frame()).opcode != frames.CLOSE:
            pass

    return behave


def vanishes_after(messages: int) -> Behavior:
    """Echoes that many messages, then closes the TCP connection without a close frame (1006 to the client)."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, messages)

    return behave


def resets_after(messages: int) -> Behavior:
    """Echoes that many messages, then resets the TCP connection."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, messages)
        peer.reset()

    return behave


async def ignores_close(peer: Peer) -> None:
    """Echoes, but never answers the client's close frame and never closes the connection."""
    await peer.upgrade()
    while True:
        frame = await peer.read_frame()
        if frame.opcode in (frames.TEXT, frames.BINARY):
            await peer.send_frame(frame.opcode, frame.payload)
        elif frame.opcode == frames.PING:
            await peer.send_frame(frames.PONG, frame.payload)


# --- slowness ---


async def never_answers(peer: Peer) -> None:
    """Reads messages without replies; answers pings and the closing handshake."""
    await peer.upgrade()
    async for _ in peer.messages():
        pass


async def never_reads(peer: Peer) -> None:
    """Upgrades and reads nothing more, so that the client's writes fill the buffers between the two."""
    await peer.upgrade()
    await asyncio.Event().wait()


def delays(*delay_ns: int) -> Behavior:
    """Replies to every message after a delay, in order, cycling through the delays.

    `seen.delays_ns` has the actual delays, from the message read to its reply written.
    """

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        queue: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()

        async def answer() -> None:
            while True:
                due_ns, message = await queue.get()
                await _wait_ns(due_ns - time.monotonic_ns())
                peer.seen.delays_ns.append(time.monotonic_ns() - message.read_ns)
                await peer.reply(message)

        turns = itertools.cycle(delay_ns)
        answering = asyncio.ensure_future(answer())
        try:
            async for message in peer.messages():
                queue.put_nowait((message.read_ns + next(turns), message))
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    return behave


def stalls(stall_ns: int, *, after: int = 0) -> Behavior:
    """Echoes, but once, after that many messages, neither reads nor writes for `stall_ns`."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, after)
        await _wait_ns(stall_ns)
        await _echo(peer)

    return behave


# --- valid frames that careless clients mishandle ---


def pushes(payload: bytes = b"news", *, every: int = 1, at_start: int = 0) -> Behavior:
    """Echoes, with an unsolicited message before each `every`th reply, and `at_start` of them at the start."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        for _ in range(at_start):
            await peer.send_frame(frames.TEXT, payload)
        received = 0
        async for message in peer.messages():
            received += 1
            if received % every == 0:
                await peer.send_frame(frames.TEXT, payload)
            await peer.reply(message)

    return behave


def fragments(parts: int = 3, *, pings_between: bool = True) -> Behavior:
    """Echoes in that many fragments, with a ping between any two, as RFC 6455 section 5.4 allows."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        async for message in peer.messages():
            step = max(1, -(-len(message.payload) // parts))
            for part in range(parts):
                if part and pings_between:
                    await peer.send_frame(frames.PING, b"between")
                await peer.send_frame(
                    frames.CONTINUATION if part else message.opcode,
                    message.payload[part * step : (part + 1) * step],
                    fin=part == parts - 1,
                )
            peer.replied()

    return behave


def splits_frames(pause_ns: int = 1_000_000) -> Behavior:
    """Echoes with each reply's frame split in two: the nth after n bytes, starting over at its end."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        replies = 0
        async for message in peer.messages():
            frame = frames.encode_frame(message.opcode, message.payload)
            split = 1 + replies % (len(frame) - 1)
            await peer.send_raw(frame[:split])
            await _wait_ns(pause_ns)
            await peer.send_raw(frame[split:])
            replies += 1
            peer.replied()

    return behave


async def dribbled_frames(peer: Peer) -> None:
    """Echoes with every byte of a reply in a write of its own."""
    await peer.upgrade()
    async for message in peer.messages():
        for byte in frames.encode_frame(message.opcode, message.payload):
            await peer.send_raw(bytes((byte,)))
            await asyncio.sleep(0)
        peer.replied()


def several_in_one_segment(count: int) -> Behavior:
    """Collects that many messages and replies to them in one write."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        replies: list[bytes] = []
        async for message in peer.messages():
            replies.append(frames.encode_frame(message.opcode, message.payload))
            if len(replies) == count:
                await peer.send_raw(b"".join(replies))
                for _ in replies:
                    peer.replied()
                replies.clear()

    return behave


def pings(payload: bytes = b"are you there", *, timeout_ns: int = 5 * NS_PER_S) -> Behavior:
    """Pings after the upgrade; echoes once a pong with the same payload arrived, else closes with 1011."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send_frame(frames.PING, payload)
        try:
            async with asyncio.timeout(timeout_ns / NS_PER_S):
                while (frame := await peer.read_frame()).opcode != frames.PONG:
                    pass
        except TimeoutError:
            frame = None
        if frame is None or frame.payload != payload:
            await peer.send_frame(frames.CLOSE, frames.close_payload(frames.INTERNAL_ERROR, "no pong"))
            return
        await _echo(peer)

    return behave
