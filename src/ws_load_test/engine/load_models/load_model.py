"""Seam of the load models: what a worker asks of any load, and what the senders of all loads share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
    from ws_load_test.plan.plan import Plan

UNLIMITED = 1 << 62
"""Stands for no limit: more messages than any run sends, and an instant after any."""
S = TypeVar("S", bound="LoadSender")


class LoadModel(Protocol[S]):
    """Decides when the messages of one worker leave."""

    due_when_sent: ClassVar[bool]
    """True where a message is due when it is sent: response time and service time are the same number."""
    sessions: int
    """Sessions that carry the load."""
    on_change: Callable[[], None]
    """Called when their number has changed, or some of them have nothing that they may send."""

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

    def prepare(self, start_ns: int, switch: LoadSwitch) -> None:
        """Takes note of the start, and of how the load is shared among the workers from then on."""
        ...

    def limit(self, count: int | None = None) -> None:
        """Ends the load after so many more messages, or its share of them, where no schedule ends it."""
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

    def give_up(self) -> None:
        """Drops all that the load would still have sent. To be called after `end`."""
        ...

    # --- Sharing with other workers (`plan.load_sharing`) ------------------------------------------------------------

    @property
    def held(self) -> bool:
        """True from `hold` until `switch`."""
        ...

    def hold(self, until_ns: int, sessions: int) -> LoadState:
        """Settles what this worker leaves to others: all, without a session; else what is due after an instant."""
        ...

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share."""
        ...

    def state(self) -> LoadState:
        """Returns what the fleet has to know to share the load."""
        ...


def do_nothing() -> None:
    """Stands for a callback that is not needed."""


def frames_vary(plan: Plan) -> bool:
    """True if each message must be made as it leaves.

    Compressed under the state of its session, the same message is not the same frame.
    """
    return plan.message.is_dynamic or plan.target.deflate is not None


class LoadSender:
    """One session's part of a load: what is the same for every model."""

    blocks_load = False
    sends_load = True
    """It sends part of the load."""
    carries_load = False
    """It is one of the sessions among which the load is shared."""

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
