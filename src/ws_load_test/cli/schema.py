"""``ws-load-test schema``: JSON schemas of plan files and of what a run writes, made from what reads or writes it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import inspect as types

from ws_load_test.analysis.capacity_types import CapacitySummary
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.cli.output import print_json
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.metrics.recording import Header, Interval, Trailer
from ws_load_test.plan.options.plan_file_schema import plan_file_schema
from ws_load_test.plan.plan import Plan

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect that msgspec writes."""
_REFERENCE = "#/$defs/{name}"
PLAN_FILE = "plan-file"
TITLES = {
    "summary": "Summary that ws-load-test prints with --json",
    "plan": "Plan in the header of a recording of ws-load-test",
    "recording": "One line of a recording of ws-load-test",
    "capacity": "Result that ws-load-test capacity prints with --json",
    PLAN_FILE: "Plan file of ws-load-test (--plan FILE), in TOML",
}
"""Every schema, and its title."""


def print_schema(name: str) -> ExitCode:
    """Prints a schema.

    Raises:
        UsageError: There is no schema of that name.
    """
    if name not in TITLES:
        given = f'"{name}" is not a schema' if name else "no schema named"
        raise UsageError(f"schema: {given}; write one of {', '.join(TITLES)}, for example ws-load-test schema summary")
    print_json(schema_of(name))
    return ExitCode.PASSED


def schema_of(name: str) -> dict[str, Any]:
    """Returns a schema, by its name.

    Raises:
        KeyError: There is no such schema.
    """
    if name == PLAN_FILE:
        return {"$schema": DIALECT, "title": TITLES[name], **plan_file_schema()}
    roots: dict[str, Any] = {
        "summary": Summary,
        "plan": Plan,
        "recording": Header | Interval | Trailer,
        "capacity": CapacitySummary,
    }
    wanted = (roots[name], Plan, Summary) if name == "recording" else (roots[name],)
    (root, *_), components = msgspec.json.schema_components(wanted, ref_template=_REFERENCE)
    for struct in _structs(wanted):
        _add_descriptions(components[struct.__name__], struct)
    if name == "recording":
        # Recordings hold these two as they are, so that those of other versions can be read.
        _refer(components["Header"], "plan", "Plan")
        _refer(components["Trailer"], "summary", "Summary")
    return {"$schema": DIALECT, "title": TITLES[name], **root, "$defs": components}


def _refer(component: dict[str, Any], key: str, name: str) -> None:
    """Gives a property the type of another component; its description stays."""
    described = component["properties"][key]
    component["properties"][key] = {"$ref": _REFERENCE.format(name=name), "description": described["description"]}


def _structs(roots: tuple[Any, ...]) -> set[type[msgspec.Struct]]:
    """Returns every struct that values of some types can hold."""
    found: set[type[msgspec.Struct]] = set()
    pending: list[Any] = list(types.multi_type_info(roots))
    while pending:
        one = pending.pop()
        if isinstance(one, types.StructType):
            if one.cls not in found:
                found.add(one.cls)
                pending += [member.type for member in one.fields]
        elif isinstance(one, types.Metadata):
            pending.append(one.type)
        else:
            for key in ("types", "item_types"):
                pending += getattr(one, key, ())
            pending += [getattr(one, key) for key in ("item_type", "value_type") if hasattr(one, key)]
    return found


def _add_descriptions(component: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Adds the docstrings of a struct's fields, the strings behind them, as their descriptions."""
    texts = field_docstrings(struct)
    for number, member in enumerate(msgspec.structs.fields(struct)):
        # A struct that is written as an array has places in place of names.
        places = component["prefixItems"] if struct.__struct_config__.array_like else component["properties"]
        place = places[number if struct.__struct_config__.array_like else member.encode_name]
        if member.name in texts and "description" not in place:
            place["description"] = texts[member.name]


def field_docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Returns the strings behind the fields of a struct, which Python itself does not keep; {} without source."""
    try:
        source = textwrap.dedent(inspect.getsource(struct))
    except OSError:
        return {}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    return {
        before.target.id: " ".join(inspect.cleandoc(after.value.value).split())
        for before, after in pairwise(definition.body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
