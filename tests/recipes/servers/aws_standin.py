"""A stand-in for a WebSocket API of AWS API Gateway: routes by `action`, and its limits, the idle one cut to 1 s."""

import asyncio
import json

from serving import seen, websocket
from websockets.exceptions import ConnectionClosed

FRAME_BYTES = 32 * 1024
IDLE_S = 1.0
"""Ten minutes at the real one."""


async def session(connection):
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                text = await connection.recv()
            await route(connection, text)
    except TimeoutError:
        seen["idle"] += 1
        await connection.close(1001, "Going away")
    except ConnectionClosed:
        seen["closed"] += 1


async def route(connection, text):
    try:
        request = json.loads(text)
        action = request["action"]
    except (ValueError, KeyError, TypeError):
        action = None
    if action == "echo":
        seen["echo"] += 1
        await connection.send('{"event": "news"}')  # as a backend does by POST @connections
        await asyncio.sleep(0.03)
        await connection.send(json.dumps({"id": request["id"], "body": request["body"]}))
    else:
        seen["no route"] += 1
        await connection.send('{"message": "Forbidden", "connectionId": "L0SM9cOFvHcCIhw=", "requestId": "L0SM9Fo1"}')


websocket(session, max_size=FRAME_BYTES, ping_interval=None)
