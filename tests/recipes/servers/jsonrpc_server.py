"""A real JSON-RPC 2.0 server: pjrpc, on sessions of `websockets`; it answers out of order."""

import asyncio
import json
import random

import pjrpc.server
from serving import seen, websocket
from websockets.asyncio.server import broadcast

registry = pjrpc.server.MethodRegistry()
chain = {"height": 254}
"""Blocks so far."""
subscriptions = {}
"""Subscriptions by connection."""
finding = []
"""The task that finds blocks, once there is a loop."""


@registry.add("add")
async def add(a, b):
    seen["add"] += 1
    await asyncio.sleep(random.random() / 200)
    return a + b


@registry.add("eth_blockNumber")
async def block_number():
    seen["calls"] += 1
    return hex(chain["height"])


@registry.add("eth_subscribe", pass_context="connection")
async def subscribe(connection, kind):
    seen[f"subscribed to {kind}"] += 1
    subscriptions[connection] = f"0x{len(subscriptions):x}"
    return subscriptions[connection]


@registry.add("eth_unsubscribe", pass_context="connection")
async def unsubscribe(connection, subscription):
    seen["unsubscribed"] += 1
    return subscriptions.pop(connection) == subscription


async def blocks():
    """Finds a block now and then, and sends its head to all that have subscribed."""
    while True:
        await asyncio.sleep(0.04)
        chain["height"] += 1
        for connection, subscription in tuple(subscriptions.items()):
            params = {"subscription": subscription, "result": {"number": hex(chain["height"])}}
            head = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
            seen["heads"] += 1
            broadcast([connection], json.dumps(head))


dispatcher = pjrpc.server.AsyncDispatcher()
dispatcher.add_methods(registry)


async def session(connection):
    async def answer(text):
        response, _codes = await dispatcher.dispatch(text, connection)
        seen["news"] += 1
        await connection.send('{"jsonrpc": "2.0", "method": "news", "params": []}')  # a notification answers nothing
        await connection.send(response)

    seen["sessions"] += 1
    if not finding:
        finding.append(asyncio.create_task(blocks()))
    async with asyncio.TaskGroup() as group:
        async for text in connection:
            group.create_task(answer(text))
    seen["over"] += 1


websocket(session)
