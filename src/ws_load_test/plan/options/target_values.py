"""Values of the options that say what to connect to, with which credentials and which trust.

Each parser raises ValueError with what to write instead, and never quotes a value that can hold a secret.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ws_load_test.common.text_files import read_text
from ws_load_test.common.units import quoted_path
from ws_load_test.messages.fields import FIELD
from ws_load_test.plan import values as option_values
from ws_load_test.plan.host_names import HostNameError, host_and_port, normalize_host
from ws_load_test.plan.redaction import looks_like_token
from ws_load_test.plan.target import (
    DEFAULT_PORTS,
    PROXY_PORTS,
    Endpoint,
    TlsVersion,
    render_url,
)
from ws_load_test.plan.upgrade_headers import (
    NOT_TO_SET,
    SINGLE,
    TOKEN,
    bearer_problem,
    cookie_problem,
    value_problem,
)
from ws_load_test.websocket.deflate_negotiation import DEFAULT_OFFER, DeflateError, DeflateParams

LONGEST_TOKEN = 1 << 20
"""Bytes of a file with a token: no server takes a header of that size."""
LONGEST_UNIX_PATH = 107
"""Bytes that Linux has room for (unix(7)); others have less."""


def urls(value: Any) -> tuple[str, ...]:
    """One WebSocket URL (RFC 6455, section 3), or several; hosts, paths and queries may hold fields."""
    found = tuple(url(one) for one in option_values.strings(value))
    if not found:
        raise ValueError("missing; say what to test, for example ws://localhost:3001")
    return found


def url(value: Any) -> str:
    """Parses a WebSocket URL; errors do not quote its secrets."""
    written = option_values.text(value).strip()
    hint = "write ws://host:port/path or wss://…"
    if any(character.isspace() or not character.isprintable() for character in written):
        raise ValueError(f"a URL holds no spaces or control characters; {hint}")
    # What the fields of a port give is a number, and of a host letters, as far as can be checked here.
    sample = render_url(re.sub(rf"(?<=:){FIELD.pattern}(?=[/?#]|$)", "1", written), _sample)
    scheme, separator, _ = sample.partition("://")
    if not separator or scheme.lower() not in DEFAULT_PORTS:
        # Not quoted but for its scheme: anything else may be a secret, or hold one.
        known = separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,15}", scheme)
        wrong = f'"{scheme}://"' if known else "an address without ws:// or wss://"
        raise ValueError(f"{wrong} is not a WebSocket URL; {_corrected(written) or hint}")
    if "#" in sample:
        raise ValueError("a WebSocket URL has no fragment (RFC 6455, section 3); write %23 for a #")
    try:
        endpoint = Endpoint.of(sample)
    except HostNameError as error:
        raise ValueError(f"not a URL: {error}; {hint}") from None
    except ValueError:
        # The error's text may quote the URL's password.
        raise ValueError(f"not a URL: its host is malformed; {hint}") from None
    if not endpoint.host:
        raise ValueError(f"the URL names no host; {hint}")
    if re.search(r"[{}]", endpoint.host):
        raise ValueError(f"not a URL: its host has braces around what is no field; {hint}")
    return written


_PLAIN_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>localhost|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]|(?:[a-z0-9-]{1,24}\.){1,4}[a-z]{2,12})"
    r"(?P<port>:\d{1,5})?(?P<path>/.*)?",
    re.ASCII,
)
"""Address whose host and port are no secret: no user, and a name in small letters, which tokens are not."""


def _corrected(written: str) -> str:
    """Returns a hint with the WebSocket URL that an address is meant as, without its path, which may hold a secret."""
    if written.endswith(".toml"):
        return "a plan file is read with --plan FILE.toml"
    found = _PLAIN_ADDRESS.fullmatch(written)
    if found is None:
        return ""
    scheme = "wss" if found["scheme"] == "https" or found["port"] == ":443" else "ws"
    return f"write {scheme}://{found['host']}{found['port'] or ''}{'/…' if (found['path'] or '/') != '/' else ''}"


def _sample(field: str) -> str:
    return "x" if FIELD.fullmatch(field) else field


def headers(value: Any) -> tuple[tuple[str, str], ...]:
    """Headers, as lines or as a table; their values may hold fields."""
    if isinstance(value, Mapping):
        pairs = [(str(name).strip(), _header_text(text)) for name, text in value.items()]
    else:
        pairs = []
        for line in option_values.strings(value):
            name, colon, text = line.partition(":")
            if not colon:
                raise ValueError('a header without a colon; write for example "Authorization: Bearer …"')
            pairs.append((name.strip(), text.strip()))
    seen: set[str] = set()
    for name, text in pairs:
        if not TOKEN.fullmatch(name):
            # Not quoted: where the colon is in the wrong place, what stands before it may be a secret.
            raise ValueError('what stands before the colon is no header; write for example "Authorization: Bearer …"')
        if name.lower() in NOT_TO_SET:
            raise ValueError(f"{name} {NOT_TO_SET[name.lower()]}")
        problem = value_problem(_sampled(text), name)
        if problem is not None:
            raise ValueError(f"the value of {name} {problem}")
        if name.lower() in SINGLE and name.lower() in seen:
            raise ValueError(f"{name} is given twice, and a request has one{SINGLE[name.lower()]}")
        seen.add(name.lower())
    return tuple(pairs)


def _header_text(value: Any) -> str:
    """Returns a header's value from a table; numbers are written out."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return option_values.text(value).strip()


