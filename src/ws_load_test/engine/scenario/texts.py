"""Texts of a scenario, compiled: messages with fields, and checks whose operands or values have some."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Protocol, cast

from ws_load_test.engine.sessions.deflating_encoder import DeflatingEncoder
from ws_load_test.messages.fields import ConnectionNumber, MessageNumber, RoomName
from ws_load_test.messages.named_values import CapturedValue, EnvironmentVariable
from ws_load_test.messages.template import BYTES_IN_TEXT, Template, template_text
from ws_load_test.plan.correlation import Check, Correlation
from ws_load_test.plan.scenario.model import Text
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.generator import MessageGenerator
    from ws_load_test.messages.template import PayloadRenderer
    from ws_load_test.messages.template_field import Row, TemplateField
    from ws_load_test.plan.correlation import CorrelationRule, IdExtractor, Predicate

MAX_KNOWN_PATTERNS = 4096
"""Patterns with values of sessions in them that a check keeps compiled, of about 1 kB each."""
_GROUP = "ws_load_test_number"
_NUMBER = rf"(?P<{_GROUP}>\d+)"
"""Pattern of a number that a check compares; no pattern of a user's has a group of this name."""
_JUST_THE_NUMBER = "{seq}"


class Speaker(Protocol):
    """Session whose values fill the fields of its messages and checks."""

    connection: Connection
    row: Row
    values: dict[str, str]
    """Values that it has captured, by name."""

    @property
    def content(self) -> str | bytes:
        """Content of its next message, where its code gives it."""
        ...

    @property
    def room(self) -> str:
        """Name of its room; empty without rooms."""
        ...


if TYPE_CHECKING:
    Test = Callable[[bytes, int, Speaker], bool]
    """Test of a message that has come, for a session whose latest message has this number."""
    RenderText = Callable[[int, Speaker], str]


class Texts:
    """Compiler of the texts of one worker's scenario."""

    def __init__(self, source: MessageGenerator) -> None:
        self.source = source
        feed = source.message.feed
        self._columns = None if feed is None else feed.columns
        self._encoders = {opcode: frames.FrameEncoder(opcode) for opcode in (frames.TEXT, frames.BINARY)}

    def outgoing(self, text: Text, *, to_audience: bool = False) -> Outgoing:
        """Compiles a message that sessions send; one to an audience is to the room that its publisher chooses."""
        opcode = frames.BINARY if text.binary else frames.TEXT
        render, prepare = None, None
        if text.is_template:
            template = Template(template_text(text.payload), self._columns)
            render = self.source.compile_payload(template.text)
            prepare = self._preparation(template, in_room=not to_audience)
        return Outgoing(render, text.payload, opcode, self._encoders[opcode], prepare)

    def spoken(self, content: str | bytes, *, to_audience: bool = False) -> Outgoing:
        """Compiles a message that the code of a session has given: text with fields, or binary as it is.

        Raises:
            ValueError: A field of it has no value.
        """
        if isinstance(content, bytes):
            return self.outgoing(Text(content, binary=True))
        template = self.template(content) if "{" in content else None
        is_template = template is not None and self.has_values(template)
        payload = content.encode(errors=BYTES_IN_TEXT)
        return self.outgoing(Text(payload, is_template=is_template), to_audience=to_audience)

    def template(self, text: str) -> Template:
        """Returns a text with its fields."""
        return Template(text, self._columns)

    def has_values(self, template: Template) -> bool:
        """Returns True if a text of code has fields, which all have a value.

        Raises:
            ValueError: One has none.
        """
        for problem in template.problems:
            raise ValueError(problem)
        known = self.source.message
        used = () if known.feed is None else known.feed.used
        for field in template.fields:
            is_unknown = isinstance(field, EnvironmentVariable) and field.variable not in known.environment
            if is_unknown or (field.column and field.column not in used):
                raise ValueError(f"{{{field.label}}}: no text in the file of the role names it; write it there")
        return template.varies

    def all_of(self, checks: Sequence[Check]) -> Test:
        """Returns a test that a message passes if it satisfies all checks."""
        tests = [self.test(check) for check in checks]
        if len(tests) == 1:
            return tests[0]
        if len(tests) == 2:
            first, second = tests
            return lambda payload, seq, speaker: first(payload, seq, speaker) and second(payload, seq, speaker)
        return lambda payload, seq, speaker: all(test(payload, seq, speaker) for test in tests)

    def any_of(self, checks: Sequence[Check]) -> Test:
        """Returns a test that a message passes if it satisfies one of the checks."""
        tests = [self.test(check) for check in checks]
        if len(tests) == 1:
            return tests[0]
        return lambda payload, seq, speaker: any(test(payload, seq, speaker) for test in tests)

    def test(self, check: Check) -> Test:
        """Compiles a check."""
        operand, value = Template(check.operand, self._columns), Template(check.value or "", self._columns)
        if not operand.varies and not value.varies:
            return _plain(check.test())
        if check.kind == "contains":
            render_operand = self.renderer(operand)
            return lambda payload, seq, speaker: render_operand(seq, speaker).encode(errors=BYTES_IN_TEXT) in payload
        if check.kind == "regex":
            return self._pattern_test(operand)
        if operand.varies:
            return self._varying_path_test(check, operand, value)
        read = _path_reader(check.kind, check.operand)
        if check.value == _JUST_THE_NUMBER:
            return lambda payload, seq, _: read(payload) == str(seq)
        render_value = self.renderer(value)
        return lambda payload, seq, speaker: read(payload) == render_value(seq, speaker)

    def _pattern_test(self, operand: Template) -> Test:
        """Returns the test of a pattern: a number in it is a group that is compared; else each value has its own."""
        if len(operand.fields) == 1 and isinstance(operand.fields[0], (MessageNumber, ConnectionNumber)):
            text = "".join(part if isinstance(part, str) else _NUMBER for part in operand.parts)
            find, is_seq = re.compile(text.encode(errors=BYTES_IN_TEXT)).finditer, operand.fields[0].name == "seq"
            # Of several places that look alike, one may be it.
            return lambda payload, seq, speaker: any(
                found[_GROUP] == b"%d" % (seq if is_seq else speaker.connection.number) for found in find(payload)
            )
        compiled = lru_cache(MAX_KNOWN_PATTERNS)(_compile_pattern)
        parts = [part if isinstance(part, str) else self._field(part) for part in operand.parts]

        def test(payload: bytes, seq: int, speaker: Speaker) -> bool:
            text = "".join(part if isinstance(part, str) else re.escape(part(seq, speaker)) for part in parts)
            return compiled(text).search(payload) is not None

        return test

    def _varying_path_test(self, check: Check, operand: Template, value: Template) -> Test:
        """Returns the test of a path with fields in it: each path that comes of it is compiled once."""
        render_path, render_value = self.renderer(operand), self.renderer(value)
        rule = check.kind
        reader_of = lru_cache(MAX_KNOWN_PATTERNS)(partial(_path_reader, rule))
        if check.value is None:
            return lambda payload, seq, speaker: reader_of(render_path(seq, speaker))(payload) is not None
        return lambda payload, seq, speaker: reader_of(render_path(seq, speaker))(payload) == render_value(seq, speaker)

    def _field(self, field: TemplateField) -> RenderText:
        one = Template("", self._columns)
        one.parts = [field]
        one.fields = (field,)
        return self.renderer(one)

    def renderer(self, template: Template) -> RenderText:
        """Returns a function that renders a text for a session."""
        render, prepare = self.source.compile_text(template), self._preparation(template)
        if prepare is None:
            return lambda seq, speaker: render(seq, speaker.connection.number, speaker.row)

        def prepared(seq: int, speaker: Speaker) -> str:
            prepare(speaker)
            return render(seq, speaker.connection.number, speaker.row)

        return prepared

    def _preparation(self, template: Template, *, in_room: bool = True) -> Callable[[Speaker], None] | None:
        """Returns what makes the values of a session those that fields take; None where none is its own.

        `in_room`: one of them is the name of the room that it is in.
        """
        publication, captured = self.source.publication, self.source.captured
        has_room = in_room and any(isinstance(field, RoomName) for field in template.fields)
        if not any(isinstance(field, CapturedValue) for field in template.fields):
            if not has_room:
                return None

            def prepare_room(speaker: Speaker) -> None:
                publication.room = speaker.room

            return prepare_room

        def prepare(speaker: Speaker) -> None:
            captured.values = speaker.values
            if has_room:
                publication.room = speaker.room

        return prepare


