"""Seam of the load models: what a worker asks of any load, and what the senders of all loads share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.plan.plan import Plan

UNLIMITED = 1 << 62
"""Stands for no limit: more messages than any run sends, and an instant after any."""
S = TypeVar("S", bound="LoadSender")


class LoadModel(Protocol[S]):
    """Decides when the messages of one worker leave."""

    due_when_sent: ClassVar[bool]
    """True where a message is due when it is sent: response time and service time are the same number."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        share: Shard,
        owner: SessionListener,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> Self:
        """Returns the model of one share of a plan.

        Args:
            plan: Its load is of the kind that the model is registered for.
            share: The part of the messages that is this worker's.
            owner: Counts messages that are due when no session can send them.
            on_exhausted: Called once no message will fall due any more, where the model knows of itself.
            on_idle: Called with a connection that has nothing in flight and nothing to send just now.
        """
        ...

    @property
    def exhausted(self) -> bool:
        """True once no message may leave any more."""
        ...

    def sender(self, connection: Connection, conversation: Conversation) -> S:
        """Returns the part of the load that a new connection carries."""
        ...

    def limit(self, count: int) -> None:
        """Ends the load after `count` more messages, where the model has no schedule that says so."""
        ...

    def start(self, senders: Sequence[S], start_ns: int, end_ns: int) -> None:
        """Begins. A schedule's instant 0 is `start_ns`; nothing is due at `end_ns` or later."""
        ...

    def add(self, sender: S) -> None:
        """Takes in a session that has opened after the start."""
        ...

    def end(self, now_ns: int) -> int:
        """Sends nothing more but what fell due by `now_ns`. Returns how many messages a limit had left."""
        ...


def frames_vary(plan: Plan) -> bool:
    """True if each message must be made as it leaves.

    Compressed under the state of its session, the same message is not the same frame.
    """
    return plan.message.is_dynamic or plan.target.deflate is not None


class LoadSender:
    """One session's part of a load: what is the same for every model."""

    blocks_load = False

    def __init__(self, connection: Connection, conversation: Conversation, batches: FrameSource) -> None:
        self.connection = connection
        self.conversation = conversation
        self.batches = batches
        # Straight to the conversation: a message read whole costs no call more than it must.
        self.on_message = conversation.on_message
        self.is_awaited = conversation.is_awaited

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Gives up messages sent before an instant, and sends others in their place, if any may leave.

        Returns:
            True if the session cannot go on and was closed.
        """
        self.drop_overdue(before_ns)
        expired = self.conversation.expire(before_ns, timeout_ns)
        if expired:
            self.refill(expired)
        if self.connection.closing:
            return False
        fault = self.conversation.why_stuck(before_ns, timeout_ns)
        if fault is None:
            return False
        self.connection.close(fault)
        self.on_ended()
        return True

    def drop_overdue(self, before_ns: int) -> None:
        """Drops messages that have waited to leave since before an instant."""
        raise NotImplementedError

    def refill(self, count: int) -> None:
        """Sends what `count` messages that are in flight no more make room for."""
        raise NotImplementedError

    def on_ended(self) -> None:
        """Takes note that the session has ended."""
        raise NotImplementedError
