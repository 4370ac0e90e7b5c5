"""Negotiation of permessage-deflate (RFC 7692, section 7.1): parameters of the offer and of the agreement."""

from __future__ import annotations

import re
from dataclasses import dataclass

EXTENSION = "permessage-deflate"
_PARAMETER = re.compile(r"(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s*=\s*(?P<value>\"[^\"]*\"|[^\s\";,]+))?")
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_BITS = ("server_max_window_bits", "client_max_window_bits")
DEFAULT_OFFER = "client_max_window_bits"
"""The offer of browsers, which allows the target to limit the client's window."""
MAX_WINDOW_BITS = 15
"""Bits of the largest window, 32 KiB (RFC 7692, section 7.1.2)."""


class DeflateError(ValueError):
    """The target deviates from the offer or the agreement; the text is a noun phrase that names the section."""


@dataclass(frozen=True, slots=True)
class DeflateParams:
    """The parameters of an offer, or those that both sides agreed on (RFC 7692, section 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    limits_client: bool = False
    """True for an offer that has `client_max_window_bits`, with a value or without."""

    @classmethod
    def from_offer(cls, parameters: str) -> DeflateParams:
        """Parses the parameters of an offer.

        Raises:
            DeflateError: They are not parameters of an offer.
        """
        offer = _parse(parameters)
        client_bits = offer.get("client_max_window_bits")
        return cls(
            server_no_context_takeover="server_no_context_takeover" in offer,
            client_no_context_takeover="client_no_context_takeover" in offer,
            server_max_window_bits=_bits(offer, "server_max_window_bits", "7.1.2.1"),
            client_max_window_bits=None if client_bits is None else _bits(offer, "client_max_window_bits", "7.1.2.2"),
            limits_client="client_max_window_bits" in offer,
        )

    def negotiate(self, answer: str) -> DeflateParams:
        """Returns the agreement from a target's ``Sec-WebSocket-Extensions`` header, the answer to this offer.

        Raises:
            DeflateError: The client must fail the connection (RFC 7692, section 7.1), or the answer ignores a limit of
                the offer.
        """
        names = extension_names(answer)
        other = next((name for name in names if name.lower() != EXTENSION), None)
        if other is not None:
            raise DeflateError(f'the extension "{other}", which was not offered (RFC 6455, section 9.1)')
        if len(names) > 1:
            raise DeflateError(f"{EXTENSION} {len(names)} times, which was offered once (RFC 7692, section 5.1)")
        _, _, parameters = answer.partition(";")
        agreed = _parse(parameters)
        server_bits = _bits(agreed, "server_max_window_bits", "7.1.2.1")
        client_bits = _bits(agreed, "client_max_window_bits", "7.1.2.2")
        if client_bits is not None and not self.limits_client:
            raise DeflateError("client_max_window_bits, which was not offered (RFC 7692, section 7.1.2.2)")
        if (client_bits or 0) > (self.client_max_window_bits or MAX_WINDOW_BITS):
            raise DeflateError("a larger client_max_window_bits than was offered (RFC 7692, section 7.1.2.2)")
        if (
            self.server_max_window_bits is not None
            and (server_bits or MAX_WINDOW_BITS + 1) > self.server_max_window_bits
        ):
            raise DeflateError("a larger server_max_window_bits than was offered, or none (RFC 7692, section 7.1.2.1)")
        if self.server_no_context_takeover and "server_no_context_takeover" not in agreed:
            raise DeflateError("no server_no_context_takeover, which was offered (RFC 7692, section 7.1.1.1)")
        return DeflateParams(
            server_no_context_takeover="server_no_context_takeover" in agreed,
            # Both are promises of the offer, which bind the client even if the target does not repeat them.
            client_no_context_takeover=self.client_no_context_takeover or "client_no_context_takeover" in agreed,
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits or self.client_max_window_bits,
        )


def extension_names(header: str) -> list[str]:
    """Returns the names in a ``Sec-WebSocket-Extensions`` header (RFC 6455, section 9.1), each cut to 40 characters."""
    return [one.partition(";")[0].strip()[:40] for one in re.sub(r'"[^"]*"', "", header).split(",")]


def _parse(parameters: str) -> dict[str, str | None]:
    """Parses ``name``, ``name=value`` and ``name="value"``, separated by semicolons (RFC 6455, section 9.1)."""
    parsed: dict[str, str | None] = {}
    for written in (part.strip() for part in parameters.split(";")) if parameters.strip() else ():
        match = _PARAMETER.fullmatch(written)
        if match is None or match["name"] not in _FLAGS + _BITS:
            raise DeflateError("a parameter that permessage-deflate does not have (RFC 7692, section 7.1)")
        name, value = match["name"], match["value"]
        if name in parsed:
            raise DeflateError(f"{name} twice (RFC 7692, section 7.1)")
        if name in _FLAGS and value is not None:
            raise DeflateError(f"{name} with a value, which it does not take (RFC 7692, section 7.1.1)")
        parsed[name] = None if value is None else value.strip('"')
    return parsed


def _bits(parameters: dict[str, str | None], name: str, section: str) -> int | None:
    """Returns the bits of a window; None without the parameter."""
    if name not in parameters:
        return None
    value = parameters[name]
    if value is None or re.fullmatch(r"[89]|1[0-5]", value) is None:
        raise DeflateError(f"{name} without a value from 8 to 15 (RFC 7692, section {section})")
    return int(value)
