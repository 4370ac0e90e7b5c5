"""Names of faults and close codes, for reports without a recorded example."""

from __future__ import annotations

from ws_load_test.common.faults import FaultKind

_PHRASES: dict[str, str] = {
    FaultKind.DNS: "its name does not resolve",
    FaultKind.DNS_TIMEOUT: "its name did not resolve in time",
    FaultKind.CONNECT_REFUSED: "refuses TCP connections",
    FaultKind.CONNECT_TIMEOUT: "did not accept a TCP connection in time",
    FaultKind.UNREACHABLE: "cannot be reached",
    FaultKind.PROXY: "could not be reached through the proxy",
    FaultKind.NOT_DIALED: "takes no more connections, so the rest were not dialed",
    FaultKind.OPEN_TIMEOUT: "had not opened every session when --open-timeout was over",
    FaultKind.TLS: "failed in the TLS handshake",
    FaultKind.TLS_TIMEOUT: "did not end the TLS handshake in time",
    FaultKind.UPGRADE_REJECTED: "refused to upgrade to WebSocket",
    FaultKind.UPGRADE_INVALID: "answered the upgrade with something invalid",
    FaultKind.UPGRADE_TIMEOUT: "did not answer the upgrade in time",
    FaultKind.FIRST_REPLY_TIMEOUT: "did not greet or answer a first message in time",
    FaultKind.CLOSED: "closed a session before the run was over",
    FaultKind.RESET: "reset a connection",
    FaultKind.PROTOCOL_ERROR: "broke the WebSocket protocol",
    FaultKind.MESSAGE_TOO_LARGE: "sent a message larger than --max-message-size",
    FaultKind.REPLY_TIMEOUT: "did not answer a message in time",
    FaultKind.CHECK_FAILED: "answered with something else than expected",
    FaultKind.PUBLISH_FAILED: "did not take a publish by HTTP",
    FaultKind.SCENARIO_FAILED: "was played by a coroutine that raised an exception",
    FaultKind.REPORTED: "reported an error that the scenario names",
}

_CLOSE_CODES = {
    "1000": "normal",
    "1001": "going away",
    "1002": "protocol error",
    "1003": "unsupported data",
    "1005": "no code given",
    "1006": "no close frame",
    "1007": "invalid data",
    "1008": "policy violation",
    "1009": "message too big",
    "1010": "missing extension",
    "1011": "internal error",
    "1012": "service restart",
    "1013": "try again later",
    "1014": "bad gateway",
    "1015": "TLS failed",
    "other": "further codes",
}
_OWNERS = {"3": "a library's own", "4": "the application's own"}


def fault_phrase(key: str) -> str:
    """Returns a phrase for a fault's key (``reset``, ``closed:1011``); "" for an unknown one."""
    return _PHRASES.get(key.partition(":")[0], "")


def close_code_name(code: str) -> str:
    """Returns the name of a close code; ``unknown`` if it has none.

    The names are those of RFC 6455, section 7.4.1, and of the IANA registry "WebSocket Close Code Number";
    section 7.4.2 gives the codes from 3000 to libraries and those from 4000 to applications.
    """
    return _CLOSE_CODES.get(code) or (_OWNERS.get(code[:1]) if len(code) == 4 else None) or "unknown"
