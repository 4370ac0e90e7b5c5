"""Command line of the echo server: `python -m ws_load_test.echo`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.common.certificates import Certificate
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.common.units import parse_duration_ns
from ws_load_test.echo.multi_process import run_echo, serve_several
from ws_load_test.echo.node import NodeOptions
from ws_load_test.echo.server import run_until_stopped, serve
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.echo.process import EchoProcess
    from ws_load_test.echo.server import EchoServer

_ROOMS = {"rooms": False, "rooms reset": True}
"""Lines of standard input about the rooms, and whether they start the counts anew."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serves echoes until stopped, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ws_load_test.echo", description="A WebSocket echo server")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--tls", action="store_true", help="serve TLS with a new self-signed certificate")
    parser.add_argument(
        "--write-ca", type=Path, metavar="FILE", help="write the certificate for clients to trust to FILE"
    )
    parser.add_argument(
        "--follow-stdin",
        action="store_true",
        help="stop when standard input closes; a line 'counts' on it prints the counters, 'rooms' those of the rooms,"
        " 'rooms reset' starts these anew",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="share the port among N processes, each with its own limit on open files (default: %(default)s)",
    )
    parser.add_argument(
        "--close-code",
        type=int,
        default=frames.GOING_AWAY,
        metavar="CODE",
        help="close code of all sessions when stopped; 1006 sends no close frame (default: %(default)s, going away)",
    )
    parser.add_argument("--drain", default="0s", metavar="TIME", help="spread these closes over a time such as 5s")
    parser.add_argument(
        "--node-name", default="", metavar="NAME", help="name in X-Node, which ?node asks for (default: the port)"
    )
    # For the child processes of a server with several.
    parser.add_argument("--share-port", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--identity", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bus", type=int, nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        options.node = _node(options)
        if options.follow_stdin:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and closes this stdin
            run_until_stopped(_serve_following_stdin(options))
        else:
            run_echo(
                options.host,
                options.port,
                options.tls,
                processes=options.processes,
                ready=_print_line,
                write_ca=options.write_ca,
                node=options.node,
            )
    except (HostError, UsageError) as error:
        # A parent reads the first line of stdout: the URL, or the error.
        print(error, file=sys.stdout if options.follow_stdin else sys.stderr, flush=True)
        return 2
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201


async def _serve_following_stdin(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def follow(answer: Callable[[str], str | None]) -> None:
        # A daemon thread: reading a pipe without blocking differs between platforms, and a blocked read must not
        # keep the process alive.
        threading.Thread(target=read, args=(answer,), daemon=True).start()

    def print_answer(answer: Callable[[str], str | None], question: str) -> None:
        if (line := answer(question)) is not None:
            _print_line(line)

    def read(answer: Callable[[str], str | None]) -> None:
        rest = b""
        while data := os.read(0, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                loop.call_soon_threadsafe(print_answer, answer, line.strip().decode(errors="replace"))
        with contextlib.suppress(RuntimeError):  # a signal has ended the loop already
            loop.call_soon_threadsafe(task.cancel)

    if options.processes != 1:
        await serve_several(
            options.host,
            options.port,
            processes=options.processes,
            tls=options.tls,
            ready=_print_line,
            write_ca=options.write_ca,
            counts=lambda echo: follow(lambda question: _answer_of_all(echo, question)),
            node=options.node,
        )
        return
    await serve(
        options.host,
        options.port,
        tls=options.tls,
        certificate=_read_identity(options.identity) if options.identity else None,
        share_port=options.share_port,
        node=options.node,
        ready=_print_line,
        write_ca=options.write_ca,
        counts=lambda server: follow(lambda question: _answer(server, question)),
        bus=options.bus,
    )


def _node(options: argparse.Namespace) -> NodeOptions:
    """Reads how the server behaves as a node; raises UsageError."""
    try:
        node = NodeOptions(options.node_name, options.close_code, parse_duration_ns(options.drain))
    except ValueError as error:
        raise UsageError(f"--drain: {error}") from None
    node.check()
    return node


def _read_identity(path: Path) -> Certificate:
    key, mark, certificate = path.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    return Certificate(certificate_pem=mark + certificate, key_pem=key)


def _answer_of_all(echo: EchoProcess, question: str) -> str | None:
    # `serve_several` notices a child that has ended, and stops the others.
    with contextlib.suppress(ConnectionError):
        if question == "counts":
            return json.dumps(asdict(echo.counts()))
        if question in _ROOMS:
            return echo.rooms(reset=_ROOMS[question]).to_json()
    return None


def _answer(server: EchoServer, question: str) -> str | None:
    if question == "counts":
        counts = {name: getattr(server, name) for name in ("connections", "open", "messages", "bytes", "pongs")}
        return json.dumps(counts | {"cpu_s": time.process_time()})
    if question in _ROOMS:
        return server.rooms.report(reset=_ROOMS[question]).to_json()
    return None


if __name__ == "__main__":
    sys.exit(main())
