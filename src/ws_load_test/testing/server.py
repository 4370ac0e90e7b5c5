"""A server that misbehaves in exactly the way a test asks for."""

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


class FaultyServer:
    """A raw TCP or TLS server in a thread of its own; a context manager.

    The first connection gets the first behaviour, the second the second, and so on; the last one serves all
    that follow::

        with FaultyServer(closes_after(3, 1011), echoes()) as server:
            ...  # a client of server.url
            server.wait_for(lambda seen: seen.closes == [1000])

    A behaviour that fails for another reason than a client that left fails the `with` block when it ends.

    Attributes:
        url: Where it listens, once entered.
        port: The port of it.
        seen: What it saw; written by its own thread, so wait for counts rather than reading at once.
    """

    def __init__(
        self,
        *behaviours: Callable[[Peer], Awaitable[None]],
        tls: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        if not behaviours:
            raise ValueError("a faulty server needs at least one behaviour")
        self._behaviours = behaviours
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
            raise ExceptionGroup("behaviours of the faulty server failed", self._errors)

    def wait_for(self, condition: Callable[[ServerObservations], bool], timeout_s: float = 5.0) -> None:
        """Wait until `condition` holds for what was seen.

        Raises:
            TimeoutError: It did not within `timeout_s`.
        """
        self.seen.wait_for(condition, timeout_s)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            server = await asyncio.start_server(accept, self._host, 0, ssl=self._tls, backlog=_BACKLOG)
        except OSError as error:
            self._errors.append(error)
            self._listening.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'wss' if self._tls else 'ws'}://{shown}:{self.port}/"
        self._listening.set()
        await self._stop.wait()
        server.close()
        while tasks:  # a connection may be accepted while others are being ended
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # From Python 3.12 a gathering of what is done gives the loop no turn, in which the tasks are forgotten.
            await asyncio.sleep(0)
        await server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self._behaviours[min(self.seen.accepted, len(self._behaviours) - 1)]
        self.seen.accepted += 1
        self.seen.open += 1
        self.seen.note()
        peer = Peer(reader, writer, self.seen)
        try:
            await behaviour(peer)
            await peer.close()
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 - kept for the thread that asked for this behaviour
            self._errors.append(error)
        finally:
            writer.transport.abort()  # does nothing to what is closed already
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.seen.open -= 1
            self.seen.note()
