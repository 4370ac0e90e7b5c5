"""How a connection reads: what it counts, what it must look into, and what it does with either. Made once for a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.plan.correlation import Reader, Test
    from ws_load_test.plan.plan import Plan

NO_HEAD = -1
"""Equals no byte: every frame takes the long way."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be done with the messages of a session."""

    whole: bool = False
    """Messages are read whole, because it matters what they say; else they are counted."""
    strict: bool = False
    """Texts are checked to be UTF-8; needs `whole`."""
    pongs: bool = False
    """Pongs are the replies, and no other message is."""
    expected_pong: bytes | None = None
    """What a pong says that is counted as a reply."""
    mute: bool = False
    """Pings stay unanswered."""
    silent: bool = False
    """No reply is awaited: whatever comes is a push."""
    echoes: bool = False
    """The id of a message is all that it says."""
    key: Reader | None = None
    """Finds the id of a reply; None: replies are paired in order."""
    message_key: Reader | None = None
    """Finds the id of a message of ours."""
    expect: tuple[tuple[str, Test], ...] = ()
    """What every reply must say, and its name."""
    expect_first: tuple[tuple[str, Test], ...] = ()
    """What every reply to a first message must say, and its name."""
    ignore: tuple[Test, ...] = ()
    answers: tuple[tuple[Test, bytes], ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Reading:
        """What a plan asks for."""
        matching, message = plan.matching, plan.message
        pings = message.kind == "ping"
        by_id = matching.by_id or (pings and message.varies)
        return cls(
            whole=by_id or matching.reads_whole,
            strict=matching.strict,
            pongs=pings,
            expected_pong=message.payload if pings else None,
            silent=matching.rule == "none",
            echoes=by_id and matching.rule not in {"json", "regex"},
            key=matching.reader() if by_id else None,
            message_key=matching.message_reader() if by_id else None,
            expect=tuple((str(check), check.test()) for check in matching.expect),
            expect_first=tuple((str(check), check.test()) for check in matching.expect_first),
            ignore=tuple(check.test() for check in matching.ignore),
            answers=tuple((answer.check.test(), answer.text.encode()) for answer in matching.answers),
        )

    def muted(self) -> Reading:
        """The same without pongs."""
        return replace(self, mute=True)

    @property
    def head(self) -> int:
        """The first byte of an ordinary reply's frame; `NO_HEAD` where each must be looked at."""
        return NO_HEAD if self.whole or self.pongs else frames.FIN | frames.TEXT
