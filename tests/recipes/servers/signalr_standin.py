"""A stand-in that speaks the SignalR hub protocol (JSON, version 1) as its specification has it."""

import asyncio
import contextlib
import json

from serving import seen, websocket
from websockets.exceptions import ConnectionClosed

END = "\x1e"
PING = '{"type":6}' + END


async def session(connection):
    hello = await connection.recv()
    if hello.count(END) != 1 or json.loads(hello.removesuffix(END)) != {"protocol": "json", "version": 1}:
        await connection.send('{"error":"what protocol is that?"}' + END)
        return
    seen["handshakes"] += 1
    await connection.send("{}" + END)
    pinging = asyncio.create_task(pings(connection))
    try:
        async for text in connection:
            for record in text.removesuffix(END).split(END):
                await receive(connection, json.loads(record))
    finally:
        pinging.cancel()


async def pings(connection):
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(0.2)
            await connection.send(PING)


async def receive(connection, record):
    if record["type"] == 6:
        seen["pings"] += 1
    elif record["type"] == 1:
        seen["invocations"] += 1
        call = {"type": 3, "invocationId": record["invocationId"]}
        if record["target"] == "Echo":
            news = {"type": 1, "target": "Said", "arguments": record["arguments"]}
            await connection.send(dumps(news))
            await asyncio.sleep(0.03)
            # the server may put several records into one message
            await connection.send(dumps(news) + dumps(call | {"result": record["arguments"][0]}))
        else:
            await connection.send(dumps(call | {"error": "Unknown hub method"}))


def dumps(record):
    return json.dumps(record, separators=(",", ":")) + END


websocket(session)
