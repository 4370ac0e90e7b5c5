"""JSON schemas: real output is what they say, and nothing that they do not know."""

import functools
import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from factories.capacity import found, served
from ws_load_test.analysis.capacity_types import CapacitySummary
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.cli import main
from ws_load_test.cli.schema import TITLES, field_docstrings, schema_of
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.recording import Interval
from ws_load_test.plan.options.catalog import owned_by
from ws_load_test.plan.options.spec import Owner
from ws_load_test.testing import FaultyServer, behaviors

SCENARIOS = Path(__file__).parents[2] / "examples" / "scenarios"
PYTHON = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def problems(value, schema, root, at="$"):  # noqa: PLR0912 - a branch for each keyword
    """Yields where a value differs from a schema, of the keywords that ours have; unknown keys are differences, too."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    chooser = schema.get("discriminator")
    if chooser and isinstance(value, dict) and value.get(chooser["propertyName"]) in chooser["mapping"]:
        chosen = {"$ref": chooser["mapping"][value[chooser["propertyName"]]]}
        yield from problems(value, chosen, root, at)
        return
    if "anyOf" in schema:
        found = [list(problems(value, one, root, at)) for one in schema["anyOf"]]
        yield from [] if not all(found) else min(found, key=len)
        return
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind] if kind else []
    fits = [isinstance(value, PYTHON[one]) and (one == "boolean") == isinstance(value, bool) for one in kinds]
    if kinds and not any(fits):
        yield f"{at}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not one of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: {value} is less than {schema['minimum']}"
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", not schema.get("properties"))
        yield from (f"{at}.{key}: missing" for key in schema.get("required", ()) if key not in value)
        for key, inner in value.items():
            if key in known:
                yield from problems(inner, known[key], root, f"{at}.{key}")
            elif isinstance(rest, dict):
                yield from problems(inner, rest, root, f"{at}.{key}")
            elif not rest:
                yield f"{at}.{key}: unknown"
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for place, inner in enumerate(value):
            yield from problems(inner, items, root, f"{at}[{place}]")


known = functools.cache(schema_of)


def check(value, name):
    schema = known(name)
    assert list(problems(value, schema, schema)) == []


@pytest.mark.parametrize(
    "options",
    [
        ["-n", "60", "--fail-if", "p99 > 1s", "--fail-if", "any p99 > 1s", "--fail-if", "proxy.p99 > 1s"],
        [
            "-d",
            "400ms",
            "--rate",
            "200",
            "--disconnect",
            "50%@100ms",
            "--reconnect",
            "10ms",
            "--slow-readers",
            "34%:1MB/s",
        ],
    ],
    ids=["closed loop", "open loop"],
)
def test_what_a_run_writes_is_what_the_schemas_say(options, tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviors.echoes) as server:
        main([server.url, "-c", "3", "-w", "2", *options, "-o", str(path), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["messages"]["answered"] > 0
    check(printed, "summary")
    assert json.loads(msgspec.json.encode(msgspec.convert(printed, Summary))) == printed
    recorded = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(recorded) >= 4
    for line in recorded:
        check(line, "recording")
    check(recorded[0]["plan"], "plan")
    assert recorded[-1]["summary"] == printed


def test_the_check_finds_what_is_wrong():
    schema = schema_of("recording")
    line = {"kind": "trailer", "ended_at": 5, "novelty": 1, "summary": {"schema": "2"}}
    found = list(problems(line, schema, schema))
    assert "$.ended_at: 5 is no string" in found
    assert "$.novelty: unknown" in found
    assert "$.interrupted: missing" in found
    assert "$.summary.schema: '2' is no integer" in found


@pytest.mark.parametrize("name", TITLES)
def test_each_schema_is_printed(name, capsys):
    assert main(["schema", name]) == ExitCode.PASSED
    assert json.loads(capsys.readouterr().out) == msgspec.json.decode(msgspec.json.encode(schema_of(name)))


@pytest.mark.parametrize(("name", "told"), [(["nope"], '"nope" is not a schema'), ([], "no schema named")])
def test_an_unknown_name_is_one_sentence(name, told, capsys):
    assert main(["schema", *name]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "write one of summary, plan, recording, capacity" in line


def test_what_a_search_writes_is_what_its_schema_says():
    limits = {"limit": 300}, {"limit": 8000, "generator": 150}, {"limit": 300, "opened": 0}
    for parts in limits:
        facts, _ = found(lambda plan, parts=parts: served(plan, **parts), slo=["p99 < 50ms", "errors < 0.1%"])
        written = msgspec.json.encode(facts)
        check(json.loads(written), "capacity")
        assert msgspec.json.encode(msgspec.json.decode(written, type=CapacitySummary)) == written


@pytest.mark.parametrize("schema", TITLES)
def test_every_field_has_a_description(schema):
    for name, struct in schema_of(schema)["$defs"].items():
        assert struct["description"], name
        # The tag that tells structs apart is no field.
        fields = struct.get("properties", {})
        lacking = [key for key, one in fields.items() if not (one.get("description") or key == "kind")]
        assert not lacking, (name, lacking)


def test_strings_behind_fields_are_their_descriptions():
    assert field_docstrings(Interval)["measured_ns"] == "Part of its time that counts for the throughput."
    described = schema_of("recording")["$defs"]["Interval"]["properties"]
    assert described["measured_ns"]["description"] == field_docstrings(Interval)["measured_ns"]


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_schema_of_plan_files_takes_the_examples(path):
    check(tomllib.loads(path.read_text(encoding="utf-8")), "plan-file")


def test_the_schema_of_plan_files_refuses_what_is_none():
    step = {"send": "x", "weight": "2", "awiat": "json:a", "close": 10}
    plan = {"url": 5, "role": {"user": {"sessions": 0, "steps": [step], "timer": [{"every": 3}], "arrivals": "even"}}}
    schema = known("plan-file")
    assert sorted(found.partition(": ")[0] for found in problems({**plan, "durration": "1s"}, schema, schema)) == [
        "$.durration",
        "$.role.user.arrivals",
        "$.role.user.sessions",
        "$.role.user.steps[0].awiat",
        "$.role.user.steps[0].close",
        "$.role.user.steps[0].weight",
        "$.role.user.timer[0].send",
        "$.url",
    ]


def test_every_option_of_a_plan_has_a_place_in_the_schema_of_plan_files():
    assert {option.name.replace("_", "-") for option in owned_by(Owner.PLAN)} <= known("plan-file")["properties"].keys()
