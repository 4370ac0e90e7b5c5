"""Keys of the tables of a scenario: of a role, a step, a reaction, a timer; one row each.

The reader of plan files, the JSON schema for editors and the tables of the docs follow from the rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.scenario import values
from ws_load_test.plan.values import kind_of

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.toml_lines import Path

Schema = Mapping[str, Any]
TEXT: Schema = MappingProxyType({"type": "string"})
TEXTS: Schema = MappingProxyType({"type": ["string", "array"], "items": {"type": "string"}})
DURATION: Schema = MappingProxyType({"type": ["string", "number"]})
RATE: Schema = MappingProxyType({"type": ["string", "number"]})
COUNT: Schema = MappingProxyType({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
POSITIVE: Schema = MappingProxyType({"type": "number", "exclusiveMinimum": 0})
STEPS: Schema = MappingProxyType({"type": "array", "items": {"$ref": "#/$defs/step"}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a table."""

    name: str
    """Name as in a plan file: ``deliver-to``."""
    help: str
    """Meaning, as the rest of a sentence about the table."""
    parse: Callable[[Any], Any]
    """Function of TOML or Python that returns the value used. Raises ValueError with what to write instead."""
    schema: Schema
    """JSON schema of the value."""
    example: str
    """Value as TOML."""


def _one_of(*words: str) -> Schema:
    return MappingProxyType({"enum": list(words)})


