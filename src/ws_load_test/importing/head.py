"""Head of the plan file: URL, headers and subprotocols, without secrets and without what a browser adds by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ws_load_test.importing.own_values import UUID, time_field
from ws_load_test.importing.secret_values import PATH_NAME, PATH_ORIGIN, header_secrets, url_origin
from ws_load_test.importing.values import is_uuid
from ws_load_test.plan.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.secret_values import Secrets

_OF_BROWSERS = re.compile(
    r"(?i):.*|host|connection|upgrade|upgrade-insecure-requests|sec-websocket-.*|sec-fetch-.*|sec-ch-.*|sec-gpc|dnt"
    r"|user-agent|accept|accept-.*|cache-control|pragma|priority|content-length|te|origin|referer|transfer-encoding"
)
"""Headers that belong to the handshake, that say what the browser is, or that have an option of their own."""
_FEED = re.compile(r"\{feed\.(?P<column>[^{}:]+)(?::json)?\}")
_SCHEMES = {"http": "ws", "https": "wss"}


def head_lines(capture: Capture, secrets: Secrets) -> Iterator[tuple[str, str | list[str]]]:
    """Yields the options of the target, by their names in a plan file."""
    yield "url", url_template(capture, secrets)
    headers = [f"{name}: {_header_value(name, value, secrets)}" for name, value in capture.headers if _is_kept(name)]
    has_authorization = any(name.lower() == "authorization" for name, _ in capture.headers)
    user_info = capture.url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if user_info and not has_authorization:
        user, _, password = user_info.partition(":")
        secret = secrets.field_of(password, "WS_PASSWORD", "the URL") if password else ""
        yield "user", f"{secrets.field_of(user, 'WS_USER', 'the URL')}:{secret}"
    origin = next((value for name, value in capture.headers if name.lower() == "origin"), "")
    if origin:
        yield "origin", secrets.replaced(origin)
    if headers:
        yield "header", headers
    if capture.subprotocols:
        yield "subprotocol", [secrets.replaced(one) for one in capture.subprotocols]


def url_template(capture: Capture, secrets: Secrets) -> str:
    """Returns the URL with fields in place of secrets, UUIDs and times."""
    scheme, mark, rest = capture.url.partition("#")[0].partition("://")
    if not mark:
        return secrets.replaced(capture.url)
    authority, slash, path = rest.partition("/")
    if not slash:
        authority, question, path = rest.partition("?")
        slash = f"/{question}" if question else ""
    path, question, query = path.partition("?") if "?" not in slash else ("", "", path)
    host = authority.rpartition("@")[2]
    segments = "/".join(_part(one, PATH_NAME, capture, secrets) for one in path.split("/"))
    pairs = []
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        pairs.append(f"{name}{equals}{_part(value, name, capture, secrets)}")
    return f"{_SCHEMES.get(scheme, scheme)}://{host}{slash}{segments}{question}{'&'.join(pairs)}"


def _part(text: str, name: str, capture: Capture, secrets: Secrets) -> str:
    """Returns a segment or the value of a parameter with fields."""
    origin = PATH_ORIGIN if name == PATH_NAME else url_origin(name)
    if text == REDACTED:
        return secrets.field_of(text, name, origin)
    fed = _FEED.fullmatch(text)
    if not text or fed is not None:
        # The capture has no feed: its values are as secret as others of the user.
        return text if fed is None else secrets.field_of(REDACTED, fed["column"], origin)
    if is_uuid(text) and text not in secrets.names:
        # A message with the same one could not follow a new one.
        return text if any(text.encode() in one.payload for one in capture.messages) else UUID
    field = "" if capture.started_ns is None else time_field(text, capture.started_ns)
    return field or secrets.replaced(text)


def _is_kept(name: str) -> bool:
    return _OF_BROWSERS.fullmatch(name) is None


def _header_value(name: str, value: str, secrets: Secrets) -> str:
    for secret, variable in header_secrets(name, value):
        # The scheme before a token stays.
        return value[: value.rindex(secret)] + secrets.field_of(secret, variable, f"the header {name}")
    return secrets.replaced(value)
