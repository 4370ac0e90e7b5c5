"""Faults: the failures of a target, and the errors of this machine that must not count as such."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """Kinds of failure of a target. They are counted, never raised out of a run."""

    DNS = "dns"
    DNS_TIMEOUT = "dns-timeout"
    CONNECT_REFUSED = "connect-refused"
    CONNECT_TIMEOUT = "connect-timeout"
    UNREACHABLE = "unreachable"
    PROXY = "proxy"
    NOT_DIALED = "not-dialed"
    OPEN_TIMEOUT = "open-timeout"
    TLS = "tls"
    TLS_TIMEOUT = "tls-timeout"
    UPGRADE_REJECTED = "upgrade-rejected"
    UPGRADE_INVALID = "upgrade-invalid"
    UPGRADE_TIMEOUT = "upgrade-timeout"
    FIRST_REPLY_TIMEOUT = "first-reply-timeout"
    CLOSED = "closed"
    RESET = "reset"
    PROTOCOL_ERROR = "protocol-error"
    MESSAGE_TOO_LARGE = "message-too-large"
    REPLY_TIMEOUT = "reply-timeout"
    CHECK_FAILED = "check-failed"
    PUBLISH_FAILED = "publish-failed"
    REPORTED = "reported"
    SCENARIO_FAILED = "scenario-failed"


class HostErrorKind(StrEnum):
    """Kinds of failure of the generator's machine, which are no faults of the target."""

    TOO_MANY_OPEN_FILES = "too-many-open-files"
    OUT_OF_PORTS = "out-of-ports"
    OUT_OF_MEMORY = "out-of-memory"


HOST_ERROR_REMEDIES = {
    HostErrorKind.TOO_MANY_OPEN_FILES: "raise the limit on open files with `ulimit -n`, or lower -c",
    HostErrorKind.OUT_OF_PORTS: "widen net.ipv4.ip_local_port_range, add source or target addresses, or lower -c",
    HostErrorKind.OUT_OF_MEMORY: "free memory on this machine, raise net.ipv4.tcp_mem, or lower -c",
}


_HOST_ERRNOS = {
    errno.EMFILE: HostErrorKind.TOO_MANY_OPEN_FILES,
    errno.ENFILE: HostErrorKind.TOO_MANY_OPEN_FILES,
    errno.EADDRNOTAVAIL: HostErrorKind.OUT_OF_PORTS,
    errno.ENOMEM: HostErrorKind.OUT_OF_MEMORY,
    errno.ENOBUFS: HostErrorKind.OUT_OF_MEMORY,
}


def classify_host_error(error: BaseException) -> HostErrorKind | None:
    """Returns the failure of this machine behind an operating system error; None if the target caused it."""
    if isinstance(error, MemoryError):
        return HostErrorKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return _HOST_ERRNOS.get(error.errno)
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of the target."""

    kind: FaultKind
    detail: str = ""
    """A short value that belongs to the kind: an HTTP status, a close code."""
    text: str = ""
    """Description for the user, without secrets."""

    @property
    def is_timeout(self) -> bool:
        """True if the target, or its proxy, let the time of a dial run out."""
        return self.kind.endswith("-timeout") or self.detail == "timeout"

    @property
    def key(self) -> str:
        """The name under which it is counted: ``upgrade-rejected:503``, ``reset``."""
        return f"{self.kind}:{self.detail}" if self.detail else str(self.kind)
