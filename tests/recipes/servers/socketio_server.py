"""A real Socket.IO server: python-socketio under uvicorn, which pings often and hangs up on whoever does not answer."""

import asyncio

import socketio
from serving import asgi, seen

server = socketio.AsyncServer(async_mode="asgi", ping_interval=0.2, ping_timeout=0.6)


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
    await asyncio.sleep(0.05)  # as long as a look at a database, and none that a client could see the end of
    await server.enter_room(sid, room)
    seen[f"joined {room}"] += 1


@server.event
async def post(sid, message):
    seen["post"] += 1
    await server.emit("posted", message, room=message["room"], skip_sid=sid)


asgi(socketio.ASGIApp(server))
