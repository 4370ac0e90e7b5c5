"""Hosts as URLs and options write them: names, internationalized names, addresses in numbers, zones, ports."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes

from ws_load_test.messages.fields import FIELD

LONGEST_NAME, LONGEST_LABEL = 253, 63
"""Characters of a name and of each of its labels, at most (RFC 1035, section 2.3.4; the name without its last dot)."""
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|(?:\{[^{}]*\}|[^:{}\[\]])*)(?::(?P<port>.*))?")
_SEVERAL_COLONS = re.compile(r"[^:{}\[\]]*:[^:{}\[\]]*:[^{}\[\]]*")
_PORT = re.compile(r"[0-9]{1,5}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class HostNameError(ValueError):
    """A host or a port is wrong. The text is part of a sentence, and quotes nothing that could be a secret."""


def host_and_port(text: str, *, bare_ipv6: bool = False) -> tuple[str, int | None]:
    """``HOST``, ``HOST:PORT`` and ``[::1]:PORT`` taken apart, the host in its one form; None: no port is written.

    A port that is a field stands for None until it is filled.

    Args:
        text: What stands between ``@`` and ``/`` in a URL.
        bare_ipv6: Take an IPv6 address without brackets, if its last group can be no port.

    Raises:
        HostNameError: The port is no number from 1 to 65535, or the host cannot be one.
    """
    match = _HOST_AND_PORT.fullmatch(text)
    if match is not None and match["host"] and not _SEVERAL_COLONS.fullmatch(text):
        host, port = match["host"], match["port"]
    elif _SEVERAL_COLONS.fullmatch(text):
        return _bare_ipv6(text, allowed=bare_ipv6), None
    elif match is not None and not match["host"]:
        host, port = "", match["port"]
    else:
        raise HostNameError("its host is malformed")
    if host.startswith("["):
        host = _ipv6(host[1:-1])
    elif not re.search(r"[{}]", host):
        host = normalize_host(host)
    if not port or FIELD.fullmatch(port):
        return host, None
    if not (_PORT.fullmatch(port) and 0 < int(port) < 1 << 16):
        raise HostNameError("its port is not a number from 1 to 65535")
    return host, int(port)


def normalize_host(text: str) -> str:
    """Returns the one form of a host that is no IPv6 address: ASCII in lower case, IPv4 as four numbers.

    Names in other scripts become what IDNA 2008 makes of them (RFC 5891), mapped by UTS #46 as browsers do it, without
    its transitional rules: ``ß`` stays a letter of its own. Percent-encoding is taken off (RFC 3986, section 3.2.2). A
    last dot stays: it marks the name as whole, so that no search domain is added to it.

    Raises:
        HostNameError: It cannot be a host.
    """
    host = text
    if "%" in host:
        if re.search(r"%(?![0-9A-Fa-f]{2})", host):
            raise HostNameError("its host has a % that begins no percent-encoding")
        try:
            host = unquote_to_bytes(host).decode()
        except UnicodeDecodeError:
            raise HostNameError("its host is percent-encoded, and not in UTF-8") from None
    host = host.lower() if host.isascii() else _to_ascii(host)
    if not host:
        return host
    if not re.fullmatch(r"[a-z0-9._~-]+", host):
        raise HostNameError("its host holds a character that no host has")
    bare = host.removesuffix(".")
    labels = bare.split(".")
    if not all(labels):
        raise HostNameError("its host has two dots in a row, or begins with one")
    if len(bare) > LONGEST_NAME or any(len(label) > LONGEST_LABEL for label in labels):
        raise HostNameError(f"its host is longer than {LONGEST_NAME} characters, or a part of it than {LONGEST_LABEL}")
    if all(_NUMBER.fullmatch(label) for label in labels):
        try:
            return socket.inet_ntoa(socket.inet_aton(bare))
        except OSError:
            raise HostNameError("its host is a number, and no IPv4 address") from None
    return host


def _to_ascii(host: str) -> str:
    import idna  # noqa: PLC0415 - its tables take milliseconds, and few hosts need them

    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in mapped.split("."))
    except UnicodeError:
        raise HostNameError("its host is no internationalized name (IDNA 2008)") from None


def _ipv6(text: str) -> str:
    """Returns an IPv6 address that stood in brackets; its zone behind ``%``, which URLs write ``%25`` (RFC 6874)."""
    address, percent, zone = text.partition("%")
    if zone.startswith("25") and len(zone) > 2:
        zone = zone[2:]
    try:
        parsed = IPv6Address(address)
    except ValueError:
        raise HostNameError("what stands in its brackets is no IPv6 address") from None
    if not percent:
        return address.lower()
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
        raise HostNameError("the zone of its IPv6 address is not the name or number of an interface")
    if not parsed.is_link_local:
        raise HostNameError("its IPv6 address has a zone (%), which only link-local ones have (fe80::1%eth0)")
    return f"{address.lower()}%{zone}"


def _bare_ipv6(text: str, *, allowed: bool) -> str:
    """Returns an IPv6 address without brackets."""
    beginning, _, end = text.rpartition(":")
    whole, first = _is_ipv6(text), _is_ipv6(beginning) and (not end or _PORT.fullmatch(end) is not None)
    if not whole and not first:
        raise HostNameError("its host is malformed, or its port is not a number from 1 to 65535")
    if whole and not first and allowed:
        return _ipv6(text)
    ways = [f"[{beginning}]:{end}"] * first + [f"[{text}]"] * whole
    raise HostNameError(f"an IPv6 address stands in brackets: {' or '.join(ways)}")


def in_brackets(value: str) -> str:
    """Returns a value for a host with brackets around it, if it is an IPv6 address that has none: a feed's column."""
    try:
        return f"[{_bare_ipv6(value, allowed=True)}]" if _SEVERAL_COLONS.fullmatch(value) else value
    except HostNameError:
        # What it is part of says what is wrong.
        return value


def _is_ipv6(text: str) -> bool:
    address, percent, zone = text.partition("%")
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return not percent or re.fullmatch(r"[A-Za-z0-9._~-]+", zone) is not None
