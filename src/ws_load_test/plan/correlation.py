"""Matching of replies to messages, and checks of what a reply must contain. Pure functions of payloads, compiled once.

*order* pairs replies with messages as they come. The other rules look for an *id*: the whole payload (*echo*), a value
in it (*json* and the other codecs), a part of its text (*regex*). A message and its reply have the same id; what has
none is a push.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from ws_load_test.common.units import format_duration
from ws_load_test.plan.codecs import CODEC_FORMS, CODECS, CodecName
from ws_load_test.plan.ranges import Count, Duration, PositiveDuration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Pattern

CorrelationRule = Literal["order", "ping", "echo", CodecName, "regex", "none"]
CorrelationId = bytes | str
IdExtractor = Callable[[bytes], CorrelationId | None]
"""Function of a payload that returns its id; None where it has none."""
Predicate = Callable[[bytes], bool]
NumberReader = Callable[[bytes], int | None]
"""Function of a payload that returns a number in it; None where it has none."""
DEFAULT_STALL_NS = 10**9
"""Gap (1 s) above which an answer stalls: a reader of text that appears word by word notices it as a halt."""
LARGEST_NUMBER = 1 << 53
"""Largest number that is read in a message: doubles have it exactly, and no answer comes near it."""
HEXADECIMAL = ("0x", b"0x")
"""First two characters of a number that is written in hexadecimal, as a text or in bytes."""
_FORMS = f"write contains:TEXT, regex:PATTERN, json:PATH=VALUE or json:PATH ({CODEC_FORMS} find values)"


class Check(msgspec.Struct, frozen=True):
    """Condition that the payload of a message satisfies or not."""

    kind: Literal["contains", "regex", CodecName]
    operand: str
    """Text, pattern or path."""
    value: str | None = None
    """Value at the path; None: anything but null."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.operand}" + ("" if self.value is None else f"={self.value}")

    def test(self) -> Predicate:
        """Returns the check as a function of a payload."""
        if self.kind == "contains":
            text = self.operand.encode()
            return lambda payload: text in payload
        if self.kind == "regex":
            search = _pattern(self.operand).search
            return lambda payload: search(payload) is not None
        read, value = CODECS[self.kind].reader(self.operand), self.value
        if value is None:
            return lambda payload: read(payload) is not None
        return lambda payload: read(payload) == value


class AutoReply(msgspec.Struct, frozen=True):
    """A message that is answered with another, as soon as it comes."""

    check: Check
    """Condition of a message that is answered."""
    text: str
    """Answer; empty in a recording."""


class Stream(msgspec.Struct, frozen=True):
    """Rules of answers that are many messages, which end with a mark."""

    until: tuple[Check, ...]
    """Checks of which one makes a message the last of its answer."""
    first: tuple[Check, ...] = ()
    """Checks of which one makes a message the first that counts; empty: the first that comes."""
    stall_ns: Duration = DEFAULT_STALL_NS
    """Longest gap between two messages of an answer that is no stall."""
    count: str = ""
    """Place of a number in the last message (``json:usage.tokens``); empty: none is read."""

    def describe(self) -> str:
        """The rules in words."""
        words = f"an answer is all messages up to one that satisfies {' or '.join(map(str, self.until))}"
        if self.first:
            words += f", its first one that satisfies {' or '.join(map(str, self.first))}"
        words += f"; a gap of more than {format_duration(self.stall_ns)} in it is a stall"
        return f"{words}; {self.count} of its last message is a count" if self.count else words


