"""The whole intent of a run: what to open, what to send, for how long. Frozen, checked, printable, serialisable.

`Plan.of` is the one way in: it takes options as the command line and a plan file name them, reads their values, and
raises `PlanError` with every problem at once, each naming the option that caused it.
"""

from __future__ import annotations

import os
import re
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from ws_load_test.message import Message
from ws_load_test.pace import Arrivals, Shape, Share
from ws_load_test.units import show_bytes, show_count, show_duration, show_rate

HIDDEN = "***"
FILES_OF_A_WORKER = 64
"""Descriptors that a worker needs beside its connections: pipes, the loop's own, libraries; rounded up."""
UNLIMITED_FILES = 1 << 40
LONGEST_NAME = 40
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|session|api-?key|password|credential", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"auth|token|secret|key|password|passwd|pwd|sig|credential|session|jwt|code", re.IGNORECASE
)
_URL_SAFE = "/%:@!$&'()*+,;=-._~?[]"
DEFAULT_PORTS = {"ws": 80, "wss": 443}


class Target(msgspec.Struct, frozen=True):
    """What is tested, and how it is reached."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    insecure: bool = False
    """Take any certificate."""
    cacert: str | None = None
    """A PEM file of the authorities to trust instead of the system's."""

    @property
    def secure(self) -> bool:
        """Whether the connection is under TLS."""
        return urlsplit(self.url).scheme.lower() == "wss"

    @property
    def host(self) -> str:
        """The host to connect to, without brackets, as IDNA where it is not ASCII."""
        host = urlsplit(self.url).hostname or ""
        return host if host.isascii() else host.encode("idna").decode()

    @property
    def port(self) -> int:
        """The port to connect to."""
        parts = urlsplit(self.url)
        return parts.port or DEFAULT_PORTS[parts.scheme.lower()]

    @property
    def authority(self) -> str:
        """What the Host header says (RFC 6455, section 4.1: the port only where it is not the default)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[urlsplit(self.url).scheme.lower()] else f"{host}:{self.port}"

    @property
    def resource(self) -> str:
        """Path and query as the request line carries them (RFC 6455, section 3)."""
        parts = urlsplit(self.url)
        path = quote(parts.path or "/", safe=_URL_SAFE)
        return f"{path}?{quote(parts.query, safe=_URL_SAFE)}" if parts.query else path

    @property
    def user_info(self) -> str | None:
        """``user:password`` of the URL, percent-decoding left to the caller."""
        before, at, _ = urlsplit(self.url).netloc.rpartition("@")
        return before if at else None

    def public(self) -> Target:
        """The same target with its secrets hidden: user info, tokens in the query, headers that carry credentials."""
        parts = urlsplit(self.url)
        netloc = parts.netloc.rpartition("@")[2]
        query = parts.query
        secret = [name for name, _ in parse_qsl(query, keep_blank_values=True) if _SECRET_PARAMETER.search(name)]
        if secret:
            pairs = parse_qsl(query, keep_blank_values=True)
            query = urlencode([(name, HIDDEN if name in secret else value) for name, value in pairs], safe="*")
        return msgspec.structs.replace(
            self,
            url=urlunsplit((parts.scheme, f"{HIDDEN}@{netloc}" if self.user_info else netloc, parts.path, query, "")),
            # A name is short; what is long is a token, as APIs for browsers take it here for want of headers.
            subprotocols=tuple(HIDDEN if len(name) > LONGEST_NAME else name for name in self.subprotocols),
            headers=tuple((name, HIDDEN if _SECRET_HEADER.search(name) else value) for name, value in self.headers),
        )


class ClosedLoad(msgspec.Struct, frozen=True, tag_field="kind", tag="closed"):
    """Each connection keeps this many messages in flight, and sends the next when a reply comes: a flood."""

    in_flight: int = 1


class OpenLoad(msgspec.Struct, frozen=True, tag_field="kind", tag="open"):
    """Messages fall due at a rate, whatever the target does, and are measured from when they were due."""

    rate: Shape
    """Messages a second over all connections; of constant 0, the connections are only held."""
    arrivals: Arrivals = "constant"
    seed: int = 0
    """Of Poisson arrivals: the same seed gives the same instants, on any number of workers."""
    max_in_flight: int | None = None
    """How many messages may wait for replies on a connection before the next ones wait for their turn."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole intent of a run."""

    target: Target
    connections: int = 1
    load: ClosedLoad | OpenLoad = ClosedLoad()
    message: Message = Message()
    duration_ns: int | None = None
    """How long messages are sent and measured; None when `messages` says when to stop."""
    messages: int | None = None
    """How many messages are sent in all, the warm-up's apart; None when `duration_ns` says when to stop."""
    warmup_ns: int = 0
    """How long the load runs before anything counts."""
    timeout_ns: int = 10 * 10**9
    """How long a reply may take."""
    connect_timeout_ns: int = 10 * 10**9
    """How long opening a session may take, name resolution to upgrade."""
    connect_rate_per_s: float | None = None
    """How many sessions are dialled a second; None: as fast as they open."""
    connection_shape: Shape | None = None
    """How many connections are open over the run; None: `connections`, from start to end."""
    keepalive_ns: int | None = None
    """How often every connection is pinged; the pongs have a histogram of their own."""
    bind: tuple[str, ...] = ()
    """Source addresses, taken in turn; empty: what the system chooses."""
    workers: int = 1

    @classmethod
    def of(cls, url: str | None = None, **options: Any) -> Self:
        """A plan from options as the command line names them, dashes as underscores.

            Plan.of("ws://localhost:3001", connections=100, duration="30s", in_flight=4)

        Values may be strings, as on a command line, or numbers, booleans and lists.

        Raises:
            PlanError: with every problem that the options have, each naming its option.
        """
        from ws_load_test.options import read_plan  # noqa: PLC0415 - options.py builds plans, so it imports this module

        return read_plan(cls, {"url": url, **options})

    def public(self) -> Plan:
        """The same plan without secrets and without the payload: what may be written to a file or shown."""
        bare = msgspec.structs.replace(self.message, payload=b"")
        return msgspec.structs.replace(self, target=self.target.public(), message=bare)

    def connections_of(self, share: Share) -> int:
        """How many connections a worker's share has."""
        return share.count(self.connections)

    def describe(self) -> list[tuple[str, str]]:
        """The plan in words, secrets hidden: a label and a sentence part for each line."""
        target = self.target.public()
        length = (
            show_duration(self.duration_ns)
            if self.duration_ns is not None
            else f"{show_count(self.messages or 0)} messages in all"
        )
        if self.warmup_ns:
            length += f", after a warm-up of {show_duration(self.warmup_ns)} that is not counted"
        lines = [
            ("target", target.url),
            ("connections", self._describe_connections()),
            ("load", self._describe_load()),
            ("message", self._describe_message()),
            ("length", length),
            (
                "timeouts",
                f"{show_duration(self.timeout_ns)} for a reply, {show_duration(self.connect_timeout_ns)} to open",
            ),
            ("workers", f"{self.workers} {'process' if self.workers == 1 else 'processes'}"),
        ]
        if self.keepalive_ns is not None:
            lines.append(("keep-alive", f"a ping on each connection every {show_duration(self.keepalive_ns)}"))
        if self.bind:
            lines.append(("bind", f"{self.bind[0]} and {len(self.bind) - 1} more" if self.bind[1:] else self.bind[0]))
        if target.headers:
            lines.append(("headers", "; ".join(f"{name}: {value}" for name, value in target.headers)))
        if target.subprotocols:
            lines.append(("subprotocols", ", ".join(target.subprotocols)))
        if target.secure:
            trust = (
                "any certificate"
                if target.insecure
                else f"authorities of {target.cacert}"
                if target.cacert
                else "the system's authorities"
            )
            lines.append(("TLS", f"trusts {trust}"))
        return lines

    def _describe_load(self) -> str:
        if isinstance(self.load, ClosedLoad):
            return (
                f"closed: {show_count(self.load.in_flight)} in flight on each connection, the next when a reply comes"
            )
        if not self.load.rate.peak:
            return "none: the connections are held open"
        words = f"open: {self.load.rate.describe(show_rate)}"
        if self.load.arrivals == "poisson":
            words += f", Poisson arrivals of seed {self.load.seed}"
        if self.load.max_in_flight is not None:
            words += f", at most {show_count(self.load.max_in_flight)} in flight on each connection"
        return words

    def _describe_connections(self) -> str:
        if self.connection_shape is not None:
            return self.connection_shape.describe(show_count)
        if self.connect_rate_per_s is None:
            return f"{show_count(self.connections)}, opened as fast as the target takes them"
        last_ns = (self.connections - 1) * 1e9 / self.connect_rate_per_s
        rate = show_rate(self.connect_rate_per_s)
        return f"{show_count(self.connections)}, opened at {rate}, the last after {show_duration(last_ns)}"

    def _describe_message(self) -> str:
        size = show_bytes(self.message.size_bytes)
        if self.message.kind == "ping":
            return f"a ping frame with {size} of payload; its pong is the reply"
        return f"{self.message.kind}, {size}"


def default_workers(connections: int = 1) -> int:
    """One worker per core that this process may use; more where one process may not have that many files open."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    room = most_open_files() - FILES_OF_A_WORKER
    return max(cores, -(-connections // room)) if room > 0 else cores


def most_open_files() -> int:
    """The hard limit on a process's open files; where there is none, more than anyone needs."""
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return UNLIMITED_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard
