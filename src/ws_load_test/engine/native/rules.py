"""Messages and replies of a plan in the terms of the compiled loop: templates, paths of ids, checks of replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.messages.feed import BY_CONNECTION
from ws_load_test.messages.fields import (
    ConnectionNumber,
    FeedColumn,
    MessageNumber,
    RandomInt,
    RandomText,
    RandomUuid,
    WallClockMs,
)
from ws_load_test.messages.named_values import EnvironmentVariable, JsonEnvironmentVariable
from ws_load_test.messages.padded_number import PaddedMessageNumber
from ws_load_test.messages.template import BYTES_IN_TEXT, Template, template_text
from ws_load_test.messages.weighted_order import weighted_round_robin
from ws_load_test.plan.codecs.names_and_places import parse_path
from ws_load_test.plan.correlation import number_reader
from ws_load_test.websocket.frames import FIN

if TYPE_CHECKING:
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.read_policy import ReadPolicy
    from ws_load_test.messages.message import Message
    from ws_load_test.messages.template_field import TemplateField
    from ws_load_test.plan.correlation import Check, Correlation, IdExtractor, NumberReader, Stream
    from ws_load_test.plan.plan import Plan

UNAWAITED, IN_ORDER, BY_PAYLOAD, BY_JSON, BY_QUESTION = range(-1, 4)
"""Rules by which a reply finds its message (`talk.h`): what the loop cannot find itself, it has Python find."""
CONTAINS, IN_JSON, BY_PYTHON = range(3)
"""Kinds of checks (`scan.h`)."""
OF_REPLY, OF_MESSAGE, OF_IGNORE, OF_EXPECT, OF_UNTIL, OF_FIRST, OF_COUNT = range(7)
"""Questions of the compiled loop about a message: its id, if it passes a check, or its number (`talk.h`)."""
NO_HOLE, SEQ, CONNECTION, NOW_MS, UUID, RANDOM, INT, FEED = range(8)
"""Kinds of holes in a template (`render.h`)."""
NO_ROWS, IN_TURN, AT_RANDOM, ONCE, OF_CONNECTION = range(5)
"""Rules by which a message has a row of the feed (`rows.h`)."""
_PLAIN_HOLES: dict[type[TemplateField], int] = {
    MessageNumber: SEQ,
    ConnectionNumber: CONNECTION,
    WallClockMs: NOW_MS,
    RandomUuid: UUID,
}
_KINDS: tuple[type[TemplateField], ...] = (*_PLAIN_HOLES, RandomText, RandomInt)
_FIELDS = {kind.name for kind in _KINDS}
_NAMED = ("feed.", "env.")
"""Beginnings of the other fields that are filled."""
_NO_LIMIT = 1 << 64

Path = tuple[bytes | int, ...]
NativeCheck = tuple[int, Path, bytes | None]
"""Kind of a check, a path, and the text there, or anywhere in a message; None: any value."""
Question = Callable[[int, int, bytes], bytes | bool | None]
"""Takes a kind of question, the number of a check, and a message; returns a value in it, or if it passes."""
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
    row_order: int
    """Rule by which a message has a row of the feed."""
    columns: list[FeedColumn]
    """Fields that the values of a row fill, in the order of the values."""


class NativeStream(NamedTuple):
    """Rules of answers that are many messages."""

    until: list[NativeCheck]
    first: list[NativeCheck]
    stall_ns: int
    reads_count: bool
    """A number is read in the end mark."""
    count_at: Path
    """Its place in JSON; empty where Python finds it."""


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
    stream: NativeStream | None
    """None where a reply is one message."""


def unsupported(plan: Plan) -> list[str]:
    """Returns what of a plan's messages and replies the compiled loop cannot do, each a sentence."""
    correlation, message = plan.correlation, plan.message
    named = [name for name in message.fields if name.startswith(_NAMED)]
    unknown = [name for name in message.fields if name not in named and name.partition(":")[0] not in _FIELDS]
    # Those of a fan-out are made by Python.
    makes = plan.fan_out is None
    rules = (
        (bool(correlation.auto_replies), "it answers no messages of the target"),
        (correlation.stream is not None and message.kind == "ping", "it follows no answers to pings"),
        (bool(correlation.greetings) and message.kind == "ping", "it skips no messages where pongs are the replies"),
        (makes and message.trace_share is not None, "it follows no trace contexts"),
        (makes and message.sizes is not None, "its messages do not vary in size"),
        (bool(named) and message.kind == "ping", "it fills pings from no feed, and from no environment"),
        (makes and bool(unknown), f"it does not fill {', '.join(f'{{{name}}}' for name in unknown)}"),
    )
    return [reason for applies, reason in rules if applies]


def rules_of(correlation: Correlation, reading: ReadPolicy) -> Rules:
    """Returns how the replies of a plan are matched and checked."""
    by = UNAWAITED if reading.send_only else IN_ORDER
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
        stream=None if correlation.stream is None else _stream(correlation.stream),
    )


