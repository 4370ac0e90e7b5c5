"""Builds the target of a plan from parsed option values, and checks that they fit each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.plan.options import target_values
from ws_load_test.plan.options.catalog import fields_of, names_in
from ws_load_test.plan.options.spec import Group
from ws_load_test.plan.proxy_environment import ProxyEnvironment
from ws_load_test.plan.target import Endpoint, Target

_HEADERS = {"cookie": "cookie", "origin": "origin", "user": "authorization", "bearer": "authorization"}
"""Option -> header that it sets."""


def read_target(values: Mapping[str, Any], problems: list[OptionProblem]) -> Target:
    """Returns the target that parsed values describe; adds to `problems` those that do not fit each other."""
    found = values.get("url", ())
    values = {**values, **_read_proxy(values, problems)}
    _check_tls(values, found, problems)
    _check_headers(values, found, problems)
    environment = values.get("proxy_environment")
    return Target(
        url=found[0] if found else "",
        extra_urls=found[1:],
        proxy_environment=environment,
        **fields_of(values, "target"),
    )


def _read_proxy(values: Mapping[str, Any], problems: list[OptionProblem]) -> dict[str, Any]:
    """Returns the values that stand for ``--proxy env`` and ``--proxy none``."""
    if values.get("proxy") == "none":
        return {"proxy": None}
    if values.get("proxy") != "env":
        return {}
    named = ProxyEnvironment.read(os.environ)
    checked: dict[str, str | None] = {}
    for scheme in ("ws", "wss"):
        url, variable = getattr(named, scheme), named.variable_for(secure=scheme == "wss")
        try:
            checked[scheme] = None if url is None else _proxy_url(url)
        except ValueError as error:
            problem = OptionProblem(option_name("proxy"), f"env: of {variable}, {error}")
            # The same variable can stand for both schemes.
            problems.extend([problem] if problem not in problems else ())
            checked[scheme] = None
    return {"proxy": None, "proxy_environment": msgspec.structs.replace(named, **checked)}


def _proxy_url(written: str) -> str:
    """Returns the value of a variable as a URL: without a scheme it is HTTP's, as for other programs."""
    url = written if "://" in written else f"http://{written}"
    url = re.sub(r"^socks://", "socks5h://", url, flags=re.IGNORECASE)
    return target_values.proxy_url(url, "write http://host:port")


def unused_names(target: Target) -> Iterator[str]:
    """Yields a sentence for each address of ``--resolve`` whose host and port no session looks up."""
    looked_up = {(one.host, one.port) for one in map(Endpoint.of, target.urls)} | {*target.connect_addresses}
    if target.follow_redirects or any("{" in host for host, _ in looked_up):
        # There can be more than are known.
        return
    for entry in target.resolve:
        name, port, _ = entry.split(":", 2)
        if not any(host.removesuffix(".") == name and port in {"*", str(number)} for host, number in looked_up):
            yield f"--resolve: {name}:{port} is used by no session, for none connects to that host and port"


def proxy_hint(target: Target, environment: Mapping[str, str]) -> str:
    """Returns a sentence where the environment names a proxy for the target that is not used; empty where none is.

    The same where it is to name one, and does not.
    """
    if target.proxy_environment is not None:
        return "" if target.proxies else "--proxy env: no variable of the environment names a proxy, so none is used"
    named = ProxyEnvironment.read(environment)
    for url in target.urls:
        endpoint = Endpoint.of(url)
        if named.proxy_for(endpoint.host, endpoint.port, secure=endpoint.secure) is not None:
            variable = named.variable_for(secure=endpoint.secure)
            return f"{variable} is set, and not used: --proxy env uses it, --proxy none connects without a word"
    return ""


def _check_tls(values: Mapping[str, Any], found: tuple[str, ...], problems: list[OptionProblem]) -> None:
    # A redirect may lead from ws:// to wss://.
    named = values.get("proxy_environment") or ProxyEnvironment()
    ways = (*found, *(one for one in (values.get("proxy"), named.ws, named.wss) if one))
    has_tls = any(one.lower().startswith(("wss:", "https:")) for one in ways)
    if found and not values.get("follow_redirects") and not has_tls:
        problems.extend(
            OptionProblem(option_name(name), "has no meaning for ws://, which has no TLS; did you mean wss://?")
            for name in names_in(Group.TLS)
            if values.get(name)
        )
    if values.get("ciphers") and values.get("tls_min") == "1.3":
        problems.append(
            OptionProblem("--ciphers", "has no meaning with --tls-min 1.3; it names the ciphers of TLS 1.2")
        )


def _check_headers(values: Mapping[str, Any], found: tuple[str, ...], problems: list[OptionProblem]) -> None:
    """Finds options that would set a header which is given already."""
    given = {name.lower() for name, _ in values.get("header", ())}
    for option, header in _HEADERS.items():
        if values.get(option) and header in given:
            text = f"cannot stand beside --header {header.title()}: both set the same header"
            problems.append(OptionProblem(option_name(option), text))
        if values.get(option) and header == "authorization" and any("@" in urlsplit(one).netloc for one in found):
            text = "cannot stand beside the user in the URL: a request has one Authorization header"
            problems.append(OptionProblem(option_name(option), text))
    if "cookie" in values:
        names = [cookie.partition("=")[0] for cookie in values["cookie"]]
        twice = sorted({name for name in names if names.count(name) > 1})
        problems.extend(OptionProblem("--cookie", f"{name} is given twice") for name in twice)
