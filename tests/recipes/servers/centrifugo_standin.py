"""A stand-in that speaks the JSON protocol of Centrifugo as its documentation has it: commands, replies and pushes."""

import asyncio
import contextlib
import json
from collections import defaultdict

from serving import seen, websocket
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed

members = defaultdict(set)


async def session(connection):
    pinging = asyncio.create_task(pings(connection))
    try:
        async for text in connection:
            for line in text.splitlines():
                await receive(connection, json.loads(line))
    finally:
        pinging.cancel()
        for joined in members.values():
            joined.discard(connection)


async def receive(connection, command):
    if not command:
        seen["pong"] += 1
        return
    if not command.get("id"):
        seen["without id"] += 1
        await connection.close(3501, "bad request")
        return
    kind = next(name for name in command if name != "id")
    seen[kind] += 1
    reply = {"id": command["id"], kind: {}}
    if kind == "connect":
        reply[kind] = {"client": "c", "version": "0", "ping": 25, "pong": True}
    elif kind == "subscribe":
        members[command[kind]["channel"]].add(connection)
    elif connection not in members[command[kind]["channel"]]:
        reply = {"id": command["id"], "error": {"code": 103, "message": "permission denied"}}
    await connection.send(json.dumps(reply, separators=(",", ":")))
    if kind == "publish" and kind in reply:
        channel = command[kind]["channel"]
        push = {"push": {"channel": channel, "pub": {"data": command[kind]["data"]}}}
        broadcast(members[channel], json.dumps(push, separators=(",", ":")))


async def pings(connection):
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(0.03)  # Centrifugo: 25 s
            await connection.send("{}")


websocket(session)
