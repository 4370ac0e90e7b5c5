"""How a connection reads: what it counts, what it must look into, and what it does with either. Made once for a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.plan.correlation import IdExtractor, Predicate
    from ws_load_test.plan.plan import Plan

NO_FAST_PATH = -1
"""Equals no byte: every frame takes the long way."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """What is to be done with the messages of a session."""

    needs_payload: bool = False
    """Messages are read whole, because it matters what they say; else they are counted."""
    strict: bool = False
    """Texts are checked to be UTF-8; needs `whole`."""
    pongs: bool = False
    """Pongs are the replies, and no other message is."""
    expected_pong: bytes | None = None
    """What a pong says that is counted as a reply."""
    no_pong: bool = False
    """Pings stay unanswered."""
    send_only: bool = False
    """No reply is awaited: whatever comes is a push."""
    id_is_payload: bool = False
    """The id of a message is all that it says."""
    extract_id: IdExtractor | None = None
    """Finds the id of a reply; None: replies are paired in order."""
    message_key: IdExtractor | None = None
    """Finds the id of a message of ours."""
    expect: tuple[tuple[str, Predicate], ...] = ()
    """What every reply must say, and its name."""
    expect_first: tuple[tuple[str, Predicate], ...] = ()
    """What every reply to a first message must say, and its name."""
    ignore: tuple[Predicate, ...] = ()
    answers: tuple[tuple[Predicate, bytes], ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> ReadPolicy:
        """What a plan asks for."""
        matching, message = plan.correlation, plan.message
        pings = message.kind == "ping"
        by_id = matching.by_id or (pings and message.is_dynamic)
        return cls(
            needs_payload=by_id or matching.needs_payload,
            strict=matching.check_utf8,
            pongs=pings,
            expected_pong=message.payload if pings else None,
            send_only=matching.rule == "none",
            id_is_payload=by_id and matching.rule not in {"json", "regex"},
            extract_id=matching.reply_id_extractor() if by_id else None,
            message_key=matching.message_id_extractor() if by_id else None,
            expect=tuple((str(check), check.test()) for check in matching.expect),
            expect_first=tuple((str(check), check.test()) for check in matching.expect_first),
            ignore=tuple(check.test() for check in matching.ignore),
            answers=tuple((answer.check.test(), answer.text.encode()) for answer in matching.auto_replies),
        )

    def without_pongs(self) -> ReadPolicy:
        """The same without pongs."""
        return replace(self, no_pong=True)

    @property
    def fast_path_byte(self) -> int:
        """The first byte of an ordinary reply's frame; `NO_HEAD` where each must be looked at."""
        return NO_FAST_PATH if self.needs_payload or self.pongs else frames.FIN | frames.TEXT