def _stream(stream: Stream) -> NativeStream:
    """Returns the rules of answers that are many messages."""
    kind, _, path = stream.count.partition(":")
    return NativeStream(
        [_check(check) for check in stream.until],
        [_check(check) for check in stream.first],
        stream.stall_ns,
        bool(stream.count),
        _path(path) if kind == "json" else (),
    )


def source_of(message: Message, shard: Shard, *, feed_is_small: bool = False) -> Source:
    """Returns the messages of one worker's share of a plan; with `feed_is_small`, all its rows are handed over."""
    payloads = (message.payload, *message.alternatives)
    has_fields = message.is_template or (False,) * len(payloads)
    seed = hashlib.sha256(f"ws-load-test {shard.index} of {shard.count}".encode()).digest()
    templates, columns = _Templates(message), list[FeedColumn]()
    parts = [
        templates.parts(payload, columns) if varies else [(payload, NO_HOLE, 0, 0)]
        for payload, varies in zip(payloads, has_fields, strict=True)
    ]
    return Source(
        parts,
        weighted_round_robin(message.weights) if message.weights else [0],
        (shard.index, shard.count),
        seed,
        FIN | message.opcode,
        _row_order(message, feed_is_small=feed_is_small) if columns else NO_ROWS,
        columns,
    )


def _row_order(message: Message, *, feed_is_small: bool) -> int:
    """Returns the rule by which a message has a row."""
    order = "round-robin" if message.feed is None else message.feed.order
    if order in BY_CONNECTION:
        return OF_CONNECTION
    if not feed_is_small:
        return ONCE
    return AT_RANDOM if order == "random" else IN_TURN


def questions_of(correlation: Correlation, reading: ReadPolicy) -> Question:
    """Returns what answers the questions of the compiled loop about a message, as the portable engine would."""
    stream = correlation.stream
    values: dict[int, IdExtractor | None] = {OF_REPLY: reading.extract_id, OF_MESSAGE: reading.message_key}
    if stream is not None and stream.count:
        values[OF_COUNT] = _number_text(number_reader(stream.count))
    checks = {
        OF_IGNORE: list(reading.ignore),
        OF_EXPECT: [test for _, test in reading.expect],
        OF_UNTIL: [] if stream is None else [check.test() for check in stream.until],
        OF_FIRST: [] if stream is None else [check.test() for check in stream.first],
    }

    def answer(what: int, place: int, payload: bytes) -> bytes | bool | None:
        """Returns a value, None where there is none, or the outcome of a check."""
        if what in checks:
            return checks[what][place](payload)
        extract = values[what]
        found = None if extract is None else extract(payload)
        return found.encode() if isinstance(found, str) else found

    return answer


def _number_text(read: NumberReader) -> IdExtractor:
    """Returns what finds the digits of a number."""

    def find(payload: bytes) -> bytes | None:
        number = read(payload)
        return None if number is None else b"%d" % number

    return find


def _path(text: str) -> Path:
    return tuple(step.encode() if isinstance(step, str) else step for step in parse_path(text, "json"))


def _check(check: Check) -> NativeCheck:
    if check.kind == "contains":
        return CONTAINS, (), check.operand.encode()
    if check.kind == "json":
        return IN_JSON, _path(check.operand), None if check.value is None else check.value.encode()
    return BY_PYTHON, (), None


class _Templates:
    """Reader of a plan's templates."""

    def __init__(self, message: Message) -> None:
        self._columns = None if message.feed is None else message.feed.columns
        self._environment = message.environment

    def parts(self, payload: bytes, columns: list[FeedColumn]) -> list[Part]:
        """Returns the texts and holes of a template; adds what it needs of a row to the columns that are needed."""
        parts: list[Part] = []
        text = b""
        for part in Template(template_text(payload), self._columns).parts:
            if isinstance(part, str):
                text += part.encode(errors=BYTES_IN_TEXT)
            elif isinstance(part, EnvironmentVariable):
                text += self._variable(part).encode()
            else:
                parts.append((text, *_hole(part, columns)))
                text = b""
        return [*parts, (text, NO_HOLE, 0, 0)] if text else parts

    def _variable(self, field: EnvironmentVariable) -> str:
        """Returns the value of a variable, which is the same in every message."""
        value = self._environment.get(field.variable, "")
        return json.dumps(value) if isinstance(field, JsonEnvironmentVariable) else value


def _hole(field: TemplateField, columns: list[FeedColumn]) -> tuple[int, int, int]:
    """Returns the kind of a hole, and its two numbers."""
    if isinstance(field, FeedColumn):
        place = next((place for place, one in enumerate(columns) if _is_same(one, field)), len(columns))
        if place == len(columns):
            columns.append(field)
        return FEED, place, 0
    if isinstance(field, PaddedMessageNumber):
        return SEQ, field.digits, 0
    if isinstance(field, RandomText):
        return RANDOM, field.size, 0
    if isinstance(field, RandomInt):
        # 0 stands for all numbers of 64 bits.
        return INT, field.low, (field.high - field.low + 1) % _NO_LIMIT
    return _PLAIN_HOLES[type(field)], 0, 0


def _is_same(one: FeedColumn, other: FeedColumn) -> bool:
    return type(one) is type(other) and one.column_name == other.column_name
