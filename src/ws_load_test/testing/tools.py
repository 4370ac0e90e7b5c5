"""Small tools for tests: a manual clock, ports, certificates of every kind, and a leak check."""

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
    """A clock that stands still until it is advanced."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Returns the current instant in nanoseconds."""
        return self._now_ns

    def advance(self, ns: int) -> None:
        """Advances the clock by `ns`.

        Raises:
            ValueError: `ns` is negative; a monotonic clock does not go back.
        """
        if ns < 0:
            raise ValueError("a monotonic clock does not go back")
        self._now_ns += ns


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a port that was free a moment ago; prefer port 0 if the server reports the port it got."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def unused_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Reserves a port that refuses connections: it is bound, so no other process gets it, but not listening."""
    with socket.socket() as holder:
        holder.bind((host, 0))
        yield holder.getsockname()[1]


class Certificates:
    """Valid and invalid certificates, signed by a new private authority.

    Methods take the names and addresses of the server; localhost and its addresses by default.
    """

    LOCAL = ("localhost", "127.0.0.1", "::1")

    @cached_property
    def authority(self) -> CertificateAuthority:
        """The authority that signs them; made on first use."""
        return CertificateAuthority()

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate, which clients must trust, as PEM."""
        return self.authority.certificate_pem

    def write_ca(self, directory: Path) -> Path:
        """Writes the authority's certificate to a file in `directory`."""
        path = directory / "ca.pem"
        path.write_bytes(self.ca_pem)
        return path

    def trusted(self, *hosts: str) -> Certificate:
        """Makes a certificate that is valid for clients that trust the authority."""
        return self.authority.issue(*(hosts or self.LOCAL))

    def expired(self, *hosts: str) -> Certificate:
        """Makes a certificate of the authority that is out of date."""
        return self.authority.issue(*(hosts or self.LOCAL), expired=True)

    def not_yet_valid(self, *hosts: str) -> Certificate:
        """Makes a certificate of the authority that is valid in a month."""
        return self.authority.issue(*(hosts or self.LOCAL), early=True)

    def wrong_host(self) -> Certificate:
        """Makes a certificate of the authority for another host."""
        return self.authority.issue("elsewhere.example")

    def self_signed(self, *hosts: str) -> Certificate:
        """Makes a certificate that is signed with its own key."""
        return self_signed(*(hosts or self.LOCAL))


_COLLECT_AFTER_S = 0.03
"""Seconds that resources have to be released before garbage is collected, which takes 0.1 s of a large program."""


@contextlib.contextmanager
def leaks(grace_s: float = 1.0) -> Iterator[None]:
    """Checks that a block leaves no resources behind.

    File descriptors, child processes and threads are compared before and after; so are the tasks of the running event
    loop, if there is one. Descriptors and children are compared only on Linux, which has /proc.

    Args:
        grace_s: Seconds that resources have to be released after the block.

    Raises:
        AssertionError: Resources were left behind; the text names them.
    """
    before = _held()
    yield
    began, collected = time.monotonic(), False
    while left := _held_since(before):
        waited_s = time.monotonic() - began
        if collected and waited_s > grace_s:
            raise AssertionError(f"left behind: {', '.join(sorted(left))}")
        if waited_s > min(_COLLECT_AFTER_S, grace_s / 2):
            gc.collect()  # a transport in a reference cycle is closed by the collector
            collected = True
        time.sleep(0.002)


def _held_since(before: dict[str, str]) -> list[str]:
    return [name for key, name in _held().items() if before.get(key) != name]


def _held() -> dict[str, str]:
    """Returns the resources of this process: a key for each, and its name for a message."""
    held = {f"thread {thread.ident}": f"thread {thread.name}" for thread in threading.enumerate()}
    with contextlib.suppress(RuntimeError):
        held |= {f"task {id(task)}": f"task {task.get_name()}" for task in asyncio.all_tasks()}
    if sys.platform == "linux":
        held |= _descriptors() | _children()
    return held


def _descriptors() -> dict[str, str]:
    descriptors: dict[str, str] = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            descriptors[f"descriptor {path.name}"] = f"descriptor {path.name} ({path.readlink()})"
    return descriptors


def _children() -> dict[str, str]:
    children: dict[str, str] = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread may have ended
            pids = (thread / "children").read_text(encoding="ascii").split()
            children |= {f"child {pid}": f"child process {pid}" for pid in pids}
    return children
