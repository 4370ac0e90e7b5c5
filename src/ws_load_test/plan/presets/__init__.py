"""Presets of protocols (``--protocol NAME``): what opens a session, keeps it alive and pairs its replies, as data.

Each is a file ``NAME.toml`` in this folder, in the grammar of plan files, with four keys of its own: ``fill`` names
places to fill and what stands there without, ``line`` has the options of a run without roles, ``role.every`` what every
role does before its own, and ``role.example`` a role to begin with, which is not read with the preset. All other
keys are options of either. ``{fill.NAME}`` in a text is such a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_SUFFIX = ".toml"
_FOLDER = Path(__file__).parent
_OWN_KEYS = ("about", "tested", "fill", "line", "role")


@dataclass(frozen=True, slots=True)
class Preset:
    """Handshake, keep-alive and rule of matching of a protocol, with its places filled."""

    name: str
    about: str
    """Protocol and its use, in a few words."""
    tested: str
    """Server that the tests run it against."""
    places: Mapping[str, str]
    """Places to fill, and what stands there without."""
    options: Mapping[str, Any]
    """Options of every run, by the names of the catalogue."""
    line: Mapping[str, Any]
    """Options of a run without roles, by the names of the catalogue."""
    every_role: Mapping[str, Any]
    """Keys of every role: ``open``, ``on``, ``timer``."""
    example_role: Mapping[str, Any]
    """Role to begin with."""


@cache
def preset_names() -> tuple[str, ...]:
    """Returns the names of all presets."""
    found = (one.name for one in _FOLDER.iterdir() if one.name.endswith(_SUFFIX))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found))


def preset_text(name: str) -> str:
    """Returns the file of a preset; `name` is one of `preset_names`."""
    return _FOLDER.joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def read_preset(name: str, fills: Mapping[str, str] | None = None) -> Preset:
    """Returns a preset; `name` is one of `preset_names`, and `fills` has texts for some of its places."""
    import tomllib  # noqa: PLC0415 - most runs have no preset

    data = tomllib.loads(preset_text(name))
    places: dict[str, str] = data["fill"]
    filled = _filled(data, {**places, **(fills or {})})
    return Preset(
        name=name,
        about=data["about"],
        tested=data["tested"],
        places=places,
        options=_options({key: value for key, value in filled.items() if key not in _OWN_KEYS}),
        line=_options(filled["line"]),
        every_role=filled["role"]["every"],
        example_role=filled["role"]["example"],
    )


def _options(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): value for key, value in table.items()}


def _filled(value: Any, fills: Mapping[str, str]) -> Any:
    """Returns a value of TOML in whose texts the places are filled."""
    if isinstance(value, str):
        for name, text in fills.items():
            value = value.replace(f"{{fill.{name}}}", text)
        return value
    if isinstance(value, dict):
        return {key: _filled(one, fills) for key, one in value.items()}
    return [_filled(one, fills) for one in value] if isinstance(value, list) else value