def _sampled(text: str) -> str:
    """Returns a text whose fields are filled: the names of fields, as of columns in other scripts, do not travel."""
    return FIELD.sub("1", text)


def header_value(value: Any) -> str:
    """Text that a header can carry."""
    written = option_values.text(value).strip()
    problem = value_problem(_sampled(written)) if written else "is empty"
    if problem is not None:
        raise ValueError(f"it {problem}")
    return written


def subprotocols(value: Any) -> tuple[str, ...]:
    """Names of subprotocols, one or several in a text."""
    names = tuple(name.strip() for text in option_values.strings(value) for name in text.split(","))
    for name in names:
        if not TOKEN.fullmatch(_sampled(name)):
            shown = "what is given" if looks_like_token(name) or re.search(r"[\s:=]", name) else f'"{name}"'
            raise ValueError(f"{shown} is not the name of a subprotocol")
    if len(set(names)) != len(names):
        raise ValueError("a subprotocol is named twice (RFC 6455, section 4.1 wants them distinct)")
    return names


def cookies(value: Any) -> tuple[str, ...]:
    """Parses ``NAME=VALUE``, one or several; errors quote nothing, since the mistake can be the secret."""
    found = tuple(one.strip() for one in option_values.strings(value))
    for cookie in found:
        name, equals, text = cookie.partition("=")
        if not equals or not TOKEN.fullmatch(name):
            raise ValueError("a cookie is written NAME=VALUE; give --cookie once for each")
        problem = cookie_problem(_sampled(text))
        if problem is not None:
            raise ValueError(f"the value of {name} {problem}; encode it")
    return found


def addresses(value: Any) -> tuple[str, ...]:
    """``HOST`` or ``HOST:PORT`` to connect to, one or several."""
    found = tuple(part.strip() for one in option_values.strings(value) for part in one.split(","))
    for address in found:
        try:
            host, _ = host_and_port(address, bare_ipv6=True)
        except HostNameError as error:
            shown = address.rpartition("@")[2]
            raise ValueError(f'"{shown}" is not an address: {error}; write HOST, HOST:PORT or [::1]:PORT') from None
        if not host or re.search(r"[\s/@?#{}\[\]]", host):
            shown = address.rpartition("@")[2]
            raise ValueError(f'"{shown}" is not an address; write HOST, HOST:PORT or [::1]:PORT')
    return found


def resolve(value: Any) -> tuple[str, ...]:
    """Parses ``HOST:PORT:ADDRESS[,ADDRESS]``, one or several; the port may be ``*``."""
    return tuple(_resolve(one.strip()) for one in option_values.strings(value))


def _resolve(written: str) -> str:
    hint = "write HOST:PORT:ADDRESS[,ADDRESS], for example service.example:443:10.0.0.1,[::1]"
    host, port, listed = (*written.split(":", 2), "", "")[:3]
    if host and port and not listed:
        raise ValueError(f'"{written}" names no address; {hint}')
    try:
        name, _ = host_and_port(host if port == "*" else f"{host}:{port}")
    except HostNameError as error:
        raise ValueError(f'"{written}": {error}; {hint}') from None
    addresses = [part.strip().removeprefix("[").removesuffix("]") for part in listed.split(",")]
    for address in addresses:
        try:
            ip_address(address)
        except ValueError:
            raise ValueError(f'"{written}": "{address}" is not an IP address; {hint}') from None
    if not name or not port or "{" in name or name.startswith("["):
        raise ValueError(f'"{written}" names no host and port; {hint}')
    return f"{name.removesuffix('.')}:{port if port == '*' else int(port)}:{','.join(addresses)}"


def unix_socket(value: Any) -> str:
    """The path of a Unix socket."""
    path = option_values.text(value)
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("Python has no Unix sockets on this system")
    if not path or "\0" in path:
        raise ValueError("write the path of the socket")
    if len(path.encode(errors="surrogateescape")) > LONGEST_UNIX_PATH:
        raise ValueError(f"its path is longer than the {LONGEST_UNIX_PATH} bytes that a Unix socket's may have")
    return path


