"""Rules for the headers of an upgrade request: what a name and a value may hold, and what is not the user's to set.

Both the options of a plan and the texts that fields have filled keep to them, so that no request is refused by the
HTTP library when it is about to leave.
"""

from __future__ import annotations

import re

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A name of a header, a cookie or a subprotocol (RFC 9110, section 5.6.2)."""
_HANDSHAKE = "is set by the WebSocket handshake itself"
_NO_BODY = "says how a body is sent, and an upgrade request has none"
NOT_TO_SET = {
    "upgrade": _HANDSHAKE,
    "connection": _HANDSHAKE,
    "sec-websocket-key": _HANDSHAKE,
    "sec-websocket-version": _HANDSHAKE,
    "sec-websocket-accept": "belongs to the answer, not to the request",
    "sec-websocket-protocol": f"{_HANDSHAKE}; --subprotocol offers a subprotocol",
    "sec-websocket-extensions": f"{_HANDSHAKE}; --deflate offers compression",
    "content-length": _NO_BODY,
    "transfer-encoding": _NO_BODY,
    "trailer": _NO_BODY,
    "expect": _NO_BODY,
}
"""Headers that are not the user's to set, in lower case, and why."""
SINGLE = {
    "host": "",
    "authorization": "",
    "origin": "",
    "cookie": "; write all cookies into one, or give --cookie once for each",
}
"""Headers that a request has once at most, in lower case, and what to do instead."""
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\:,\[\]]+)(?::\d*)?")


def value_problem(value: str, name: str = "") -> str | None:
    """Returns why a header cannot carry a value (RFC 9110, section 5.5), as the rest of a sentence; None if it can.

    The text never quotes the value, which can be a secret.
    """
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        return "holds a line break or another control character, which a header cannot carry"
    if not (value.isascii() and value.isprintable()):
        return "holds characters that a header cannot carry: only ASCII may stand in one"
    if name.lower() == "host" and not _HOST.fullmatch(value):
        return "is no host; write HOST or HOST:PORT"
    return None


def cookie_problem(cookie: str) -> str | None:
    """Returns why ``NAME=VALUE`` cannot be a cookie, as `value_problem`."""
    # RFC 6265, section 4.1.1: what separates cookies cannot stand in one.
    return "holds a semicolon, which ends a cookie" if ";" in cookie else value_problem(cookie)


def subprotocol_problem(name: str) -> str | None:
    """Returns why a text cannot be the name of a subprotocol (RFC 6455, section 4.1), as `value_problem`."""
    return None if TOKEN.fullmatch(name) else "is not the name of a subprotocol"


def bearer_problem(token: str) -> str | None:
    """Returns why a text cannot be a token (RFC 6750, section 2.1), as `value_problem`."""
    if not token or " " in token:
        return "is no token: it is empty, or holds a space"
    return value_problem(token)


def filled_problem(option: str, text: str, name: str = "") -> str | None:
    """Returns why a text of the target cannot be sent once its fields are filled, as `value_problem`.

    Args:
        option: The option that it comes from, without its dashes.
        text: The text with its fields filled.
        name: The header's name, of a header.
    """
    if option == "user":
        # Basic authentication carries any other character, in base64 (RFC 7617, section 2).
        wrong = any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)
        return "holds control characters" if wrong else None
    checks = {"cookie": cookie_problem, "subprotocol": subprotocol_problem, "bearer": bearer_problem}
    return checks[option](text) if option in checks else value_problem(text.strip(" "), name)
