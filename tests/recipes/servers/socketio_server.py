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


asgi(socketio.ASGIApp(server))