def proxy(value: Any) -> str:
    """Parses the URL of a proxy, ``env`` or ``none``; errors do not quote its password."""
    written = option_values.text(value).strip()
    if written in {"env", "none"}:
        return written
    return proxy_url(written, "write http://host:port, https://…, socks5://…, socks5h://…, socks4://…, env or none")


def proxy_url(written: str, hint: str) -> str:
    """Returns the URL of a proxy, checked.

    Raises:
        ValueError: It cannot be used; the text quotes nothing of it, and ends with the hint.
    """
    scheme, separator, _ = written.partition("://")
    if not separator or scheme.lower() not in PROXY_PORTS:
        raise ValueError(f"it is not the URL of a proxy that we can use; {hint}")
    try:
        parts = urlsplit(written)
        user_info, _, rest = parts.netloc.rpartition("@")
        host, _ = host_and_port(rest)
    except HostNameError as error:
        raise ValueError(f"not the URL of a proxy: {error}; {hint}") from None
    except ValueError:
        raise ValueError(f"its host or its port is malformed; {hint}") from None
    if not host or not written.isprintable() or re.search(r"\s", written):
        raise ValueError(f"it names no host, or holds spaces; {hint}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"a proxy's URL ends with its port; {hint}")
    if scheme.lower().startswith("socks"):
        user, colon, password = user_info.partition(":")
        if not unquote(user_info).isascii() or len(unquote(user)) > 255 or len(unquote(password)) > 255:
            raise ValueError("SOCKS takes a user and a password of at most 255 ASCII characters each (RFC 1929)")
        if user and not colon and scheme.lower().startswith("socks5"):
            raise ValueError("SOCKS 5 wants a user and a password (RFC 1929); write socks5://user:password@host:port")
    return written


def sni(value: Any) -> str:
    """The name of a server."""
    name = option_values.text(value).strip()
    try:
        ascii_name = normalize_host(name).removesuffix(".")
    except HostNameError as error:
        raise ValueError(f'"{name}" is not the name of a server: {error}') from None
    if not ascii_name:
        raise ValueError("it is empty; write the name of a server")
    return ascii_name


def tls_version(value: Any) -> TlsVersion:
    """A version of TLS, as text or as a number."""
    if str(value) not in {"1.2", "1.3"} or isinstance(value, bool):
        raise ValueError(f'"{value}" is neither 1.2 nor 1.3')
    return cast("TlsVersion", str(value))


def ciphers(value: Any) -> str:
    """A list of cipher suites as OpenSSL writes it."""
    import ssl  # noqa: PLC0415 - most runs name no ciphers

    written = option_values.text(value).strip()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(written)
    except (ssl.SSLError, ValueError):
        raise ValueError(f'OpenSSL knows no cipher of "{written}"; `openssl ciphers` lists them') from None
    return written


def user(value: Any) -> str:
    """``NAME:PASSWORD`` (RFC 7617)."""
    written = option_values.text(value)
    if ":" not in FIELD.sub("x", written):
        raise ValueError("write NAME:PASSWORD; of the two, the password may be empty")
    if not FIELD.sub("x", written).isprintable():
        raise ValueError("it holds control characters (RFC 7617, section 2)")
    return written


def bearer(value: Any) -> str:
    """Parses a token, or ``@FILE`` that holds one; errors quote nothing of it."""
    written = option_values.text(value).strip()
    if written.startswith("@"):
        path = option_values.readable_file(written[1:])
        try:
            written = read_text(path, LONGEST_TOKEN).strip()
        except ValueError as error:
            raise ValueError(f"{quoted_path(path)} holds no token: {error}") from None
        if not written:
            raise ValueError(f"{quoted_path(path)} is empty")
    written = written.removeprefix("Bearer ").strip()
    if bearer_problem(_sampled(written)) is not None:
        raise ValueError("a token has no spaces, and no characters that a header cannot carry (RFC 6750)")
    return written


def deflate(value: Any) -> str:
    """``on``, or the parameters of an offer of permessage-deflate (RFC 7692)."""
    if value is True:
        return DEFAULT_OFFER
    written = option_values.text(value).strip().rstrip(";").rstrip()
    if written.lower() == "on":
        return DEFAULT_OFFER
    try:
        DeflateParams.from_offer(written)
    except DeflateError as error:
        hint = "write on, or parameters such as client_max_window_bits=10; server_no_context_takeover"
        raise ValueError(f"it has {error}; {hint}") from None
    return written
