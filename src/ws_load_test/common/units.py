"""Parsing and formatting of durations, rates and sizes. Data is in nanoseconds, events per second and bytes."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

NS_PER_UNIT = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_BYTES_PER_UNIT = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "k": 1000, "m": 1000**2, "kib": 1024, "mib": 1024**2}
_PER_S = {"s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|µs|ms|s|m|h)", re.ASCII)
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", re.ASCII)
LONGEST_NS = 366 * 24 * 3600 * 10**9
"""Nanoseconds of the longest duration, a year: sums of several stay far below 63 bits."""
FASTEST_PER_S, SLOWEST_PER_S = Decimal("1e12"), Decimal("1e-8")
"""Bounds of a rate other than 0, in events per second: those that a clock of nanoseconds keeps for a year."""


def parse_duration_ns(text: str) -> int:
    """Parses a duration such as ``10s``, ``500ms``, ``1m30s`` to nanoseconds; a bare number means seconds.

    Raises ValueError with a sentence on what to write instead.
    """
    written = text.strip().lower()
    hint = f'"{text}" is not a duration; write for example 10s, 500ms or 1m30s'
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", written, re.ASCII):
        written += "s"
    total, at = Decimal(0), 0
    for part in _DURATION.finditer(written):
        if part.start() != at:
            raise ValueError(hint)
        total += Decimal(part[1]) * NS_PER_UNIT[part[2]]
        at = part.end()
    if at != len(written) or not written:
        raise ValueError(hint)
    if total > LONGEST_NS:
        raise ValueError(f'"{text}" is longer than a year')
    return int(total)


def parse_bytes(text: str) -> int:
    """Parses a size such as ``512``, ``64kB`` (1000), ``1MiB`` (1024²) to bytes. Raises ValueError."""
    match = _QUANTITY.fullmatch(text.strip().lower())
    if not match or match[2] not in _BYTES_PER_UNIT:
        raise ValueError(f'"{text}" is not a size; write for example 512, 64kB or 1MiB')
    return int(Decimal(match[1]) * _BYTES_PER_UNIT[match[2]])


def parse_rate_per_s(text: str) -> float:
    """Parses a rate such as ``500``, ``2k/s``, ``90/m`` to events per second. Raises ValueError."""
    hint = f'"{text}" is not a rate; write for example 500, 2k/s or 90/m'
    number, _, period = text.strip().lower().partition("/")
    factor = Decimal(1)
    if number.endswith("k"):
        number, factor = number[:-1], Decimal(1000)
    try:
        value = Decimal(number.strip()) * factor / _PER_S[period.strip() or "s"]
    except (InvalidOperation, KeyError):
        raise ValueError(hint) from None
    if not value.is_finite() or value < 0 or value > FASTEST_PER_S or 0 < value < SLOWEST_PER_S:
        raise ValueError(hint)
    return float(value)


def parse_percent(text: str) -> float:
    """Parses a percentage such as ``5%``, ``0.5 %`` or ``5`` to a share of 1. Raises ValueError."""
    written = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", written, re.ASCII):
        raise ValueError(f'"{text}" is not a share; write for example 5%')
    return float(Decimal(written) / 100)


def format_duration(ns: float | None) -> str:
    """Formats a duration in a fitting unit with three significant digits: ``412 µs``, ``1.20 ms``, ``2 min 5 s``."""
    if ns is None:
        return "–"
    for limit, unit, size in ((999.5, "ns", 1), (999.5e3, "µs", 1e3), (999.5e6, "ms", 1e6), (120e9, "s", 1e9)):
        if abs(ns) < limit:
            return f"{format_3_significant(ns / size)} {unit}"
    minutes, seconds = divmod(round(ns / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if seconds else f"{minutes} min"


def format_3_significant(value: float) -> str:
    """Formats a number with three significant digits: ``1.20``, ``12.0``, ``120``; a small integer as it is."""
    magnitude = abs(value)
    if float(value).is_integer() and magnitude < 1000:
        return str(int(value))
    return f"{value:.2f}" if magnitude < 9.995 else f"{value:.1f}" if magnitude < 99.95 else f"{value:.0f}"


def format_bytes(size: float) -> str:
    """Formats a size in a fitting decimal unit: ``96 B``, ``1.20 MB``."""
    for limit, unit, step in ((1e3, "B", 1), (1e6, "kB", 1e3), (1e9, "MB", 1e6), (1e12, "GB", 1e9)):
        if abs(size) < limit:
            return f"{format_3_significant(size / step)} {unit}"
    return f"{format_3_significant(size / 1e12)} TB"


def format_share(share: float) -> str:
    """Formats a share of 1 as a percentage: ``5 %``, ``0.5 %``."""
    return f"{100 * share:.3g} %"


def format_count(count: float) -> str:
    """Formats a count with thousands separators: ``1,234,567``."""
    return f"{count:,.0f}"


def format_rate(per_s: float | None) -> str:
    """Formats events per second: ``98,300/s``, ``0.500/s``."""
    if per_s is None:
        return "–"
    return f"{per_s:,.0f}/s" if per_s >= 1000 else f"{format_3_significant(per_s)}/s"
