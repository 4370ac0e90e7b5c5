"""Reading of steps, reactions and timers, and what is wrong with each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ws_load_test.common.units import one_line
from ws_load_test.plan.options.scenario.keys import ON, STEP, TIMER, read_table
from ws_load_test.plan.options.scenario.texts import (
    fields_of_checks,
    fields_of_text,
    has_marker,
    has_number,
)
from ws_load_test.plan.options.scenario.values import LONGEST_NAME
from ws_load_test.plan.scenario.model import Reaction, Step, Timer
from ws_load_test.plan.values import kind_of

if TYPE_CHECKING:
    from ws_load_test.plan.correlation import Check
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.texts import Texts
    from ws_load_test.plan.options.scenario.toml_lines import Path

T = TypeVar("T")
_NEEDS_ANSWER = "is of a message that comes, and the step awaits none; add await or until"
_NEEDS_STREAM = "is of a streamed answer; add until, the check of its last message"


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A part of a role, and its place in the plan file."""

    part: T
    place: Path


def read_steps(written: Sequence[Any], place: Path, texts: Texts, problems: Problems) -> tuple[Placed[Step], ...]:
    """Returns steps, those without a name still without one; adds to `problems` what is wrong with them."""
    found = []
    for here, table in _tables(written, place, problems):
        values = read_table(table, STEP, here, problems)
        found.append(Placed(_step(values, here, texts, problems), here))
        if values.keys().isdisjoint({"send", "await", "until", "wait", "close"}) and not problems.has(here):
            problems.add(here, "does nothing; add send, await, wait or close")
    _check_choices(found, problems)
    return tuple(found)


def read_timers(written: Sequence[Any], place: Path, texts: Texts, problems: Problems) -> tuple[Placed[Timer], ...]:
    """Returns timers; adds to `problems` what is wrong with them."""
    found = []
    for here, table in _tables(written, place, problems):
        values = read_table(table, TIMER, here, problems)
        step = _step(values, here, texts, problems)
        if "send" not in values and not problems.has(here):
            problems.add(here, "sends nothing; add send")
        if "every" in values:
            found.append(Placed(Timer(values["every"], step), here))
        elif not problems.has(here):
            problems.add(here, 'says not how often; add every, for example every = "30s"')
    return tuple(found)


def read_reactions(
    written: Sequence[Any], place: Path, texts: Texts, problems: Problems
) -> tuple[Placed[Reaction], ...]:
    """Returns reactions in their order; adds to `problems` what is wrong with them."""
    found: list[Placed[Reaction]] = []
    for here, table in _tables(written, place, problems):
        values = read_table(table, ON, here, problems)
        reaction = _reaction(values, here, texts, problems)
        if "when" not in values:
            if not problems.has((*here, "when")):
                problems.add(here, 'has no check; add when, for example when = "json:op=typing"')
            continue
        for earlier in found:
            if set(earlier.part.when) <= set(reaction.when):
                text = f"never comes to it: on[{earlier.place[-1]}] before it takes the same messages"
                problems.add((*here, "when"), f"{text}; change one, or their order")
                break
            if earlier.part.name == reaction.name and "name" in values:
                problems.add((*here, "name"), f'"{reaction.name}" is the name of on[{earlier.place[-1]}] as well')
        found.append(Placed(reaction, here))
    return tuple(found)


def _tables(written: Sequence[Any], place: Path, problems: Problems) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, table in enumerate(written):
        if isinstance(table, dict):
            yield (*place, number), table
        else:
            problems.add((*place, number), f"takes a table, not {kind_of(table)}")


def _step(values: dict[str, Any], place: Path, texts: Texts, problems: Problems) -> Step:
    binary = values.get("binary", False)
    send = texts.message(values["send"], (*place, "send"), binary=binary) if "send" in values else None
    step = Step(
        name=values.get("name", ""),
        wait=values.get("wait"),
        send=send,
        awaits=values.get("await", ()),
        first=values.get("first", ()),
        until=values.get("until", ()),
        count=values.get("count", ""),
        captures=values.get("capture", ()),
        expect=values.get("expect", ()),
        timeout_ns=values.get("timeout"),
        deliver_to=values.get("deliver-to", ""),
        self_delivery=values.get("self-delivery", "either"),
        weight=values.get("weight"),
        close=values.get("close"),
    )
    for key in ("await", "until", "first", "expect"):
        if key in values:
            texts.check_fields(values[key], (*place, key))
            _check_contradiction(values[key] if key in {"await", "expect"} else (), (*place, key), problems)
    _check_companions(values, place, problems)
    _check_marker(values, step, place, problems)
    if send is not None:
        _check_number(values, step, place, problems)
    return step


