"""Values of the options of a fan-out.

Each parser raises ValueError with what to write instead, and never quotes a value that can hold a secret.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ws_load_test.common.units import quoted
from ws_load_test.messages.fields import FIELD, MAX_ROOM_NAME_BYTES
from ws_load_test.plan import values as option_values
from ws_load_test.plan.codecs import CODEC_FORMS, CODECS
from ws_load_test.plan.correlation import parse_rule
from ws_load_test.plan.fan_out import HttpPublish, MarkerRule
from ws_load_test.plan.options import target_values
from ws_load_test.plan.ranges import LARGEST_CONNECTIONS
from ws_load_test.plan.upgrade_headers import TOKEN

MOST_ROOMS = 100_000
"""Rooms of a fan-out: their names travel to every worker and into the recording, 80 bytes each at most."""
METHODS = ("POST", "PUT", "PATCH")
"""Methods of HTTP whose requests have a content (RFC 9110, section 9.3; RFC 5789)."""
_room_count = option_values.whole_number(1, MOST_ROOMS, "every worker holds their names")
_timed_count = option_values.whole_number(1, LARGEST_CONNECTIONS)
_OWN_HEADERS = {
    "content-length": "is set by the request itself",
    "transfer-encoding": "is not used: a request has a content of known length",
    "connection": "is set by the request itself",
    "upgrade": "is of no publish",
    "expect": "is not used: a publish is one request",
}


def rooms(value: Any) -> tuple[str, ...]:
    """Parses the number of rooms, whose names are then 0, 1 and so on, or their names: ``lobby,news``."""
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\s*[+-]?[\d_]+\s*", value)):
        return tuple(map(str, range(_room_count(value))))
    names = tuple(name.strip() for text in option_values.strings(value) for name in text.split(","))
    if not names:
        raise ValueError("names no room; write a number of rooms, or names such as lobby,news")
    for name in names:
        if not name:
            raise ValueError(f"{quoted(value)} has an empty name; write a number of rooms, or names such as lobby,news")
        if not name.isprintable() or len(name.encode(errors="surrogateescape")) > MAX_ROOM_NAME_BYTES:
            raise ValueError(
                f"{quoted(name)} is no name of a room: one has at most {MAX_ROOM_NAME_BYTES} bytes, and no control"
                " characters"
            )
    if len(names) > MOST_ROOMS:
        raise ValueError(f"{len(names)} rooms are too many; it takes at most {MOST_ROOMS:_}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(twice)} is named twice")
    return names


def marker_rule(value: Any) -> MarkerRule:
    """Parses the recognition of deliveries: ``{marker}``, ``json:PATH``, ``json:PATH=PATH``, ``regex:PATTERN``."""
    written = option_values.text(value).strip()
    if written in {"{marker}", "marker"}:
        return MarkerRule()
    kind = written.partition(":")[0]
    if kind == "regex" or kind in CODECS:
        # One of these, as checked.
        return MarkerRule(kind, parse_rule(written)[1])  # type: ignore[arg-type]
    raise ValueError(f"{quoted(value)} recognizes no delivery; write {{marker}}, {CODEC_FORMS} or regex:PATTERN")


def timed(value: Any) -> int | None:
    """Parses how many subscribers' deliveries are timed; None for ``all``."""
    if isinstance(value, str) and value.strip().lower() == "all":
        return None
    return _timed_count(value)


def publish_url(value: Any) -> HttpPublish:
    """Parses ``POST URL``; the method may be left out. Errors do not quote the URL, which can hold a secret."""
    written = option_values.text(value).strip()
    method, space, url = written.rpartition(" ")
    method = method.strip().upper() if space else METHODS[0]
    hint = 'write for example "POST https://api.example/rooms/{room}/messages"'
    if method not in METHODS:
        shown = f'"{method}"' if re.fullmatch("[A-Z]{1,16}", method) else "what stands before the URL"
        raise ValueError(f"{shown} is no method that publishes; write {', '.join(METHODS[:-1])} or {METHODS[-1]}")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError(f"a URL holds no spaces or control characters; {hint}")
    if "{" in re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]:
        raise ValueError(f"a publisher keeps one connection, so fields stand behind the host and its port; {hint}")
    sample = FIELD.sub("1", url)
    scheme, separator, _ = sample.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        known = f'"{scheme}://"' if separator and re.fullmatch("[a-z]{1,8}", scheme.lower()) else "a bare address"
        raise ValueError(f"publishing is by http:// or https://, and not by {known}; {hint}")
    try:
        parts = urlsplit(sample)
        host, port, user = parts.hostname, parts.port, parts.username
    except ValueError:
        raise ValueError(f"not a URL: its host or port is malformed; {hint}") from None
    if not host or port == 0 or re.search(r"[{}]", host):
        raise ValueError(f"the URL names no host to connect to; {hint}")
    if user is not None:
        raise ValueError("the URL has a user; write --publish-header 'Authorization: Basic …' instead")
    if parts.fragment:
        raise ValueError("a request has no fragment (RFC 9110, section 7.1); write %23 for a #")
    return HttpPublish(method, url)


def publish_headers(value: Any) -> tuple[tuple[str, str], ...]:
    """Parses headers of requests, as lines or as a table; their values may hold fields."""
    lines = value if isinstance(value, dict) else option_values.strings(value)
    for name in (str(one).partition(":")[0].strip() for one in lines):
        if TOKEN.fullmatch(name) and name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} {_OWN_HEADERS[name.lower()]}")
    return target_values.headers(value)
