"""Faults of dials: the failure of the target, or of its proxy, that an error or a time-out in a phase stands for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ws_load_test.common.faults import Fault, FaultKind, classify_host_error
from ws_load_test.common.units import format_duration

if TYPE_CHECKING:
    from ws_load_test.engine.connect.tcp import Attempts

MAX_SHOWN_ADDRESSES = 4
"""Addresses of a host that a fault names; a name can have dozens."""
_TIMED_OUT = {
    "dns": (FaultKind.DNS_TIMEOUT, "has a name that did not resolve"),
    "connect": (FaultKind.CONNECT_TIMEOUT, "did not take the TCP connection"),
    "proxy": (FaultKind.PROXY, "is behind a proxy that did not open the way to it"),
    "tls": (FaultKind.TLS_TIMEOUT, "did not finish the TLS handshake"),
    "upgrade": (FaultKind.UPGRADE_TIMEOUT, "did not answer the upgrade"),
    "answer": (FaultKind.UPGRADE_TIMEOUT, "began to answer the upgrade, and did not finish"),
}
"""For each phase of a dial the fault that its timeout is, and what the target did not do."""


def fault_of(
    phase: str, error: BaseException, attempts: Attempts, *, timeout_ns: int, through_proxy: bool, hint: str = ""
) -> Fault | None:
    """Returns the fault that an error of a dial stands for; None if the target did not cause it.

    Args:
        phase: The phase in which the dial was.
        error: What ended it; a `DialError` and an `ssl.SSLError` have their faults already.
        attempts: The addresses that the dial has tried.
        timeout_ns: The time-out of the dial.
        through_proxy: True if TCP connections are made with a proxy.
        hint: Words about the likely cause, after those about what happened in the phase.
    """
    if isinstance(error, TimeoutError):
        kind, what = _TIMED_OUT[phase]
        words = f"{what} within {format_duration(timeout_ns)}{_where(attempts) if phase == 'connect' else ''}"
        if through_proxy and phase == "connect":
            limit = format_duration(timeout_ns)
            words = f"the proxy did not take the TCP connection within {limit}{_where(attempts)}"
            return Fault(FaultKind.PROXY, "timeout", words)
        return Fault(kind, "timeout" if kind == FaultKind.PROXY else "", f"{words}{hint}")
    if not isinstance(error, OSError) or classify_host_error(error) is not None:
        return None
    if through_proxy and phase in {"connect", "proxy"}:
        return _proxy_fault(phase, error, attempts)
    return _target_fault(phase, error, attempts, hint)


def proxy_tls_fault(fault: Fault) -> Fault:
    """Returns the fault of TLS with a target as one of TLS with a proxy, where other options help."""
    text = fault.text.replace("is it ws:// instead of wss://?", "is it http:// instead of https://?")
    return Fault(FaultKind.PROXY, "tls", f"the proxy {text.partition(': --sni NAME')[0]}")


def _target_fault(phase: str, error: OSError, attempts: Attempts, hint: str) -> Fault:
    if isinstance(error, ConnectionRefusedError):
        where = _where(attempts, besides=error)
        return Fault(
            FaultKind.CONNECT_REFUSED,
            text=f"refuses connections{where}: nothing listens there, or a firewall rejects them",
        )
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        if phase == "tls":
            return Fault(FaultKind.TLS, text=f"broke the connection in the TLS handshake{hint}")
        return Fault(FaultKind.RESET, text="reset the connection while it opened")
    where = _where(attempts, besides=error) if phase == "connect" else ""
    return Fault(FaultKind.UNREACHABLE, text=f"cannot be reached{where}: {_reason(error)}")


def _proxy_fault(phase: str, error: OSError, attempts: Attempts) -> Fault:
    where = _where(attempts, besides=error)
    if isinstance(error, ConnectionRefusedError):
        return Fault(FaultKind.PROXY, "refused", f"the proxy refuses TCP connections{where}")
    if phase == "proxy":
        return Fault(FaultKind.PROXY, "reset", "the proxy broke the connection instead of opening the way")
    return Fault(FaultKind.PROXY, "unreachable", f"the proxy cannot be reached{where}: {_reason(error)}")


def _where(attempts: Attempts, besides: OSError | None = None) -> str:
    """Returns the addresses of a fault as part of a sentence, with the errors that are not the same as its own."""
    errors = {address: error for address, error in attempts.failures if not _is_same(error, besides)}
    places = [f"{one} ({_reason(errors[one])})" if one in errors else one for one in attempts.tried]
    if len(places) > MAX_SHOWN_ADDRESSES:
        places[MAX_SHOWN_ADDRESSES:] = [f"{len(places) - MAX_SHOWN_ADDRESSES} more"]
    return f" at {' and '.join(places)}" if places else ""


def _reason(error: OSError) -> str:
    # The text of an event loop's own error repeats the address.
    return os.strerror(error.errno) if error.errno else str(error)


def _is_same(error: OSError, other: OSError | None) -> bool:
    return other is not None and error.errno == other.errno
