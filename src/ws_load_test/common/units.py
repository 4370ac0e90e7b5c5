"""Parsing and formatting of durations, rates and sizes. Data is in nanoseconds, events per second and bytes."""

from __future__ import annotations

import re
from decimal import Decimal

NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    # The micro sign, and the Greek letter that keyboards and NFKC have in its place.
    "\N{MICRO SIGN}s": 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_BYTES_PER_UNIT = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_PER_S = {"s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_WHOLE = r"\d(?:_?\d)*"
_NUMBER = rf"(?:{_WHOLE}(?:\.\d*)?|\.\d+)"
_DURATION = re.compile(rf"({_NUMBER})\s*(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_QUANTITY = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.ASCII)
_RATE = re.compile(rf"({_NUMBER}(?:e[+-]?\d{{1,3}})?)\s*(k?)\s*(?:/\s*([smh]))?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"\d,\d", re.ASCII)
LONGEST_NUMBER = 60
"""Characters of a number that is read: more are no number that anything here has."""
MOST_DIGITS = 18
"""Digits of a number that an error writes out: no option takes a larger one."""
LONGEST_SHOWN = 60
"""Characters of a value that an error repeats."""
LONGEST_PATH = 4096
"""Characters of a path that an error repeats: as many bytes as Linux allows (PATH_MAX)."""
LONGEST_NS = 366 * 24 * 3600 * 10**9
"""Nanoseconds of the longest duration, a year: sums of several stay far below 63 bits."""
LARGEST_BYTES = 1 << 62
"""Bytes of the largest size: sums of several stay below 64 bits."""
FASTEST_PER_S, SLOWEST_PER_S = Decimal("1e12"), Decimal("1e-8")
"""Bounds of a rate other than 0, in events per second: those that a clock of nanoseconds keeps for a year."""


def one_line(text: str, longest: int = LONGEST_PATH) -> str:
    """Returns a text on one line: what is not printable is escaped, and a long end cut off."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:longest])
    return shown + "…" * (len(text) > longest)


def quoted(value: object, longest: int = LONGEST_SHOWN) -> str:
    """Returns a value in quotation marks for an error: on one line, and cut where it is long."""
    return f'"{one_line(str(value), longest)}"'


def quoted_path(path: object) -> str:
    """Returns a path in quotation marks for an error: on one line, and whole as far as a path can be."""
    return quoted(path, LONGEST_PATH)


def parse_whole(text: str) -> int:
    """Parses a whole number such as ``512``, ``10_000`` or ``10,000``. Raises ValueError."""
    written = text.strip()
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", written, re.ASCII):
        written = written.replace(",", "")
    if "," in written and re.fullmatch(r"[\d,_.]+", written, re.ASCII):
        raise ValueError(f"{quoted(text)} has a comma where no thousands end; write for example 1500 or 1_500")
    if not re.fullmatch(_WHOLE, written, re.ASCII):
        raise ValueError(f"{quoted(text)} is not a whole number; write {_in_digits(written)}")
    if len(written) > LONGEST_NUMBER:
        raise ValueError(f"{quoted(text)} has more digits than any number here; write for example 1500")
    return int(written)


def _in_digits(written: str) -> str:
    """Returns a whole number that is written with an exponent in digits; an example for others."""
    exponent = re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?[eE]\+?(\d{1,3})", written, re.ASCII)
    if exponent is None:
        return "for example 1500 or 1_500"
    if int(exponent[1]) > MOST_DIGITS:
        return "a smaller one, in digits"
    value = Decimal(written)
    return f"it in digits: {int(value):_}" if value == int(value) else "for example 1500 or 1_500"


def parse_duration_ns(text: str) -> int:
    """Parses a duration such as ``10s``, ``500ms``, ``1m30s`` to nanoseconds; a bare number means seconds.

    Raises ValueError with a sentence on what to write instead.
    """
    written = text.strip().lower()
    hint = f"{quoted(text)} is not a duration; write for example 10s, 500ms or 1m30s{_on_comma(written)}"
    if re.fullmatch(_NUMBER, written, re.ASCII):
        written += "s"
    total, at = Decimal(0), 0
    for part in _DURATION.finditer(written):
        if part.start() != at or len(part[1]) > LONGEST_NUMBER:
            raise ValueError(hint)
        total += Decimal(part[1]) * NS_PER_UNIT[part[2]]
        at = part.end()
    if at != len(written) or not written:
        raise ValueError(hint)
    if total > LONGEST_NS:
        raise ValueError(f"{quoted(text)} is longer than a year")
    return int(total)


def parse_bytes(text: str) -> int:
    """Parses a size such as ``512``, ``64kB`` (1000), ``1MiB`` (1024²) to bytes. Raises ValueError."""
    written = text.strip().lower()
    match = _QUANTITY.fullmatch(written)
    if not match or match[2] not in _BYTES_PER_UNIT or len(match[1]) > LONGEST_NUMBER:
        raise ValueError(f"{quoted(text)} is not a size; write for example 512, 64kB or 1MiB{_on_comma(written)}")
    size = int(Decimal(match[1]) * _BYTES_PER_UNIT[match[2]])
    if size > LARGEST_BYTES:
        raise ValueError(f"{quoted(text)} is more than 2^62 bytes; write for example 512, 64kB or 1MiB")
    return size


def parse_rate_per_s(text: str) -> float:
    """Parses a rate such as ``500``, ``2k/s``, ``90/m`` to events per second. Raises ValueError."""
    written = text.strip().lower()
    hint = f"{quoted(text)} is not a rate; write for example 500, 2k/s or 90/m{_on_comma(written)}"
    match = _RATE.fullmatch(written)
    if match is None or len(match[1]) > LONGEST_NUMBER:
        raise ValueError(hint)
    value = Decimal(match[1]) * (1000 if match[2] else 1) / _PER_S[match[3] or "s"]
    if value > FASTEST_PER_S or 0 < value < SLOWEST_PER_S:
        bound = "more than 10^12" if value > 1 else "less than 10^-8"
        raise ValueError(f"{hint}; it is {bound} a second")
    return float(value)


def parse_percent(text: str) -> float:
    """Parses a percentage such as ``5%``, ``0.5 %`` or ``5`` to a share of 1. Raises ValueError."""
    written = text.strip().removesuffix("%").strip()
    if not re.fullmatch(_NUMBER, written, re.ASCII) or len(written) > LONGEST_NUMBER:
        raise ValueError(f"{quoted(text)} is not a share; write for example 5%{_on_comma(written)}")
    return float(Decimal(written) / 100)


def _on_comma(written: str) -> str:
    return ", and a point where there is a comma" if _DECIMAL_COMMA.search(written) else ""


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
    return f"{per_s:,.0f}/s" if per_s >= 999.5 else f"{format_3_significant(per_s)}/s"
