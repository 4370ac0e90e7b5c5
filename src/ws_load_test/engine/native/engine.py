"""The native engine: the control plane of the portable one, with the work of every message in a compiled loop.

Plain sessions are dialed in a compiled loop as well (`opener`); all are set up and closed by the portable code. While
they carry the load they are lent to `Reactor` (`lending`), so that a message costs what it costs in C. A plan of which
the loop cannot do something (`unsupported`) runs in the portable engine.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.native.conversations import NativeRecentIds, native_conversation
from ws_load_test.engine.native.fan_out import DeliveryLender, NativeAudience
from ws_load_test.engine.native.fan_out import unsupported as unsupported_fan_out
from ws_load_test.engine.native.lending import NOT_LENT, Lender, NativeConnection
from ws_load_test.engine.native.opener import NativeOpener
from ws_load_test.engine.native.own_tls import has_tls
from ws_load_test.engine.native.pool import NativePool
from ws_load_test.engine.native.reactor import FoundDeliveries, Reactor
from ws_load_test.engine.native.rows import NativeMessages
from ws_load_test.engine.native.rules import UNAWAITED, questions_of, rules_of, unsupported
from ws_load_test.engine.native.samples import NativeSamples
from ws_load_test.engine.native.senders import NativeClosedLoop, NativeOpenLoop
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.messages.generator import PayloadStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.connection_pool import ConnectionPool
    from ws_load_test.engine.fan_out.audience import Audience
    from ws_load_test.engine.load_models.load_model import LoadModel
    from ws_load_test.engine.session_opener import SessionOpener
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageTrace
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.engine.sessions.session_group import SessionGroup
    from ws_load_test.messages.template_field import Row
    from ws_load_test.plan.plan import Plan


class NativeFactory(ConnectionFactory):
    """Makes connections that can be lent, and the load on them."""

    connection_type: ClassVar[type[Connection]] = NativeConnection
    audience_type: ClassVar[type[Audience]] = NativeAudience
    by_io_uring: ClassVar[bool] = True
    lender: Lender
    """Lends the connections; set as soon as the load is made."""
    _messages: NativeMessages | None = None
    """Messages that are made in the compiled loop; None where all are equal."""

    def __init__(
        self,
        owner: SessionListener,
        plan: Plan,
        share: Shard,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> None:
        super().__init__(owner, plan, share, on_exhausted=on_exhausted, on_idle=on_idle)
        if isinstance(self.audience, NativeAudience):
            self.audience.receive_through(cast("DeliveryLender", self.lender), cast("SessionGroup", owner))

    def connection(
        self, owner: SessionListener, number: int, *, no_pong: bool = False, trace: MessageTrace | None = None
    ) -> Connection:
        """Returns connection `number` of the run, about to be dialed, or dialed again."""
        connection = cast("NativeConnection", super().connection(owner, number, no_pong=no_pong, trace=trace))
        connection.lender, connection.slot = self.lender, NOT_LENT
        return connection

    def session_ready(self, connection: Connection) -> None:
        """Lends a session of a fan-out, whether or not it carries the load."""
        if isinstance(self.lender, DeliveryLender):
            self.lender.lend_soon(connection)

    def close(self) -> None:
        """Closes the feed, and ends the compiled loop."""
        super().close()
        self.lender.close()

    def _conversation(self, connection: Connection) -> Conversation:
        native = cast("NativeConnection", connection)
        native.slot = NOT_LENT
        return native_conversation(native, self._recent_ids, id_is_text=self._plan.correlation.by_path)

    def _payloads(self, number: int) -> PayloadStream:
        """Returns the messages of connection `number`, for when it comes back: they are the compiled loop's."""
        if self._messages is None:
            # Of a fan-out, whose messages Python makes.
            return super()._payloads(number)
        self._messages.add_row_of(number)
        return PayloadStream(partial(self._messages.source.render, number), self._plan.message.opcode)

    def opens_asleep(self, number: int) -> None:
        """Prepares what the compiled loop needs for the messages of a session that has no connection."""
        if self._messages is not None:
            self._messages.add_row_of(number)

    def _recent_rows(self) -> Iterable[Row]:
        return (
            self._source.recent_rows
            if self._messages is None
            else [*self._source.recent_rows, *self._messages.recent_rows()]
        )

    def _load(
        self,
        plan: Plan,
        share: Shard,
        owner: SessionListener,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> LoadModel[Any]:
        if plan.fan_out is not None:
            self._receive(plan, cast("SessionGroup", owner))
            return super()._load(plan, share, owner, on_exhausted=on_exhausted, on_idle=on_idle)
        reading, on_schedule = self._reading, not plan.load.due_when_sent
        varies = plan.message.is_dynamic or reading.extract_id is not None
        copies = 1 if on_schedule or varies else plan.load.usual_in_flight
        reactor = Reactor(
            on_schedule, bytes(plan.message.frames(copies)), copies, plan.max_message_bytes, self.by_io_uring
        )
        reads_whole = reading.needs_payload or plan.correlation.greetings > 0
        reactor.match(rules_of(plan.correlation, reading), reads_whole, questions_of(plan.correlation, reading))
        if varies:
            self._messages = NativeMessages(self._source, share, self._row)
            reactor.vary(self._messages.source)
        self._recent_ids = NativeRecentIds(reactor)
        reactor.kernel_instants = plan.reply_instant != "read"
        self.lender = Lender(reactor)
        group = cast("SessionGroup", owner)
        checks = [name for name, _ in reading.expect]
        group.samples = NativeSamples(group, reactor, on_schedule=on_schedule, checks=checks)
        kind = NativeOpenLoop if on_schedule else NativeClosedLoop
        load = kind.of(plan, share, owner, on_exhausted=on_exhausted, on_idle=on_idle)
        load.lend_through(self.lender)
        return cast("LoadModel[Any]", load)

    def _receive(self, plan: Plan, group: SessionGroup) -> None:
        """Makes the compiled loop of a fan-out, which finds deliveries on sessions that await no replies."""
        reactor, found = Reactor(False, b"", 1, plan.max_message_bytes, self.by_io_uring), FoundDeliveries()
        rules = rules_of(plan.correlation, self._reading)._replace(by=UNAWAITED, expect=[], stream=None)
        reactor.match(rules, True, questions_of(plan.correlation, self._reading))
        reactor.receive(found)
        self.lender = DeliveryLender(reactor, found)
        group.samples = NativeSamples(group, reactor, on_schedule=True)


class EpollFactory(NativeFactory):
    """The same with a loop that asks the kernel by epoll."""

    by_io_uring: ClassVar[bool] = False


class NativeEngine(PortableEngine):
    """Sessions that are lent to a compiled loop for as long as they carry the load; it asks the kernel by io_uring."""

    name: ClassVar[str] = "native"
    factory_type: ClassVar[type[ConnectionFactory]] = NativeFactory
    opener_type: ClassVar[type[SessionOpener]] = NativeOpener
    pool_type: ClassVar[type[ConnectionPool]] = NativePool

    @classmethod
    def unsupported(cls, plan: Plan) -> list[str]:
        """Returns what of a plan needs the portable engine, each a sentence."""
        target = plan.target
        rules = (
            (sys.platform != "linux", "it needs epoll, which Linux has"),
            (target.secure and not has_tls(), "it finds no OpenSSL that it could share with Python's ssl"),
            (any(url.startswith("https") for url in target.proxies), "it does not speak TLS with a proxy"),
            (target.follow_redirects and not has_tls(), "a redirect may lead to TLS"),
            (target.deflate is not None, "it does not compress"),
            (plan.scenario is not None, "it does not go through the steps of a scenario"),
            (plan.misbehaving is not None, "its clients do not misbehave"),
            (plan.node is not None, "it does not measure nodes apart"),
        )
        return [*(reason for applies, reason in rules if applies), *unsupported(plan), *unsupported_fan_out(plan)]


class NativeEpollEngine(NativeEngine):
    """The same by epoll, which every Linux allows."""

    name: ClassVar[str] = "native-epoll"
    factory_type: ClassVar[type[ConnectionFactory]] = EpollFactory