class Correlation(msgspec.Struct, frozen=True):
    """Rules that tell replies from unsolicited messages and pair them with requests."""

    rule: CorrelationRule = "order"
    """Pairing of replies: in order, by an id (*echo*, a codec, *regex*), pongs, or none awaited."""
    selector: str = ""
    """Path to the id (codecs), or the paths to it in a message and in its reply, with ``=`` between them; pattern whose
    first group is the id (*regex*)."""
    expect: tuple[Check, ...] = ()
    """Checks that every reply must satisfy."""
    expect_first: tuple[Check, ...] = ()
    """Checks that every reply to a first message must satisfy."""
    first_wait_ns: PositiveDuration | None = None
    """Time after the last first message that stands for its reply; None: its reply is awaited."""
    ignore: tuple[Check, ...] = ()
    """Checks of which one makes a message unsolicited, whatever its id."""
    auto_replies: tuple[AutoReply, ...] = ()
    """Answers to messages of the target."""
    greetings: Count = 0
    """Messages at the beginning of a session that answer nothing."""
    stream: Stream | None = None
    """Rules of answers that are many messages; None: an answer is one message."""
    check_utf8: bool = False
    """True if text messages are checked to be UTF-8."""

    @property
    def awaits_replies(self) -> bool:
        """True unless messages are only sent."""
        return self.rule != "none"

    @property
    def by_id(self) -> bool:
        """True if replies are matched by an id, in any order."""
        return self.rule == "echo" or self.in_payload

    @property
    def in_payload(self) -> bool:
        """True if the id of a message is a part of its payload."""
        return self.rule == "regex" or self.by_path

    @property
    def by_path(self) -> bool:
        """True if the id is at a path of a codec."""
        return self.rule in CODECS

    @property
    def needs_payload(self) -> bool:
        """True if the payloads of messages matter, and not only their number."""
        return bool(
            self.by_id
            or self.rule == "none"
            or self.expect
            or self.ignore
            or self.auto_replies
            or self.check_utf8
            or self.stream
        )

    def reply_id_extractor(self) -> IdExtractor:
        """Returns the function that finds the id in a reply; of use where replies are paired by id."""
        return self._extractor(of_reply=True)

    def message_id_extractor(self) -> IdExtractor:
        """Returns the function that finds the id in a message of ours."""
        return self._extractor(of_reply=False)

    def id_path(self, *, of_reply: bool) -> str:
        """Path to the id in a reply, or in a message of ours, where replies are paired by one."""
        in_message, differs, in_reply = self.selector.partition("=")
        return in_reply if of_reply and differs else in_message

    def _extractor(self, *, of_reply: bool) -> IdExtractor:
        if self.by_path:
            return CODECS[self.rule].reader(self.id_path(of_reply=of_reply))
        if self.rule == "regex":
            return regex_extractor(self.selector)
        return _identity

    def redacted(self) -> Correlation:
        """The same without the texts of answers, which are messages."""
        bare = tuple(AutoReply(answer.check, "") for answer in self.auto_replies)
        return msgspec.structs.replace(self, auto_replies=bare)

    def describe(self) -> str:
        """The rule in words."""
        in_message, differs, in_reply = self.selector.partition("=")
        elsewhere = f' at "{in_message}"' if differs else ""
        by_path = f'the id at "{in_reply or in_message}" of a reply is that{elsewhere} of its message'
        words = {
            "order": "in order",
            "ping": "pongs, in order",
            "echo": "a reply equals its message",
            "regex": f"the id that {self.selector} finds in a reply is that of its message",
            "none": "none is awaited",
        }.get(self.rule, by_path)
        if self.greetings:
            words += f"; the first {self.greetings} of a session answer nothing"
        if self.stream:
            words += f"; {self.stream.describe()}"
        if self.expect:
            words += f"; {'its last' if self.stream else 'each'} must satisfy {' and '.join(map(str, self.expect))}"
        if self.ignore:
            words += f"; pushes: {' or '.join(map(str, self.ignore))}"
        return words


def parse_rule(text: str) -> tuple[CorrelationRule, str]:
    r"""Reads ``order``, ``json:id``, ``regex:"id":(\d+)``: the rule and where it looks.

    Raises:
        ValueError: with what to write instead.
    """
    rule, colon, where = text.partition(":")
    if rule not in get_args(CorrelationRule):
        raise ValueError(f'"{text}" is no rule; write order, ping, echo, {CODEC_FORMS}, regex:PATTERN or none')
    if rule in CODECS:
        for path in where.split("=", 1):
            CODECS[rule].reader(path)
    elif rule == "regex":
        if not where:
            raise ValueError('regex needs a pattern; write for example regex:"id":(\\d+)')
        regex_extractor(where)
    elif colon:
        raise ValueError(f'"{rule}" takes nothing behind it')
    return rule, where  # type: ignore[return-value]  # a member of Rule, as checked above


