"""A stand-in that speaks the protocol of Phoenix channels (JSON, version 2.0.0) as its documentation has it."""

import json
from collections import defaultdict

from serving import seen, websocket
from websockets.asyncio.server import broadcast

members = defaultdict(set)
"""Sessions by the topics that they have joined."""


async def session(connection):
    try:
        async for text in connection:
            await receive(connection, json.loads(text))
    finally:
        for joined in members.values():
            joined.discard(connection)


async def receive(connection, message):
    join_ref, ref, topic, event, payload = message

    def reply(status, response):
        content = {"status": status, "response": response}
        return connection.send(json.dumps([join_ref, ref, topic, "phx_reply", content]))

    if (topic, event) == ("phoenix", "heartbeat"):
        seen["heartbeats"] += 1
        await reply("ok", {})
    elif not topic.startswith("room:") or (event != "phx_join" and connection not in members[topic]):
        seen["unmatched"] += 1
        await reply("error", {"reason": "unmatched topic"})
    elif event == "phx_join":
        seen[f"joined {topic}"] += 1
        members[topic].add(connection)
        await reply("ok", {})
        await connection.send(json.dumps([join_ref, None, topic, "presence_state", {}]))
    else:
        # `broadcast!(socket, event, payload)` of a channel, which reaches its sender too, and {:noreply, socket}
        seen[event] += 1
        broadcast(members[topic], json.dumps([None, None, topic, event, payload]))


websocket(session)
