"""Values of the options that say how sessions are kept, lost and disturbed.

Each parser raises ValueError with what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

from ws_load_test.common.units import LONGEST_NUMBER, parse_bytes, quoted
from ws_load_test.plan import values as option_values
from ws_load_test.plan.session_policy import (
    BACKOFF_BASE_NS,
    BACKOFF_LONGEST_NS,
    DisconnectStorm,
    ReconnectPolicy,
)

_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", re.ASCII)


def share(value: Any) -> float:
    """A part of all connections: ``5%`` or ``0.05``."""
    found = _SHARE.fullmatch(option_values.written(value, "share; write for example 5% or 0.05").strip())
    part = float(found[1]) / (100 if found[2] else 1) if found and len(found[1]) <= LONGEST_NUMBER else 0.0
    if not 0 < part <= 1:
        raise ValueError(f"{quoted(value)} is not a share; write for example 5% or 0.05")
    return part


def slow_reader(value: Any) -> tuple[float, float]:
    """``5%:1kB/s``: which share, and how fast it reads."""
    part, colon, speed = option_values.text(value).partition(":")
    amount, slash, period = speed.partition("/")
    if not colon or (slash and period.strip() != "s"):
        raise ValueError(f"{quoted(value)} names no speed; write for example 5%:1kB/s")
    bytes_per_s = parse_bytes(amount)
    if not bytes_per_s:
        raise ValueError("0 B/s is not slow but deaf; did you mean --stalled-readers?")
    return share(part), float(bytes_per_s)


def disconnect_storm(value: Any) -> DisconnectStorm:
    """``30%@10s``: which share is cut off, and when."""
    part, mark, moment = option_values.text(value).partition("@")
    if not mark:
        raise ValueError(f"{quoted(value)} names no moment; write for example 30%@10s")
    return DisconnectStorm(share(part), option_values.duration(moment))


def reconnect(value: Any) -> ReconnectPolicy:
    """``none``, ``now``, a delay, or ``exponential`` with its bounds."""
    hint = "write none, now, a delay such as 1s, or exponential"
    text = option_values.written(value, f"policy; {hint}").strip()
    if text in {"none", "now"}:
        return ReconnectPolicy("none" if text == "none" else "now")
    kind, colon, bounds = text.partition(":")
    if kind == "exponential":
        first, dots, longest = bounds.partition("..")
        if colon and not dots:
            raise ValueError(f"{quoted(text)} names no bounds; write for example exponential:100ms..30s")
        base_ns, longest_ns = (
            (option_values.positive_duration(first), option_values.positive_duration(longest))
            if colon
            else (BACKOFF_BASE_NS, BACKOFF_LONGEST_NS)
        )
        if longest_ns < base_ns:
            raise ValueError(f"the longest wait, {longest}, is shorter than the first, {first}")
        return ReconnectPolicy("exponential", base_ns, longest_ns)
    try:
        delay_ns = option_values.positive_duration(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no policy; {hint}") from None
    return ReconnectPolicy("delay", delay_ns)