EXCHANGE = (
    Key(
        name="name",
        help="name under which it is counted, in the report and in conditions",
        parse=values.name,
        schema=TEXT,
        example='"join"',
    ),
    Key(
        name="send",
        help="text of a message to send, with fields; `@FILE` reads it from a file",
        parse=option_values.text,
        schema=TEXT,
        example='\'{"op": "join"}\'',
    ),
    Key(
        name="binary",
        help="whether the message is sent as a binary one",
        parse=option_values.boolean,
        schema=MappingProxyType({"type": "boolean"}),
        example="true",
    ),
    Key(
        name="capture",
        help="values to take out of the message that came, for `{my.NAME}`: a name and a place for each",
        parse=values.captures,
        schema=MappingProxyType({"type": "object", "additionalProperties": {"type": "string"}}),
        example='{ id = "json:id" }',
    ),
)
"""Keys of steps and of reactions."""
STEP = (
    Key(
        name="wait",
        help="time before it: fixed, or drawn each time",
        parse=values.wait_time,
        schema=DURATION,
        example='"exp:4s"',
    ),
    *EXCHANGE,
    Key(
        name="await",
        help="a check, or several that must all hold, with fields: the message that completes the step",
        parse=values.checks,
        schema=TEXTS,
        example='"json:id={seq}"',
    ),
    Key(
        name="until",
        help="check of the last message of a streamed answer, in place of `await`; of several, one must hold",
        parse=values.checks,
        schema=TEXTS,
        example='"json:type=done"',
    ),
    Key(
        name="first",
        help="check of the first message of a streamed answer that counts; else the first that comes",
        parse=values.checks,
        schema=TEXTS,
        example='"json:type=delta"',
    ),
    Key(
        name="count",
        help="place of a number in the last message of a streamed answer, such as that of its tokens",
        parse=values.place,
        schema=TEXT,
        example='"json:usage.tokens"',
    ),
    Key(
        name="expect",
        help="checks that the message which completes it must satisfy besides; one that fails is a fault",
        parse=values.checks,
        schema=TEXTS,
        example='["json:ok=true"]',
    ),
    Key(
        name="timeout",
        help="longest time until it is complete; else that of the plan",
        parse=option_values.positive_duration,
        schema=DURATION,
        example='"2s"',
    ),
    Key(
        name="deliver-to",
        help="role whose sessions in the same room must receive what is sent with `{marker}`",
        parse=option_values.text,
        schema=TEXT,
        example='"reader"',
    ),
    Key(
        name="self-delivery",
        help="whether the sender receives it too: `expected`, `excluded` or `either`",
        parse=option_values.choice("either", "expected", "excluded"),
        schema=_one_of("either", "expected", "excluded"),
        example='"excluded"',
    ),
    Key(
        name="weight",
        help="relative frequency: of steps that follow each other and have one, each time one is taken",
        parse=values.positive_number,
        schema=POSITIVE,
        example="8",
    ),
    Key(
        name="close",
        help="code with which the session is closed here, on purpose",
        parse=values.close_code,
        schema=MappingProxyType({"type": "integer", "minimum": 1000, "maximum": 4999}),
        example="1000",
    ),
)
TIMER = (
    Key(
        name="every",
        help="time from one to the next",
        parse=option_values.positive_duration,
        schema=DURATION,
        example='"30s"',
    ),
    *(key for key in STEP if key.name not in {"wait", "weight", "close"}),
)
ON = (
    Key(
        name="when",
        help="a check, or several that must all hold, with fields: a message that completes no step",
        parse=values.checks,
        schema=TEXTS,
        example='"json:op=typing"',
    ),
    *EXCHANGE,
    Key(
        name="fault",
        help="name of the fault that each such message is",
        parse=values.name,
        schema=TEXT,
        example='"the channel crashed"',
    ),
    Key(
        name="sequence",
        help="place of a number that grows by one from message to message: gaps and repeats are counted",
        parse=values.place,
        schema=TEXT,
        example='"json:n"',
    ),
    Key(
        name="per",
        help="place of a value for each of which the numbers are apart",
        parse=values.place,
        schema=TEXT,
        example='"json:symbol"',
    ),
    Key(
        name="restarts",
        help="name of the reaction whose numbers begin anew with such a message",
        parse=option_values.text,
        schema=TEXT,
        example='"tick"',
    ),
    Key(
        name="age",
        help="place of the target's time stamp, in ms since 1970",
        parse=values.place,
        schema=TEXT,
        example='"json:sent_ms"',
    ),
    Key(
        name="silence",
        help="longest time without such a message that is no stall",
        parse=option_values.positive_duration,
        schema=DURATION,
        example='"5s"',
    ),
)
ROLE = (
    Key(
        name="share",
        help="sessions in proportion to the shares of the other roles, of `connections` in all",
        parse=values.positive_number,
        schema=POSITIVE,
        example="9",
    ),
    Key(
        name="sessions",
        help="number of sessions, in place of `share`",
        parse=option_values.connections,
        schema=COUNT,
        example="100",
    ),
    Key(
        name="arrive",
        help="rate at which sessions arrive, in place of both",
        parse=option_values.rate,
        schema=RATE,
        example='"20/s"',
    ),
    Key(
        name="arrivals",
        help="`constant` distances between arriving sessions, or `poisson`",
        parse=option_values.arrivals,
        schema=_one_of("constant", "poisson"),
        example='"poisson"',
    ),
    Key(
        name="seed",
        help="seed of poisson arrivals",
        parse=option_values.seed,
        schema=MappingProxyType({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
        example="7",
    ),
    Key(
        name="at-most",
        help="the most of the arriving sessions at the same time; more are dropped, and counted",
        parse=option_values.connections,
        schema=COUNT,
        example="200",
    ),
    Key(
        name="stay",
        help="time that a session stays, fixed or drawn; then another takes its place",
        parse=values.stay,
        schema=DURATION,
        example='"exp:10m"',
    ),
    Key(
        name="iterations",
        help="how often a session goes through its steps before it leaves; else until the end",
        parse=values.iterations,
        schema=COUNT,
        example='"2..6"',
    ),
    Key(
        name="rate",
        help="iterations that fall due on a schedule, over all sessions of the role",
        parse=option_values.rate,
        schema=RATE,
        example='"50/s"',
    ),
    Key(
        name="like",
        help="role as which it opens, reacts, keeps timers and leaves",
        parse=option_values.text,
        schema=TEXT,
        example='"member"',
    ),
    Key(
        name="open",
        help="steps that each session takes once, before all others",
        parse=values.tables,
        schema=STEPS,
        example="[[role.NAME.open]]",
    ),
    Key(
        name="steps",
        help="steps that each session takes again and again: an iteration each time",
        parse=values.tables,
        schema=STEPS,
        example="[[role.NAME.steps]]",
    ),
    Key(
        name="leave",
        help="steps that each session takes once, before it is closed",
        parse=values.tables,
        schema=STEPS,
        example="[[role.NAME.leave]]",
    ),
    Key(
        name="on",
        help="reactions to messages that complete no step; the first that fits takes a message",
        parse=values.tables,
        schema=MappingProxyType({"type": "array", "items": {"$ref": "#/$defs/on"}}),
        example="[[role.NAME.on]]",
    ),
    Key(
        name="timer",
        help="steps that each session takes every so often, beside the others",
        parse=values.tables,
        schema=MappingProxyType({"type": "array", "items": {"$ref": "#/$defs/timer"}}),
        example="[[role.NAME.timer]]",
    ),
    Key(
        name="python",
        help="coroutine that the sessions run in place of steps",
        parse=values.python_role,
        schema=TEXT,
        example='"game.py:player"',
    ),
)
MISTAKEN = {
    "on": "when",
    "match": "await",
    "receive": "await",
    "recv": "await",
    "message": "send",
    "text": "send",
    "think": "wait",
    "sleep": "wait",
    "pause": "wait",
    "delay": "wait",
    "users": "sessions",
    "vus": "sessions",
    "connections": "sessions",
    "count": "iterations",
    "loop": "iterations",
    "step": "steps",
    "flow": "steps",
    "reply": "send",
    "interval": "every",
}
"""Words of other tools, and ours; each counts in the tables that have the second and not the first."""


def read_table(written: Mapping[str, Any], keys: tuple[Key, ...], place: Path, problems: Problems) -> dict[str, Any]:
    """Returns the parsed values of a table by the names of their keys; adds to `problems` what is wrong with others.

    In Python, a name may have underscores for its dashes.
    """
    by_name = {key.name: key for key in keys}
    found: dict[str, Any] = {}
    for written_name, value in written.items():
        name = str(written_name).replace("_", "-")
        key = by_name.get(name)
        if key is None:
            problems.add((*place, str(written_name)), _unknown(name, by_name))
            continue
        try:
            found[name] = key.parse(value)
        except ValueError as error:
            problems.add((*place, str(written_name)), str(error))
        except TypeError:
            problems.add((*place, str(written_name)), f"takes no {kind_of(value).removeprefix('a ')}")
    return found


def _unknown(name: str, known: Mapping[str, Key]) -> str:
    meant = MISTAKEN.get(name.lower(), "")
    near = [meant] if meant in known else difflib.get_close_matches(name.lower(), known, n=1)
    return f"there is no such key; {f'did you mean {near[0]}?' if near else 'there are ' + ', '.join(known)}"
