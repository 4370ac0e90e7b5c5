"""Ways to misbehave: each is, or returns, a behaviour for `FaultyServer`.

A behaviour is a coroutine function over one `Peer`. It ends the connection by returning (FIN), by
`peer.reset()` (RST), or never, when it waits for the client to leave. Times are in nanoseconds.
Frames that break the protocol are in `ws_load_test.testing.protocol_violations`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ws_load_test.testing.peer import Message, Peer

    Behaviour = Callable[[Peer], Awaitable[None]]
    """What a connection gets."""

_NS_PER_S = 1_000_000_000


async def _echo(peer: Peer, messages: int | None = None) -> bool:
    """Echo `messages` messages, or all until the client closes; returns whether it was the client who ended it."""
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
    await asyncio.sleep(max(0, ns) / _NS_PER_S)


# --- before and instead of the upgrade ---


async def silent_after_accept(peer: Peer) -> None:
    """Take the connection and say nothing, not even to an upgrade request."""
    await peer.until_gone()


async def silent_after_request(peer: Peer) -> None:
    """Read the upgrade request and never answer it."""
    await peer.read_request()
    await peer.until_gone()


async def resets_at_once(peer: Peer) -> None:
    """Reset the connection once the upgrade request has come."""
    await peer.read_request()
    peer.reset()


async def leaves_at_once(peer: Peer) -> None:
    """Close the connection once the upgrade request has come, without a word."""
    await peer.read_request()


def rejects(status: int, *, location: str | None = None, body: bytes = b"no\n") -> Behaviour:
    """Answer the upgrade request with an HTTP status (403, 404, 503, ...; with `location` for 3xx)."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(status=status, headers={"Location": location}, body=body)

    return behave


def redirects(location: str, *, status: int = 302) -> Behaviour:
    """Redirect the upgrade request to `location`."""
    return rejects(status, location=location, body=b"")


def talks_something_else(garbage: bytes = b"220 mail.example ESMTP ready\r\n\r\n") -> Behaviour:
    """Answer the upgrade request with what is not HTTP."""

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send_raw(garbage)
        await peer.until_gone()

    return behave


async def wrong_accept(peer: Peer) -> None:
    """Upgrade with the accept key of another request (RFC 6455 section 4.1 wants the client to fail)."""
    await peer.upgrade(accept=frames.accept_key("somebody else's key"))
    await _echo(peer)


def without_header(name: str = "Upgrade") -> Behaviour:
    """Upgrade with a response that lacks a header: `Upgrade`, `Connection` or `Sec-WebSocket-Accept`."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(headers={name: None})
        await _echo(peer)

    return behave


async def dribbled_upgrade(peer: Peer) -> None:
    """Upgrade byte by byte, then echo."""
    await peer.read_request()
    peer.seen.upgraded += 1
    for byte in peer.response():
        await peer.send_raw(bytes((byte,)))
        await asyncio.sleep(0)
    await _echo(peer)


def early_message(payload: bytes = b"welcome", *, opcode: int = frames.TEXT) -> Behaviour:
    """Send a first message in the TCP segment of the upgrade response, then echo."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade(together_with=frames.encode_frame(opcode, payload))
        await _echo(peer)

    return behave


# --- good behaviour, exactly counted ---


async def echoes(peer: Peer) -> None:
    """Echo everything, answer pings and the closing handshake; `seen` counts."""
    await peer.upgrade()
    await _echo(peer)


# --- endings ---


def closes_after(messages: int, code: int = 1000, reason: str = "") -> Behaviour:
    """Echo that many messages, then start the closing handshake and finish it."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        if await _echo(peer, messages):
            return
        await peer.send_frame(frames.CLOSE, frames.close_payload(code, reason))
        while (await peer.read_frame()).opcode != frames.CLOSE:
            pass

    return behave


def vanishes_after(messages: int) -> Behaviour:
    """Echo that many messages, then close the TCP connection without a close frame (1006 to the client)."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, messages)

    return behave


