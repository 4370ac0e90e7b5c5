"""Echo server in child processes, with CPUs and limits on open files of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.errors import UsageError
from ws_load_test.echo.room_counts import RoomsReport
from ws_load_test.echo.server import ONE_NODE, own_certificate, unused_port

if TYPE_CHECKING:
    from types import TracebackType

    from ws_load_test.echo.node import NodeOptions

_STOP_TIMEOUT_S = 5.0
"""Seconds that a child has to end after its standard input closed, before it is killed."""
URL_PREFIXES = ("ws://", "wss://")


@dataclass(frozen=True)
class EchoCounts:
    """Counters of an echo server so far, summed over its processes.

    Attributes:
        connections: Connections upgraded.
        open: Connections open now.
        messages: Messages received.
        bytes: Payload bytes of these messages.
        pongs: Pong frames received.
        cpu_s: CPU time of the processes in seconds, user and system.
    """

    connections: int
    open: int
    messages: int
    bytes: int
    pongs: int
    cpu_s: float


class EchoProcess:
    """An echo server in child processes; a context manager.

    Several processes share one port, and the kernel distributes the connections among them (SO_REUSEPORT). The children
    end when their standard input closes, so they cannot outlive their parent, however that ends.

    Attributes:
        url: URL of the server, once entered.
        ca_path: File with the certificate to trust, while entered; None without TLS.
        pids: Process ids, once entered.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        processes: int = 1,
        node: NodeOptions = ONE_NODE,
    ) -> None:
        if processes < 1:
            raise UsageError(f"{processes} processes cannot serve; start at least 1")
        self._host = host
        self._port = port
        self._tls = tls
        self._processes = processes
        self._node = node
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._children: list[subprocess.Popen[str]] = []
        self.url = ""
        self.ca_path: Path | None = None
        self.pids: tuple[int, ...] = ()

    @property
    def pid(self) -> int:
        """Id of the first process; 0 before it is entered."""
        return self.pids[0] if self.pids else 0

    def __enter__(self) -> Self:
        try:
            self._start(self._arguments())
            self.pids = tuple(child.pid for child in self._children)
            for child in self._children:
                first = _read_line(child)
                if not first.startswith(URL_PREFIXES):
                    problem = first or "the echo server ended before it listened; its message is above"
                    raise UsageError(problem)  # noqa: TRY301 - the children are stopped in one place
                self.url = first
        except BaseException:
            self.stop()
            raise
        if self._directory is not None:
            _identity(self._directory).unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def counts(self) -> EchoCounts:
        """Reads the counters of the children, and adds them up.

        Raises:
            ConnectionError: A child has ended.
        """
        counts = [EchoCounts(**json.loads(line)) for line in self._ask("counts")]
        names = [field.name for field in fields(EchoCounts)]
        return EchoCounts(**{name: sum(getattr(part, name) for part in counts) for name in names})

    def rooms(self, *, reset: bool = False) -> RoomsReport:
        """Reads the counts of the rooms, summed over the children.

        Args:
            reset: Start the counts and the shares of all faults anew after that.

        Raises:
            ConnectionError: A child has ended.
        """
        report = RoomsReport()
        for line in self._ask("rooms reset" if reset else "rooms"):
            report.add(RoomsReport.from_json(line))
        return report

    def _ask(self, question: str) -> list[str]:
        """Asks the children, and returns a line of each. Raises ConnectionError if one has ended."""
        if not self._children:
            raise ConnectionError("the echo server is not running")
        for child in self._children:
            assert child.stdin is not None
            child.stdin.write(f"{question}\n")
            child.stdin.flush()
        lines = [_read_line(child) for child in self._children]
        if not all(lines):
            raise ConnectionError("the echo server has ended")
        return lines

    def failure(self) -> str | None:
        """Returns a clause about a child that has ended; None while all run, as they should."""
        for child in self._children:
            code = child.poll()
            if code is not None:
                how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
                return f"process {child.pid}, one of the {len(self._children)} of the echo server, {how}"
        return None

    def stop(self) -> None:
        """Stops the children; further calls do nothing."""
        children, self._children = self._children, []
        for child in children:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended, and buffered data cannot be written
                child.stdin.close()
        for child in children:
            with child:  # closes the pipes and waits, whatever happens
                try:
                    child.wait(_STOP_TIMEOUT_S + self._node.drain_ns / NS_PER_S)
                except subprocess.TimeoutExpired:
                    child.kill()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
            self.ca_path = None

    def _start(self, arguments: list[str]) -> None:
        """Starts the children, each two with a socket pair between them, over which they share their rooms."""
        with contextlib.ExitStack() as stack:
            ends: list[list[socket.socket]] = [[] for _ in range(self._processes)]
            for number, own in enumerate(ends):
                for other in ends[number + 1 :]:
                    near, far = socket.socketpair()
                    own.append(stack.enter_context(near))
                    other.append(stack.enter_context(far))
                descriptors = [end.fileno() for end in own]
                self._children.append(self._start_child([*arguments, "--bus", *map(str, descriptors)], descriptors))
                for end in own:
                    end.close()

    @staticmethod
    def _start_child(words: list[str], descriptors: list[int]) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "ws_load_test.echo", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            pass_fds=descriptors,
        )

    def _arguments(self) -> list[str]:
        port = self._port
        arguments = ["--follow-stdin", "--host", self._host]
        if self._processes > 1:
            # A shared port can also be that of another server that shares its own, so it is first tried unshared.
            port = unused_port(self._host, port)
            arguments += ["--share-port"]
        arguments += ["--port", str(port), "--close-code", str(self._node.close_code)]
        arguments += ["--drain", f"{self._node.drain_ns}ns", "--node-name", self._node.name]
        if self._tls:
            self._directory = tempfile.TemporaryDirectory(prefix="ws-load-test-")
            certificate = own_certificate()
            self.ca_path = Path(self._directory.name, "ca.pem")
            self.ca_path.write_bytes(certificate.certificate_pem)
            identity = _identity(self._directory)
            # Readable for this user alone, and deleted once the children have read it.
            with os.fdopen(os.open(identity, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(certificate.key_pem + certificate.certificate_pem)
            arguments += ["--tls", "--identity", str(identity)]
        return arguments


def _identity(directory: tempfile.TemporaryDirectory[str]) -> Path:
    return Path(directory.name, "identity.pem")


def _read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()
