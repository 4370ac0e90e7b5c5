"""Diagnosis of a probe: a sentence with the next step, and where a reply is that no rule found."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.plan.codecs.json_path import json_extractor
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ws_load_test.engine.sessions.read_policy import ReadPolicy
    from ws_load_test.plan.correlation import Correlation
    from ws_load_test.plan.plan import Plan

MAX_VALUES = 1000
"""Values of a JSON message that are searched for an id; a larger message has its id near its beginning."""
MAX_KEPT_MESSAGES = 1000
"""Messages that are kept for the diagnosis; a target may send without end."""
MAX_KEPT_BYTES = 64 << 20
"""Bytes of their contents."""
_ANSWER = ("first", "part", "reply")
"""Verdicts on messages of an answer."""
_IDS = re.compile(r"^(?:id|.*(?:_id|-id|Id|ID))$|ref|seq|nonce|correl|request|uuid|tag", re.IGNORECASE)
_NAME = re.compile(r"[^.\[\]]+")
_REMEDIES = {
    "200": "that is a page and no WebSocket: look at the URL's path",
    "401": "give credentials: --bearer, --user, -H or --cookie",
    "403": "give credentials (--bearer, --user, -H, --cookie) or the --origin that it expects",
    "404": "look at the URL's path",
    "400": "look at what it wants in headers: --origin, --subprotocol, -H",
    "426": "look at what it wants in headers: --subprotocol, -H",
    "429": "it limits the rate; wait, or ask for an exception",
}
"""Remedy for each status of an answer to the upgrade."""


_WHATEVER_ELSE = {
    FaultKind.PROTOCOL_ERROR: "that is an error of the server",
    FaultKind.MESSAGE_TOO_LARGE: "if such messages are to be expected, give it a higher value",
}
"""Faults that are the conclusion whatever else has come, and what each means."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that came, and the engine's decision on it."""

    verdict: str
    """``reply``, ``first`` or another ``part`` of an answer of many, ``first-reply``, ``greeting``, ``late``,
    ``duplicate``, ``ignored`` (or answered), ``push``; of those that are paired in order, ``early`` (before the
    message) and ``surplus`` (behind its reply)."""
    payload: bytes


@dataclass(slots=True)
class SessionRecord:
    """The facts of a session that a diagnosis is made from."""

    plan: Plan
    fault: Fault | None = None
    """Reason why the session did not open, or how it ended; its text without secrets."""
    opened: bool = False
    interrupted: bool = False
    message: bytes | None = None
    """The message that was sent."""
    awaited: bool = True
    reply_ns: int | None = None
    first_ns: int | None = None
    """Time to the first message of an answer of several."""
    pairing: str = ""
    """The rule that paired the reply."""
    failed: list[str] = field(default_factory=list)
    """The checks that did not hold."""
    came: list[ReceivedMessage] = field(default_factory=list)
    """The first `MAX_KEPT_MESSAGES` that came, and their contents up to `MAX_KEPT_BYTES`."""
    counts: Counter[str] = field(default_factory=Counter)
    """Messages that came, by verdict."""
    kept_bytes: int = 0

    def add(self, message: ReceivedMessage) -> None:
        """Adds a message that came."""
        self.counts[message.verdict] += 1
        if len(self.came) >= MAX_KEPT_MESSAGES and message.verdict != "reply":
            return
        if self.kept_bytes + len(message.payload) > MAX_KEPT_BYTES:
            message = replace(message, payload=b"")
        self.kept_bytes += len(message.payload)
        self.came.append(message)

    def count(self, *verdicts: str) -> int:
        """Returns how many of the messages that came have one of these verdicts; without any, of all."""
        return sum(self.counts[verdict] for verdict in verdicts) if verdicts else self.counts.total()


# --- Of each message -----------------------------------------------------------------------------------------------


def describe_match(correlation: Correlation, payload: bytes, redact: Callable[[str], str]) -> str:
    """Returns the rule by which a reply was paired, in words."""
    if correlation.in_payload:
        return f"by {correlation.rule}:{correlation.selector} ({_shown_id(correlation, payload, redact)})"
    return {"ping": "as its pong", "echo": "because it equals the message"}.get(correlation.rule, "in order")


