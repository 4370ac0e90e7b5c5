"""Proxies that variables of the environment name: read once, with the plan, and the same for all workers and hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import msgspec

from ws_load_test.plan.redaction import public_url

_WSS = ("wss_proxy", "https_proxy", "all_proxy")
_WS = ("ws_proxy", "http_proxy", "https_proxy", "all_proxy")
"""Variables that name the proxy of each scheme, the first that is set; in lower case they come before upper case.

RFC 6455, section 4.1, lets a proxy for HTTPS stand in for ``ws://`` as well, since both take CONNECT.
"""


class ProxyEnvironment(msgspec.Struct, frozen=True):
    """The proxies that the environment names for WebSocket URLs."""

    ws: str | None = None
    """URL of the proxy for ``ws://``."""
    wss: str | None = None
    """URL of the proxy for ``wss://``."""
    ws_variable: str = ""
    """Variable that `ws` is from."""
    wss_variable: str = ""
    """Variable that `wss` is from."""
    no_proxy: tuple[str, ...] = ()
    """Hosts that are reached without a proxy, as ``NO_PROXY`` has them."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ProxyEnvironment:
        """Returns what an environment names, in the form in which it is written."""
        ws_variable, ws = _first_set(environment, _WS)
        wss_variable, wss = _first_set(environment, _WSS)
        _, written = _first_set(environment, ("no_proxy",))
        return cls(ws, wss, ws_variable, wss_variable, tuple(filter(None, re.split(r"[\s,]+", written or ""))))

    def proxy_for(self, host: str, port: int, *, secure: bool) -> str | None:
        """Returns the URL of the proxy through which a host is reached; None for none."""
        proxy = self.wss if secure else self.ws
        if proxy is None or any(_excludes(pattern, host, port) for pattern in self.no_proxy):
            return None
        return proxy

    def redacted(self) -> ProxyEnvironment:
        """Returns the same without the user info of the proxies."""
        ws, wss = (None if url is None else public_url(url) for url in (self.ws, self.wss))
        return msgspec.structs.replace(self, ws=ws, wss=wss)

    def variable_for(self, *, secure: bool) -> str:
        """Returns the variable that names the proxy of a scheme."""
        return self.wss_variable if secure else self.ws_variable


def _first_set(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str | None]:
    for name in names:
        for variable in (name, name.upper()):
            if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                # Under CGI it is a header of the request (CVE-2016-5385).
                continue
            if environment.get(variable, "").strip():
                return variable, environment[variable].strip()
    return "", None


def _excludes(pattern: str, host: str, port: int) -> bool:
    """Returns True if one entry of ``NO_PROXY`` is for a host.

    An entry is ``*``, a name that stands for its subdomains as well, an address, or a network (10.0.0.0/8); each may
    have a port.
    """
    entry, host = pattern.lower(), host.partition("%")[0].removesuffix(".")
    if entry == "*":
        return True
    match = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*)(?::(\d+))?", entry)
    name, wanted_port = entry, None
    if match is not None:
        name, wanted_port = match[1] or match[3] or "", match[2] or match[4]
    if not name or (wanted_port is not None and int(wanted_port) != port):
        return False
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return ip_address(host) in network
    except ValueError:
        return False
