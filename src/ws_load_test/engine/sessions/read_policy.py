"""Reading policy of a run's connections: what is counted, what is looked into, and what is done with either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ws_load_test.plan.correlation import any_of, number_reader
from ws_load_test.plan.plan import DEFAULT_MAX_MESSAGE_BYTES
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.plan.correlation import IdExtractor, NumberReader, Predicate, Stream
    from ws_load_test.plan.plan import Plan

NO_FAST_PATH = -1
"""Equals no byte, so that every frame takes the slow path."""


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Rules of answers that are many messages."""

    is_last: Predicate
    """Test of the end mark."""
    is_first: Predicate | None
    """Test of the message that counts as the first; None: the first that comes."""
    stall_ns: int
    """Longest gap that is no stall."""
    read_count: NumberReader | None
    """Reads a number in the end mark; None: there is none to read."""

    @classmethod
    def of(cls, stream: Stream) -> StreamRules:
        """Returns the rules that a plan asks for."""
        return cls(
            is_last=any_of([check.test() for check in stream.until]),
            is_first=any_of([check.test() for check in stream.first]) if stream.first else None,
            stall_ns=stream.stall_ns,
            read_count=number_reader(stream.count) if stream.count else None,
        )


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """Handling of a session's messages, made once for a run."""

    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    """A larger message ends its session with close code 1009 (RFC 6455, section 7.4.1)."""
    needs_payload: bool = False
    """Messages are read whole, because their content matters; else they are counted."""
    check_utf8: bool = False
    """Texts are checked to be UTF-8; needs `needs_payload`."""
    pongs: bool = False
    """Pongs are the replies, and no other message is."""
    expected_pong: bytes | None = None
    """Payload of a pong that is counted as a reply."""
    no_pong: bool = False
    """Pings stay unanswered."""
    send_only: bool = False
    """No reply is awaited: every message is a push."""
    id_is_payload: bool = False
    """The id of a message is its payload."""
    extract_id: IdExtractor | None = None
    """Finds the id of a reply; None: replies are paired in order."""
    message_key: IdExtractor | None = None
    """Finds the id of a message of ours."""
    expect: tuple[tuple[str, Predicate], ...] = ()
    """Name and test of each check that every reply must pass."""
    expect_first: tuple[tuple[str, Predicate], ...] = ()
    """Name and test of each check that every reply to a first message must pass."""
    ignore: tuple[Predicate, ...] = ()
    """Tests of messages that are pushes, whatever else they are."""
    answers: tuple[tuple[Predicate, bytes], ...] = ()
    """Test of a message that is answered at once, and the answer; such messages are pushes as well."""
    stream: StreamRules | None = None
    """Rules of answers that are many messages; None: a reply is one message."""

    @classmethod
    def of(cls, plan: Plan) -> ReadPolicy:
        """Returns the policy that a plan asks for."""
        correlation, message = plan.correlation, plan.message
        pings = message.kind == "ping"
        by_id = correlation.by_id or (pings and message.is_dynamic)
        return cls(
            max_message_bytes=plan.max_message_bytes,
            needs_payload=by_id
            or correlation.needs_payload
            or plan.fan_out is not None
            or plan.scenario is not None
            or (plan.node is not None and plan.node.in_messages),
            check_utf8=correlation.check_utf8,
            pongs=pings,
            expected_pong=message.payload if pings else None,
            send_only=correlation.rule == "none",
            id_is_payload=by_id and not correlation.in_payload,
            extract_id=correlation.reply_id_extractor() if by_id else None,
            message_key=correlation.message_id_extractor() if by_id else None,
            expect=tuple((str(check), check.test()) for check in correlation.expect),
            expect_first=tuple((str(check), check.test()) for check in correlation.expect_first),
            ignore=tuple(check.test() for check in correlation.ignore),
            answers=tuple((answer.check.test(), answer.text.encode()) for answer in correlation.auto_replies),
            stream=None if correlation.stream is None else StreamRules.of(correlation.stream),
        )

    def without_pongs(self) -> ReadPolicy:
        """Returns the same policy, but pings stay unanswered."""
        return replace(self, no_pong=True)

    @property
    def fast_path_byte(self) -> int:
        """First byte of an ordinary reply's frame; `NO_FAST_PATH` where each message must be looked at."""
        return NO_FAST_PATH if self.needs_payload or self.pongs else frames.FIN | frames.TEXT
