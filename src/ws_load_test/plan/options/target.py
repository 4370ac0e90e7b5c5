"""Builds the target of a plan from parsed option values, and checks that they fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.plan.options.catalog import fields_of, names_in
from ws_load_test.plan.options.spec import Group
from ws_load_test.plan.target import Target

_HEADERS = {"cookie": "cookie", "origin": "origin", "user": "authorization", "bearer": "authorization"}
"""Option -> header that it sets."""


def read_target(values: Mapping[str, Any], problems: list[OptionProblem]) -> Target:
    """Returns the target that parsed values describe; adds to `problems` those that do not fit each other."""
    found = values.get("url", ())
    _check_tls(values, found, problems)
    _check_headers(values, found, problems)
    return Target(url=found[0] if found else "", extra_urls=found[1:], **fields_of(values, "target"))


def _check_tls(values: Mapping[str, Any], found: tuple[str, ...], problems: list[OptionProblem]) -> None:
    # A redirect may lead from ws:// to wss://.
    if found and not values.get("follow_redirects") and not any(one[:4].lower() == "wss:" for one in found):
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
