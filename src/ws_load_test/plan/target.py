"""Target of a run and the way to it: addresses, headers, trust; and which parts of that are secrets."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec

from ws_load_test.common.units import format_duration
from ws_load_test.messages.fields import FIELD
from ws_load_test.plan import ranges
from ws_load_test.plan.host_names import host_and_port, in_brackets
from ws_load_test.plan.proxy_environment import ProxyEnvironment
from ws_load_test.plan.redaction import (
    LONGEST_NAME,
    REDACTED,
    looks_like_token,
    public_header,
    public_url,
    redacted,
    secret_parts,
    secrets_in_header,
    secrets_in_url,
)

__all__ = ["DEFAULT_PORTS", "REDACTED", "Endpoint", "Target", "host_and_port", "render_url"]

_URL_SAFE = "/%:@!$&'()*+,;=-._~?[]"
DEFAULT_PORTS = {"ws": 80, "wss": 443}
PROXY_PORTS = {"http": 8080, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
"""Schemes that `--proxy` takes, and the port of each where none is written."""
DEFAULT_DNS_TTL_NS = 10**9
"""Time (1 s) in which many dials share a look-up, and one after a loss still sees a name that has moved."""
_BRACES = re.compile(r"\{[^{}]*\}")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://((?:\{[^{}]*\}|[^/?#{}])*)")
TlsVersion = Literal["1.2", "1.3"]
Place = Literal["user", "host", "path"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WebSocket URL taken apart (RFC 6455, section 3)."""

    secure: bool
    """Under TLS."""
    host: str
    """Name or address that is looked up: without brackets, as IDNA where not ASCII, with a zone, with a last dot."""
    port: int
    resource: str
    """Path and query as the request line carries them."""
    user_info: str | None
    """``user:password``, percent-decoding left to the caller."""

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Takes a URL apart that `target_values.url` has checked.

        Raises:
            HostNameError: The host or the port is malformed.
            ValueError: The URL is; its text may hold secrets.
        """
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        user_info, at, rest = parts.netloc.rpartition("@")
        host, port = host_and_port(rest)
        path = quote(parts.path or "/", safe=_URL_SAFE)
        return cls(
            secure=scheme == "wss",
            host=host,
            port=DEFAULT_PORTS[scheme] if port is None else port,
            resource=f"{path}?{quote(parts.query, safe=_URL_SAFE)}" if parts.query else path,
            user_info=user_info if at else None,
        )

    @property
    def authority(self) -> str:
        """Value of the Host header (RFC 6455, section 4.1: the port only where it is not the default).

        A zone is this machine's affair, and stays here (RFC 6874, section 4).
        """
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS["wss" if self.secure else "ws"] else f"{host}:{self.port}"

    @property
    def server_name(self) -> str:
        """Name that TLS asks for and certificates have: without a last dot (RFC 6066, section 3), without a zone."""
        return self.host.partition("%")[0].removesuffix(".")

    @property
    def origin(self) -> tuple[bool, str, int]:
        """Scheme, host and port (RFC 6454, section 4): what is secret goes to no other."""
        return self.secure, self.host, self.port


def render_url(url: str, fill: Callable[[str], str]) -> str:
    """A URL with its fields filled, each value written as its place in the URL needs it.

    In path and query everything but letters, digits and ``-._~`` is percent-encoded (RFC 3986, section 2.3), so that
    a value is one segment or one parameter, whatever it holds; a host may also be ``HOST:PORT``.

    Raises:
        ValueError: a value cannot be a host, or part of one; the text does not quote it.
    """
    match = _AUTHORITY.match(url)
    start, end = match.span(1) if match else (0, 0)
    at = url.rfind("@", start, end)

    def one(found: re.Match[str]) -> str:
        field = found.group()
        value = fill(field)
        if value == field and not FIELD.fullmatch(field):
            return field
        if found.start() >= end or found.start() < at:
            return quote(value, safe="")
        if not value or re.search(r"[\s/?#@\\{}]", value) or not value.isprintable():
            raise ValueError(f"what {field} gives is no host")
        return in_brackets(value)

    return _BRACES.sub(one, url)


class Target(msgspec.Struct, frozen=True):
    """Target of a run, and the way to it."""

    url: str
    """The first URL, or the only one; it may hold fields."""
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values of headers of the upgrade request, besides those that the handshake needs."""
    subprotocols: tuple[str, ...] = ()
    """Subprotocols that are offered, the preferred one first."""
    insecure: bool = False
    """Take any certificate."""
    cacert: str | None = None
    """A PEM file of the authorities to trust instead of the system's."""
    extra_urls: tuple[str, ...] = ()
    """Connection k takes URL k mod n of them all."""
    addresses: tuple[str, ...] = ()
    """``HOST`` or ``HOST:PORT`` to connect to in turn, instead of to the URL's host."""
    resolve: tuple[str, ...] = ()
    """``HOST:PORT:ADDRESS,ADDRESS``: the addresses of a name, which is not looked up; the port may be ``*``."""
    dns_ttl_ns: ranges.Duration = DEFAULT_DNS_TTL_NS
    """Time for which the addresses of a name are kept; a session that is dialed later has them looked up again."""
    rotate_addresses: bool = False
    """Sessions begin with each address of a name in turn."""
    unix_socket: str | None = None
    """The path of the socket to connect to, instead of to the URL's host."""
    proxy: str | None = None
    """The URL of a proxy through which all connections go."""
    proxy_environment: ProxyEnvironment | None = None
    """Proxies that the environment named when the plan was made, if they are to be used."""
    cert: str | None = None
    """A PEM file of the client's certificate, and perhaps its key."""
    key: str | None = None
    """A PEM file of the key that belongs to it."""
    sni: str | None = None
    """The name that TLS asks for and that the certificate must have, instead of the URL's host."""
    tls_min: TlsVersion | None = None
    """Lowest TLS version that is accepted; None: the system's."""
    ciphers: str | None = None
    """OpenSSL's list of cipher suites up to TLS 1.2."""
    tls_resume: bool = False
    """Resume TLS sessions where the target lets us."""
    cookies: tuple[str, ...] = ()
    """Each ``NAME=VALUE``."""
    origin: str | None = None
    """Value of the Origin header; None: no such header."""
    user: str | None = None
    """``NAME:PASSWORD`` for Basic authentication (RFC 7617)."""
    bearer: str | None = None
    """The token of a Bearer authentication (RFC 6750)."""
    follow_redirects: bool = False
    """True: redirects are followed, 5 at most."""
    deflate: str | None = None
    """Parameters with which permessage-deflate (RFC 7692) is offered, empty for none; None: it is not offered."""

    @property
    def urls(self) -> tuple[str, ...]:
        """All URLs, in turn."""
        return (self.url, *self.extra_urls)

    @property
    def endpoint(self) -> Endpoint:
        """The first URL, taken apart."""
        return Endpoint.of(self.url)

    @property
    def secure(self) -> bool:
        """True if any connection uses TLS."""
        return any(url[:4].lower() == "wss:" for url in self.urls)

    @property
    def host(self) -> str:
        """The first URL's host, without brackets, as IDNA where it is not ASCII."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """The first URL's port."""
        return self.endpoint.port

    @property
    def authority(self) -> str:
        """Value of the Host header for the first URL."""
        return self.endpoint.authority

    @property
    def resource(self) -> str:
        """Path and query of the first URL as the request line carries them."""
        return self.endpoint.resource

    @property
    def user_info(self) -> str | None:
        """``user:password`` of the first URL, percent-decoding left to the caller."""
        return self.endpoint.user_info

    @property
    def templates(self) -> tuple[str, ...]:
        """Every text in which fields may stand."""
        texts = [*self.urls, *(value for _, value in self.headers), *self.subprotocols, *self.cookies]
        return (*texts, *(text for text in (self.origin, self.user, self.bearer) if text is not None))

    @property
    def is_templated(self) -> bool:
        """True if requests differ from connection to connection by more than the URL's turn."""
        return any(FIELD.search(text) for text in self.templates)

    @property
    def connect_addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port that connections are made to, in turn; empty for a Unix socket.

        Of hosts with fields there is no telling, so they are left out.
        """
        if self.unix_socket is not None:
            return ()
        if self.proxy is not None:
            return (proxy_address(self.proxy),)
        endpoints = [Endpoint.of(url) for url in self.urls]
        pairs = [host_and_port(address, bare_ipv6=True) for address in self.addresses] or [("", None)]
        found = []
        for host, port in pairs:
            for one in endpoints:
                proxy = self.proxy_for(one)
                way = (host or one.host, port or one.port) if proxy is None else proxy_address(proxy)
                found.append(way)
        return tuple(way for way in found if "{" not in way[0])

    def proxy_for(self, endpoint: Endpoint) -> str | None:
        """Returns the URL of the proxy through which an endpoint is reached; None for none."""
        if self.proxy_environment is None:
            return self.proxy
        return self.proxy_environment.proxy_for(endpoint.host, endpoint.port, secure=endpoint.secure)

    @property
    def proxies(self) -> tuple[str, ...]:
        """URLs of all proxies that sessions may go through."""
        named = self.proxy_environment
        found = (self.proxy,) if named is None else (named.ws, named.wss)
        return tuple(dict.fromkeys(one for one in found if one is not None))

    def secrets(self) -> frozenset[str]:
        """Every text of this target that must not be said, for a `hiding.Hider`; the values of fields apart."""
        found: set[str] = set()
        for url in (*self.urls, *self.proxies):
            found |= secrets_in_url(url)
            user_info, at, _ = urlsplit(url).netloc.rpartition("@")
            if at:
                found.add(basic_credentials(unquote_to_bytes(user_info)))
        for name, value in self.headers:
            found |= secrets_in_header(name, value)
        for cookie in self.cookies:
            found |= secret_parts(cookie.partition("=")[2])
        if self.user is not None:
            found |= secret_parts(self.user.partition(":")[2]) | {self.user, basic_credentials(self.user.encode())}
        if self.bearer is not None:
            found |= secret_parts(self.bearer)
        found |= {name for name in self.subprotocols if _is_secret_name(name)}
        return frozenset(found)

    def redacted(self) -> Target:
        """The same target with its secrets hidden.

        User info, cookies and credentials always; of headers, paths, queries and subprotocols what is named or looks
        like a token. Fields stay: they are names.
        """
        return msgspec.structs.replace(
            self,
            url=public_url(self.url),
            extra_urls=tuple(map(public_url, self.extra_urls)),
            proxy=None if self.proxy is None else public_url(self.proxy),
            proxy_environment=None if self.proxy_environment is None else self.proxy_environment.redacted(),
            subprotocols=tuple(redacted(name) if _is_secret_name(name) else name for name in self.subprotocols),
            headers=tuple(public_header(name, value) for name, value in self.headers),
            cookies=tuple(f"{name}={redacted(value)}" for name, _, value in map(_cut_cookie, self.cookies)),
            origin=None if self.origin is None else public_header("Origin", self.origin)[1],
            user=None if self.user is None else redacted(self.user),
            bearer=None if self.bearer is None else redacted(self.bearer),
        )

    def describe(self) -> list[tuple[str, str]]:
        """The target in words, secrets hidden: a label and a sentence part for each line of a plan."""
        shown = self.redacted()
        turns = ", in turn" * (len(shown.addresses) > 1)
        several = {
            "target": f"{', '.join(shown.urls)}, in turn" if shown.extra_urls else shown.url,
            "connects to": ", ".join(shown.addresses) + turns,
            "names": self._describe_names(),
            "headers": "; ".join(f"{name}: {value}" for name, value in shown.headers),
            "cookies": "; ".join(shown.cookies),
            "subprotocols": ", ".join(shown.subprotocols),
            "redirects": "followed, 5 at most" if shown.follow_redirects else "",
            "TLS": self._describe_tls() if shown.secure else "",
        }
        single = {
            "connects to": ("the Unix socket {}", shown.unix_socket),
            "proxy": ("{}", shown.describe_proxy() or None),
            "origin": ("{}", shown.origin),
            "credentials": ("Basic, {}", shown.user),
            "token": ("Bearer, {}", shown.bearer),
            "compression": ("permessage-deflate, offered{}", shown.deflate and f" with {shown.deflate}"),
        }
        lines = [(label, words) for label, words in several.items() if words]
        lines += [(label, words.format(text)) for label, (words, text) in single.items() if text is not None]
        return lines

    def describe_proxy(self) -> str:
        """Returns the proxies in words; empty for none."""
        named = self.proxy_environment
        if named is None:
            return self.proxy or ""
        if not self.proxies:
            return "none: no variable of the environment names one"
        schemes = [f"{url} for {scheme}://" for scheme, url in (("ws", named.ws), ("wss", named.wss)) if url]
        words = schemes[0].rpartition(" for ")[0] if named.ws == named.wss else ", ".join(schemes)
        excluded = f", but not for {', '.join(named.no_proxy)}" if named.no_proxy else ""
        return f"{words} (of the environment){excluded}"

    def _describe_names(self) -> str:
        words = [f"{one} (given)" for one in self.resolve]
        if self.rotate_addresses:
            words.append("all addresses of a name in turn")
        if self.dns_ttl_ns != DEFAULT_DNS_TTL_NS:
            again = f"after {format_duration(self.dns_ttl_ns)}" if self.dns_ttl_ns else "for every dial"
            words.append(f"looked up again {again}")
        return ", ".join(words)

    def _describe_tls(self) -> str:
        if self.insecure:
            words = "trusts any certificate"
        else:
            words = f"trusts authorities of {self.cacert}" if self.cacert else "trusts the system's authorities"
        if self.sni is not None:
            words += f", asks for {self.sni}"
        if self.cert is not None:
            words += f", shows the certificate of {self.cert}"
        if self.tls_min is not None:
            words += f", at least TLS {self.tls_min}"
        if self.ciphers is not None:
            words += f", ciphers {self.ciphers}"
        return words + ", resumes sessions" * self.tls_resume


def proxy_address(url: str) -> tuple[str, int]:
    """Returns the host and port of a proxy's URL."""
    parts = urlsplit(url)
    host, port = host_and_port(parts.netloc.rpartition("@")[2])
    return host, port or PROXY_PORTS[parts.scheme.lower()]


def basic_credentials(user_info: bytes) -> str:
    """``NAME:PASSWORD`` as Basic authentication carries it (RFC 7617, section 2)."""
    return b64encode(user_info if b":" in user_info else user_info + b":").decode()


def _is_secret_name(name: str) -> bool:
    """Returns True if a subprotocol is a token: APIs for browsers take it there, because they cannot set headers."""
    return len(FIELD.sub("", name)) > LONGEST_NAME or looks_like_token(name)


def is_private_subprotocol(name: str) -> bool:
    """True if a subprotocol is a token, or may be one because a field gives it."""
    return _is_secret_name(name) or FIELD.search(name) is not None


def _cut_cookie(cookie: str) -> tuple[str, str, str]:
    return cookie.partition("=")


def is_on_this_machine(target: Target) -> bool:
    """Returns True if every connection of a target surely stays on this machine; names are not looked up."""
    if target.unix_socket is not None:
        return True
    if target.proxy is not None:
        return False
    return all(map(_is_loopback, target.addresses or (target.url, *target.extra_urls)))


def _is_loopback(address: str) -> bool:
    if re.search(r"[{}]", address):
        return False
    try:
        host = Endpoint.of(address).host if "://" in address else host_and_port(address)[0]
    except ValueError:
        return False
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
