"""Parsers of single option values: from the text of a command line, from TOML, from Python.

Each parser raises ValueError with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ws_load_test.common.units import parse_bytes, parse_duration_ns, parse_rate_per_s
from ws_load_test.plan.schedule import Arrivals, LoadProfile, Stage

LARGEST_PAYLOAD = 1 << 30
"""Bytes that one message can have: more would not fit the memory of a worker."""
LARGEST_BIND = 65_536
"""Source addresses that a network can stand for: an IPv6 network has more than a run can use."""


def non_negative_int(value: Any) -> int:
    """Parses a whole number, 0 or more."""
    text = str(value).strip().replace("_", "").replace(",", "")
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise ValueError(f'"{value}" is not a whole number')
    return int(text)


def positive_int(value: Any) -> int:
    """Parses a whole number, 1 or more."""
    amount = non_negative_int(value)
    if amount < 1:
        raise ValueError(f"{amount} is too few; it takes at least 1")
    return amount


def duration(value: Any) -> int:
    """Parses a duration, 0 or more, into ns."""
    if isinstance(value, bool):
        raise ValueError(f'"{value}" is not a duration; write for example 10s, 500ms or 2m')  # noqa: TRY004 - collected as a problem
    return parse_duration_ns(str(value))


def positive_duration(value: Any) -> int:
    """Parses a duration above 0 into ns."""
    duration_ns = duration(value)
    if not duration_ns:
        raise ValueError("0 is too short; write for example 10s, 500ms or 2m")
    return duration_ns


def rate(value: Any) -> float:
    """Parses a rate above 0 into events per second."""
    per_s = parse_rate_per_s(str(value))
    if not per_s:
        raise ValueError("0 is no rate; write for example 500, 2k/s or 90/m")
    return per_s


def size(value: Any) -> int:
    """Parses a size of one message into bytes."""
    size_bytes = parse_bytes(str(value))
    if size_bytes > LARGEST_PAYLOAD:
        raise ValueError(f'"{value}" is larger than the 1 GiB that one message may have')
    return size_bytes


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f'"{value}" is neither true nor false')  # noqa: TRY004 - collected as a problem
    return value


def choice(*words: str) -> Callable[[Any], str]:
    """Returns a parser that accepts these words alone."""
    either = f"neither {' nor '.join(words)}" if len(words) == 2 else f"not one of {', '.join(words)}"

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(f'"{value}" is {either}')
        return str(value)

    return parse


def unchecked(value: Any) -> Any:
    """Returns the value: the code that uses it parses it, because it needs more than the value for that."""
    return value


def _kind(value: Any) -> str:
    """Returns the type of a value in the words of a plan file."""
    kinds = {
        dict: "a table",
        list: "a list",
        tuple: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")


def text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        # Not quoted: a table or a list may hold a secret.
        raise ValueError(f"{_kind(value)} is not text")  # noqa: TRY004 - collected as a problem
    return value


def strings(value: Any) -> tuple[str, ...]:
    """One text, or several."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        # Not quoted: a table or a list may hold a secret.
        raise ValueError(f"{_kind(value)} is not text")  # noqa: TRY004 - collected as a problem
    return tuple(text(one) for one in value)


def readable_file(value: Any) -> str:
    """A file that can be read."""
    path = Path(text(value))
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ValueError(f'cannot read "{path}": {error.strerror}') from None


def stages(value: Any, read_amount: Callable[[Any], float]) -> LoadProfile:
    """``30s:1000,2m:5000``: straight lines, from 0, to each amount; ``30s@1000`` steps to the amount and holds it."""
    found: list[Stage] = []
    amount = 0.0
    for point in (part.strip() for one in strings(value) for part in one.split(",")):
        length, mark, target = re.split(r"([:@])", point, maxsplit=1) if re.search("[:@]", point) else (point, "", "")
        if not mark:
            raise ValueError(f'"{point}" is not a stage; write for example 30s:1000 (a line) or 30s@1000 (a step)')
        end = read_amount(target.strip())
        found.append(Stage(positive_duration(length), end if mark == "@" else amount, end))
        amount = end
    shape = LoadProfile(tuple(found))
    if not shape.peak:
        raise ValueError("every stage is at 0, so nothing would happen")
    return shape


def rate_or_zero(value: Any) -> float:
    """A rate of messages a second; 0 holds the connections open and sends nothing."""
    return parse_rate_per_s(str(value))


def rate_stages(value: Any) -> LoadProfile:
    """The stages of a rate."""
    return stages(value, rate_or_zero)


def connection_stages(value: Any) -> LoadProfile:
    """The stages of a number of connections."""
    return stages(value, non_negative_int)


def arrivals(value: Any) -> Arrivals:
    """Parses the distribution of due times."""
    if value not in {"constant", "poisson"}:
        raise ValueError(f'"{value}" is neither constant nor poisson')
    return cast("Arrivals", value)


def addresses(value: Any) -> tuple[str, ...]:
    """Source addresses: single ones, or networks of which every host is one."""
    found: list[str] = []
    for written in (part.strip() for one in strings(value) for part in one.split(",")):
        try:
            network = ip_network(written, strict=False)
        except ValueError:
            hint = "write for example 10.0.0.5 or 10.0.0.0/28"
            raise ValueError(f'"{written}" is neither an IP address nor a network; {hint}') from None
        found.extend(str(address) for address in islice(network.hosts(), LARGEST_BIND - len(found)))
    return tuple(found)
