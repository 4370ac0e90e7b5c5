"""A stand-in for the realtime API of a language model: a greeting, then a dozen events for each response."""

import asyncio
import http
import json
import random

from serving import seen, websocket


def admit(connection, request):
    headers = request.headers
    if headers.get("Authorization") != "Bearer s3cret-token" or headers.get("OpenAI-Beta") != "realtime=v1":
        seen["refused"] += 1
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no such key\n")
    seen["model"] += request.path.endswith("?model=MODEL")
    return None


async def session(connection):
    async def tell(kind, **fields):
        seen[kind] += 1
        await connection.send(json.dumps({"type": kind, "event_id": f"event_{random.getrandbits(64):x}", **fields}))

    async def respond(wanted):
        response = {
            "object": "realtime.response",
            "id": f"resp_{random.getrandbits(64):x}",
            "metadata": wanted.get("metadata"),
        }
        await tell("response.created", response=response | {"status": "in_progress", "output": []})
        for word in ("The", " answer", " is", " 42"):
            await asyncio.sleep(0.008)
            await tell("response.text.delta", response_id=response["id"], delta=word)
        status = "failed" if connection.request.path.endswith("=BROKEN") else "completed"
        usage = {"total_tokens": 24, "input_tokens": 20, "output_tokens": 4}
        await tell("response.done", response=response | {"status": status, "output": [], "usage": usage})
        await tell("rate_limits.updated", rate_limits=[])

    await tell("session.created", session={"object": "realtime.session", "modalities": ["text", "audio"]})
    async for text in connection:
        event = json.loads(text)
        if event["type"] == "session.update":
            await tell("session.updated", session=event["session"])
        elif event["type"] == "response.create":
            await respond(event["response"])
        else:
            await tell("error", error={"type": "invalid_request_error", "event_id": event.get("event_id")})


websocket(session, process_request=admit)