def parse_check(text: str) -> Check:
    """Reads ``contains:ok``, ``regex:^2$``, ``json:type=pong``, ``msgpack:result``, ``protobuf:1.3=ok``.

    Raises:
        ValueError: with what to write instead.
    """
    kind, colon, what = text.partition(":")
    if not colon or not what or (kind not in {"contains", "regex"} and kind not in CODECS):
        raise ValueError(f'"{text}" is no check; {_FORMS}')
    value = None
    if kind in CODECS:
        path, equals, given = what.partition("=")
        what, value = path, given if equals else None
    check = Check(kind, what, value)  # type: ignore[arg-type]  # one of these, as checked above
    check.test()
    return check


def parse_answer(text: str) -> AutoReply:
    """Reads ``CHECK=>TEXT``.

    Raises:
        ValueError: with what to write instead.
    """
    check, arrow, answer = text.partition("=>")
    if not arrow:
        raise ValueError(f'"{text}" is no answer; write CHECK=>TEXT, for example "regex:^2$=>3"')
    return AutoReply(parse_check(check), answer)


def parse_number_place(text: str) -> str:
    r"""Reads ``json:usage.tokens`` or ``regex:tokens=(\d+)``, which say where a number stands in a message.

    Raises:
        ValueError: with what to write instead.
    """
    return parse_place(text, "number", "tokens=")


def parse_place(text: str, what: str = "value", before: str = "id=") -> str:
    r"""Reads ``json:data.id`` or ``regex:id=(\d+)``, which say where a value stands in a message.

    Args:
        text: The place as an option takes it.
        what: Noun for sentences about it.
        before: What stands before the value in the example of a pattern.

    Raises:
        ValueError: with what to write instead.
    """
    kind, colon, where = text.partition(":")
    if not colon or not where or (kind != "regex" and kind not in CODECS):
        raise ValueError(f'"{text}" is no place of a {what}; write {CODEC_FORMS} or regex:PATTERN with a group')
    if kind == "regex" and not _pattern(where).groups:
        raise ValueError(f'"{where}" has no group; put parentheses around the {what}, for example {before}(\\d+)')
    place_reader(text)
    return text


def place_reader(place: str) -> IdExtractor:
    """Returns what reads the value at a place that `parse_place` takes; None where it has none.

    Raises:
        ValueError: its path or pattern is none.
    """
    kind, _, where = place.partition(":")
    return regex_extractor(where) if kind == "regex" else CODECS[kind].reader(where)


def number_reader(place: str) -> NumberReader:
    """Returns what reads a number, 0 or more and rounded to a whole one, at a place that `parse_place` takes.

    A text that begins with ``0x`` is a number in hexadecimal, as nodes of a blockchain write them.

    Raises:
        ValueError: its path or pattern is none.
    """
    extract = place_reader(place)

    def read(payload: bytes) -> int | None:
        text = extract(payload)
        if text is None:
            return None
        try:
            value = int(text, 16) if text[:2] in HEXADECIMAL else float(text)
        except ValueError:
            return None
        return round(value) if 0 <= value <= LARGEST_NUMBER else None

    return read


def any_of(tests: Sequence[Predicate]) -> Predicate:
    """Returns a test that a payload passes if it passes one of `tests`."""
    if len(tests) == 1:
        return tests[0]
    return lambda payload: any(test(payload) for test in tests)


def regex_extractor(pattern: str) -> IdExtractor:
    """Returns what finds an id by a pattern: its first group, or all that it matches where it has none.

    Raises:
        ValueError: it is no pattern.
    """
    compiled = _pattern(pattern)
    search, group = compiled.search, 1 if compiled.groups else 0

    def read(payload: bytes) -> bytes | None:
        found = search(payload)
        return None if found is None else found[group]

    return read


def _identity(payload: bytes) -> bytes:
    return payload


def _pattern(text: str) -> Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ValueError(f'"{text}" is no regular expression: {error}') from None
