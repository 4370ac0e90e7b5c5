"""Values of the keys of roles, steps, reactions and timers.

Each parser raises ValueError with what to write instead, and never quotes a message that is sent.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ws_load_test.common.units import quoted
from ws_load_test.messages.named_values import CAPTURE_NAME
from ws_load_test.plan import values as option_values
from ws_load_test.plan.correlation import Check, parse_check, parse_number_place
from ws_load_test.plan.scenario.model import LARGEST_ITERATIONS, Capture
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.plan.values import kind_of

WAIT_FORMS = "write for example 2s, 1s..5s, exp:3s, normal:3s,1s or lognormal:8s,0.6"
LARGEST_SHARE = 10**9
"""Share of the connections: all are relative, so that a larger one is one with a unit."""
LARGEST_SIGMA = 10.0
"""Sigma of a lognormal time: at 10, one in a thousand is beyond 10^13 times the median."""
LONGEST_NAME = 60
"""Characters of a name: those of a row of a report."""
NOT_SENT = {
    1004: "is reserved",
    1005: "stands for a close frame without a code, and is never sent",
    1006: "stands for a connection that was lost, and is never sent",
    1015: "stands for a failure of TLS, and is never sent",
}
"""Close codes that no endpoint sends (RFC 6455, section 7.4.1)."""
_NAME = re.compile(r"[^\W_](?:[\w:+() -]*[\w:+()])?")
_ROLE_NAME = re.compile(r"[A-Za-z_][\w-]*")
_PYTHON = re.compile(r"(?P<file>[^\0:]+\.py):(?P<name>[^\W\d]\w*)")
iterations_count = option_values.whole_number(1, LARGEST_ITERATIONS)


def wait_time(value: Any) -> WaitTime:
    """Parses a wait: fixed, uniform or drawn from a distribution."""
    written = option_values.written(value, f"time; {WAIT_FORMS}").strip()
    shape, colon, parameters = written.partition(":")
    low, dots, high = written.partition("..")
    try:
        if colon:
            return _drawn(shape.strip().lower(), [one.strip() for one in parameters.split(",")])
        if not dots:
            return WaitTime("fixed", option_values.duration(written))
        shortest, longest = option_values.duration(low), option_values.duration(high)
    except ValueError:
        raise ValueError(f"{quoted(value)} is no time to wait; {WAIT_FORMS}") from None
    if shortest > longest:
        raise ValueError(f"{quoted(value)}: the shorter time comes first; write {high.strip()}..{low.strip()}")
    return WaitTime("uniform", shortest, longest)


def _drawn(shape: str, parameters: list[str]) -> WaitTime:
    if shape in {"exp", "exponential"} and len(parameters) == 1:
        return WaitTime("exp", option_values.positive_duration(parameters[0]))
    if shape == "normal" and len(parameters) == 2:
        mean, deviation = map(option_values.duration, parameters)
        return WaitTime("normal", mean, deviation_ns=deviation)
    if shape == "lognormal" and len(parameters) == 2:
        sigma = float(parameters[1])
        if 0 <= sigma <= LARGEST_SIGMA:
            return WaitTime("lognormal", option_values.positive_duration(parameters[0]), sigma=sigma)
    raise ValueError


def stay(value: Any) -> WaitTime:
    """Parses the time that a session stays, which is not always 0."""
    found = wait_time(value)
    if not (found.ns or found.longest_ns or found.deviation_ns):
        raise ValueError("0 is too short; write for example 5m or exp:10m")
    return found


def iterations(value: Any) -> tuple[int, int]:
    """Parses how often a session goes through its steps: ``3``, or ``2..6`` drawn for each session."""
    written = option_values.written(value, "number of iterations; write for example 3 or 2..6").strip()
    low, dots, high = written.partition("..")
    try:
        fewest, most = iterations_count(low), iterations_count(high if dots else low)
    except ValueError:
        text = f"{quoted(value)} is no number of iterations; write a whole number from 1, or a range such as 2..6"
        raise ValueError(text) from None
    if fewest > most:
        raise ValueError(f"{quoted(value)}: the smaller number comes first; write {high.strip()}..{low.strip()}")
    return fewest, most


def positive_number(value: Any) -> float:
    """Parses a share or a weight: a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"takes a number above 0, not {kind_of(value)}")  # noqa: TRY004 - collected as a problem
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a number; write for example 9 or 0.5") from None
    except OverflowError:
        number = math.inf
    if not 0 < number <= LARGEST_SHARE:
        raise ValueError(f"{quoted(value)} is out of range; it takes a number above 0, at most {LARGEST_SHARE:_}")
    return number


