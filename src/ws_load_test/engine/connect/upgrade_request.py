"""Upgrade request of a session, prepared or filled for each connection, and where redirects lead."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from ws_load_test.common.errors import UsageError
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.redaction import is_secret_header
from ws_load_test.plan.host_names import HostError
from ws_load_test.plan.target import Endpoint, basic_credentials, render_url
from ws_load_test.plan.upgrade_headers import filled_problem
from ws_load_test.websocket.deflate_negotiation import EXTENSION, DeflateParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.plan.target import Target

    Render = Callable[[str], str]
    """Fills the fields of a text for one connection."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class DialError(Exception):
    """A session could not be opened, through the target's fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class RedirectError(DialError):
    """The target sends us elsewhere; a fault, unless that is followed."""

    def __init__(self, fault: Fault, location: str, cookies: tuple[str, ...] = ()) -> None:
        super().__init__(fault)
        self.location = location
        """Location as the target wrote it; empty where it wrote none."""
        self.cookies = cookies
        """The values of ``Set-Cookie``."""


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """An upgrade request but for its key (RFC 6455, section 4.1), and whom it is for."""

    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...]
    subprotocols: tuple[str, ...] = ()
    offer: DeflateParams | None = None
    """Offer of permessage-deflate."""
    moved: bool = False
    """A redirect has led to another host, where `--connect-to`, `--unix-socket` and `--sni` no longer apply."""


class UpgradeRequestFactory:
    """The requests of a target's connections; prepared ahead where they hold no fields."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._prepared = None if target.is_templated else [new_request(target, url) for url in target.urls]

    def of(self, number: int, fill: Render | None = None) -> UpgradeRequest:
        """The request of connection `number`.

        Raises:
            UsageError: what a field gives cannot stand where it is to stand; the value is not told.
        """
        if self._prepared is not None:
            return self._prepared[number % len(self._prepared)]
        urls = self._target.urls
        return new_request(self._target, urls[number % len(urls)], fill)


def new_request(target: Target, url: str, fill: Render | None = None) -> UpgradeRequest:
    """The request that a target's options make for one of its URLs.

    Raises:
        UsageError: as `Requests.of`.
    """
    filled = fill or str
    try:
        endpoint = Endpoint.of(render_url(url, filled))
    except (ValueError, KeyError) as error:
        # An error of the encodings quotes its text.
        reason = str(error) if type(error) in {ValueError, HostError} else "its host is malformed"
        raise UsageError(f"URL: filled in, it is no URL: {reason}") from None
    subprotocols = tuple(_checked("subprotocol", filled(name)) for name in target.subprotocols)
    if len(set(subprotocols)) < len(subprotocols):
        raise UsageError("--subprotocol: filled in, two subprotocols have the same name")
    given = tuple((name, _checked("header", filled(value), name)) for name, value in target.headers)
    names = {name.lower() for name, _ in given}
    headers = [] if "host" in names else [("Host", endpoint.authority)]
    headers += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    if subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    offer = None
    if target.deflate is not None:
        offer = DeflateParams.from_offer(target.deflate)
        headers.append(("Sec-WebSocket-Extensions", EXTENSION + (f"; {target.deflate}" if target.deflate else "")))
    credentials = _credentials(target, endpoint, filled)
    if credentials is not None and "authorization" not in names:
        headers.append(("Authorization", credentials))
    if target.origin is not None:
        headers.append(("Origin", _checked("origin", filled(target.origin))))
    if target.cookies:
        headers.append(("Cookie", "; ".join(_checked("cookie", filled(cookie)) for cookie in target.cookies)))
    return UpgradeRequest(endpoint, (*headers, *given), subprotocols, offer)


