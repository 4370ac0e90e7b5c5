"""Permessage-deflate (RFC 7692, section 7.1): the parameters that are offered, and those that are agreed."""

from __future__ import annotations

import re
from dataclasses import dataclass

EXTENSION = "permessage-deflate"
_PARAMETER = re.compile(r"(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s*=\s*(?P<value>\"[^\"]*\"|[^\s\";,]+))?")
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_BITS = ("server_max_window_bits", "client_max_window_bits")
DEFAULT_OFFER = "client_max_window_bits"
"""As browsers offer it: the target may limit our window."""
MAX_WINDOW_BITS = 15
"""Bits of the largest window: 32 KiB."""


class DeflateError(ValueError):
    """What came is not what was agreed; the text is a part of a sentence, and names the clause."""


@dataclass(frozen=True, slots=True)
class DeflateParams:
    """The parameters of an offer, or those that both sides agreed on (RFC 7692, section 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    limits_client: bool = False
    """Of an offer: `client_max_window_bits` is in it, with a value or without."""

    @classmethod
    def from_offer(cls, parameters: str) -> DeflateParams:
        """The offer that these parameters make.

        Raises:
            DeflateError: they are not parameters of an offer.
        """
        found = _parse(parameters)
        client_bits = found.get("client_max_window_bits")
        return cls(
            server_no_context_takeover="server_no_context_takeover" in found,
            client_no_context_takeover="client_no_context_takeover" in found,
            server_max_window_bits=_bits(found, "server_max_window_bits", "7.1.2.1"),
            client_max_window_bits=None if client_bits is None else _bits(found, "client_max_window_bits", "7.1.2.2"),
            limits_client="client_max_window_bits" in found,
        )

    def negotiate(self, answer: str) -> DeflateParams:
        """What a target's ``Sec-WebSocket-Extensions`` makes of this offer.

        Raises:
            DeflateError: the client must fail the connection (RFC 7692, section 7.1), or would agree to what it asked
                to be otherwise.
        """
        name, _, parameters = answer.partition(";")
        if "," in re.sub(r'"[^"]*"', "", answer) or name.strip().lower() != EXTENSION:
            raise DeflateError("an extension that was not offered (RFC 6455, section 9.1)")
        found = _parse(parameters)
        server_bits = _bits(found, "server_max_window_bits", "7.1.2.1")
        client_bits = _bits(found, "client_max_window_bits", "7.1.2.2")
        if client_bits is not None and not self.limits_client:
            raise DeflateError("client_max_window_bits, which was not offered (RFC 7692, section 7.1.2.2)")
        if (client_bits or 0) > (self.client_max_window_bits or MAX_WINDOW_BITS):
            raise DeflateError("a larger client_max_window_bits than was offered (RFC 7692, section 7.1.2.2)")
        if (
            self.server_max_window_bits is not None
            and (server_bits or MAX_WINDOW_BITS + 1) > self.server_max_window_bits
        ):
            raise DeflateError("a larger server_max_window_bits than was offered, or none (RFC 7692, section 7.1.2.1)")
        if self.server_no_context_takeover and "server_no_context_takeover" not in found:
            raise DeflateError("no server_no_context_takeover, which was offered (RFC 7692, section 7.1.1.1)")
        return DeflateParams(
            server_no_context_takeover="server_no_context_takeover" in found,
            # Both are promises of the offer, which hold whether the target repeats them or not.
            client_no_context_takeover=self.client_no_context_takeover or "client_no_context_takeover" in found,
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits or self.client_max_window_bits,
        )


def _parse(parameters: str) -> dict[str, str | None]:
    """``name``, ``name=value`` and ``name="value"``, separated by semicolons (RFC 6455, section 9.1)."""
    found: dict[str, str | None] = {}
    for written in (part.strip() for part in parameters.split(";")) if parameters.strip() else ():
        match = _PARAMETER.fullmatch(written)
        if match is None or match["name"] not in _FLAGS + _BITS:
            raise DeflateError("a parameter that permessage-deflate does not have (RFC 7692, section 7.1)")
        name, value = match["name"], match["value"]
        if name in found:
            raise DeflateError(f"{name} twice (RFC 7692, section 7.1)")
        if name in _FLAGS and value is not None:
            raise DeflateError(f"{name} with a value, which it does not take (RFC 7692, section 7.1.1)")
        found[name] = None if value is None else value.strip('"')
    return found


def _bits(found: dict[str, str | None], name: str, clause: str) -> int | None:
    """The value of a window's size, None where the parameter is not there."""
    if name not in found:
        return None
    value = found[name]
    if value is None or re.fullmatch(r"[89]|1[0-5]", value) is None:
        raise DeflateError(f"{name} without a value from 8 to 15 (RFC 7692, section {clause})")
    return int(value)
