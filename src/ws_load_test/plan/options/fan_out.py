"""Builds the fan-out of a plan from parsed option values, and checks that it fits the messages and the load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.errors import OptionProblem, PlanError, option_name
from ws_load_test.common.units import format_bytes, format_count, format_duration
from ws_load_test.messages import Message, Template
from ws_load_test.messages.fields import PublishMarker, RoomName
from ws_load_test.messages.marker import MAX_DUE_NS, MAX_NUMBERS
from ws_load_test.messages.named_values import CapturedValue
from ws_load_test.messages.template import template_text
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.fan_out import FanOut, MarkerRule
from ws_load_test.plan.options.correlation import example_of, samples
from ws_load_test.plan.options.rows.fan_out import FAN_OUT, FAN_OUT_ONLY, FAN_OUT_OR_ROLES, NEEDED, is_fan_out
from ws_load_test.plan.options.rows.load import SCHEDULE
from ws_load_test.plan.ranges import LARGEST_CONNECTIONS

if TYPE_CHECKING:
    from ws_load_test.plan.plan import Plan

LARGEST_ACCOUNTING_BYTES = 1 << 30
"""Memory of one worker for the deliveries that may still come, one byte each: 1 GiB, since a machine has several."""
COMES_BACK = ("reconnect", "disconnect", "lifetime")
"""Options by which a session comes back."""
EXAMPLE = """-m '{"room": "{room}", "text": "{marker}"}'"""
_NO_FAN_OUT = "is a field of a fan-out; add --subscribers N, or --everyone and -c N"


def read_fan_out(
    values: Mapping[str, Any], message: Message, texts: Iterable[tuple[str, str]], problems: list[OptionProblem]
) -> FanOut | None:
    """Returns the fan-out that the options describe, None without one; adds to `problems` what does not fit.

    Args:
        values: Parsed option values.
        message: The message that is published.
        texts: Texts that are filled once for each connection, each with its option: of the target, first messages.
        problems: Problems found so far.
    """
    problems.extend(_misplaced_fields(values, message, texts))
    if not is_fan_out(values):
        if "everyone" in values:
            # Off, it is none of the options that the others need.
            of_fan_out = (FAN_OUT_ONLY, FAN_OUT_OR_ROLES)
            useless = (one.name for one in FAN_OUT if one.name in values and one.requires in of_fan_out)
            problems.extend(OptionProblem(option_name(name), NEEDED) for name in useless)
        return None
    fan_out = _fan_out(values)
    problems.extend(_problems_of_sessions(values, fan_out))
    problems.extend(_problems_of_load(values, fan_out))
    if not any(problem.option in {"--message", "--feed", "--weights"} for problem in problems):
        problems.extend(_problems_of_marker(values, message, fan_out.marker))
    return fan_out


def check_fan_out(plan: Plan) -> None:
    """Checks the amounts of a plan with a fan-out.

    Raises:
        PlanError: It takes too much memory, or too long for its markers.
    """
    problem = _problem_of_memory(plan) or _problem_of_length(plan)
    if problem is not None:
        raise PlanError((problem,))


def most_workers(values: Mapping[str, Any]) -> int | None:
    """Returns the bound that a fan-out sets to the number of workers; None for none."""
    marker: MarkerRule = values.get("marker", MarkerRule())
    return 1 if is_fan_out(values) and marker.kind != "marker" else None


def _fan_out(values: Mapping[str, Any]) -> FanOut:
    everyone = bool(values.get("everyone"))
    subscribers = values.get("connections", 1) if everyone else values["subscribers"]
    publish = values.get("publish_url")
    if publish is not None and "publish_header" in values:
        publish = msgspec.structs.replace(publish, headers=values["publish_header"])
    given = {name: values[name] for name in ("rooms", "marker", "self_delivery", "recovery", "timed") if name in values}
    return FanOut(
        publishers=subscribers if everyone else values.get("publishers", 1),
        subscribers=subscribers,
        everyone=everyone,
        publish=publish,
        **given,
    )


# --- Fields ---------------------------------------------------------------------------------------------------------


def _misplaced_fields(
    values: Mapping[str, Any], message: Message, texts: Iterable[tuple[str, str]]
) -> Iterator[OptionProblem]:
    """Yields the fields of a fan-out or of a scenario that stand where none is, or where they have no value."""
    fan_out = is_fan_out(values)
    found = [("message", label) for label in message.fields]
    found += [(option, label) for option, text in texts for label in _labels(Template(text))]
    for option, label in dict.fromkeys(found):
        if label.startswith(CapturedValue.prefix):
            text = f"{{{label}}} is what a session of a scenario has captured; write roles in a plan file for that"
            yield OptionProblem(option_name(option), text)
        if label not in {PublishMarker.name, RoomName.name}:
            continue
        if not fan_out:
            yield OptionProblem(option_name(option), f"{{{label}}} {_NO_FAN_OUT}")
        elif label == PublishMarker.name and option != "message":
            where = "a first message" if option == "first_message" else "what opens a session"
            text = f"{{marker}} stands in the messages that are published, those of -m, and not in {where}"
            yield OptionProblem(option_name(option), text)


def _labels(template: Template) -> Iterator[str]:
    return (field.label for field in template.fields)


def _problems_of_marker(values: Mapping[str, Any], message: Message, rule: MarkerRule) -> Iterator[OptionProblem]:
    """Yields the reasons why deliveries of the messages would not be recognized."""
    if rule.kind == "marker":
        if all(has_marker(message)):
            return
        which = "a message has" if message.alternatives else "the message has"
        text = (
            f"a delivery is recognized by {{marker}}, which {which} not; put it where the target passes text on, for"
            f" example {EXAMPLE}, or say with --marker where {{seq}} comes back"
        )
        yield OptionProblem("--message", text)
        return
    read = Correlation(rule=rule.kind, selector=rule.pattern).message_id_extractor()
    numbers = [read(sample) for sample in samples(message, rounds=2)]
    if any(_as_text(number) != str(expected) for expected, number in enumerate(numbers)):
        example, where = example_of(rule.kind)
        yield OptionProblem(
            "--marker", f"{rule} does not find {{seq}} in the message; put it there{example}, or mend the {where}"
        )
    if values.get("workers", 1) > 1:
        text = f"only the worker that sent a message knows when, so --marker {rule.kind} takes one worker; add -w 1"
        yield OptionProblem("--workers", text + ", or take {marker}, which brings its instants with it")


def has_marker(message: Message) -> list[bool]:
    """Returns for each of the messages whether it has the field ``{marker}``."""
    payloads = (message.payload, *message.alternatives)
    templated = message.is_template or (False,) * len(payloads)
    return [
        has_fields and PublishMarker.name in _labels(Template(template_text(payload), ()))
        for payload, has_fields in zip(payloads, templated, strict=True)
    ]


def _as_text(number: bytes | str | None) -> str | None:
    return number.decode(errors="replace") if isinstance(number, bytes) else number


# --- Sessions and load ----------------------------------------------------------------------------------------------


def _problems_of_sessions(values: Mapping[str, Any], fan_out: FanOut) -> Iterator[OptionProblem]:
    if fan_out.everyone and "connections" not in values:
        yield OptionProblem("--everyone", "needs the number of sessions; add -c N")
        return
    if fan_out.sessions > LARGEST_CONNECTIONS:
        text = f"{fan_out.sessions} sessions with the publishers are too many; it takes at most {LARGEST_CONNECTIONS:_}"
        yield OptionProblem("--subscribers", text)
    rooms, members = len(fan_out.rooms), "sessions" if fan_out.everyone else "subscribers"
    if rooms > fan_out.subscribers:
        text = f"{format_count(rooms)} rooms are more than the {format_count(fan_out.subscribers)} {members}, so some"
        yield OptionProblem("--rooms", f"{text} would be empty; take fewer rooms")
    elif fan_out.everyone and fan_out.largest_room == 1 and fan_out.self_delivery != "expected":
        text = "a session alone in its room reaches no other; add sessions, take fewer rooms, or write"
        yield OptionProblem("--everyone", f"{text} --self-delivery expected")
    if fan_out.recovery == "expected" and not any(name in values for name in COMES_BACK):
        text = "expected: no session comes back after it was lost; add --reconnect POLICY"
        yield OptionProblem("--recovery", text)


def _problems_of_load(values: Mapping[str, Any], fan_out: FanOut) -> Iterator[OptionProblem]:
    option = "--everyone" if fan_out.everyone else "--subscribers"
    if not any(name in values for name in SCHEDULE):
        text = "a fan-out publishes on a schedule, not when a reply comes; add --rate or --stages"
        yield OptionProblem(option, text)
    elif values.get("rate") == 0:
        yield OptionProblem("--rate", "0 publishes nothing, and a fan-out measures what is published; give a rate")


def _problem_of_memory(plan: Plan) -> OptionProblem | None:
    """Returns the problem of a plan whose workers would account for more deliveries than they have memory for."""
    fan_out, per_s = plan.fan_out, plan.peak_publishes_per_s or 0.0
    assert fan_out is not None
    needed = fan_out.accounting_bytes(per_s, plan.timeout_ns) / plan.workers
    if needed <= LARGEST_ACCOUNTING_BYTES:
        return None
    text = (
        f"{format_count(fan_out.deliveries_per_s(per_s))} deliveries a second, each accounted for until"
        f" twice the --timeout of {format_duration(plan.timeout_ns)}, take {format_bytes(needed)} of memory in each"
        f" worker, which has {LARGEST_ACCOUNTING_BYTES >> 30} GiB for them; take a shorter --timeout, a lower rate,"
        f" more rooms or workers, or fewer {'connections' if fan_out.everyone else 'subscribers'}"
    )
    return OptionProblem(_option_of_size(fan_out), text)


def _problem_of_length(plan: Plan) -> OptionProblem | None:
    """Returns the problem of a plan that runs longer, or publishes more, than a marker can say."""
    fan_out, per_s = plan.fan_out, plan.peak_publishes_per_s or 0.0
    assert fan_out is not None
    messages = plan.messages or 0
    length_ns = plan.warmup_ns + (int(messages / per_s * 1e9) if plan.duration_ns is None else plan.duration_ns)
    option = "--messages" if plan.duration_ns is None else "--duration"
    if length_ns > MAX_DUE_NS:
        text = f"a fan-out takes at most {format_duration(MAX_DUE_NS)}, since a marker counts from its start in ns"
        return OptionProblem(option, f"{text}; this one takes {format_duration(length_ns)}")
    if per_s * length_ns / 1e9 / fan_out.publishers > MAX_NUMBERS:
        text = f"each publisher would send more than the {MAX_NUMBERS} messages that a marker can number"
        return OptionProblem("--publishers" if fan_out.by_role is None else "role", f"{text}; add publishers")
    return None


def _option_of_size(fan_out: FanOut) -> str:
    """Returns what decides how many sessions receive a message."""
    return "role" if fan_out.by_role is not None else "--everyone" if fan_out.everyone else "--subscribers"
