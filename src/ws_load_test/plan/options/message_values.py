"""Values of the options that say what is sent and what replies must say.

Each parser raises ValueError with what to write instead.
"""

from __future__ import annotations

from typing import Any, cast

from ws_load_test.common.units import quoted
from ws_load_test.messages import Order, SizeDistribution
from ws_load_test.messages.feed import ORDERS
from ws_load_test.plan import values as option_values
from ws_load_test.plan.correlation import (
    AutoReply,
    Check,
    CorrelationRule,
    parse_answer,
    parse_check,
    parse_number_place,
    parse_rule,
)
from ws_load_test.plan.options import session_values

LARGEST_CYCLE = 100_000
"""Turns after which weights repeat."""


def messages(value: Any) -> tuple[str, ...]:
    """One text, or several; @FILE and @DIR are read later."""
    texts = option_values.strings(value if isinstance(value, (list, tuple)) else option_values.text(value))
    if not texts:
        raise ValueError("names no message")
    return texts


def weights(value: Any) -> tuple[int, ...]:
    """Parses the relative frequencies of several messages: ``3,1``."""
    if not isinstance(value, (str, int, list, tuple)) or isinstance(value, bool):
        raise ValueError(f"{quoted(value)} are no weights; write for example 3,1")  # noqa: TRY004 - collected as a problem
    parts = [value] if isinstance(value, int) else value.split(",") if isinstance(value, str) else value
    try:
        found = tuple(option_values.positive_int(part) for part in parts)
    except ValueError as error:
        raise ValueError(f"{error}; write a whole number for each message, for example 3,1") from None
    if sum(found) > LARGEST_CYCLE:
        raise ValueError(f"the weights add up to more than {LARGEST_CYCLE}; write smaller ones with the same ratio")
    return found


def size(value: Any) -> int | SizeDistribution:
    """Bytes of each message: ``1kB``, or drawn for each: ``100..1000``, ``normal:1kB,200B``, ``exp:1kB``."""
    written = option_values.written(value, "size; write for example 1kB or 100..1000").strip()
    hint = "write for example 1kB, 100..1000, normal:1kB,200B or exp:1kB"
    low, dots, high = written.partition("..")
    if dots:
        first, second = option_values.size(low), option_values.size(high)
        if first > second:
            raise ValueError(f"{quoted(value)}: the smaller size comes first; write {high.strip()}..{low.strip()}")
        return SizeDistribution("uniform", first, second)
    shape, colon, numbers = written.partition(":")
    if not colon:
        return option_values.size(value)
    parts = numbers.split(",")
    if shape.strip().lower() == "normal" and len(parts) == 2:
        return SizeDistribution("normal", option_values.size(parts[0]), option_values.size(parts[1]))
    if shape.strip().lower() in {"exp", "exponential"} and len(parts) == 1:
        mean = option_values.size(parts[0])
        if not mean:
            raise ValueError(f"{quoted(value)} is always 0; {hint}")
        return SizeDistribution("exponential", mean)
    raise ValueError(f"{quoted(value)} is not a size; {hint}")


def feed_order(value: Any) -> Order:
    """Returns which rows messages take."""
    if value not in ORDERS:
        raise ValueError(f"{quoted(value)} is no order of rows; write {', '.join(ORDERS[:-1])} or {ORDERS[-1]}")
    return cast("Order", value)


def trace_share(value: Any) -> float:
    """Returns a share from 0 to 1: ``1%``, ``0.01``, ``0``."""
    return 0.0 if value in {"0", "0%", 0} else session_values.share(value)


def rule(value: Any) -> tuple[CorrelationRule, str]:
    """Returns a correlation rule and its selector: ``json:id``."""
    return parse_rule(option_values.text(value))


def checks(value: Any) -> tuple[Check, ...]:
    """Returns one check or several."""
    return tuple(map(parse_check, option_values.strings(value)))


def number_place(value: Any) -> str:
    """Returns the place of a number in a message: ``json:usage.tokens``."""
    return parse_number_place(option_values.text(value))


def auto_replies(value: Any) -> tuple[AutoReply, ...]:
    """Returns one automatic reply or several: ``CHECK=>TEXT``."""
    return tuple(map(parse_answer, option_values.strings(value)))
