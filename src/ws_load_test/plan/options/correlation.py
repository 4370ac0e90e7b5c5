"""From options to the matching: which reply answers which message, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ws_load_test.common.errors import Problem, UsageError
from ws_load_test.common.sharding import Share
from ws_load_test.messages import Message
from ws_load_test.messages.generator import Source
from ws_load_test.plan import values as option_values
from ws_load_test.plan.correlation import (
    Answer,
    Check,
    Matching,
    Rule,
    parse_answer,
    parse_check,
    parse_rule,
)


def _rule(value: Any) -> tuple[Rule, str]:
    return parse_rule(option_values.text(value))


def _checks(value: Any) -> tuple[Check, ...]:
    return tuple(map(parse_check, option_values.texts(value)))


def _answers(value: Any) -> tuple[Answer, ...]:
    return tuple(map(parse_answer, option_values.texts(value)))


READERS: dict[str, Callable[[Any], Any]] = {
    "match": _rule,
    "expect": _checks,
    "expect_first": _checks,
    "ignore": _checks,
    "answer": _answers,
    "skip_first": option_values.number,
    "strict_protocol": option_values.flag,
}


_WHERE = {"json": "path", "regex": "pattern"}


def read_matching(values: Mapping[str, Any], message: Message, problems: list[Problem]) -> Matching:
    """The matching that the options describe; adds to `problems` what does not fit the message or the load."""
    rule, where = values.get("match", ("ping" if message.kind == "ping" else "order", ""))
    matching = Matching(
        rule=rule,
        where=where,
        expect=values.get("expect", ()),
        expect_first=values.get("expect_first", ()),
        ignore=values.get("ignore", ()),
        answers=values.get("answer", ()),
        skip_first=values.get("skip_first", 0),
        strict=values.get("strict_protocol", False),
    )
    _check_load(rule, values, message, problems)
    if rule in {"json", "regex"} and message.kind != "ping":
        read = matching.message_reader()
        without = [sample for sample in _samples(message) if read(sample) is None]
        if without:
            example = "" if rule == "regex" else """, for example -m '{"id": {seq}}'"""
            text = f"{rule}:{where} finds no id in the message that is sent; put one in{example}, or mend the "
            text += _WHERE[rule]
            problems.append(Problem("--match", text))
    return matching


def _check_load(rule: Rule, values: Mapping[str, Any], message: Message, problems: list[Problem]) -> None:
    """Whether the rule fits what is sent, and when."""
    if "expect_first" in values and "first_message" not in values:
        problems.append(Problem("--expect-first", "needs a --first-message, whose reply it checks"))
    if rule == "none":
        if not {"rate", "rate_per_connection", "stages"} & values.keys():
            problems.append(
                Problem("--match", "none: no reply tells a flood when to send next; add --rate or --stages")
            )
        if "expect" in values:
            problems.append(Problem("--expect", "cannot stand beside --match none: there are no replies to check"))
    if message.kind == "ping":
        if rule not in {"ping", "echo", "none"}:
            problems.append(Problem("--match", f"{rule} does not fit --ping: its replies are pongs; leave it out"))
        if "expect" in values:
            problems.append(Problem("--expect", "cannot stand beside --ping: a pong says what its ping said"))
    elif rule == "ping":
        problems.append(Problem("--match", "ping takes pongs for replies; add --ping, which sends pings"))


def _samples(message: Message) -> list[bytes]:
    """One of each of the messages as they would be sent."""
    source = Source(message, Share(0, 1))
    try:
        payloads = source.payloads(0, next(source.rows))
        # In turn, whatever the weights, each comes within as many as all weigh together.
        return [payloads.next() for _ in range(sum(message.weights) or 1)]
    except UsageError:
        # What the feed lacks is told by those who read it.
        return []
    finally:
        source.close()
