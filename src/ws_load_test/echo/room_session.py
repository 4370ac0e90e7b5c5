"""Connection that is a member of rooms or publishes to them, by the query of its URL.

With `room=NAME` each of its messages is published to that room. With `chat` its messages are JSON objects:
`{"op": "join", "room": R}` is answered `{"op":"joined","room":R}`, `{"op": "leave", "room": R}` is answered
`{"op":"left","room":R}`, and `{"op": "say", "room": R, ...}` is published to R as it is, whether the session is a
member or not. What is none of these is answered `{"op":"error","reason":"..."}`.

With `ack=1` a published message is answered `{"op":"ack","id":X}` with the `id` of the message if it is a JSON object
with one, else `{"op":"ack"}`. The answer is written after all deliveries of the message: by then each was handed to the
kernel, or to the buffer of a member that reads too slowly.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from picows import WSFrame, WSMsgType, WSTransport

from ws_load_test.common.units import quoted
from ws_load_test.echo.plain_echo import WRITING, EchoCounters, PlainEcho, close_frame
from ws_load_test.echo.room_options import check_name
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.echo.room import Room
    from ws_load_test.echo.room_options import RoomOptions
    from ws_load_test.echo.rooms import Rooms

POLICY_VIOLATION = 1008
"""Close code for a member that does not read (RFC 6455, section 7.4.1)."""
_LINGER_S = 5.0
"""Seconds that a member that does not read has to read its close frame, before its connection is aborted."""
_TEXT, _BINARY = WSMsgType.TEXT, WSMsgType.BINARY


class ChatMessage(msgspec.Struct):
    """Members of a message in JSON that matter here; all others are skipped."""

    op: str = ""
    room: str | int = ""
    id: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(ChatMessage).decode


class _Identified(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()


_decode_id = msgspec.json.Decoder(_Identified).decode


def acknowledgement(identifier: bytes) -> bytes:
    """Returns the frame that answers a published message, by the JSON of its `id`, which may be empty."""
    return frames.encode_frame(frames.TEXT, b'{"op":"ack","id":' + identifier + b"}" if identifier else b'{"op":"ack"}')


class RoomEcho(PlainEcho):
    """A connection whose messages go to the members of rooms."""

    __slots__ = (
        "_acks",
        "_batch",
        "_batch_bytes",
        "_clock",
        "_joined",
        "_linger",
        "_nodes",
        "_options",
        "_room",
        "_rooms",
    )

    def __init__(self, tally: EchoCounters, options: RoomOptions, rooms: Rooms) -> None:
        super().__init__(tally)
        self._options = options
        self._rooms = rooms
        self._joined: dict[str, Room] = {}
        self._nodes: dict[str, int] = {}
        """Nodes that it publishes on, by the name of the room; only with `nodes`."""
        self._acks: list[bytes] = []
        """Answers to the messages that are going out."""
        self._linger: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Joins the room of the URL."""
        super().on_ws_connected(transport)
        if self._options.room is not None:
            self._join(self._options.room)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leaves all rooms."""
        self._leave_all()
        super().on_ws_disconnected(transport)
        if self._linger is not None:
            self._linger.cancel()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Takes a whole message; leaves everything rarer to `_on_rare`."""
        kind = frame.msg_type
        if (kind is not _TEXT and kind is not _BINARY) or self._opcode or not frame.fin or frame.rsv1:
            self._on_rare(frame, kind)
            return
        payload = frame.get_payload_as_bytes()
        self._tally.messages += 1
        self._tally.bytes += len(payload)
        self._answer(frames.TEXT if kind is _TEXT else frames.BINARY, payload)
        if frame.last_in_buffer:
            self._flush()

    def pause_writing(self) -> None:
        """Has the rooms look at how much waits for this session."""
        super().pause_writing()
        for room in self._joined.values():
            room.set_slow(self, slow=True)

    def resume_writing(self) -> None:
        """Returns to deliveries that need no look."""
        super().resume_writing()
        for room in self._joined.values():
            room.set_slow(self, slow=False)

    def overflow(self) -> None:
        """Closes the session, for which too much waits."""
        transport = self._transport
        self._close(close_frame(POLICY_VIOLATION, "the messages of the room are not read"))
        if transport is not None:
            self._linger = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def _answer(self, opcode: int, payload: bytes) -> None:
        """Publishes a message, or does what it asks for."""
        if self._transport is None or self._transport.is_closing():
            return  # what follows a close frame in one read counts for nothing
        if self._options.chat:
            self._on_chat(opcode, payload)
        elif self._options.room is not None:
            identifier = self._identifier(payload) if self._options.ack else b""
            self._publish(self._rooms.room(self._options.room), frames.encode_frame(opcode, payload), identifier)

    def _on_chat(self, opcode: int, payload: bytes) -> None:
        try:
            message = _decode(payload)
            name = check_name(str(message.room))
        except (ValueError, msgspec.DecodeError) as error:
            self._refuse(f"a message is a JSON object with op and room; {error}")
            return
        if message.op == "say":
            self._publish(self._rooms.room(name), frames.encode_frame(opcode, payload), bytes(message.id))
            return
        if message.op == "join":
            self._join(name, answer=self._chat_answer("joined", message.room))
        elif message.op == "leave":
            self._leave(name)
            self._pending.append(self._chat_answer("left", message.room))
        else:
            self._refuse(f"op is {quoted(message.op)}; write join, leave or say")

    @staticmethod
    def _chat_answer(op: str, room: str | int) -> bytes:
        return frames.encode_frame(frames.TEXT, msgspec.json.encode({"op": op, "room": room}))

    def _refuse(self, reason: str) -> None:
        self._pending.append(frames.encode_frame(frames.TEXT, msgspec.json.encode({"op": "error", "reason": reason})))

    @staticmethod
    def _identifier(payload: bytes) -> bytes:
        if not payload.startswith(b"{"):
            return b""
        try:
            return bytes(_decode_id(payload).id)
        except (ValueError, msgspec.DecodeError):
            return b""

    def _join(self, name: str, answer: bytes = b"") -> None:
        """Joins a room; the answer goes out before what is replayed."""
        transport, room = self._transport, self._rooms.room(name)
        if transport is None or transport.is_closing():
            return
        room.join(self, transport, self._options)
        if name not in self._joined:
            self._rooms.overlaps += bool(self._joined)
            self._joined[name] = room
        if self._held & WRITING:
            room.set_slow(self, slow=True)
        if answer:
            self._pending.append(answer)
        self._flush()
        if self._options.replay_ns:
            self._rooms.retain(room, self._options.replay_ns)
            room.replay(self, self._options.replay_ns)

    def _leave(self, name: str) -> None:
        room = self._joined.pop(name, None)
        if room is not None:
            room.leave(self)
            self._rooms.overlaps -= bool(self._joined)

    def _leave_all(self) -> None:
        for name in tuple(self._joined):
            self._leave(name)

    def _publish(self, room: Room, frame: bytes, identifier: bytes) -> None:
        """Sends a message to a room, and an acknowledgement after it."""
        options = self._options
        without = None if options.to_self else self
        if options.fan_delay_ns:
            self._rooms.publish_slowly(
                room,
                self._node_in(room),
                frame,
                without,
                delay_ns=options.fan_delay_ns,
                done=lambda: self._acknowledge(identifier),
            )
        elif options.ack:
            self._acks.append(acknowledgement(identifier))
            self._rooms.publish(room, self._node_in(room), frame, without, self)
        else:
            self._rooms.publish(room, self._node_in(room), frame, without, None)

    def published(self) -> None:
        """Acknowledges the messages that have gone out."""
        acks, self._acks = self._acks, []
        self._write(b"".join(acks))

    def _node_in(self, room: Room) -> int:
        """Returns the node that the session publishes on; without membership, it stays with the first that it had."""
        nodes = self._options.nodes
        if nodes == 1 or self in room:
            return room.node_of(self, nodes)
        if room.name not in self._nodes:
            self._nodes[room.name] = room.node_of(self, nodes)
        return self._nodes[room.name]

    def _acknowledge(self, identifier: bytes) -> None:
        if self._options.ack:
            self._write(acknowledgement(identifier))

    def _close(self, frame: bytes) -> None:
        """Leaves all rooms before the close frame, so that no delivery follows it."""
        self._rooms.flush()
        self._leave_all()
        super()._close(frame)
