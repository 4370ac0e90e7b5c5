"""Builds the correlation of a plan from parsed option values, and checks that it fits the messages and the load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import Message
from ws_load_test.messages.generator import MessageGenerator
from ws_load_test.plan.codecs import CODECS
from ws_load_test.plan.correlation import Correlation, CorrelationRule, Stream
from ws_load_test.plan.options.catalog import fields_of
from ws_load_test.plan.options.rows.fan_out import is_fan_out
from ws_load_test.plan.options.rows.load import SCHEDULE


def read_correlation(values: Mapping[str, Any], message: Message, problems: list[OptionProblem]) -> Correlation:
    """Returns the correlation that the options describe; adds to `problems` what fits neither message nor load."""
    rule, where = values.get("match", (_usual_rule(values, message), ""))
    # Without an end mark the other options of streams are refused, for lack of their companion.
    stream = Stream(**fields_of(values, "correlation.stream")) if "until" in values else None
    correlation = Correlation(rule=rule, selector=where, stream=stream, **fields_of(values, "correlation"))
    _check_load(rule, values, message, problems)
    if {"first_wait", "expect_first"} <= values.keys() and len(values.get("first_message", ())) == 1:
        text = "cannot stand beside --first-wait here: the only first message is not answered; leave one of them out"
        problems.append(OptionProblem("--expect-first", text))
    if correlation.in_payload and message.kind != "ping":
        read = correlation.message_id_extractor()
        without = [sample for sample in samples(message) if read(sample) is None]
        if without:
            example, place = example_of(rule)
            text = f"{rule}:{where} finds no id in the message that is sent; put one in{example}, or mend the {place}"
            problems.append(OptionProblem("--match", text))
    return correlation


def _usual_rule(values: Mapping[str, Any], message: Message) -> CorrelationRule:
    """Returns the rule where none is given: of a fan-out none, because what comes is a delivery sooner than a reply."""
    if message.kind == "ping":
        return "ping"
    return "none" if is_fan_out(values) and "publish_url" not in values else "order"


def _check_load(
    rule: CorrelationRule, values: Mapping[str, Any], message: Message, problems: list[OptionProblem]
) -> None:
    """Finds a rule that does not fit the messages or the load."""
    if rule == "none":
        if "match" in values and not set(SCHEDULE) & values.keys():
            problems.append(
                OptionProblem(
                    "--match", "none: without replies a closed loop never sends again; add --rate or --stages"
                )
            )
        if "expect" in values:
            text = "cannot stand beside --match none: there are no replies to check"
            if "match" not in values:
                text = (
                    "there are no replies to check in a fan-out without --match, the rule of acknowledgements; add it"
                )
            problems.append(OptionProblem("--expect", text))
    if "until" in values and rule in {"none", "echo"}:
        why = "there are no answers to wait for" if rule == "none" else "an echo is one message"
        problems.append(OptionProblem("--until", f"cannot stand beside --match {rule}: {why}"))
    if message.kind == "ping":
        if rule not in {"ping", "echo", "none"}:
            problems.append(
                OptionProblem("--match", f"{rule} does not fit --ping: its replies are pongs; leave it out")
            )
        if "expect" in values:
            problems.append(OptionProblem("--expect", "cannot stand beside --ping: a pong says what its ping said"))
    elif rule == "ping":
        problems.append(OptionProblem("--match", "ping takes pongs for replies; add --ping, which sends pings"))


def example_of(rule: str) -> tuple[str, str]:
    """Returns an example of a message with an id for a rule, to follow "put it there", and the name of its operand."""
    if rule not in CODECS:
        return "", "pattern"
    example = CODECS[rule].example
    return (f", for example -m '{example}'" if example else ""), "path"


def samples(message: Message, rounds: int = 1) -> list[bytes]:
    """Returns each of the messages as they would be sent, so many times, the first of them with number 0."""
    source = MessageGenerator(message, Shard(0, 1))
    try:
        payloads = source.payloads(0, next(source.rows))
        # In turn, whatever the weights, each comes within as many as all weigh together.
        return [payloads.next() for _ in range((sum(message.weights) or 1) * rounds)]
    except UsageError:
        # `read_message` reports what is missing in the feed.
        return []
    finally:
        source.close()
