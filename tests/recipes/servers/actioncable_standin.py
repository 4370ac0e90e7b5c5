"""A stand-in that speaks the protocol actioncable-v1-json as the guide and the source of Rails have it."""

import asyncio
import contextlib
import json

from serving import seen, websocket
from websockets.exceptions import ConnectionClosed

IDENTIFIER = '{"channel":"ChatChannel"}'


async def session(connection):
    seen[connection.subprotocol or "no subprotocol"] += 1
    await connection.send('{"type":"welcome"}')
    pinging = asyncio.create_task(pings(connection))
    subscribed = False
    try:
        async for text in connection:
            command = json.loads(text)
            if command["identifier"] != IDENTIFIER or (command["command"] == "message" and not subscribed):
                seen["rejected"] += 1
                await connection.send(json.dumps({"identifier": command["identifier"], "type": "reject_subscription"}))
            elif command["command"] == "subscribe":
                subscribed = True
                seen["subscribed"] += 1
                await connection.send(json.dumps({"identifier": IDENTIFIER, "type": "confirm_subscription"}))
            else:
                data = json.loads(command["data"])
                seen[data["action"]] += 1
                await connection.send(json.dumps({"identifier": IDENTIFIER, "message": {"id": data["id"]}}))
    finally:
        pinging.cancel()


async def pings(connection):
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(0.1)  # Rails: 3 s
            await connection.send('{"type":"ping","message":1700000000}')


websocket(session, subprotocols=["actioncable-v1-json", "actioncable-unsupported"])