def name(value: Any) -> str:
    """Parses a name, under which something is counted and which conditions can have."""
    written = option_values.text(value).strip()
    if len(written) > LONGEST_NAME or not _NAME.fullmatch(written):
        text = f"{quoted(written)} is no name: one has letters, digits, spaces and -_:+(), at most {LONGEST_NAME}"
        raise ValueError(f"{text}, and begins with a letter or a digit")
    return written


def role_name(written: str) -> str:
    """Returns the name of a role. Raises ValueError if it is none."""
    if len(written) > LONGEST_NAME or not _ROLE_NAME.fullmatch(written):
        raise ValueError(f"{quoted(written)} is no name of a role: one has letters, digits, - and _")
    return written


def checks(value: Any) -> tuple[Check, ...]:
    """Parses one check or several; their texts may have fields."""
    found = tuple(map(parse_check, option_values.strings(value)))
    if not found:
        raise ValueError("is empty; write a check, for example json:type=ready")
    return found


def place(value: Any) -> str:
    """Parses the place of a value in a message: ``json:PATH``, or ``regex:PATTERN`` with a group."""
    try:
        return parse_number_place(option_values.text(value))
    except ValueError as error:
        text = str(error).replace("no place of a number", "no place of a value").replace("the number", "the value")
        raise ValueError(text) from None


def captures(value: Any) -> tuple[Capture, ...]:
    """Parses a table of names and the places of their values."""
    if not isinstance(value, dict):
        raise ValueError(f'takes a table such as {{ id = "json:id" }}, not {kind_of(value)}')  # noqa: TRY004
    found = []
    for key, where in value.items():
        if not CAPTURE_NAME.fullmatch(str(key)):
            raise ValueError(f"{quoted(key)} is no name of a value: one has letters, digits, - and _")
        try:
            found.append(Capture(str(key), place(where)))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    if not found:
        raise ValueError('is empty; write for example { id = "json:id" }')
    return tuple(found)


def close_code(value: Any) -> int:
    """Parses the code of a close handshake (RFC 6455, section 7.4)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"takes a close code such as 1000, not {kind_of(value)}")  # noqa: TRY004 - collected as a problem
    if value in NOT_SENT:
        raise ValueError(f"{value} {NOT_SENT[value]} (RFC 6455, section 7.4.1); write for example 1000")
    if not 1000 <= value <= 4999:
        raise ValueError(f"{value} is no close code; write 1000, or an own one from 3000 to 4999")
    return value


def python_role(value: Any) -> str:
    """Parses the place of a coroutine: ``game.py:player``."""
    written = option_values.text(value).strip()
    if not _PYTHON.fullmatch(written):
        raise ValueError(f"{quoted(written)} names no coroutine; write FILE.py:NAME, for example game.py:player")
    return written


def table(value: Any) -> dict[str, Any]:
    """Returns a table."""
    if not isinstance(value, dict):
        raise ValueError(f"takes a table, not {kind_of(value)}")  # noqa: TRY004 - collected as a problem
    return value


def tables(value: Any) -> list[Any]:
    """Returns a list of tables, whose elements are read by themselves."""
    if isinstance(value, dict):
        raise ValueError("is one table; it takes a list, so write its header in double brackets: [[...]]")  # noqa: TRY004
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"takes tables, not {kind_of(value)}")  # noqa: TRY004 - collected as a problem
    return list(value)