def _reaction(values: dict[str, Any], place: Path, texts: Texts, problems: Problems) -> Reaction:
    binary = values.get("binary", False)
    send = texts.message(values["send"], (*place, "send"), binary=binary) if "send" in values else None
    if "binary" in values and "send" not in values:
        problems.add((*place, "binary"), "there is no message; add send")
    if has_marker(fields_of_text(send)):
        problems.add((*place, "send"), "{marker} stands in a step that has deliver-to, and not in a reaction")
    when: tuple[Check, ...] = values.get("when", ())
    texts.check_fields(when, (*place, "when"))
    _check_contradiction(when, (*place, "when"), problems)
    if has_number(fields_of_checks(when)):
        text = "{seq} is the number of the message that a step has sent, and a reaction follows none; capture a value"
        problems.add((*place, "when"), text)
    for key, other in (("per", "sequence"),):
        if key in values and other not in values:
            problems.add((*place, key), f"has no effect without {other}")
    return Reaction(
        name=values.get("name") or values.get("fault") or one_line(" and ".join(map(str, when)), LONGEST_NAME),
        when=when,
        send=send,
        captures=values.get("capture", ()),
        fault=values.get("fault", ""),
        sequence=values.get("sequence", ""),
        per=values.get("per", ""),
        restarts=values.get("restarts", ""),
        age=values.get("age", ""),
        silence_ns=values.get("silence"),
    )


def _check_companions(values: dict[str, Any], place: Path, problems: Problems) -> None:
    """Finds keys that have no effect without another one."""
    if not values.keys() & {"await", "until"} and not problems.has((*place, "await")):
        for key in ("expect", "capture", "timeout"):
            if key in values:
                problems.add((*place, key), _NEEDS_ANSWER)
    if "until" not in values and not problems.has((*place, "until")):
        for key in ("first", "count"):
            if key in values:
                problems.add((*place, key), _NEEDS_STREAM)
    if "binary" in values and "send" not in values:
        problems.add((*place, "binary"), "there is no message; add send")
    if "self-delivery" in values and "deliver-to" not in values:
        problems.add((*place, "self-delivery"), "is of a message for a role; add deliver-to")


def _check_marker(values: dict[str, Any], step: Step, place: Path, problems: Problems) -> None:
    """Finds a marker without an audience, and an audience without a marker."""
    if problems.has((*place, "send")):
        return
    marked = has_marker(fields_of_text(step.send))
    if "deliver-to" in values and not marked:
        text = "its deliveries are recognized by {marker}, which the message has not; put it into send"
        problems.add((*place, "deliver-to"), text if step.send is not None else "there is no message; add send")
    elif marked and "deliver-to" not in values:
        problems.add((*place, "send"), "{marker} is for deliveries; add deliver-to, the role that receives them")


def _check_number(values: dict[str, Any], step: Step, place: Path, problems: Problems) -> None:
    """Finds checks for the number of a message that does not have it."""
    if has_number(fields_of_text(step.send)):
        return
    for key, checks in (("await", step.awaits), ("until", step.until), ("expect", step.expect)):
        if has_number(fields_of_checks(checks)) and key in values:
            text = "can match no message: {seq} is the number of the message that is sent, which does not have it"
            problems.add((*place, key), f"{text}; put {{seq}} into send")


def _check_contradiction(checks: Sequence[Check], place: Path, problems: Problems) -> None:
    """Finds checks that cannot hold together: two values at one place."""
    wanted: dict[tuple[str, str], str] = {}
    for check in checks:
        if check.value is None:
            continue
        other = wanted.setdefault((check.kind, check.operand), check.value)
        if other != check.value and "{" not in other + check.value:
            text = f"can match no message: {check.kind}:{check.operand} cannot be {other} and {check.value}"
            problems.add(place, f"{text}, and all checks must hold")


def _check_choices(steps: Sequence[Placed[Step]], problems: Problems) -> None:
    """Finds weights without an alternative, and steps that a session never comes to."""
    for number, placed in enumerate(steps):
        neighbors = (*steps[max(0, number - 1) : number], *steps[number + 1 : number + 2])
        wrong = any(problems.has((*one.place, "weight")) for one in neighbors)
        alone = not any(one.part.weight is not None for one in neighbors)
        if placed.part.weight is not None and alone and not wrong:
            text = "is that of the only step of its choice; give the next one a weight as well, or leave it out"
            problems.add((*placed.place, "weight"), text)
        if placed.part.close is not None and placed.part.weight is None and number + 1 < len(steps):
            problems.add(steps[number + 1].place, f"never comes: step {number} closes the session")
            return
