"""Server that misbehaves in exactly the way a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Self

from ws_load_test.testing.peer import ClientGone, Peer, ServerObservations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ws_load_test.common.certificates import Certificate

_BACKLOG = 1024
"""Connections that can wait to be accepted: more than a test opens at once."""


class FaultyServer:
    """A raw TCP or TLS server in a thread of its own; a context manager.

    The first connection gets the first behavior, the second one the second, and so on; all later connections get the
    last behavior::

        with FaultyServer(closes_after(3, 1011), echoes()) as server:
            ...  # a client of server.url
            server.wait_for(lambda seen: seen.closes == [1000])

    A behavior that raises an error, other than `ClientGone`, fails the `with` block at its end.

    Attributes:
        url: URL of the server, once entered.
        port: Port of the server, once entered.
        seen: Record of the clients' actions; the server's thread updates it, so use `wait_for` before reading counts.
    """

    def __init__(
        self,
        *behaviors: Callable[[Peer], Awaitable[None]],
        tls: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        if not behaviors:
            raise ValueError("a faulty server needs at least one behavior")
        self._behaviors = behaviors
        self._tls = tls.server_context() if tls else None
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._listening = threading.Event()
        self._errors: list[Exception] = []
        self.seen = ServerObservations()
        self.port = 0
        self.url = ""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="faulty-server")
        self._thread.start()
        self._listening.wait()
        if not self.port:
            self._thread.join()
            raise self._errors[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._errors and error is None:
            raise ExceptionGroup("behaviors of the faulty server failed", self._errors)

    def wait_for(self, condition: Callable[[ServerObservations], bool], timeout_s: float = 30.0) -> None:
        """Waits until `condition` holds for the record `seen`.

        Raises:
            TimeoutError: It did not within `timeout_s`.
        """
        self.seen.wait_for(condition, timeout_s)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve_connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            server = await asyncio.start_server(accept, self._host, 0, ssl=self._tls, backlog=_BACKLOG)
        except OSError as error:
            self._errors.append(error)
            self._listening.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'wss' if self._tls else 'ws'}://{host}:{self.port}/"
        self._listening.set()
        await self._stop.wait()
        server.close()
        # A connection may be accepted while others are being ended, in a task of the loop that is none of `tasks`.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tuple(tasks):
                task.cancel()
            await asyncio.wait(others)
            # Waiting for finished tasks need not yield to the loop, which must call their callbacks.
            await asyncio.sleep(0)
        await server.wait_closed()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behavior = self._behaviors[min(self.seen.accepted, len(self._behaviors) - 1)]
        self.seen.accepted += 1
        self.seen.open += 1
        self.seen.notify()
        peer = Peer(reader, writer, self.seen)
        try:
            await behavior(peer)
            await peer.close()
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 - kept for the thread that asked for this behavior
            self._errors.append(error)
        finally:
            writer.transport.abort()  # does nothing to a closed transport
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.seen.open -= 1
            self.seen.notify()
