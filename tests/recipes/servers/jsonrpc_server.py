"""A real JSON-RPC 2.0 server: pjrpc, on sessions of `websockets`; it answers out of order."""

import asyncio
import random

import pjrpc.server
from serving import seen, websocket

registry = pjrpc.server.MethodRegistry()


@registry.add("add")
async def add(a, b):
    seen["add"] += 1
    await asyncio.sleep(random.random() / 200)
    return a + b


dispatcher = pjrpc.server.AsyncDispatcher()
dispatcher.add_methods(registry)


async def session(connection):
    async def answer(text):
        response, _codes = await dispatcher.dispatch(text, None)
        await connection.send('{"jsonrpc": "2.0", "method": "news", "params": []}')  # a notification answers nothing
        await connection.send(response)

    async with asyncio.TaskGroup() as group:
        async for text in connection:
            group.create_task(answer(text))


websocket(session)