def explain_unmatched(
    correlation: Correlation,
    reading: ReadPolicy,
    opcode: int,
    payload: bytes,
    redact: Callable[[str], str],
    *,
    awaited: bool,
) -> tuple[str, str]:
    """Returns why a message answers nothing, as a verdict and in words; asks in the order in which the engine does."""
    taken_out = _taken_out(correlation, reading, payload) if reading.needs_payload else None
    if taken_out is not None:
        return "ignored", taken_out
    if reading.send_only:
        return "push", "no reply is awaited"
    if reading.pongs and opcode != frames.PONG:
        return "push", "it is no pong"
    if reading.id_is_payload:
        return "push", "it does not equal the message"
    if reading.extract_id is not None:
        if reading.extract_id(payload) is None:
            return "push", f"--match {correlation.rule}:{correlation.selector} finds no id in it"
        other = _shown_id(correlation, payload, redact)
        return "push", f"--match {correlation.rule}:{correlation.selector} finds another id: {other}"
    if not awaited:
        return "early", "it came before the message"
    return "surplus", "nothing awaits it: the reply had come"


def _taken_out(correlation: Correlation, reading: ReadPolicy, payload: bytes) -> str | None:
    """Returns the option that makes a message a push, whatever its id; None if there is none."""
    for answer, (test, _) in zip(correlation.auto_replies, reading.answers, strict=True):
        if test(payload):
            return f"answered, as --auto-reply {answer.check} says"
    for check, test in zip(correlation.ignore, reading.ignore, strict=True):
        if test(payload):
            return f"--ignore {check} takes it out"
    return None


def _shown_id(correlation: Correlation, payload: bytes, redact: Callable[[str], str]) -> str:
    found = correlation.reply_id_extractor()(payload)
    return redact(found.decode(errors="replace") if isinstance(found, bytes) else str(found))[:100]


# --- Of the whole --------------------------------------------------------------------------------------------------


def diagnose(seen: SessionRecord) -> str:
    """Returns the conclusion, and what to do next."""
    if not seen.opened:
        return _unopened(seen)
    if seen.interrupted and seen.reply_ns is None:
        return f"Interrupted {_progress(seen)}. {_likely_reply(seen) or ''}".rstrip()
    if seen.fault is not None and seen.fault.kind in _WHATEVER_ELSE:
        return f"The target {seen.fault.text}: {_WHATEVER_ELSE[seen.fault.kind]}."
    if seen.message is None:
        return _unsent(seen)
    if not seen.awaited:
        ended = f"; the target {seen.fault.text}" if seen.fault is not None else ""
        return f"The message was sent, {_amount(seen.count('push', 'ignored'))} came{ended}. {_next(seen)}"
    if seen.reply_ns is None:
        return _unanswered(seen)
    after = f"{_reply(seen, seen.reply_ns)}, paired {seen.pairing}"
    doubt = _ambiguity(seen)
    if seen.failed:
        also = f"; and {doubt}" if doubt is not None else "; look at the reply above."
        return f"{after}, but it fails --expect {' and '.join(seen.failed)}{also}"
    if doubt is not None:
        return f"{after}, but {doubt}"
    if seen.fault is not None:
        return f"{after}; then the target {seen.fault.text}. Under load every session would end so."
    pushes = seen.count("push", "ignored", "duplicate")
    beside = f", and {_amount(pushes)} beside it" if pushes else ""
    return f"{after}{beside}. {_next(seen)}"


def _reply(seen: SessionRecord, reply_ns: int) -> str:
    """Returns when the reply came, or the first and the last message of an answer of many."""
    if seen.plan.correlation.stream is None:
        return f"The reply came after {format_duration(reply_ns)}"
    first = f", its first after {format_duration(seen.first_ns)}" if seen.first_ns is not None else ""
    return f"The answer of {_amount(seen.count(*_ANSWER))} ended after {format_duration(reply_ns)}{first}"


def _unopened(seen: SessionRecord) -> str:
    if seen.interrupted or seen.fault is None:
        return "Interrupted before the session had opened."
    fault = seen.fault
    remedy = _REMEDIES.get(fault.detail) if fault.kind is FaultKind.UPGRADE_REJECTED else None
    if "; write " in fault.text:
        # Its cause is known better than by its status.
        remedy = None
    if fault.kind is FaultKind.PROXY:
        return f"The session did not open: {fault.text}."
    text = fault.text if fault.text.startswith("the ") else f"the target {fault.text}"
    return f"The session did not open: {text}" + (f"; {remedy}." if remedy else ".")


