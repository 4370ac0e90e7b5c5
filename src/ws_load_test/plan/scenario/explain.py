"""Words for a scenario: what the sessions of each role do, step by step, and the load that is to be expected."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ws_load_test.common.units import format_count, format_duration, format_rate, format_share, one_line
from ws_load_test.messages.template import template_text
from ws_load_test.plan.redaction import public_payload
from ws_load_test.plan.scenario.estimate import estimate, receivers_of

if TYPE_CHECKING:
    from ws_load_test.plan.correlation import Check
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.scenario.model import Capture, Reaction, Role, Scenario, Step, Text

NARROWEST, WIDEST = 60, 120
"""Columns of the text: fewer leave no room beside the names, and longer lines are read with effort."""
LONGEST_TEXT = 240
"""Characters of a message that are shown: its beginning shows which it is."""
_LABEL = 9
"""Columns of the words before steps."""
_LONGEST_NAME = 18
"""Columns of the names of steps; a longer one has a line of its own."""

Row = tuple[str, str, list[str]]
"""Label, name, and the sentences of one step."""


def explain_scenario(plan: Plan, width: int) -> list[str]:
    """Returns lines about the scenario of a plan, none longer than `width` allows.

    Raises:
        ValueError: The plan has no scenario.
    """
    scenario = plan.scenario
    if scenario is None:
        raise ValueError("the plan has no roles")
    width = min(max(width, NARROWEST), WIDEST)
    lines: list[str] = []
    for role in scenario.roles:
        rows = list(_rows(plan, role))
        lines += ["", *textwrap.wrap(f"{role.name}: {_sessions(scenario, role)}", width, subsequent_indent="  ")]
        column = max((len(name) for _, name, _ in rows if len(name) <= _LONGEST_NAME), default=0)
        for label, name, sentences in rows:
            lines += _aligned(label, name, sentences, column, width)
    return [*lines, "", *_load_lines(scenario, width)]


def _aligned(label: str, name: str, sentences: Sequence[str], column: int, width: int) -> Iterator[str]:
    """Yields one step: its sentences below each other, beside its name."""
    indent = 2 + _LABEL + column + 2
    head = f"  {label:<{_LABEL}}{name:<{column}}  "
    if len(name) > column:
        yield head.rstrip()
        head = " " * indent
    for sentence in sentences:
        for line in textwrap.wrap(sentence, width - indent, subsequent_indent="  ", break_on_hyphens=False):
            yield f"{head}{line}"
            head = " " * indent


def _sessions(scenario: Scenario, role: Role) -> str:
    words = _count(role.sessions, "session")
    if role.arrive_per_s is not None:
        random = f" at random (Poisson, seed {role.seed})" if role.arrivals == "poisson" else ""
        words = f"sessions that arrive{random}, {format_rate(role.arrive_per_s)}, at most {format_count(role.sessions)}"
        words += " at the same time; more are dropped"
    rooms = len(scenario.rooms)
    if rooms > 1:
        fewest, more = divmod(role.sessions, rooms)
        each = f"{fewest}" if not more else f"{fewest} or {fewest + 1}"
        words += f", in {format_count(rooms)} rooms ({each} in each)"
    if role.iterations is not None:
        fewest, most = role.iterations
        words += (
            f"; each leaves after {_count(most, 'iteration') if fewest == most else f'{fewest} to {most} iterations'}"
        )
    if role.stay is not None:
        words += f"; each stays {role.stay.describe()}"
    if role.arrive_per_s is None and (role.stay or role.iterations):
        words += ", then another takes its place"
    return words


def _rows(plan: Plan, role: Role) -> Iterator[Row]:
    yield from _section("opens", role.open, plan, role)
    if role.python:
        assert plan.scenario is not None
        published = f"a message with {{marker}} {_deliveries(plan.scenario, role, role)}" if role.deliver_to else ""
        yield "runs", "", [f"the coroutine {role.python}", *filter(None, [_pace(role), published])]
    yield from _section("repeats", role.steps, plan, role, _pace(role))
    if not role.steps and not role.python and not role.timers:
        yield "listens", "", ["and sends nothing more" if role.reactions else "and counts what comes as pushes"]
    for number, timer in enumerate(role.timers):
        every = f"every {format_duration(timer.every_ns)}"
        yield "" if number else "timer", timer.step.name, [every, *_step(timer.step, plan, role)]
    for number, reaction in enumerate(role.reactions):
        # A name that was made of its other words says nothing more.
        own = reaction.name not in {_all(reaction.when), reaction.fault}
        yield "" if number else "reacts", reaction.name * own, list(_reaction(reaction))
    yield from _section("leaves", role.leave, plan, role)


def _pace(role: Role) -> str:
    if role.rate_per_s is not None:
        return f"{format_rate(role.rate_per_s)} over all sessions, on a schedule"
    return ""


def _section(label: str, steps: Sequence[Step], plan: Plan, role: Role, pace: str = "") -> Iterator[Row]:
    """Yields the steps of a section, those of a choice under a line of the choice."""
    if pace and steps:
        yield label, "", [pace]
        label = ""
    for is_choice, group in groupby(steps, lambda step: step.weight is not None):
        found = list(group)
        whole = sum(step.weight or 0.0 for step in found)
        for number, step in enumerate(found):
            sentences = list(_step(step, plan, role))
            if is_choice:
                share = f"{format_share((step.weight or 0.0) / whole)} of the times"
                sentences.insert(0, f"{share}, one of {len(found)} steps" if number == 0 else f"or {share}")
            # A step that only waits is counted under no name.
            yield label, step.name if step.send or step.awaits_message or step.close else "", sentences
            label = ""


def _step(step: Step, plan: Plan, role: Role) -> Iterator[str]:
    scenario = plan.scenario
    assert scenario is not None
    if step.wait is not None:
        yield f"waits {step.wait.describe()}"
    if step.send is not None:
        yield f"sends {_text(step.send)}"
    if step.deliver_to:
        yield _deliveries(scenario, role, step)
    if step.awaits_message:
        limit = format_duration(step.timeout_ns or plan.timeout_ns)
        if step.until:
            among = f" of messages with {_all(step.awaits)}" if step.awaits else ""
            yield f"awaits an answer{among} that ends with {_any(step.until)}, at most {limit}"
            if step.first:
                yield f"its first message is the one with {_any(step.first)}"
            yield f"a gap of more than {format_duration(scenario.stall_ns)} in it is a stall"
            if step.count:
                yield f"counts the number at {step.count} of its last message"
        else:
            yield f"awaits a message with {_all(step.awaits)}, at most {limit}"
    if step.expect:
        yield f"which must have {_all(step.expect)}, or it is a fault"
    yield from _captures(step.captures)
    if step.close is not None:
        yield f"closes the session with {step.close}"


def _deliveries(scenario: Scenario, role: Role, source: Step | Role) -> str:
    receivers = receivers_of(scenario, role, source)
    amount = f"{receivers:.3g}" if receivers % 1 else format_count(receivers)
    where = " of its room" if len(scenario.rooms) > 1 else ""
    itself = {"expected": ", itself included", "excluded": ", and never itself"}.get(source.self_delivery, "")
    return f"must reach the {source.deliver_to} sessions{where}: {amount}{itself}"


def _reaction(reaction: Reaction) -> Iterator[str]:
    what = f"to messages with {_all(reaction.when)}"
    yield f'{what}: each is the fault "{reaction.fault}"' if reaction.fault else what
    if reaction.send is not None:
        yield f"sends {_text(reaction.send)}"
    yield from _captures(reaction.captures)
    if reaction.sequence:
        per = f", for each {reaction.per} by itself" if reaction.per else ""
        yield f"the number at {reaction.sequence} grows by one{per}: gaps and repeats are counted"
    if reaction.restarts:
        yield f"the numbers of {reaction.restarts} begin anew"
    if reaction.age:
        yield f"its age is taken from {reaction.age}"
    if reaction.silence_ns is not None:
        yield f"{format_duration(reaction.silence_ns)} without one are a stall"


def _captures(captures: Iterable[Capture]) -> Iterator[str]:
    if captures:
        yield f"keeps {', '.join(f'{one.name} ({one.place})' for one in captures)}"


def _text(text: Text) -> str:
    """Returns the beginning of a message, without what looks like a secret; of a binary one, that it is."""
    kind = "binary " if text.binary else ""
    content = template_text(text.payload)
    if content.lstrip().startswith(("{", "[")):
        # Line ends of JSON are as good as spaces.
        content = " ".join(content.split())
    shown = public_payload(one_line(content, LONGEST_TEXT))
    return f"{kind}{shown}" if shown.strip() else f"{kind}a message of {len(text.payload)} bytes"


def _all(checks: Iterable[Check]) -> str:
    return " and ".join(one_line(str(check)) for check in checks)


def _any(checks: Iterable[Check]) -> str:
    return " or ".join(one_line(str(check)) for check in checks)


def _load_lines(scenario: Scenario, width: int) -> Iterator[str]:
    """Yields what is to be expected of each role and of all together, a line each."""
    rows = []
    deliveries = 0.0
    for role in scenario.roles:
        found = estimate(scenario, role)
        most = "at most " * found.is_upper_bound
        if found.sent_per_s is None:
            rows.append((role.name, "as many messages as the target answers"))
        elif found.sent_per_s:
            words = f"{most}{format_rate(found.sent_per_s)}"
            if found.iterations_per_s:
                words += f" in {format_rate(found.iterations_per_s)} iterations"
            rows.append((role.name, f"{words}{', if the target answered at once' * found.is_upper_bound}"))
        deliveries += found.delivered_per_s or 0.0
    if deliveries:
        rows.append(("deliveries", f"some {format_rate(deliveries)}, by the same reckoning"))
    if not rows:
        return
    yield from textwrap.wrap("expected load, with all sessions there (messages of steps and timers)", width)
    column = max(len(name) for name, _ in rows)
    for name, words in rows:
        yield from textwrap.wrap(
            f"  {name:<{column}}  {words}", width, subsequent_indent=" " * (column + 4), drop_whitespace=True
        )


def _count(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'s' * (number != 1)}"
