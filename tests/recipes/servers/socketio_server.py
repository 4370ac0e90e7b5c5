"""A real Socket.IO server: python-socketio under uvicorn, which pings often and closes sessions that do not answer.

The seconds that it gives them are its argument.
"""

import asyncio
import sys

import socketio
from engineio import async_socket
from engineio.packet import PING, PONG
from serving import asgi, seen

server = socketio.AsyncServer(async_mode="asgi", ping_interval=0.2, ping_timeout=float((*sys.argv[1:], 30)[0]))


@server.event
async def connect(_sid, _environ, _auth=None):
    seen["connected"] += 1


@server.event
async def disconnect(_sid, reason):
    seen[f"left: {reason}"] += 1


@server.event
async def say(sid, text):
    seen["say"] += 1
    seen["right"] += text == {"room": "lobby", "text": "hello"}
    await server.emit("said", text, to=sid)  # an event that answers nothing
    await asyncio.sleep(0.03)
    return "ok"


@server.event
async def join(sid, room):
    if isinstance(room, dict):  # one that awaits an acknowledgment
        seen["joined"] += 1
        seen["joined by its own name"] += room["as"] == server.manager.eio_sid_from_sid(sid, "/")
        await server.enter_room(sid, room["room"])
        return {"ok": True}
    await asyncio.sleep(0.05)  # as long as a look at a database, and none that a client could see the end of
    await server.enter_room(sid, room)
    seen[f"joined {room}"] += 1
    return None


@server.event
async def message(sid, said):
    seen["messages"] += 1
    seen["sent on"] += len(list(server.manager.get_participants("/", said["room"]))) - 1
    await server.emit("message", said, room=said["room"], skip_sid=sid)
    return {"ok": True}


@server.event
async def post(sid, message):
    seen["post"] += 1
    await server.emit("posted", message, room=message["room"], skip_sid=sid)


async def receive(socket, packet, _receive=async_socket.AsyncSocket.receive):
    """Counts pongs before the library takes them."""
    seen["pongs"] += packet.packet_type == PONG
    await _receive(socket, packet)


async def send(socket, packet, _send=async_socket.AsyncSocket.send):
    """Counts pings before the library sends them."""
    seen["pings"] += packet.packet_type == PING
    await _send(socket, packet)


async_socket.AsyncSocket.receive, async_socket.AsyncSocket.send = receive, send
asgi(socketio.ASGIApp(server))
