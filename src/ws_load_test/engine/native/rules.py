"""Messages and replies of a plan in the terms of the compiled loop: templates, paths of ids, checks of replies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.messages.fields import ConnectionNumber, MessageNumber, RandomInt, RandomText, RandomUuid, WallClockMs
from ws_load_test.messages.template import BYTES_IN_TEXT, Template, template_text
from ws_load_test.messages.weighted_order import weighted_round_robin
from ws_load_test.plan.codecs.names_and_places import parse_path
from ws_load_test.websocket.frames import FIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.read_policy import ReadPolicy
    from ws_load_test.messages.message import Message
    from ws_load_test.messages.template_field import TemplateField
    from ws_load_test.plan.correlation import Check, Correlation
    from ws_load_test.plan.plan import Plan

IN_ORDER, BY_PAYLOAD, BY_JSON, BY_QUESTION = range(4)
"""Rules by which a reply finds its message (`talk.h`): what the loop cannot find itself, it has Python find."""
CONTAINS, IN_JSON, BY_PYTHON = range(3)
"""Kinds of checks (`scan.h`)."""
OF_REPLY, OF_MESSAGE, OF_IGNORE, OF_EXPECT = 0, 1, 2, 3
"""Questions of the compiled loop about a message: its id, or if it passes a check (`talk.h`)."""
NO_HOLE, SEQ, CONNECTION, NOW_MS, UUID, RANDOM, INT = range(7)
"""Kinds of holes in a template (`render.h`)."""
_PLAIN_HOLES: dict[type[TemplateField], int] = {
    MessageNumber: SEQ,
    ConnectionNumber: CONNECTION,
    WallClockMs: NOW_MS,
    RandomUuid: UUID,
}
_KINDS: tuple[type[TemplateField], ...] = (*_PLAIN_HOLES, RandomText, RandomInt)
_FIELDS = {kind.name for kind in _KINDS}
_NO_LIMIT = 1 << 64

Path = tuple[bytes | int, ...]
NativeCheck = tuple[int, Path, bytes | None]
"""Kind of a check, a path, and the text there, or anywhere in a message; None: any value."""
Part = tuple[bytes, int, int, int]
"""A text, the kind of the hole behind it, and two numbers: the smallest value and how many there are, or a size."""


class Source(NamedTuple):
    """The messages of one worker."""

    templates: list[list[Part]]
    order: list[int]
    """Templates in the order of their turns."""
    shard: tuple[int, int]
    """The worker's number, and how many there are."""
    seed: bytes
    """Beginning of the random values, the same in every run with as many workers."""
    first_byte: int
    """First byte of the frames."""


class Rules(NamedTuple):
    """Handling of what the target sends."""

    by: int
    pongs: bool
    """Pongs are the replies, and no other message is."""
    expected_pong: bytes | None
    """Payload of the pongs that are replies, where they come in order."""
    in_message: Path
    in_reply: Path
    ignore: list[NativeCheck]
    expect: list[NativeCheck]
    checks_texts: bool
    """Texts that are not UTF-8 end their session."""


def unsupported(plan: Plan) -> list[str]:
    """Returns what of a plan's messages and replies the compiled loop cannot do, each a sentence."""
    correlation, message = plan.correlation, plan.message
    unknown = [name for name in message.fields if name not in _FIELDS]
    rules = (
        (correlation.rule == "none", "it awaits a reply to each message"),
        (bool(correlation.auto_replies), "it answers no messages of the target"),
        (correlation.stream is not None, "its answers are one message each"),
        (bool(correlation.greetings) and message.kind == "ping", "it skips no messages where pongs are the replies"),
        (message.trace_share is not None, "it follows no trace contexts"),
        (message.sizes is not None, "its messages do not vary in size"),
        (bool(unknown), f"it does not fill {', '.join(f'{{{name}}}' for name in unknown)}"),
    )
    return [reason for applies, reason in rules if applies]


def rules_of(correlation: Correlation, reading: ReadPolicy) -> Rules:
    """Returns how the replies of a plan are matched and checked."""
    by = IN_ORDER
    if reading.extract_id is not None:
        by = BY_PAYLOAD if reading.id_is_payload else BY_JSON if correlation.rule == "json" else BY_QUESTION
    return Rules(
        by=by,
        pongs=reading.pongs,
        expected_pong=reading.expected_pong,
        in_message=_path(correlation.id_path(of_reply=False)) if by == BY_JSON else (),
        in_reply=_path(correlation.id_path(of_reply=True)) if by == BY_JSON else (),
        ignore=[_check(check) for check in correlation.ignore],
        expect=[_check(check) for check in correlation.expect],
        checks_texts=reading.check_utf8,
    )


def source_of(message: Message, shard: Shard) -> Source:
    """Returns the messages of one worker's share of a plan."""
    payloads = (message.payload, *message.alternatives)
    has_fields = message.is_template or (False,) * len(payloads)
    seed = hashlib.sha256(f"ws-load-test {shard.index} of {shard.count}".encode()).digest()
    return Source(
        [
            _parts(payload) if varies else [(payload, NO_HOLE, 0, 0)]
            for payload, varies in zip(payloads, has_fields, strict=True)
        ],
        weighted_round_robin(message.weights) if message.weights else [0],
        (shard.index, shard.count),
        seed,
        FIN | message.opcode,
    )


def questions_of(reading: ReadPolicy) -> Callable[[int, int, bytes], bytes | bool | None]:
    """Returns what answers the questions of the compiled loop about a message, as the portable engine would."""
    ids = {OF_REPLY: reading.extract_id, OF_MESSAGE: reading.message_key}
    checks = {OF_IGNORE: list(reading.ignore), OF_EXPECT: [test for _, test in reading.expect]}

    def answer(what: int, place: int, payload: bytes) -> bytes | bool | None:
        """Returns an id, None where there is none, or the outcome of a check."""
        if what in checks:
            return checks[what][place](payload)
        extract = ids[what]
        found = None if extract is None else extract(payload)
        return found.encode() if isinstance(found, str) else found

    return answer


def _path(text: str) -> Path:
    return tuple(step.encode() if isinstance(step, str) else step for step in parse_path(text, "json"))


def _check(check: Check) -> NativeCheck:
    if check.kind == "contains":
        return CONTAINS, (), check.operand.encode()
    if check.kind == "json":
        return IN_JSON, _path(check.operand), None if check.value is None else check.value.encode()
    return BY_PYTHON, (), None


def _parts(payload: bytes) -> list[Part]:
    """Returns the texts and holes of a template."""
    parts: list[Part] = []
    text = b""
    for part in Template(template_text(payload)).parts:
        if isinstance(part, str):
            text = part.encode(errors=BYTES_IN_TEXT)
        else:
            parts.append((text, *_hole(part)))
            text = b""
    return [*parts, (text, NO_HOLE, 0, 0)] if text else parts


def _hole(field: TemplateField) -> tuple[int, int, int]:
    """Returns the kind of a hole, and its two numbers."""
    if isinstance(field, RandomText):
        return RANDOM, field.size, 0
    if isinstance(field, RandomInt):
        # 0 stands for all numbers of 64 bits.
        return INT, field.low, (field.high - field.low + 1) % _NO_LIMIT
    return _PLAIN_HOLES[type(field)], 0, 0
