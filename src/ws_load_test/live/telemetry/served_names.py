"""Names under which the endpoint of metrics answers: those that it was given, so that no foreign page reads them.

A page in a browser can have its own name resolve to this machine (DNS rebinding) and then read what is served here,
unless the Host header of its requests, which still has that name, is looked at.
"""

from __future__ import annotations

from ipaddress import ip_address


class ServedNames:
    """Names of loopback, the name and address that are listened on, the address that was reached, and added ones."""

    def __init__(self, *names: str) -> None:
        self._names = {_normal(name) for name in names}

    def serves(self, host: str | None, reached: str) -> bool:
        """Returns True for a Host header that names this endpoint; None, none, is no browser's.

        Args:
            host: The header, with or without a port.
            reached: The local address of the connection.
        """
        if host is None:
            return True
        name = _without_port(host)
        if name is None:
            return False
        return _is_loopback(name) or name in self._names or name == _normal(reached)


def is_host_name(name: str) -> bool:
    """Returns True for what a Host header can have, without a port."""
    bare = _normal(name)
    return _is_address(bare) if ":" in bare else _without_port(name) == bare


def _without_port(host: str) -> str | None:
    """Returns the name of a Host header, of which there may be no second (RFC 9112, section 3.2); None: it is none."""
    name, _, port = host.strip().partition("]") if host.startswith("[") else host.strip().partition(":")
    if host.startswith("["):
        name, port = name[1:], port.removeprefix(":")
    if not name or not name.isascii() or not all(letter.isalnum() or letter in "-._:" for letter in name):
        return None
    return _normal(name) if not port or port.isdigit() else None


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        # RFC 6761, section 6.3: these names stand for this machine, and no DNS can have them stand for another.
        return name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _normal(name: str) -> str:
    bare = name.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return bare
    return str(getattr(address, "ipv4_mapped", None) or address)
