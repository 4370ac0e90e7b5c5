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

from ws_load_test.common.errors import cause_of
from ws_load_test.common.units import (
    LONGEST_NS,
    parse_bytes,
    parse_duration_ns,
    parse_percent,
    parse_rate_per_s,
    parse_whole,
    quoted,
    quoted_path,
)
from ws_load_test.plan.ranges import (
    LARGEST_CONNECTIONS,
    LARGEST_COUNT,
    LARGEST_IN_FLIGHT,
    LARGEST_PAYLOAD,
    LARGEST_PORT,
    LARGEST_RATE_PER_S,
    LARGEST_SEED,
    LARGEST_WORKERS,
    MOST_ROUNDS,
    MOST_STAGES,
)
from ws_load_test.plan.schedule import Arrivals, LoadProfile, Stage

SMALLEST_LIMIT = 125
"""Bytes that any message may have, so that a limit need not be looked at for the shortest frames; control frames have
as many (RFC 6455, section 5.5)."""
LONGEST_NAME = 80
"""Letters of the name of a run: those of one line of a report."""
LARGEST_BIND = 65_536
"""Source addresses that a network can stand for: an IPv6 network has more than a run can use."""


def written(value: Any, noun: str) -> str:
    """Returns a number or its text as text, to be read as a `noun`."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        # Not quoted: a table or a list may hold a secret.
        shown = quoted(value) if isinstance(value, bool) else kind_of(value)
        raise ValueError(f"{shown} is not a {noun}")  # noqa: TRY004 - collected as a problem
    return str(value)


def whole_number(lowest: int, highest: int, why: str = "") -> Callable[[Any], int]:
    """Returns a parser of whole numbers within bounds, which may say `why` there is the upper one."""
    reason = f": {why}" if why else ""

    def parse(value: Any) -> int:
        amount = parse_whole(written(value, "whole number"))
        if amount < lowest:
            raise ValueError(f"{amount} is too few; it takes at least {lowest}")
        if amount > highest:
            raise ValueError(f"{quoted(amount)} is too many; it takes at most {highest:_}{reason}")
        return amount

    return parse


non_negative_int = whole_number(0, LARGEST_COUNT)
"""Parses a whole number, 0 or more."""
positive_int = whole_number(1, LARGEST_COUNT)
"""Parses a whole number, 1 or more."""
connections = whole_number(1, LARGEST_CONNECTIONS, "no host has room for more")
"""Parses a number of connections."""
connections_or_none = whole_number(0, LARGEST_CONNECTIONS, "no host has room for more")
"""Parses a number of connections, or 0."""
in_flight = whole_number(1, LARGEST_IN_FLIGHT, "a worker encodes as many ahead")
"""Parses a number of messages in flight on each connection."""
workers = whole_number(1, LARGEST_WORKERS)
"""Parses a number of worker processes, or of hosts."""
rounds = whole_number(1, MOST_ROUNDS)
"""Parses a number of rounds of a comparison."""
seed = whole_number(0, LARGEST_SEED)
"""Parses the seed of random numbers."""


def port(value: Any) -> int:
    """Parses the port to listen on; 0 is any that is free."""
    number = parse_whole(written(value, "port; write for example 9464"))
    if number > LARGEST_PORT:
        raise ValueError(f"{number} is no port; write one up to {LARGEST_PORT}, or 0 for any that is free")
    return number


def duration(value: Any) -> int:
    """Parses a duration, 0 or more, into ns."""
    return parse_duration_ns(written(value, "duration; write for example 10s, 500ms or 2m"))


def positive_duration(value: Any) -> int:
    """Parses a duration above 0 into ns."""
    duration_ns = duration(value)
    if not duration_ns:
        raise ValueError("0 is too short; write for example 10s, 500ms or 2m")
    return duration_ns


def rate_or_zero(value: Any) -> float:
    """Parses a rate into events per second; of messages, 0 holds the connections open and sends nothing."""
    per_s = parse_rate_per_s(written(value, "rate; write for example 500, 2k/s or 90/m"))
    check_rate(per_s, quoted(value))
    return per_s


def check_rate(per_s: float, shown: str) -> None:
    """Refuses a rate that no load generator has.

    Raises:
        ValueError: `shown`, the rate as it was written, is more.
    """
    if per_s > LARGEST_RATE_PER_S:
        raise ValueError(f"{shown} is more than {LARGEST_RATE_PER_S:_} a second, which is more than can be sent")


def rate(value: Any) -> float:
    """Parses a rate above 0 into events per second."""
    per_s = rate_or_zero(value)
    if not per_s:
        raise ValueError("0 is no rate; write for example 500, 2k/s or 90/m")
    return per_s


def percent(value: Any) -> float:
    """Parses a percentage into a share of 1."""
    return parse_percent(written(value, "share; write for example 5%"))


def size(value: Any) -> int:
    """Parses a size of one message into bytes."""
    size_bytes = parse_bytes(written(value, "size; write for example 512, 64kB or 1MiB"))
    if size_bytes > LARGEST_PAYLOAD:
        raise ValueError(f"{quoted(value)} is larger than the 1 GiB that one message may have")
    return size_bytes


def message_limit(value: Any) -> int:
    """Parses the size of the largest message to take, into bytes."""
    limit_bytes = size(value)
    if limit_bytes < SMALLEST_LIMIT:
        raise ValueError(f"{quoted(value)} is too small; it takes at least {SMALLEST_LIMIT} bytes")
    return limit_bytes


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{quoted(value)} is neither true nor false")  # noqa: TRY004 - collected as a problem
    return value


def choice(*words: str) -> Callable[[Any], str]:
    """Returns a parser that accepts these words alone."""
    either = f"neither {' nor '.join(words)}" if len(words) == 2 else f"not one of {', '.join(words)}"

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{quoted(value)} is {either}")
        return str(value)

    return parse


def unchecked(value: Any) -> Any:
    """Returns the value: the code that uses it parses it, because it needs more than the value for that."""
    return value


def kind_of(value: Any) -> str:
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
        raise ValueError(f"{kind_of(value)} is not text")  # noqa: TRY004 - collected as a problem
    return value


def run_name(value: Any) -> str:
    """Parses the name of a run, one line that reports show."""
    name = " ".join(text(value).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"a name has 1 to {LONGEST_NAME} letters, digits and signs, and no control characters")
    return name


def strings(value: Any) -> tuple[str, ...]:
    """One text, or several."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        # Not quoted: a table or a list may hold a secret.
        raise ValueError(f"{kind_of(value)} is not text")  # noqa: TRY004 - collected as a problem
    return tuple(text(one) for one in value)


