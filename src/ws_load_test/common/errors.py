"""What can go wrong, on whose side, and what the process says about it when it ends.

The target's failings are *faults*: data, counted, never raised out of a run. Ours and the user's are *errors*::

    LoadTestError
    ├── UsageError         an argument, a file or an address that the user gave cannot be used
    │   └── PlanError      the plan has problems: all of them, each with the option that caused it
    ├── HostError          this machine cannot carry the plan: too few descriptors, ports, memory
    ├── RecordingError     a file is not a recording we can read
    ├── OutputError        a file that was asked for cannot be written
    └── WorkerError        a worker did something that only a bug of ours explains
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What the process tells the shell. 70 and 74 are EX_SOFTWARE and EX_IOERR of BSD's sysexits."""

    PASSED = 0
    THRESHOLD_FAILED = 1
    USAGE = 2
    NOTHING_OPENED = 3
    WORKER_LOST = 4
    GENERATOR_BOUND = 5
    BUG = 70
    OUTPUT_FAILED = 74
    INTERRUPTED = 130


class LoadTestError(Exception):
    """Base of all errors of this package; its text is one sentence for the user."""

    exit_code = ExitCode.BUG


class UsageError(LoadTestError):
    """Something the user gave cannot be used."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a plan."""

    option: str
    """The option that caused it, as the user writes it (``--duration``, ``URL``)."""
    text: str
    """What is wrong and what to write instead."""

    def __str__(self) -> str:
        return f"{self.option}: {self.text}"


def option_name(name: str) -> str:
    """An option as the user writes it on the command line."""
    return "URL" if name == "url" else "--" + name.replace("_", "-")


class PlanError(UsageError):
    """The plan cannot be carried out as written; holds every problem found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class HostError(LoadTestError):
    """This machine cannot carry the plan as it is configured."""

    exit_code = ExitCode.USAGE


class RecordingError(LoadTestError):
    """A file is not a recording that can be read."""

    exit_code = ExitCode.USAGE


class OutputError(LoadTestError):
    """A file that was asked for cannot be written."""

    exit_code = ExitCode.OUTPUT_FAILED


class WorkerError(LoadTestError):
    """A worker said something that it never should."""


class FaultKind(StrEnum):
    """The ways in which a target fails. Counted, never raised out of a run."""

    DNS = "dns"
    DNS_TIMEOUT = "dns-timeout"
    CONNECT_REFUSED = "connect-refused"
    CONNECT_TIMEOUT = "connect-timeout"
    UNREACHABLE = "unreachable"
    PROXY = "proxy"
    TLS = "tls"
    TLS_TIMEOUT = "tls-timeout"
    UPGRADE_REJECTED = "upgrade-rejected"
    UPGRADE_INVALID = "upgrade-invalid"
    UPGRADE_TIMEOUT = "upgrade-timeout"
    FIRST_REPLY_TIMEOUT = "first-reply-timeout"
    CLOSED = "closed"
    RESET = "reset"
    PROTOCOL_ERROR = "protocol-error"
    REPLY_TIMEOUT = "reply-timeout"
    MISMATCH = "mismatch"


class HostFailing(StrEnum):
    """What the generator's own machine could not do; never the target's fault."""

    TOO_MANY_OPEN_FILES = "too-many-open-files"
    OUT_OF_PORTS = "out-of-ports"
    OUT_OF_MEMORY = "out-of-memory"


REMEDIES = {
    HostFailing.TOO_MANY_OPEN_FILES: "raise the limit on open files with `ulimit -n`, or lower -c",
    HostFailing.OUT_OF_PORTS: "widen net.ipv4.ip_local_port_range, add source or target addresses, or lower -c",
    HostFailing.OUT_OF_MEMORY: "free memory on this machine, raise net.ipv4.tcp_mem, or lower -c",
}

_HOST_ERRNOS = {
    errno.EMFILE: HostFailing.TOO_MANY_OPEN_FILES,
    errno.ENFILE: HostFailing.TOO_MANY_OPEN_FILES,
    errno.EADDRNOTAVAIL: HostFailing.OUT_OF_PORTS,
    errno.ENOMEM: HostFailing.OUT_OF_MEMORY,
    errno.ENOBUFS: HostFailing.OUT_OF_MEMORY,
}


def host_failing(error: BaseException) -> HostFailing | None:
    """The failing of this machine that an operating system error stands for, or None when it is not ours."""
    if isinstance(error, MemoryError):
        return HostFailing.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return _HOST_ERRNOS.get(error.errno)
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """One failing of the target."""

    kind: FaultKind
    detail: str = ""
    """A short value that belongs to the kind: an HTTP status, a close code."""
    text: str = ""
    """What happened, in words, without secrets."""

    @property
    def key(self) -> str:
        """The name under which it is counted: ``upgrade-rejected:503``, ``reset``."""
        return f"{self.kind}:{self.detail}" if self.detail else str(self.kind)
