"""Puts the preset of a protocol (``--protocol``) under the options of a run."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.common.units import quoted
from ws_load_test.plan import values as option_values
from ws_load_test.plan.presets import Preset, preset_names, read_preset

_ADDED = ("first_message", "ignore", "auto_reply")
"""Options of which a run has those of the preset, and behind them its own."""
_OF_REPLIES = ("match", "expect")
"""Options that fit each other and the message: with a rule of matching of its own, a run has none of the preset's."""
_MESSAGES = ("message", "size", "ping")
_FAN_OUT = ("subscribers", "everyone")


def protocol(value: Any) -> str:
    """Parses the name of a preset: ``socket.io``."""
    name = option_values.text(value).strip()
    if name in preset_names():
        return name
    near = difflib.get_close_matches(name.lower(), preset_names(), n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(preset_names())}"
    raise ValueError(f"there is no preset {quoted(name)}; {meant} (a subprotocol is --subprotocol NAME)")


def fills(value: Any) -> dict[str, str]:
    """Parses texts for the places of a preset: ``auth={"token": "abc"}``, or a table."""
    if isinstance(value, dict):
        if not all(isinstance(text, str) for text in value.values()):
            raise ValueError("takes a text for each place")
        return dict(value)
    found = {}
    for text in option_values.strings(value):
        name, equals, filled = text.partition("=")
        if not equals or not name.strip():
            # The text may be a secret.
            raise ValueError("takes a place and its text; write for example --fill topic=room:lobby")
        found[name.strip()] = filled
    return found


def with_preset(given: Mapping[str, Any]) -> tuple[dict[str, Any], Preset | None, list[OptionProblem]]:
    """Returns the options under which those of the preset stand, the preset, and places that it does not have.

    A plan with roles takes the preset's steps, each other one its options of the command line. There is none without
    the option, or where it names none, which is reported with the other options.
    """
    options = dict(given)
    try:
        name, texts = protocol(given["protocol"]), fills(given.get("fill", {}))
    except (KeyError, ValueError, TypeError):
        return options, None, []
    found = read_preset(name, texts)
    for key, value in found.options.items():
        options.setdefault(key, value)
    if "role" not in given:
        _add_line(options, found.line)
    return options, found, _unknown_places(found, texts)


def named_by_preset(
    problems: Iterable[OptionProblem], preset: Preset | None, given: Collection[str]
) -> list[OptionProblem]:
    """Returns problems, with the preset named in those of options that come from there."""
    own = {name.replace("-", "_") for name in given}
    from_preset = set() if preset is None else {option_name(name) for name in preset.line.keys() - own}
    return [
        OptionProblem(one.option, f"{one.text} (--protocol {preset.name} sets it)")
        if preset is not None and one.option in from_preset
        else one
        for one in problems
    ]


def _unknown_places(preset: Preset, texts: Mapping[str, str]) -> list[OptionProblem]:
    unknown = [name for name in texts if name not in preset.places]
    if not unknown:
        return []
    has = f"it has {', '.join(preset.places)}" if preset.places else "it has none"
    return [OptionProblem("--fill", f"{quoted(unknown[0])} is no place of the preset {preset.name}; {has}")]


def _add_line(options: dict[str, Any], line: Mapping[str, Any]) -> None:
    """Adds the options of a run without roles, as far as those that were given leave room for them."""
    own_first = {"first_message", "first_wait"} & options.keys()
    is_fan_out = any(options.get(name) for name in _FAN_OUT)
    left_out = {"expect_first"} if own_first else set()
    if {"match", "size", "ping"} & options.keys() or is_fan_out:
        # Of a fan-out, a rule of matching is that of acknowledgements, which publishes need not have.
        left_out.update(_OF_REPLIES)
    if any(name in options for name in _MESSAGES) or is_fan_out:
        left_out.add("message")
    for key, value in line.items():
        if key in left_out:
            continue
        if key in options and key in _ADDED:
            options[key] = [*value, *_listed(options[key])]
        else:
            options.setdefault(key, value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
