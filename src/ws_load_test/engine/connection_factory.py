"""Connections as a plan wants them: which kind they are, what they send, what of a target is filled in for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.redaction import Redactor
from ws_load_test.engine.closed_loop import ClosedLoopConnection, ClosedLoopRunner, DynamicClosedLoopConnection
from ws_load_test.engine.correlated import (
    CorrelatedClosedLoopConnection,
    CorrelatedFrames,
    CorrelatedOpenLoopConnection,
)
from ws_load_test.engine.in_flight import RecentIds
from ws_load_test.engine.open_loop import OpenLoopConnection, OpenLoopRunner, SendOnlyConnection
from ws_load_test.engine.read_policy import ReadPolicy
from ws_load_test.messages.generator import EMPTY_ROW, FrameBatches, MessageGenerator
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import ArrivalSchedule
from ws_load_test.plan.target import basic_credentials
from ws_load_test.websocket import frames as ws_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.session import FrameSource, SessionListener
    from ws_load_test.messages.fields import Row
    from ws_load_test.messages.generator import FrameEncoding
    from ws_load_test.plan.plan import Plan

LoadConnection = ClosedLoopConnection | OpenLoopConnection


class ConnectionFactory:
    """Makes the connections of one share of a plan."""

    def __init__(
        self,
        owner: SessionListener,
        plan: Plan,
        share: Shard,
        *,
        on_spent: Callable[[], None],
        on_idle: Callable[[LoadConnection], None],
    ) -> None:
        """Raises UsageError when the plan's feed cannot be read."""
        message = plan.message
        self.first_opcode = ws_frames.BINARY if message.kind == "binary" else ws_frames.TEXT
        """Of first messages."""
        self._plan = plan
        self._share = share
        self._source = MessageGenerator(message, share)
        self._encoder = ws_frames.FrameEncoder(message.opcode)
        self._reading = ReadPolicy.of(plan)
        self._muted = self._reading.without_pongs()
        self._memory = RecentIds()
        self._rows: dict[int, Row] = {}
        self._fills = plan.target.is_templated
        self._hider = Redactor(plan.target.secrets())
        # Compressed under the state of its session, the same message is not the same frame.
        self._varies = message.is_dynamic or plan.target.deflate is not None
        self.load = self._new_load(owner, on_spent, on_idle)
        """What the connections share."""

    def _new_load(
        self, owner: SessionListener, on_spent: Callable[[], None], on_idle: Callable[[LoadConnection], None]
    ) -> ClosedLoopRunner | OpenLoopRunner:
        plan, load = self._plan, self._plan.load
        if not isinstance(load, OpenLoop):
            frames = memoryview(b"") if self._varies else plan.message.frames(load.in_flight)
            return ClosedLoopRunner(frames, load.in_flight, on_idle)
        pace = ArrivalSchedule(load.rate, load.arrivals, load.seed)
        blocks = pace.blocks(self._share, plan.messages, warmup_ns=plan.warmup_ns, connections=plan.connections)
        frame = b"" if self._varies else bytes(plan.message.frames(1))
        return OpenLoopRunner(
            owner,
            [b"", frame],
            blocks if load.rate.peak else iter(()),
            max_in_flight=load.max_in_flight,
            on_spent=on_spent,
            on_idle=on_idle,
        )

    # --- Connections ------------------------------------------------------------------------------------------------

    def connection(self, owner: SessionListener, number: int, *, mute: bool = False) -> LoadConnection:
        """Connection `number` of the run, about to be dialled, or dialled again."""
        reading = self._muted if mute else self._reading
        connection: LoadConnection
        if isinstance(self.load, ClosedLoopRunner):
            if reading.extract_id is not None:
                connection = CorrelatedClosedLoopConnection(owner, self.load, reading, self._memory, number)
            elif self._varies:
                connection = DynamicClosedLoopConnection(owner, self.load, reading)
            else:
                connection = ClosedLoopConnection(owner, self.load, reading)
        elif reading.extract_id is not None:
            connection = CorrelatedOpenLoopConnection(owner, self.load, reading, self._memory, number)
        elif reading.send_only:
            connection = SendOnlyConnection(owner, self.load, reading)
        else:
            connection = OpenLoopConnection(owner, self.load, reading)
        connection.number = number
        return connection

    def attach_frames(self, connection: LoadConnection) -> None:
        """Gives a connection that has just opened the frames that it sends."""
        reading = connection.reading
        if not self._varies and reading.extract_id is None:
            return
        payloads = self._source.payloads(connection.number, self._row(connection.number))
        encoder: FrameEncoding = self._encoder
        if connection.deflate is not None and payloads.opcode < ws_frames.CLOSE:
            encoder = DeflatingEncoder(connection, payloads.opcode)
        frames: FrameSource
        if reading.message_key is not None and isinstance(
            connection, (CorrelatedClosedLoopConnection, CorrelatedOpenLoopConnection)
        ):
            frames = CorrelatedFrames(payloads, encoder, reading.message_key, connection.ledger)
        else:
            frames = FrameBatches(payloads, encoder)
        connection.batches = frames

    def first_messages(self, number: int) -> list[bytes]:
        """What connection `number` says before the load."""
        row = self._row(number)
        return [
            self._source.render(one.payload.decode(), number, row).encode() if one.is_template else one.payload
            for one in self._plan.setup_messages
        ]

    def renderer(self, number: int) -> Callable[[str], str] | None:
        """What fills the fields of the target for connection `number`; None where it has none."""
        if not self._fills:
            return None
        row = self._row(number)
        return lambda text: self._source.render(text, number, row)

    def close(self) -> None:
        """Closes the feed."""
        self._source.close()

    def _row(self, number: int) -> Row:
        """The feed's row of a connection: a session that takes the place of another has the same."""
        if self._plan.message.feed is None:
            return EMPTY_ROW
        while number not in self._rows:
            self._rows[self._share.global_index(len(self._rows))] = next(self._source.rows)
        return self._rows[number]

    # --- Secrets ----------------------------------------------------------------------------------------------------

    def redact(self, text: str, number: int | None = None) -> str:
        """A text of the target without the secrets that it may have been told."""
        if number is None:
            return self._hider.redact(text)
        # Those few of many that the text can hold.
        quoted = {value for row in self._source.recent_rows for value in row if value in text}
        return self._hider.redact(text, (*self._row(number), *self._credentials(number), *quoted))

    def _credentials(self, number: int) -> list[str]:
        """Basic credentials as they travel, where fields fill them."""
        target, row = self._plan.target, self._row(number)
        texts = [text for text in (target.user, target.user_info) if text and "{" in text]
        return [basic_credentials(self._source.render(text, number, row).encode()) for text in texts]


class DeflatingEncoder:
    """Frames of compressed messages (RFC 7692, section 6)."""

    def __init__(self, connection: LoadConnection, opcode: int) -> None:
        self._connection = connection
        self._encoder = ws_frames.FrameEncoder(opcode, ws_frames.RSV1)

    def frame(self, payload: bytes) -> bytes:
        """One frame."""
        deflate = self._connection.deflate
        assert deflate is not None
        self._connection.owner.tally.uncompressed_bytes_sent += len(payload)
        return self._encoder.frame(deflate.compress(payload))
