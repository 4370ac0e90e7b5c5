"""Rule by which a session shows which node of the target it is on (``--node``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import quoted
from ws_load_test.plan import values as option_values
from ws_load_test.plan.codecs import CODEC_FORMS, CODECS, CodecName
from ws_load_test.plan.upgrade_headers import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LONGEST_NAME = 40
"""Characters of a node's name that are kept."""
_FORMS = f"write header:NAME, cookie:NAME, {CODEC_FORMS}, for example header:X-Node"


class NodeRule(msgspec.Struct, frozen=True):
    """Place of a node's name."""

    kind: Literal["header", "cookie", CodecName]
    """A header of the upgrade response, a cookie that it sets, or a value in one of the session's first messages."""
    name: str
    """Name of the header or the cookie, or path of the value."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def in_messages(self) -> bool:
        """True where the name comes in a message."""
        return self.kind in CODECS

    def of_headers(self, headers: Mapping[str, Sequence[str]]) -> str:
        """Returns the name in the headers of an upgrade response, by their names in lower case; empty without one."""
        if self.kind == "header":
            return node_name(", ".join(headers.get(self.name.lower(), ())))
        if self.kind != "cookie":
            return ""
        for line in headers.get("set-cookie", ()):
            name, _, value = line.partition(";")[0].partition("=")
            if name.strip() == self.name:
                return node_name(_unquoted(value.strip()))
        return ""

    def extractor(self) -> Callable[[bytes], str | None]:
        """Returns the function that finds the name in a message."""
        return CODECS[self.kind].reader(self.name)


def node_name(text: str | None) -> str:
    """Returns a name of the target as reports can show it."""
    return sanitize(" ".join((text or "").split()))[:LONGEST_NAME]


def node_rule(value: Any) -> NodeRule:
    """``header:X-Node``, ``cookie:SERVERID`` or ``json:server.name``.

    Raises:
        ValueError: It is none of these, with what to write instead.
    """
    text = option_values.text(value)
    kind, _, name = text.partition(":")
    if kind in CODECS and name:
        CODECS[kind].reader(name)
        return NodeRule(kind, name)  # type: ignore[arg-type]  # a codec's name, as checked above
    if kind in ("header", "cookie") and TOKEN.fullmatch(name):
        return NodeRule("header" if kind == "header" else "cookie", name)
    raise ValueError(f"{quoted(text)} names no place of a node's name; {_FORMS}")


def _unquoted(value: str) -> str:
    """Returns a cookie's value without its quotation marks (RFC 6265, section 4.1.1)."""
    return value[1:-1] if re.fullmatch(r'"[^"]*"', value) else value
