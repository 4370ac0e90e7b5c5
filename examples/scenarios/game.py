"""A game against the built-in server, which sends back what it gets.

It runs with ``ws-load-test echo`` in the background and ``ws-load-test --plan game.toml`` in this directory.
"""

from __future__ import annotations

import json
import random

from ws_load_test import Session, role


@role
async def player(session: Session) -> None:
    """Joins, makes moves and takes time to think; gives up at the end."""
    join = '{"op": "join", "id": {seq}, "board": [3, 1, 2]}'
    joined = await session.exchange(join, until="json:id={seq}", name="join")
    board = json.loads(joined.json("board") or "[]")
    try:
        async for turn in session.iterations():
            await session.wait("exp:50ms")
            move = {"op": "move", "turn": turn, "from": random.choice(board)}  # noqa: S311 - a game
            reply = await session.exchange(json.dumps(move), until=f"json:turn={turn}", name="move", timeout="2s")
            if reply.json("from") is None:
                return
    finally:
        await session.send('{"op": "give up"}', name="give up")