def readable_file(value: Any) -> str:
    """A file that can be read."""
    path = Path(text(value))
    try:
        with path.open("rb"):
            return str(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {quoted_path(path)}: {cause_of(error)}") from None


def output_file(value: Any) -> str:
    """A file or a directory to write recordings to."""
    path = text(value)
    if not path or "\0" in path:
        raise ValueError("names no file; write for example run.jsonl")
    if path == "-":
        raise ValueError("a recording goes to a file; --json prints the summary on standard output")
    if path.startswith("-"):
        # Not repeated: it may be an option with a secret in it.
        raise ValueError("is followed by what looks like an option; begin a file of such a name with ./")
    return path


def stages(value: Any, read_amount: Callable[[Any], float]) -> LoadProfile:
    """``30s:1000,2m:5000``: straight lines, from 0, to each amount; ``30s@1000`` steps to the amount and holds it."""
    found: list[Stage] = []
    amount = 0.0
    for point in (part.strip() for one in strings(value) for part in one.split(",")):
        length, mark, target = re.split(r"([:@])", point, maxsplit=1) if re.search("[:@]", point) else (point, "", "")
        if not mark:
            comma = ", and a point where there is a decimal comma" if found and point[:1].isdigit() else ""
            raise ValueError(
                f"{quoted(point)} is not a stage; write for example 30s:1000 (a line) or 30s@1000 (a step){comma}"
            )
        end = read_amount(target.strip())
        found.append(Stage(positive_duration(length), end if mark == "@" else amount, end))
        amount = end
    shape = LoadProfile(tuple(found))
    if len(found) > MOST_STAGES:
        raise ValueError(f"{len(found)} stages are too many; it takes at most {MOST_STAGES}")
    if shape.duration_ns > LONGEST_NS:
        raise ValueError("the stages take longer than a year")
    if not shape.peak:
        raise ValueError("every stage is at 0, so nothing would happen")
    return shape


def rate_stages(value: Any) -> LoadProfile:
    """The stages of a rate."""
    return stages(value, rate_or_zero)


def connection_stages(value: Any) -> LoadProfile:
    """The stages of a number of connections."""
    return stages(value, connections_or_none)


def arrivals(value: Any) -> Arrivals:
    """Parses the distribution of due times."""
    if value not in {"constant", "poisson"}:
        raise ValueError(f"{quoted(value)} is neither constant nor poisson")
    return cast("Arrivals", value)


def addresses(value: Any) -> tuple[str, ...]:
    """Source addresses: single ones, or networks of which every host is one."""
    found: list[str] = []
    for address in (part.strip() for one in strings(value) for part in one.split(",")):
        try:
            network = ip_network(address, strict=False)
        except ValueError:
            hint = "write for example 10.0.0.5 or 10.0.0.0/28"
            raise ValueError(f"{quoted(address)} is neither an IP address nor a network; {hint}") from None
        found.extend(str(one) for one in islice(network.hosts(), LARGEST_BIND - len(found)))
    return tuple(found)