def _credentials(target: Target, endpoint: Endpoint, filled: Render) -> str | None:
    if target.bearer is not None:
        return f"Bearer {_checked('bearer', filled(target.bearer))}"
    if target.user is not None:
        return f"Basic {basic_credentials(_checked('user', filled(target.user)).encode())}"
    if endpoint.user_info is not None:
        # RFC 3986 writes user and password percent-encoded.
        user, colon, password = endpoint.user_info.partition(":")
        return f"Basic {basic_credentials(unquote_to_bytes(user) + colon.encode() + unquote_to_bytes(password))}"
    return None


def _checked(option: str, text: str, name: str = "") -> str:
    """Returns a text whose fields are filled, without the spaces around it, which belong to no value.

    Raises:
        UsageError: the request cannot carry it.
    """
    problem = filled_problem(option, text, name)
    if problem is not None:
        raise UsageError(f"--{option}: filled in, {f'the value of {name}' if name else 'it'} {problem}")
    # The password of a user may end with one.
    return text if option == "user" else text.strip(" ")


# --- Redirects -----------------------------------------------------------------------------------------------------


class RedirectChain:
    """The redirects of one dial: where they lead, what is taken along, and when it is enough.

    What carries credentials (cookies, ``Authorization`` and the like) stays with the host that it was meant for, and
    so do the cookies that are set on the way; their paths and domains are not looked at.
    """

    def __init__(self, first: UpgradeRequest) -> None:
        self._first = first
        self._cookies: dict[str, dict[str, str | None]] = {}
        """Cookies by host; None: taken back, the plan's own too."""
        self._seen = [first]

    def follow(self, moved: RedirectError) -> UpgradeRequest:
        """The request that a redirect leads to.

        Raises:
            DialError: it leads nowhere, in a loop, too far, or out of TLS.
        """
        last, status = self._seen[-1].endpoint, moved.fault.detail
        endpoint = _endpoint(last, moved)
        if last.secure and not endpoint.secure:
            raise _refused(status, "from wss:// to ws://, which gives up TLS")
        self._keep_cookies(last.host, moved.cookies)
        request = self._request(endpoint)
        if request in self._seen:
            raise _refused(status, "in a loop")
        if len(self._seen) > MOST_REDIRECTS:
            raise _refused(status, f"more than {MOST_REDIRECTS} times")
        self._seen.append(request)
        return request

    def _request(self, endpoint: Endpoint) -> UpgradeRequest:
        first, jar = self._first, self._cookies.get(endpoint.host, {})
        away = endpoint.host != first.endpoint.host
        kept = [
            (name, endpoint.authority if name == "Host" else value)
            for name, value in first.headers
            # A Host that was given is the first host's own.
            if not (away and (is_secret_header(name) or (name.lower() == "host" and name != "Host")))
        ]
        if away and not any(name == "Host" for name, _ in kept):
            kept.insert(0, ("Host", endpoint.authority))
        if jar:
            before = next((value for name, value in kept if name.lower() == "cookie"), "")
            theirs = [pair for pair in before.split("; ") if pair and pair.partition("=")[0] not in jar]
            kept = [pair for pair in kept if pair[0].lower() != "cookie"]
            pairs = [*theirs, *(f"{name}={value}" for name, value in jar.items() if value is not None)]
            if pairs:
                kept.append(("Cookie", "; ".join(pairs)))
        return replace(first, endpoint=endpoint, headers=tuple(kept), moved=away)

    def _keep_cookies(self, host: str, cookies: tuple[str, ...]) -> None:
        jar = self._cookies.setdefault(host, {})
        for cookie in cookies:
            pair, _, attributes = cookie.partition(";")
            name, equals, value = pair.strip().partition("=")
            if re.search(r"max-age\s*=\s*(?:0|-\d)", attributes, re.IGNORECASE):
                jar[name] = None
            elif equals and pair.isascii() and pair.isprintable():
                # What no header can carry back was never meant to come back.
                jar[name] = value


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
    return endpoint


def _refused(status: str, how: str) -> DialError:
    return DialError(Fault(FaultKind.UPGRADE_REJECTED, status, f"redirects {how} ({status})"))
