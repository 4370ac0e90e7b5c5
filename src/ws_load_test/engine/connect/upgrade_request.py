"""Upgrade request of a session, prepared or filled for each connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from ws_load_test.common.errors import UsageError
from ws_load_test.common.faults import Fault
from ws_load_test.plan.host_names import HostNameError
from ws_load_test.plan.target import Endpoint, basic_credentials, is_private_subprotocol, render_url
from ws_load_test.plan.upgrade_headers import filled_problem
from ws_load_test.websocket.deflate_negotiation import EXTENSION, DeflateParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.plan.target import Target

    Render = Callable[[str], str]
    """Fills the fields of a text for one connection."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})


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
    private_subprotocols: frozenset[str] = frozenset()
    """Those of the subprotocols that are tokens, or may be: fields give them."""
    moved: bool = False
    """A redirect has led to another origin, where nothing secret goes, and `--connect-to`, `--unix-socket` and `--sni`
    no longer apply."""
    left_out: tuple[str, ...] = ()
    """Names of what was not taken along to another origin: headers, subprotocols, options."""


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
        reason = str(error) if type(error) in {ValueError, HostNameError} else "its host is malformed"
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
    private = (filled(name) for name in target.subprotocols if is_private_subprotocol(name))
    return UpgradeRequest(endpoint, (*headers, *given), subprotocols, offer, frozenset(private))


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