class Outgoing:
    """A message that sessions send."""

    __slots__ = ("_encode", "_opcode", "_payload", "_prepare", "_ready", "_render")

    def __init__(
        self,
        render: PayloadRenderer | None,
        payload: bytes,
        opcode: int,
        encoder: frames.FrameEncoder,
        prepare: Callable[[Speaker], None] | None,
    ) -> None:
        """Takes what renders it, or else its payload, and what makes a session's values those of its fields."""
        self._render = render
        self._payload = payload
        self._opcode = opcode
        self._encode = encoder.frame
        self._prepare = prepare
        self._ready = encoder.frame(payload) if render is None else b""

    def frame(self, number: int, speaker: Speaker) -> bytes:
        """Returns the message of this number as a frame.

        Raises:
            UsageError: A row of the feed is broken.
        """
        connection, render = speaker.connection, self._render
        if render is None:
            if connection.deflate is None:
                return self._ready
            payload = self._payload
        else:
            if self._prepare is not None:
                self._prepare(speaker)
            payload = render(number, connection.number, speaker.row)
            if connection.deflate is None:
                return self._encode(payload)
        return DeflatingEncoder(connection, self._opcode).frame(payload)


def place_reader(place: str) -> Callable[[bytes], str | None]:
    """Returns what reads the value at a place: ``json:PATH``, ``regex:PATTERN``.

    Raises:
        ValueError: It is no place.
    """
    kind, _, where = place.partition(":")
    extract = _path_reader(kind, where)

    def read(payload: bytes) -> str | None:
        value = extract(payload)
        return value.decode(errors=BYTES_IN_TEXT) if isinstance(value, bytes) else value

    return read


def _path_reader(rule: str, where: str) -> IdExtractor:
    # Whatever finds ids in messages finds other values as well.
    return Correlation(rule=cast("CorrelationRule", rule), selector=where).message_id_extractor()


def _compile_pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(errors=BYTES_IN_TEXT))


def _plain(test: Predicate) -> Test:
    return lambda payload, _seq, _speaker: test(payload)
