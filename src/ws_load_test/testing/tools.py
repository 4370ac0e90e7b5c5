"""Small tools for tests: time moved by hand, ports, certificates of every kind, and a watch for leaks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.common.certificates import Certificate, CertificateAuthority, self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The present instant, in nanoseconds."""
        return self._now_ns

    def advance(self, ns: int) -> None:
        """Move the present by `ns`.

        Raises:
            ValueError: `ns` is negative; a monotonic clock does not go back.
        """
        if ns < 0:
            raise ValueError("a monotonic clock does not go back")
        self._now_ns += ns


def free_port(host: str = "127.0.0.1") -> int:
    """Find a port that was free a moment ago; prefer port 0 where the server can tell what it got."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def unused_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Hold a port that refuses connections: it is bound, so no one else gets it, and nothing listens."""
    with socket.socket() as holder:
        holder.bind((host, 0))
        yield holder.getsockname()[1]


class Certificates:
    """Certificates good and bad, signed by a private authority made on the spot.

    Each takes the names and addresses of the server; localhost and its addresses by default.
    """

    LOCAL = ("localhost", "127.0.0.1", "::1")

    @cached_property
    def authority(self) -> CertificateAuthority:
        """The authority that signed them; made on first use."""
        return CertificateAuthority()

    @property
    def ca_pem(self) -> bytes:
        """What clients must trust, as PEM."""
        return self.authority.certificate_pem

    def write_ca(self, directory: Path) -> Path:
        """Write what clients must trust to a file in `directory`."""
        path = directory / "ca.pem"
        path.write_bytes(self.ca_pem)
        return path

    def trusted(self, *hosts: str) -> Certificate:
        """Good for those who trust the authority."""
        return self.authority.issue(*(hosts or self.LOCAL))

    def expired(self, *hosts: str) -> Certificate:
        """Signed by the authority and out of date."""
        return self.authority.issue(*(hosts or self.LOCAL), expired=True)

    def wrong_host(self) -> Certificate:
        """Signed by the authority, for somebody else."""
        return self.authority.issue("elsewhere.example")

    def self_signed(self, *hosts: str) -> Certificate:
        """Signed by nobody the client knows."""
        return self_signed(*(hosts or self.LOCAL))


@contextlib.contextmanager
def leaks(grace_s: float = 1.0) -> Iterator[None]:
    """Watch a block for what it leaves behind.

    File descriptors, child processes and threads are compared before and after; so are the tasks of the
    running event loop, if there is one. Descriptors and children are seen where the system has /proc (Linux).

    Args:
        grace_s: Seconds given to what is winding down.

    Raises:
        AssertionError: Something was left behind; the text names it.
    """
    before = _held()
    yield
    until = time.monotonic() + grace_s
    while left := _held_since(before):
        if time.monotonic() > until:
            raise AssertionError(f"left behind: {', '.join(sorted(left))}")
        gc.collect()  # a transport in a reference cycle is closed by the collector
        time.sleep(0.01)


def _held_since(before: dict[str, str]) -> list[str]:
    return [name for key, name in _held().items() if before.get(key) != name]


def _held() -> dict[str, str]:
    """What this process holds: a key for each thing, and its name for people."""
    held = {f"thread {thread.ident}": f"thread {thread.name}" for thread in threading.enumerate()}
    with contextlib.suppress(RuntimeError):
        held |= {f"task {id(task)}": f"task {task.get_name()}" for task in asyncio.all_tasks()}
    if sys.platform == "linux":
        held |= _descriptors() | _children()
    return held


def _descriptors() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
            found[f"descriptor {path.name}"] = f"descriptor {path.name} ({path.readlink()})"
    return found


def _children() -> dict[str, str]:
    found: dict[str, str] = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread may have ended
            children = (thread / "children").read_text(encoding="ascii").split()
            found |= {f"child {pid}": f"child process {pid}" for pid in children}
    return found
