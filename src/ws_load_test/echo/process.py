"""An echo server in a process of its own, so that it has a processor of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ws_load_test.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

_STOP_TIMEOUT_S = 5.0
URL_PREFIXES = ("ws://", "wss://")


@dataclass(frozen=True)
class EchoCounts:
    """What an echo server in another process has counted so far.

    Attributes:
        connections: Connections upgraded.
        open: Connections open now.
        messages: Messages received.
        bytes: Payload bytes of these messages.
        pongs: Pong frames received.
        cpu_s: Processor seconds (user and system) its process has spent.
    """

    connections: int
    open: int
    messages: int
    bytes: int
    pongs: int
    cpu_s: float


class EchoProcess:
    """An echo server in a child process; a context manager.

    The child ends when its standard input closes, so it cannot outlive its parent, whatever ends that.

    Attributes:
        url: Where it listens, once entered.
        ca_path: File with the certificate to trust, while entered; None without TLS.
        pid: Process id, once entered.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, tls: bool = False) -> None:
        self._command = [sys.executable, "-m", "ws_load_test.echo", "--follow-stdin"]
        self._command += ["--host", host, "--port", str(port)]
        self._tls = tls
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[str] | None = None
        self.url = ""
        self.ca_path: Path | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        command = self._command
        if self._tls:
            self._directory = tempfile.TemporaryDirectory(prefix="ws-load-test-")
            self.ca_path = Path(self._directory.name, "ca.pem")
            command = [*command, "--tls", "--write-ca", str(self.ca_path)]
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            self.pid = self._child.pid
            first = self._read_line()
            if not first.startswith(URL_PREFIXES):
                problem = first or "the echo server ended before it listened; its message is above"
                raise UsageError(problem)  # noqa: TRY301 - the child is stopped in one place
        except BaseException:
            self.stop()
            raise
        self.url = first
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def counts(self) -> EchoCounts:
        """Ask the child for its counters.

        Raises:
            ConnectionError: The child has ended.
        """
        if self._child is None or self._child.stdin is None:
            raise ConnectionError("the echo server is not running")
        self._child.stdin.write("counts\n")
        self._child.stdin.flush()
        answer = self._read_line()
        if not answer:
            raise ConnectionError("the echo server has ended")
        return EchoCounts(**json.loads(answer))

    def stop(self) -> None:
        """Stop the child; safe to call again."""
        child, self._child = self._child, None
        if child is not None:
            with child:  # closes the pipes and waits, whatever happens
                assert child.stdin is not None
                child.stdin.close()
                try:
                    child.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    child.kill()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
            self.ca_path = None

    def _read_line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()
