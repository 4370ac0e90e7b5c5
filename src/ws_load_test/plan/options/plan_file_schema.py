"""JSON schema of plan files, by which editors complete and check them: made of the options and of the keys of roles."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec

from ws_load_test.plan.options.catalog import RUN_OPTIONS, PlanOptions
from ws_load_test.plan.options.scenario.keys import ON, ROLE, STEP, TIMER, Key
from ws_load_test.plan.options.spec import OptionSpec
from ws_load_test.plan.presets import preset_names

_REQUIRED = {"on": ["when"], "timer": ["every", "send"]}
"""Keys without which a table has no sense."""
_MEANINGS = {
    "role": "sessions that behave alike",
    "step": "one step of a session: waits, sends, and awaits a message",
    "on": "reaction to messages that complete no step",
    "timer": "step that a session takes every so often",
}
_NULL = {"type": "null"}


def plan_file_schema() -> dict[str, Any]:
    """Returns the schema of a plan file without its dialect and title; the URL may be that of the command line."""
    return {
        "type": "object",
        "properties": {**_options(), **_scenario()},
        "additionalProperties": False,
        "$defs": {
            "role": _table("role", ROLE),
            "step": _table("step", STEP),
            "on": _table("on", ON),
            "timer": _table("timer", TIMER),
        },
    }


def _options() -> dict[str, Any]:
    """Returns the properties of the options, by their names as in a plan file."""
    types = _types()
    found = {}
    for option in RUN_OPTIONS:
        if option.name == "plan":
            continue
        described = {**(types.get(option.name) or _type_of(option)), "description": _plain(option.help)}
        for name in (option.name, *(alias for alias in option.aliases if len(alias) > 1)):
            found[name.replace("_", "-")] = described
    return found


def _types() -> dict[str, dict[str, Any]]:
    """Returns the schema of each option that has a type in Python, without the null that stands for one not given."""
    properties: dict[str, Any] = msgspec.json.schema(PlanOptions)["$defs"][PlanOptions.__name__]["properties"]
    texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return {"url": texts} | {name: _without_null(schema) for name, schema in properties.items()}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in schema.items() if name != "default"}
    if "anyOf" in kept:
        kept["anyOf"] = [one for one in kept["anyOf"] if one != _NULL]
        return kept["anyOf"][0] if len(kept["anyOf"]) == 1 else kept
    if "enum" in kept:
        kept["enum"] = [one for one in kept["enum"] if one is not None]
    return kept


def _type_of(option: OptionSpec) -> dict[str, Any]:
    """Returns the schema of an option of the command line's own, which has no type in Python."""
    if option.is_flag:
        return {"type": "boolean"}
    one: list[dict[str, Any]] = [{"type": "string"}, {"type": "number"}]
    return {"anyOf": [*one, {"type": "array", "items": {"type": "string"}}] if option.repeatable else one}


def _scenario() -> dict[str, Any]:
    return {
        "protocol": {
            "enum": list(preset_names()),
            "description": "protocol whose handshake and heartbeats every role has, before its own steps",
        },
        "fill": {
            "type": "object",
            "description": "texts for the places of the protocol's preset",
            "additionalProperties": {"type": "string"},
        },
        "role": {
            "type": "object",
            "description": "roles of a scenario: sessions that behave alike, and what they do",
            "minProperties": 1,
            "additionalProperties": {"$ref": "#/$defs/role"},
        },
    }


def _table(name: str, keys: tuple[Key, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": _MEANINGS[name],
        "properties": {key.name: _property(key) for key in keys},
        "additionalProperties": False,
        **({"required": _REQUIRED[name]} if name in _REQUIRED else {}),
    }


def _property(key: Key) -> dict[str, Any]:
    described = {**key.schema, "description": _plain(key.help)}
    # A header of a table is no value.
    is_value = not key.example.startswith("[[")
    return {**described, "examples": [tomllib.loads(f"x = {key.example}")["x"]]} if is_value else described


def _plain(text: str) -> str:
    return text.replace("`", "")