def _progress(seen: SessionRecord) -> str:
    """Returns how far the session got."""
    if seen.message is None:
        return f"after the session had opened, before the message; {_amount(seen.count())} had come"
    return f"while the reply was awaited; {_amount(seen.count())} had come"


def _unsent(seen: SessionRecord) -> str:
    plan = seen.plan
    if not plan.load.sends_messages and seen.fault is None:
        return f"The session opened, and nothing is sent at --rate 0; {_amount(seen.count())} came. {_next(seen)}"
    text = seen.fault.text if seen.fault is not None else "ended the session"
    greeted = seen.count("greeting")
    if (
        seen.fault is not None
        and seen.fault.kind is FaultKind.FIRST_REPLY_TIMEOUT
        and greeted < plan.correlation.greetings
    ):
        return (
            f"No message was sent: {greeted} of {_amount(plan.correlation.greetings, 'greeting')} came; "
            "give --skip-first as many as come, or leave it out."
        )
    if seen.fault is not None and seen.fault.kind is FaultKind.FIRST_REPLY_TIMEOUT:
        return f"No message was sent: the target {text}. If it never answers the last of them, add --first-wait 500ms."
    return f"No message was sent: the target {text}."


def _unanswered(seen: SessionRecord) -> str:
    plan, fault, clue = seen.plan, seen.fault, _likely_reply(seen)
    if clue is not None:
        return clue
    begun, stream = seen.count(*_ANSWER), plan.correlation.stream
    if fault is not None and fault.kind is not FaultKind.REPLY_TIMEOUT:
        if begun:
            return f"The answer was broken off after {_amount(begun)}: the target {fault.text}."
        return f"No reply came: the target {fault.text}. Is the message what it expects?"
    waited = format_duration(plan.timeout_ns)
    if begun and stream is not None:
        until = " or ".join(map(str, stream.until))
        return (
            f"{_amount(begun)} of the answer came within {waited}, and none satisfies --until {until}; which is last?"
        )
    unpaired = seen.count("push", "ignored", "late", "duplicate", "early")
    if not unpaired and plan.message.kind == "ping":
        return f"No pong came within {waited}: a target must answer pings (RFC 6455, section 5.5.2)."
    if not unpaired:
        return (
            f"No reply came within {waited}, nor anything else behind the message. Is it what the API expects? "
            "--timeout waits longer; --match none, with --rate, awaits nothing."
        )
    return (
        f"{_amount(unpaired)} came within {waited}, and none is the reply by --match {_rule(plan)}; above stands why."
    )


def _next(seen: SessionRecord) -> str:
    chosen = seen.plan.connections > 1 or not seen.plan.load.due_when_sent
    return "Now leave out --probe." if chosen else "Now add load: -c 10 -d 10s"


def _amount(count: int, noun: str = "message") -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _rule(plan: Plan) -> str:
    return plan.correlation.rule + (f":{plan.correlation.selector}" if plan.correlation.selector else "")


# --- Where the reply may be ----------------------------------------------------------------------------------------


def _likely_reply(seen: SessionRecord) -> str | None:
    """Returns where the reply seems to be, when the rule has found none."""
    plan, message = seen.plan, seen.message
    if message is None or seen.reply_ns is not None:
        return None
    if seen.count("greeting") and not plan.setup_messages and seen.count() == seen.count("greeting"):
        taken = seen.count("greeting")
        return (
            f"No reply: {_amount(taken)} came, taken for {'the greeting' if taken == 1 else 'greetings'} that "
            f"--skip-first {plan.correlation.greetings} says; if the target does not greet, leave that out."
        )
    unpaired = [one for one in seen.came if one.verdict in {"push", "ignored", "early"}]
    reader = plan.correlation.reply_id_extractor() if plan.correlation.by_id else None
    if reader is not None:
        ours = plan.correlation.message_id_extractor()(message)
        if any(one.verdict == "ignored" and reader(one.payload) == ours for one in unpaired):
            return (
                "A message with our id came, but --ignore takes it out (or --auto-reply answers it); narrow that check."
            )
    if not plan.correlation.by_id:
        return None
    given, _, _ = plan.correlation.selector.partition("=") if plan.correlation.by_path else ("", "", "")
    found = suggest_rule(message, [one.payload for one in unpaired], given)
    if found is None:
        return None
    rule, path = found
    if plan.correlation.by_path:
        at = plan.correlation.selector.rpartition("=")[2]
        where = f'that carry no id of ours at "{at}"'
    elif plan.correlation.rule == "regex":
        where = "in which the pattern does not find our id"
    else:
        where = "that do not equal ours"
    counted = _amount(len(unpaired))
    if len(unpaired) == 1:
        where = where.replace("carry", "carries").replace("do not", "does not")
    return f'{counted} came {where}; one has it at "{path}": try --match {rule}'


