"""Connections as a plan wants them: which kind they are, what they send, what of a target is filled in for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.redaction import Hider
from ws_load_test.engine.closed_loop import Flood, FloodConnection, VaryingFloodConnection
from ws_load_test.engine.correlated import FloodById, FramesWithIds, PacedById
from ws_load_test.engine.in_flight import Memory
from ws_load_test.engine.open_loop import Paced, PacedConnection, SilentConnection
from ws_load_test.engine.read_policy import Reading
from ws_load_test.messages.generator import NO_ROW, Batches, Source
from ws_load_test.plan.load import OpenLoad
from ws_load_test.plan.schedule import Pace
from ws_load_test.plan.target import basic_credentials
from ws_load_test.websocket import frames as ws_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.sharding import Share
    from ws_load_test.engine.session import Frames, Owner
    from ws_load_test.messages.fields import Row
    from ws_load_test.messages.generator import Encodes
    from ws_load_test.plan.plan import Plan

LoadConnection = FloodConnection | PacedConnection


class Outfitter:
    """Makes the connections of one share of a plan."""

    def __init__(
        self,
        owner: Owner,
        plan: Plan,
        share: Share,
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
        self._source = Source(message, share)
        self._encoder = ws_frames.Encoder(message.opcode)
        self._reading = Reading.of(plan)
        self._muted = self._reading.muted()
        self._memory = Memory()
        self._rows: dict[int, Row] = {}
        self._fills = plan.target.has_fields
        self._hider = Hider(plan.target.secrets())
        # Compressed under the state of its session, the same message is not the same frame.
        self._varies = message.varies or plan.target.deflate is not None
        self.load = self._new_load(owner, on_spent, on_idle)
        """What the connections share."""

    def _new_load(
        self, owner: Owner, on_spent: Callable[[], None], on_idle: Callable[[LoadConnection], None]
    ) -> Flood | Paced:
        plan, load = self._plan, self._plan.load
        if not isinstance(load, OpenLoad):
            frames = memoryview(b"") if self._varies else plan.message.frames(load.in_flight)
            return Flood(frames, load.in_flight, on_idle)
        pace = Pace(load.rate, load.arrivals, load.seed)
        blocks = pace.blocks(self._share, plan.messages, warmup_ns=plan.warmup_ns, connections=plan.connections)
        frame = b"" if self._varies else bytes(plan.message.frames(1))
        return Paced(
            owner,
            [b"", frame],
            blocks if load.rate.peak else iter(()),
            max_in_flight=load.max_in_flight,
            on_spent=on_spent,
            on_idle=on_idle,
        )

    # --- Connections ------------------------------------------------------------------------------------------------

    def connection(self, owner: Owner, number: int, *, mute: bool = False) -> LoadConnection:
        """Connection `number` of the run, about to be dialled, or dialled again."""
        reading = self._muted if mute else self._reading
        connection: LoadConnection
        if isinstance(self.load, Flood):
            if reading.key is not None:
                connection = FloodById(owner, self.load, reading, self._memory, number)
            elif self._varies:
                connection = VaryingFloodConnection(owner, self.load, reading)
            else:
                connection = FloodConnection(owner, self.load, reading)
        elif reading.key is not None:
            connection = PacedById(owner, self.load, reading, self._memory, number)
        elif reading.silent:
            connection = SilentConnection(owner, self.load, reading)
        else:
            connection = PacedConnection(owner, self.load, reading)
        connection.number = number
        return connection

    def equip(self, connection: LoadConnection) -> None:
        """Gives a connection that has just opened the frames that it sends."""
        reading = connection.reading
        if not self._varies and reading.key is None:
            return
        payloads = self._source.payloads(connection.number, self._row(connection.number))
        encoder: Encodes = self._encoder
        if connection.deflate is not None and payloads.opcode < ws_frames.CLOSE:
            encoder = _Deflating(connection, payloads.opcode)
        frames: Frames
        if reading.message_key is not None and isinstance(connection, (FloodById, PacedById)):
            frames = FramesWithIds(payloads, encoder, reading.message_key, connection.ledger)
        else:
            frames = Batches(payloads, encoder)
        connection.batches = frames

    def first_messages(self, number: int) -> list[bytes]:
        """What connection `number` says before the load."""
        row = self._row(number)
        return [
            self._source.fill(one.payload.decode(), number, row).encode() if one.templated else one.payload
            for one in self._plan.first_messages
        ]

    def filler(self, number: int) -> Callable[[str], str] | None:
        """What fills the fields of the target for connection `number`; None where it has none."""
        if not self._fills:
            return None
        row = self._row(number)
        return lambda text: self._source.fill(text, number, row)

    def close(self) -> None:
        """Closes the feed."""
        self._source.close()

    def _row(self, number: int) -> Row:
        """The feed's row of a connection: a session that takes the place of another has the same."""
        if self._plan.message.feed is None:
            return NO_ROW
        while number not in self._rows:
            self._rows[self._share.number(len(self._rows))] = next(self._source.rows)
        return self._rows[number]

    # --- Secrets ----------------------------------------------------------------------------------------------------

    def hide(self, text: str, number: int | None = None) -> str:
        """A text of the target without the secrets that it may have been told."""
        if number is None:
            return self._hider.hide(text)
        # Those few of many that the text can hold.
        quoted = {value for row in self._source.recent_rows for value in row if value in text}
        return self._hider.hide(text, (*self._row(number), *self._credentials(number), *quoted))

    def _credentials(self, number: int) -> list[str]:
        """Basic credentials as they travel, where fields fill them."""
        target, row = self._plan.target, self._row(number)
        texts = [text for text in (target.user, target.user_info) if text and "{" in text]
        return [basic_credentials(self._source.fill(text, number, row).encode()) for text in texts]


class _Deflating:
    """Frames of compressed messages (RFC 7692, section 6)."""

    def __init__(self, connection: LoadConnection, opcode: int) -> None:
        self._connection = connection
        self._encoder = ws_frames.Encoder(opcode, ws_frames.RSV1)

    def frame(self, payload: bytes) -> bytes:
        """One frame."""
        deflate = self._connection.deflate
        assert deflate is not None
        self._connection.owner.tally.plain_bytes_sent += len(payload)
        return self._encoder.frame(deflate.compress(payload))
