"""Values of a plan written as options take them: each parser reads its text back to the same value."""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from ws_load_test.plan.correlation import AutoReply, Check
from ws_load_test.plan.node import NodeRule
from ws_load_test.plan.redaction import REDACTED
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.session_policy import DisconnectStorm
from ws_load_test.plan.timed_commands import TimedCommand

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME_UNITS = (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
_SIZE_UNITS = (("GB", 10**9), ("GiB", 1 << 30), ("MB", 10**6), ("MiB", 1 << 20), ("kB", 1000), ("KiB", 1024), ("B", 1))


def write_value(value: Any, field: str) -> str | list[str] | bool:
    """Returns the value of a plan's field as its option takes it; the end of the field's name is the unit.

    Raises:
        TypeError: Values of this kind are written by no rule; add one.
    """
    if value is True:
        return True
    if isinstance(value, tuple):
        return [str(write_value(one, field)) for one in value]
    if isinstance(value, LoadProfile):
        return _stages(value)
    if isinstance(value, DisconnectStorm):
        return f"{write_share(value.share)}@{write_duration(value.at_ns)}"
    if isinstance(value, TimedCommand):
        return f"{write_duration(value.at_ns)}: {value.command}"
    if isinstance(value, AutoReply):
        return f"{value.check}=>{value.text or REDACTED}"
    if isinstance(value, int):
        in_unit = {"ns": write_duration, "bytes": write_size}.get(field.rpartition("_")[2], str)
        return in_unit(value)
    if isinstance(value, float):
        return write_number(value)
    if isinstance(value, str | Check | NodeRule):
        return str(value)
    raise TypeError(f"{field}: no rule writes {type(value).__name__} as an option")


def write_duration(ns: int) -> str:
    """Returns a duration in the largest unit that has no fraction: ``5s``, ``1500ms``."""
    unit, size = next((unit, size) for unit, size in _TIME_UNITS if ns % size == 0) if ns else ("s", 10**9)
    return f"{ns // size}{unit}"


def write_size(size_bytes: int) -> str:
    """Returns a size in the largest unit that has no fraction: ``64MiB``, ``100B``."""
    unit, size = next((unit, size) for unit, size in _SIZE_UNITS if size_bytes % size == 0) if size_bytes else ("B", 1)
    return f"{size_bytes // size}{unit}"


def write_number(value: float) -> str:
    """Returns a number that reads back as the same one: ``5000``, ``0.5``."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def write_share(value: float) -> str:
    """Returns a share as a percentage where that reads back as the same number, else as a fraction."""
    percentage = f"{100 * value:.6g}"
    # Read as `session_values.share` does.
    if "e" not in percentage and float(percentage) / 100 == value:
        return f"{percentage}%"
    return f"{Decimal(repr(value)):f}"


def write_addresses(addresses: Sequence[str]) -> str:
    """Returns source addresses, the hosts of a network as that network."""
    try:
        first = ip_address(addresses[0])
    except ValueError:
        return ",".join(addresses)
    for length in range(first.max_prefixlen - 1, first.max_prefixlen - 17, -1):
        network = ip_network((first, length), strict=False)
        hosts = [str(one) for one in network.hosts()]
        if hosts == list(addresses):
            return str(network)
        if len(hosts) > len(addresses):
            break
    return ",".join(addresses)


def _stages(profile: LoadProfile) -> str:
    """Returns a profile as ``TIME:AMOUNT`` for a straight line from the amount before, ``TIME@AMOUNT`` for a step."""
    parts, before = [], 0.0
    for stage in profile.stages:
        mark = ":" if stage.start == before != stage.end else "@"
        parts.append(f"{write_duration(stage.duration_ns)}{mark}{write_number(stage.end)}")
        before = stage.end
    return ",".join(parts)
