"""Echo server with several processes, run until it is stopped or one of them ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.errors import HostError
from ws_load_test.echo.process import EchoProcess
from ws_load_test.echo.server import ONE_NODE, run_until_stopped, serve, write_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ws_load_test.echo.node import NodeOptions

_POLL_INTERVAL_S = 0.2
"""Seconds between checks that all processes run: a lost process is reported soon, at a negligible cost."""


async def serve_several(
    host: str,
    port: int,
    *,
    processes: int,
    tls: bool = False,
    ready: Callable[[str], None],
    write_ca: Path | None = None,
    counts: Callable[[EchoProcess], None] | None = None,
    node: NodeOptions = ONE_NODE,
) -> None:
    """Serves echoes from several processes until cancelled.

    Args:
        host: Address or name to listen on.
        port: Port to listen on; 0 for any free one.
        processes: Number of processes that share the port.
        tls: Serve TLS, with a new self-signed certificate.
        ready: Called once with the URL.
        write_ca: File to write the certificate to, for clients to trust.
        counts: Called once with the running server, to read its counters from.
        node: Name of the server, and how it goes away.

    Raises:
        UsageError: The server cannot listen on the address, or not with several processes.
        HostError: One of the processes has ended; the others are stopped.
    """
    with EchoProcess(host=host, port=port, tls=tls, processes=processes, node=node) as echo:
        if write_ca is not None:
            write_certificate(echo.ca_path.read_bytes() if echo.ca_path is not None else None, write_ca)
        if counts is not None:
            counts(echo)
        ready(echo.url)
        while (failure := echo.failure()) is None:  # noqa: ASYNC110 - the end of a process is no event
            await asyncio.sleep(_POLL_INTERVAL_S)
    raise HostError(f"{failure}; the others have been stopped, since its connections are lost")


def run_echo(
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,  # noqa: FBT001, FBT002 - the command line passes it by position
    *,
    processes: int = 1,
    ready: Callable[[str], None] = print,
    write_ca: Path | None = None,
    node: NodeOptions = ONE_NODE,
) -> None:
    """Serves echoes until SIGINT or SIGTERM; `ready` is called with the URL.

    Raises:
        UsageError: The server cannot listen on the address, or not with so many processes.
        HostError: One of several processes has ended.
    """
    node.check()
    if processes == 1:
        run_until_stopped(serve(host, port, tls=tls, ready=ready, write_ca=write_ca, node=node))
    else:
        run_until_stopped(
            serve_several(host, port, processes=processes, tls=tls, ready=ready, write_ca=write_ca, node=node)
        )
