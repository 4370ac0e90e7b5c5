"""Captures for tests: written as browsers write them, from short lists of messages."""

import base64
import json
from datetime import UTC, datetime

from ws_load_test.importing.capture import Capture, CapturedMessage

STARTED_S = 1_790_000_000
"""Wall clock at the beginning of each capture, in seconds since 1970."""
STARTED_MS = STARTED_S * 1000


def timed(messages):
    """Yields instant in s, True if sent, content of each ``(">" or "<", seconds after the one before, content)``."""
    at_s = 0.0
    for mark, after_s, content in messages:
        at_s += after_s
        yield at_s, mark == ">", json.dumps(content) if isinstance(content, (dict, list)) else content


def capture(*messages, url="wss://chat.example/ws", headers=(), subprotocols=()):
    found = tuple(
        CapturedMessage(
            round(at_s * 1e9),
            "sent" if sent else "received",
            content if isinstance(content, bytes) else content.encode(),
            isinstance(content, bytes),
        )
        for at_s, sent, content in timed(messages)
    )
    return Capture(url, tuple(headers), tuple(subprotocols), STARTED_S * 10**9, found)


def har_message(at, sent, content):
    binary = isinstance(content, bytes)
    data = base64.b64encode(content).decode() if binary else content
    return {"type": "send" if sent else "receive", "time": at, "opcode": 2 if binary else 1, "data": data}


def har_entry(*messages, url="wss://chat.example/ws", headers=(), scale=1):
    """Returns the entry of a session, with instants in seconds times `scale`."""
    return {
        "startedDateTime": datetime.fromtimestamp(STARTED_S, UTC).isoformat().replace("+00:00", "Z"),
        "request": {
            "method": "GET",
            "url": url,
            "headers": [{"name": name, "value": value} for name, value in headers],
        },
        "response": {"status": 101, "headers": []},
        "_resourceType": "websocket",
        "_webSocketMessages": [
            har_message((STARTED_S + at_s) * scale, sent, content) for at_s, sent, content in timed(messages)
        ],
    }


def har(*entries):
    page = {"startedDateTime": "", "request": {"url": "https://chat.example/", "headers": []}}
    return json.dumps({"log": {"version": "1.2", "entries": [page, *entries]}}).encode()