def _ambiguity(seen: SessionRecord) -> str | None:
    """Returns why the pairing may be wrong, where it is in order."""
    if seen.plan.correlation.rule != "order" or seen.message is None:
        return None
    reply = next((one.payload for one in seen.came if one.verdict == "reply"), b"")
    surplus = [one.payload for one in seen.came if one.verdict == "surplus"]
    early = seen.count("early")
    if early:
        greeted = "the target greets" if early == 1 else f"the target greets {early} times"
        return f"{greeted} before that; under load a greeting would be taken for a reply: add --skip-first {early}"
    if not surplus:
        return None
    found = suggest_rule(seen.message, surplus)
    if found is not None and suggest_rule(seen.message, [reply]) is None:
        return f'it is a later message that has our id, at "{found[1]}": try --match {found[0]}'
    more = "another came" if len(surplus) == 1 else f"{len(surplus)} others came"
    hint = f" (or --match {found[0]})" if found is not None else ""
    return (
        f"{more} behind it that answered no message: was the first a greeting (--skip-first 1), "
        f"or are some pushes (--ignore CHECK)?{hint}"
    )


def suggest_rule(message: bytes, others: Sequence[bytes], given: str = "") -> tuple[str, str] | None:
    """Returns a rule by which one of the others would be the reply to a message, and where in it the id is.

    Every rule has been tried on both with the readers that the load uses; `given` is the user's path to the id.
    """
    ours = [(path, value) for path, value in json_scalars(message) if path == given or _IDS.search(_last(path))]
    for other in others:
        pairs = [
            (mine, path)
            for path, found in json_scalars(other)
            for mine, value in ours
            if value == found and (_last(path) == _last(mine) or _IDS.search(_last(path)))
        ]
        # The place that was given, then the same place in both, then the same name, then the highest.
        pairs.sort(
            key=lambda pair: (pair[0] != given, pair[0] != pair[1], _last(pair[0]) != _last(pair[1]), len(pair[1]))
        )
        for mine, path in pairs:
            rule = _tried(message, other, mine, path)
            if rule is not None:
                return rule, path
    return None


def _tried(message: bytes, other: bytes, mine: str, path: str) -> str | None:
    wanted = json_extractor(mine)(message)
    if wanted is None or json_extractor(path)(other) != wanted or "=" in mine:
        return None
    rule = f"json:{path}" if mine == path else f"json:{mine}={path}"
    return rule if re.fullmatch(r"[\w.:=\[\]-]+", rule) else f"'{rule}'"


def _last(path: str) -> str:
    """Returns the last name of a path."""
    names = [name for name in _NAME.findall(path) if not name.isdigit()]
    return names[-1] if names else ""


def json_scalars(payload: bytes) -> Iterator[tuple[str, str]]:
    """Yields the paths in a JSON text that could hold an id, as ``--match json`` writes them, and the values."""
    try:
        start: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    stack: list[tuple[str, Any]] = [("", start)]
    seen = 0
    while stack and seen < MAX_VALUES:
        path, value = stack.pop(0)
        seen += 1
        if isinstance(value, dict):
            stack += [
                (f"{path}.{name}" if path else name, inner) for name, inner in value.items() if _NAME.fullmatch(name)
            ]
        elif isinstance(value, list):
            stack += [(f"{path}[{place}]", inner) for place, inner in enumerate(value[:MAX_VALUES])]
        elif path and (type(value) is int or (type(value) is str and value)):
            yield path, str(value)
