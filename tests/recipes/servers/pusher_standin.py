"""A stand-in that speaks version 7 of the Pusher Channels protocol as its documentation has it."""

import asyncio
import contextlib
import json

from serving import seen, websocket
from websockets.exceptions import ConnectionClosed


def event(name, data, **more):
    return json.dumps({"event": name, "data": data} | more)


async def session(connection):
    established = {"socket_id": "1.1", "activity_timeout": 120}
    await connection.send(event("pusher:connection_established", json.dumps(established)))
    beside = asyncio.create_task(events(connection))
    try:
        async for text in connection:
            message = json.loads(text)
            seen[message["event"]] += 1
            if message["event"] == "pusher:subscribe":
                channel = message["data"]["channel"]
                await connection.send(event("pusher_internal:subscription_succeeded", "{}", channel=channel))
            elif message["event"] == "pusher:ping":
                await connection.send(event("pusher:pong", "{}"))
    finally:
        beside.cancel()


async def events(connection):
    """Sends events of the channel, and a ping now and then."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(0.03)
            await connection.send(event("said", '{"text": "hello"}', channel="load"))
            await connection.send(event("pusher:ping", "{}"))


websocket(session)
