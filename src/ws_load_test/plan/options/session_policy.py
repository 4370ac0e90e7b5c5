"""From options to the conduct of sessions: coming back, leaving, storms, unkind clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ws_load_test.common.errors import Problem
from ws_load_test.common.units import parse_bytes
from ws_load_test.plan import values as option_values
from ws_load_test.plan.session_policy import (
    BACKOFF_BASE_NS,
    BACKOFF_LONGEST_NS,
    Reconnect,
    Storm,
    Unkind,
)

MOST_UNKIND = 0.9
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", re.ASCII)


def share(value: Any) -> float:
    """A part of all connections: ``5%`` or ``0.05``."""
    found = _SHARE.fullmatch(str(value).strip())
    part = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < part <= 1:
        raise ValueError(f'"{value}" is not a share; write for example 5% or 0.05')
    return part


def slow(value: Any) -> tuple[float, float]:
    """``5%:1kB/s``: which share, and how fast it reads."""
    part, colon, speed = str(value).partition(":")
    amount, slash, period = speed.partition("/")
    if not colon or (slash and period.strip() != "s"):
        raise ValueError(f'"{value}" names no speed; write for example 5%:1kB/s')
    bytes_per_s = parse_bytes(amount)
    if not bytes_per_s:
        raise ValueError("0 B/s is not slow but deaf; did you mean --deaf?")
    return share(part), float(bytes_per_s)


def storm(value: Any) -> Storm:
    """``30%@10s``: which share is cut off, and when."""
    part, mark, moment = str(value).partition("@")
    if not mark:
        raise ValueError(f'"{value}" names no moment; write for example 30%@10s')
    return Storm(share(part), option_values.duration(moment))


def reconnect(value: Any) -> Reconnect:
    """``none``, ``now``, a delay, or ``exponential`` with its bounds."""
    text = str(value).strip()
    if text in {"none", "now"}:
        return Reconnect("none" if text == "none" else "now")
    kind, colon, bounds = text.partition(":")
    if kind == "exponential":
        first, dots, longest = bounds.partition("..")
        if colon and not dots:
            raise ValueError(f'"{text}" names no bounds; write for example exponential:100ms..30s')
        base_ns, longest_ns = (
            (option_values.some_duration(first), option_values.some_duration(longest))
            if colon
            else (BACKOFF_BASE_NS, BACKOFF_LONGEST_NS)
        )
        if longest_ns < base_ns:
            raise ValueError(f"the longest wait, {longest}, is shorter than the first, {first}")
        return Reconnect("exponential", base_ns, longest_ns)
    try:
        delay_ns = option_values.some_duration(text)
    except ValueError:
        raise ValueError(f'"{text}" is no policy; write none, now, a delay such as 1s, or exponential') from None
    return Reconnect("delay", delay_ns)


READERS: dict[str, Callable[[Any], Any]] = {
    "reconnect": reconnect,
    "lifetime": option_values.some_duration,
    "storm": storm,
    "slow": slow,
    "deaf": share,
    "mute": share,
}


def read_reconnect(values: Mapping[str, Any], problems: list[Problem]) -> Reconnect:
    """What becomes of lost sessions; those that a storm cuts off come back at once unless the options say otherwise."""
    storms = values.get("storm")
    policy: Reconnect = values.get("reconnect", Reconnect("now") if storms is not None else Reconnect())
    if storms is not None and policy.policy == "none":
        problems.append(Problem("--storm", "needs a --reconnect other than none, or nobody comes back"))
    if storms is not None and "duration" in values and storms.at_ns >= values["duration"]:
        problems.append(Problem("--storm", "comes after the end of the run; give it an earlier moment"))
    problems.extend(
        Problem(f"--{name.replace('_', '-')}", "cannot stand beside --connection-stages, which say who is connected")
        for name in ("reconnect", "lifetime", "storm")
        if name in values and "connection_stages" in values
    )
    return policy


def read_unkind(values: Mapping[str, Any], connections: int, problems: list[Problem]) -> Unkind | None:
    """Which connections behave badly; None where none does."""
    if not {"slow", "deaf", "mute"} & values.keys():
        return None
    slow_share, bytes_per_s = values.get("slow", (0.0, 0.0))
    unkind = Unkind(
        slow=slow_share, slow_bytes_per_s=bytes_per_s, deaf=values.get("deaf", 0.0), mute=values.get("mute", 0.0)
    )
    if unkind.slow + unkind.deaf + unkind.mute > MOST_UNKIND or len(unkind.among(connections)) >= connections:
        option = next(f"--{name}" for name in ("slow", "deaf", "mute") if name in values)
        problems.append(
            Problem(option, f"too few of the connections (-c {connections}) are left healthy to be measured; add some")
        )
    return unkind
