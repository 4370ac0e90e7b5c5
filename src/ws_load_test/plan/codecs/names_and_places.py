"""Paths of names and places (``data.items[0].id``), by which values are found in JSON and MessagePack."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_STEP = re.compile(r"[^.\[\]\"\\\x00-\x1f]+|\[\d+\]")


def parse_path(path: str, codec: str) -> list[str | int]:
    """Returns the steps of a path: a name of an object, a place in an array.

    Raises:
        ValueError: It is no path; the sentence has an example for `codec`.
    """
    steps = _STEP.findall(path)
    if not steps or ".".join(steps).replace(".[", "[") != path.removeprefix("."):
        raise ValueError(f'"{path}" is no path; write for example {codec}:id or {codec}:data.items[0].id')
    return [int(step[1:-1]) if step.startswith("[") else step for step in steps]


def leading_names(steps: list[str | int]) -> list[str]:
    """Returns the names up to the first place."""
    names = []
    for step in steps:
        if isinstance(step, int):
            break
        names.append(step)
    return names


def nested_type(names: list[str]) -> Any:
    """Returns a type of which a decoder decodes nothing but the value at these names; the attribute is ``value``."""
    kind: Any = Any
    for name in reversed(names):
        # Any beside UNSET only at the end: what lies on the way must be an object.
        field = ("value", kind if kind is Any else kind | msgspec.UnsetType, msgspec.UNSET)
        kind = msgspec.defstruct("At", [field], rename={"value": name})
    return kind


def follow(value: Any, steps: list[str | int]) -> Any:
    """Returns what the steps lead to in a decoded value.

    Raises:
        LookupError: They lead nowhere.
        TypeError: A value on the way has no names, or no places.
    """
    for step in steps:
        # Texts have places as well, and maps of MessagePack have numbers for keys: neither is a place of a value.
        fits = isinstance(value, list) if isinstance(step, int) else isinstance(value, dict)
        if not fits:
            raise TypeError
        value = value[step]
    return value