def resets_after(messages: int) -> Behaviour:
    """Echo that many messages, then reset the TCP connection."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, messages)
        peer.reset()

    return behave


async def ignores_close(peer: Peer) -> None:
    """Echo, but never answer the client's close frame nor close the connection."""
    await peer.upgrade()
    while True:
        frame = await peer.read_frame()
        if frame.opcode in (frames.TEXT, frames.BINARY):
            await peer.send_frame(frame.opcode, frame.payload)
        elif frame.opcode == frames.PING:
            await peer.send_frame(frames.PONG, frame.payload)


# --- slowness ---


async def never_answers(peer: Peer) -> None:
    """Read messages and reply to none; pings and the closing handshake are answered."""
    await peer.upgrade()
    async for _ in peer.messages():
        pass


async def deaf(peer: Peer) -> None:
    """Upgrade and read nothing more, so that the client's writes fill the buffers between the two."""
    await peer.upgrade()
    await asyncio.Event().wait()


def delays(*delay_ns: int) -> Behaviour:
    """Reply to every message after a delay, in order; the delays take turns.

    `seen.delays_ns` has what each became in truth, from the message read to its reply written.
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


def stalls(stall_ns: int, *, after: int = 0) -> Behaviour:
    """Echo, but once, after that many messages, neither read nor write for `stall_ns`."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await _echo(peer, after)
        await _wait_ns(stall_ns)
        await _echo(peer)

    return behave


# --- good frames that careless clients get wrong ---


def pushes(payload: bytes = b"news", *, every: int = 1, at_start: int = 0) -> Behaviour:
    """Echo, with an unasked message before each `every`th reply, and `at_start` of them at the start."""

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


def fragments(parts: int = 3, *, pings_between: bool = True) -> Behaviour:
    """Echo in that many fragments, with a ping between any two, as RFC 6455 section 5.4 allows."""

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


def splits_frames(pause_ns: int = 1_000_000) -> Behaviour:
    """Echo with each reply's frame cut in two: the nth after n bytes, starting over at its end."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        replies = 0
        async for message in peer.messages():
            frame = frames.encode_frame(message.opcode, message.payload)
            at = 1 + replies % (len(frame) - 1)
            await peer.send_raw(frame[:at])
            await _wait_ns(pause_ns)
            await peer.send_raw(frame[at:])
            replies += 1
            peer.replied()

    return behave


async def dribbled_frames(peer: Peer) -> None:
    """Echo with every byte of a reply in a write of its own."""
    await peer.upgrade()
    async for message in peer.messages():
        for byte in frames.encode_frame(message.opcode, message.payload):
            await peer.send_raw(bytes((byte,)))
            await asyncio.sleep(0)
        peer.replied()


def several_in_one_segment(count: int) -> Behaviour:
    """Collect that many messages and reply to them in one write."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        waiting = b""
        held = 0
        async for message in peer.messages():
            waiting += frames.encode_frame(message.opcode, message.payload)
            held += 1
            if held == count:
                await peer.send_raw(waiting)
                for _ in range(held):
                    peer.replied()
                waiting, held = b"", 0

    return behave


def pings(payload: bytes = b"are you there", *, timeout_ns: int = 5 * _NS_PER_S) -> Behaviour:
    """Ping after the upgrade and require the same payload in a pong; echo then, or close with 1011."""

    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send_frame(frames.PING, payload)
        try:
            async with asyncio.timeout(timeout_ns / _NS_PER_S):
                while (frame := await peer.read_frame()).opcode != frames.PONG:
                    pass
        except TimeoutError:
            frame = None
        if frame is None or frame.payload != payload:
            await peer.send_frame(frames.CLOSE, frames.close_payload(frames.INTERNAL_ERROR, "no pong"))
            return
        await _echo(peer)

    return behave
