"""Connections as a plan wants them: their load and conversation, their messages, the fields of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from ws_load_test.engine.conversations import new_conversation
from ws_load_test.engine.conversations.in_flight import RecentIds
from ws_load_test.engine.conversations.traced import TracedConversation
from ws_load_test.engine.exchange_traces import ExchangeTraces, TraceLog
from ws_load_test.engine.fan_out.audience import Audience
from ws_load_test.engine.fan_out.deliveries import SubscriberConnection
from ws_load_test.engine.fan_out.http_publishers import HttpPublishers
from ws_load_test.engine.load_models import LOAD_MODELS
from ws_load_test.engine.load_models.load_model import frames_vary
from ws_load_test.engine.nodes import NodeSeekingConnection
from ws_load_test.engine.scenario.played_connection import PlayedConnection, hands_over
from ws_load_test.engine.scenario.player import Player
from ws_load_test.engine.scenario.scenario_load import ScenarioLoad
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.deflating_encoder import DeflatingEncoder
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.engine.sessions.session_setup import SessionSetup
from ws_load_test.messages.generator import EMPTY_ROW, MessageGenerator
from ws_load_test.messages.template import BYTES_IN_TEXT, template_text
from ws_load_test.messages.trace_context import Traceparent
from ws_load_test.plan.redaction import Redactor
from ws_load_test.plan.target import basic_credentials
from ws_load_test.websocket import frames as ws_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.load_models.load_model import LoadModel
    from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
    from ws_load_test.engine.sessions.message_trace import MessageTrace
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream
    from ws_load_test.messages.template_field import Row
    from ws_load_test.plan.plan import Plan


class ConnectionFactory:
    """Makes the connections of one share of a plan."""

    connection_type: ClassVar[type[Connection]] = Connection
    audience_type: ClassVar[type[Audience]] = Audience
    """Class of the publishers and subscribers of a fan-out."""

    def __init__(
        self,
        owner: SessionListener,
        plan: Plan,
        share: Shard,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> None:
        """Takes what `LoadModel.of` takes. Raises UsageError when the plan's feed cannot be read."""
        message = plan.message
        self._first_opcode = ws_frames.BINARY if message.kind == "binary" else ws_frames.TEXT
        self._plan = plan
        self._share = share
        room_of = None if plan.fan_out is None else plan.fan_out.room_name_of_connection
        if plan.scenario is not None:
            room_of = plan.scenario.room_of
        self._source = MessageGenerator(message, share, room_of)
        self._encoder = ws_frames.FrameEncoder(message.opcode)
        self._reading = ReadPolicy.of(plan)
        self._no_pong = self._reading.without_pongs()
        self._connection_type = _seeking_type(plan) or self.connection_type
        if plan.scenario is not None:
            self._connection_type = self._played_type(plan)
        self._recent_ids = RecentIds()
        self._rows: dict[int, Row] = {}
        self._redactor = Redactor(plan.target.secrets() | {*message.environment.values()})
        self._frames_vary = frames_vary(plan)
        self.traces = None if message.trace_share is None else TraceLog(self._source.traces)
        """Traces of exchanges that are worth a look; None where messages have no trace context."""
        self.load = self._load(plan, share, owner, on_exhausted=on_exhausted, on_idle=on_idle)
        """The part of the load that the connections share."""
        self.scenario = self.load if isinstance(self.load, ScenarioLoad) else None
        """The same where it is a scenario's; else None."""
        if self.scenario is not None:
            self.scenario.compile(self._source, self._row)
            if self.traces is not None:
                self.scenario.trace_through(self.traces)
        self.audience = None if plan.fan_out is None else self.audience_type(plan, share, self._source.publication)
        """Publishers and subscribers; None without a fan-out."""
        if self.audience is not None and self.traces is not None:
            self.audience.trace_through(self.traces)
        if self.scenario is not None and self.audience is not None:
            self.scenario.publish_to(self.audience)
        self.http_publishers = self._new_http_publishers(owner)
        """Publishers by HTTP; None without any."""

    def _played_type(self, plan: Plan) -> type[Connection]:
        """Returns the class of the sessions of a scenario."""
        if plan.fan_out is not None:
            return SubscriberConnection
        seeks_nodes = plan.node is not None and plan.node.in_messages
        return PlayedConnection if hands_over(self._reading) and not seeks_nodes else self._connection_type

    def _new_http_publishers(self, owner: SessionListener) -> HttpPublishers | None:
        if self.audience is None or self._plan.fan_out is None or self._plan.fan_out.publish is None:
            return None
        return HttpPublishers(
            self._plan, self._share, owner=owner, audience=self.audience, source=self._source, row_of=self._row
        )

    # --- Connections ------------------------------------------------------------------------------------------------

    def _conversation(self, connection: Connection) -> Conversation:
        """Returns the conversation of a new connection; for subclasses."""
        return new_conversation(connection, self._recent_ids)

    def _load(
        self,
        plan: Plan,
        share: Shard,
        owner: SessionListener,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> LoadModel[Any]:
        """Returns the part of the load that the connections share; for subclasses."""
        return LOAD_MODELS[type(plan.load)](plan, share, owner, on_exhausted=on_exhausted, on_idle=on_idle)

    def connection(
        self, owner: SessionListener, number: int, *, no_pong: bool = False, trace: MessageTrace | None = None
    ) -> Connection:
        """Returns connection `number` of the run, about to be dialed, or dialed again."""
        if self.audience is not None and self.scenario is None:
            return self.audience.connection(owner, self._reading, number, cast("OpenLoopRunner", self.load))
        connection = self._connection_type(owner, self._no_pong if no_pong else self._reading)
        connection.number = number
        if self.scenario is not None:
            connection.trace = trace if trace is not None else connection.trace
            connection.carry(self.scenario.player(connection))
            return connection
        conversation: Conversation = self._conversation(connection)
        if self.traces is not None and Traceparent.name in self._plan.message.fields:
            conversation = ExchangeTraces(connection, conversation, self.traces)
        if trace is not None:
            connection.trace = trace
            conversation = TracedConversation(connection, conversation, trace)
        connection.carry(self.load.sender(connection, conversation))
        return connection

    def session_opened(self, connection: Connection) -> None:
        """Sets up a connection that has just opened, before the load begins on it."""
        sender = connection.sender
        if isinstance(sender, Player):
            sender.open()
            return
        self.attach_frames(connection)
        first_messages = self.first_messages(connection.number)
        greetings = self._plan.correlation.greetings
        if first_messages or greetings:
            wait_ns = self._plan.correlation.first_wait_ns
            SessionSetup(connection, greetings, self._first_opcode, first_messages, wait_ns)

    def session_ready(self, connection: Connection) -> None:
        """Takes note that a connection is set up; for subclasses."""

    def attach_frames(self, connection: Connection) -> None:
        """Gives a connection that has just opened its frames, where they are made as they leave."""
        if not connection.sender.sends_load or (not self._frames_vary and connection.reading.extract_id is None):
            return
        payloads = self._payloads(connection.number)
        encoder: FrameEncoding = self._encoder
        if connection.deflate is not None and payloads.opcode < ws_frames.CLOSE:
            encoder = DeflatingEncoder(connection, payloads.opcode)
        if self.audience is not None:
            connection.sender.batches = self.audience.frames(connection, payloads, encoder)
            return
        connection.sender.batches = connection.sender.conversation.new_frames(payloads, encoder)

    def _payloads(self, number: int) -> PayloadStream:
        """Returns the messages of connection `number`; for subclasses."""
        return self._source.payloads(number, self._row(number))

    def first_messages(self, number: int) -> list[bytes]:
        """Returns the messages that connection `number` sends before the load."""
        row = self._row(number)
        rendered = [
            self._source.render(template_text(one.payload), number, row).encode(errors=BYTES_IN_TEXT)
            if one.is_template
            else one.payload
            for one in self._plan.setup_messages
        ]
        # Of no publish.
        self._source.traces.latest = ""
        return rendered

    def renderer(self, number: int) -> Callable[[str], str] | None:
        """Returns what fills the fields of the target for connection `number`; None where it has none."""
        if not self._plan.target.is_templated:
            return None
        row = self._row(number)
        if self.traces is not None:
            self._source.traces.renew(number)
        return lambda text: self._source.render_target(text, number, row)

    def close(self) -> None:
        """Closes the feed, and ends what goes on by itself."""
        if self.scenario is not None:
            self.scenario.close()
        self._source.close()

    def _row(self, number: int) -> Row:
        """Returns the feed's row of a connection: a session that takes the place of another has the same."""
        if self._plan.message.feed is None:
            return EMPTY_ROW
        while number not in self._rows:
            self._rows[self._share.global_index(len(self._rows))] = next(self._source.rows)
        return self._rows[number]

    # --- Secrets ----------------------------------------------------------------------------------------------------

    def redact(self, text: str, number: int | None = None) -> str:
        """Returns a text of the target without the secrets that it may hold, because we sent them."""
        if number is None:
            return self._redactor.redact(text)
        # Those few of many that the text can hold.
        quoted = {value for row in self._recent_rows() for value in row if value in text}
        return self._redactor.redact(text, (*self._row(number), *self._credentials(number), *quoted))

    def _recent_rows(self) -> Iterable[Row]:
        """Returns the rows of the latest messages; for subclasses."""
        return self._source.recent_rows

    def _credentials(self, number: int) -> list[str]:
        """Returns Basic credentials as they travel, where fields fill them."""
        target, row = self._plan.target, self._row(number)
        texts = [text for text in (target.user, target.user_info) if text and "{" in text]
        return [basic_credentials(self._source.render(text, number, row).encode()) for text in texts]


def _seeking_type(plan: Plan) -> type[Connection] | None:
    """Returns the class of connections that look for their node in messages; None where none has to."""
    if plan.node is None or not plan.node.in_messages:
        return None
    return type("SeekingConnection", (NodeSeekingConnection,), {"seek": staticmethod(plan.node.extractor())})
