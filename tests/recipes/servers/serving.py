"""What the servers of the recipes have in common: a port of their own, counts to be asked for, and a sure end.

The parent reads the port from the first line, sends an empty line whenever it wants the counts, and closes our standard
input to end us; since a dead parent's pipes are closed too, no server outlives its tests.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable

seen: Counter[str] = Counter()
"""What the server was asked to do, by its own account."""


def listener() -> socket.socket:
    """Returns a socket that listens on a free port, so that nobody connects too early."""
    return socket.create_server(("127.0.0.1", 0))


def until_told(port: int) -> None:
    """Tells the port, and the counts when asked, until standard input closes."""
    print(port, flush=True)  # noqa: T201  # the parent reads it
    for _ in sys.stdin:
        print(json.dumps(seen), flush=True)  # noqa: T201  # as above


def asgi(app: object) -> None:
    """Serves an ASGI application by uvicorn, and ends the process when told."""
    import uvicorn

    sock = listener()
    config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", lifespan="off")
    _meanwhile(sock, lambda: uvicorn.Server(config).run(sockets=[sock]))


def websocket(handler: Callable[..., Awaitable[None]], **options: object) -> None:
    """Serves plain WebSocket sessions by the library `websockets`, and ends the process when told."""
    from websockets.asyncio.server import serve

    sock = listener()

    async def forever() -> None:
        async with serve(handler, sock=sock, **options) as server:
            await server.serve_forever()

    _meanwhile(sock, lambda: asyncio.run(forever()))


def _meanwhile(sock: socket.socket, work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            work()
        except BaseException:  # noqa: BLE001  # whatever it is, the parent shall see it
            traceback.print_exc()
        os._exit(1)  # a server that stops by itself has failed

    threading.Thread(target=run, daemon=True).start()
    until_told(sock.getsockname()[1])
    os._exit(0)  # the thread has no other end
