"""Redirects of a dial: where they lead, what goes along, and what stays with the origin that it was meant for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.plan.redaction import public_header
from ws_load_test.plan.target import Endpoint

if TYPE_CHECKING:
    from ws_load_test.engine.connect.upgrade_request import RedirectError, UpgradeRequest
    from ws_load_test.plan.target import Target

MOST_REDIRECTS = 5
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_HANDSHAKE = {"upgrade", "connection", "sec-websocket-version", "sec-websocket-extensions"}
_PUBLIC = {"origin", "user-agent", "accept", "accept-language", "accept-encoding", "cache-control", "pragma"}
"""Headers, besides those of the handshake, that every origin may see, unless their value looks like a token."""
_PROTOCOLS = "sec-websocket-protocol"


class RedirectChain:
    """The redirects of one dial: where they lead, what is taken along, and when it is enough.

    An origin is scheme, host and port (RFC 6454, section 4). From the first redirect to another one on, nothing goes
    along that was given for the first: no credentials, no cookies, no headers of the user's, no subprotocol that is a
    token, no client certificate; and its address, its server name and its Host apply no more. They do not come back if
    the way leads back, because a stranger chose that way. The cookies that are set on the way stay with their origins;
    their paths and domains are not looked at.
    """

    def __init__(self, first: UpgradeRequest, target: Target) -> None:
        self._target = target
        self._cookies: dict[tuple[bool, str, int], dict[str, str | None]] = {}
        """Cookies by origin; None: taken back, the plan's own too."""
        self._seen = [first]

    def follow(self, moved: RedirectError) -> UpgradeRequest:
        """Returns the request that a redirect leads to.

        Raises:
            DialError: It leads nowhere, in a loop, too far, or out of TLS.
        """
        last, status = self._seen[-1], moved.fault.detail
        endpoint = _endpoint(last.endpoint, moved)
        if last.endpoint.secure and not endpoint.secure:
            raise _refused(status, "from wss:// to ws://, which gives up TLS")
        self._keep_cookies(last.endpoint, moved.cookies)
        request = self._request(endpoint)
        if request in self._seen:
            raise _refused(status, "in a loop")
        if len(self._seen) > MOST_REDIRECTS:
            raise _refused(status, f"more than {MOST_REDIRECTS} times")
        self._seen.append(request)
        return request

    def _request(self, endpoint: Endpoint) -> UpgradeRequest:
        last, first = self._seen[-1], self._seen[0]
        if last.moved or endpoint.origin != last.endpoint.origin:
            request = for_another_origin(first, endpoint, self._target)
        else:
            # A Host that was given stays: the origin is the same.
            request = replace(first, endpoint=endpoint)
        jar = self._cookies.get(endpoint.origin, {})
        if not jar:
            return request
        before = next((value for name, value in request.headers if name.lower() == "cookie"), "")
        pairs = [pair for pair in before.split("; ") if pair and pair.partition("=")[0] not in jar]
        pairs += [f"{name}={value}" for name, value in jar.items() if value is not None]
        headers = [pair for pair in request.headers if pair[0].lower() != "cookie"]
        if pairs:
            headers.append(("Cookie", "; ".join(pairs)))
        return replace(request, headers=tuple(headers))

    def _keep_cookies(self, endpoint: Endpoint, cookies: tuple[str, ...]) -> None:
        jar = self._cookies.setdefault(endpoint.origin, {})
        for cookie in cookies:
            pair, _, attributes = cookie.partition(";")
            name, equals, value = pair.strip().partition("=")
            if re.search(r"max-age\s*=\s*(?:0|-\d)", attributes, re.IGNORECASE):
                jar[name] = None
            elif equals and pair.isascii() and pair.isprintable():
                # What no header can carry back was never meant to come back.
                jar[name] = value


def for_another_origin(first: UpgradeRequest, endpoint: Endpoint, target: Target) -> UpgradeRequest:
    """Returns the request for an origin that a redirect has led to, without what was meant for the first."""
    headers, left_out = [("Host", endpoint.authority)], []
    offered = tuple(name for name in first.subprotocols if name not in first.private_subprotocols)
    for name, value in first.headers:
        lower = name.lower()
        if lower in _HANDSHAKE or (lower in _PUBLIC and public_header(name, value)[1] == value):
            headers.append((name, value))
        elif lower == _PROTOCOLS:
            if offered:
                headers.append((name, ", ".join(offered)))
            if len(offered) < len(first.subprotocols):
                left_out.append(f"{len(first.subprotocols) - len(offered)} of the subprotocols")
        elif name != "Host" or value != first.endpoint.authority:
            left_out.append(name)
    options = {
        "the client certificate": endpoint.secure and target.cert,
        "--connect-to": target.addresses,
        "--unix-socket": target.unix_socket,
        "--sni": target.sni,
    }
    left_out += [name for name, value in options.items() if value]
    return replace(
        first,
        endpoint=endpoint,
        headers=tuple(headers),
        subprotocols=offered,
        moved=True,
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _endpoint(last: Endpoint, moved: RedirectError) -> Endpoint:
    """Returns the endpoint that a redirect leads to."""
    if not moved.location:
        raise DialError(Fault(FaultKind.UPGRADE_INVALID, text=f"{moved.fault.text} without a Location"))
    base = f"{'https' if last.secure else 'http'}://{last.authority}{last.resource}"
    try:
        parts = urlsplit(urljoin(base, re.sub(r"^ws(s?):", r"http\1:", moved.location, flags=re.IGNORECASE)))
        # The user info of a Location is not ours to use.
        host = parts.netloc.rpartition("@")[2]
        endpoint = Endpoint.of(f"{_SCHEMES[parts.scheme]}://{host}{parts.path}?{parts.query}")
    except (ValueError, KeyError):
        endpoint = None
    if endpoint is None or not endpoint.host:
        raise DialError(Fault(FaultKind.UPGRADE_INVALID, text="redirects to what is no http or WebSocket URL"))
    if (endpoint.secure, endpoint.authority) == (last.secure, last.authority):
        # A Location is relative to an authority that has no zone.
        endpoint = replace(endpoint, host=last.host)
    return endpoint


def _refused(status: str, how: str) -> DialError:
    return DialError(Fault(FaultKind.UPGRADE_REJECTED, status, f"redirects {how} ({status})"))
