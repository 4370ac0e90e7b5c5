"""Publishers by HTTP: clients that take their turns in the open loop as sessions do, with one request in flight each.

A message leaves when it is due and its client has nothing in flight; else it waits, and is dropped after the time-out.
The response is its reply: response time is from due until the response was read whole. A status that is not 2xx, or a
connection that is lost before the response, leaves the message unanswered and is a fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import cause_of
from ws_load_test.common.faults import Fault, FaultKind, classify_host_error
from ws_load_test.engine.connect.tls import new_context
from ws_load_test.engine.fan_out.http_exchange import HttpExchange, HttpRequest
from ws_load_test.plan.target import Endpoint, render_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.fan_out.audience import Audience
    from ws_load_test.engine.fan_out.senders import Publisher
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.messages.generator import MessageGenerator, PayloadStream
    from ws_load_test.messages.template_field import Row
    from ws_load_test.plan.fan_out import HttpPublish
    from ws_load_test.plan.plan import Plan

REDIAL_DELAY_S = 0.1
"""Time before another attempt where a connection was refused: at once, it would be a loop that does nothing else."""


class HttpPublisherClient:
    """One publisher: its connection, the message in flight, and those that wait."""

    closing = False
    """It takes its turns as long as the load lasts, since it connects again when it is not connected."""

    def __init__(self, publishers: HttpPublishers, number: int, payloads: PayloadStream) -> None:
        self.number = number
        self.owner = publishers.owner
        self.connection = self
        """The open loop counts by the connection of a sender, which is this client itself."""
        self.carries_load = False
        self.backlog: deque[int] = deque()
        """Due instants of the messages that wait."""
        self._publishers = publishers
        self._payloads = payloads
        self._exchange: HttpExchange | None = None
        self.dialing: asyncio.Task[None] | None = None
        """Attempts to connect."""
        self.has_tried = asyncio.Event()
        """It has connected, or could not once."""
        self._in_flight: tuple[int, int] | None = None
        """Due and sent instants of the message in flight."""
        self._ended = False

    @property
    def in_flight(self) -> int:
        """Messages that wait for their response, or to leave."""
        return len(self.backlog) + (self._in_flight is not None)

    # --- The load ---------------------------------------------------------------------------------------------------

    def send_due(self, due_ns: int) -> bool:
        """Sends a message that is due, or keeps it until its turn. Returns True if it has left."""
        exchange = self._exchange
        if self._in_flight is not None or exchange is None or not exchange.is_usable:
            self.backlog.append(due_ns)
            return False
        publisher = self._publishers.publisher(self.number)
        publisher.prepare(due_ns)
        request = self._publishers.request(self.number, self._payloads)
        sent_ns = monotonic_ns()
        size = exchange.send(request)
        self._in_flight = due_ns, sent_ns
        publisher.confirm()
        tally = self.owner.tally
        if due_ns >= self.owner.samples.measured_from_ns:
            tally.sent += 1
            tally.bytes_sent += size
        else:
            tally.warmup_sent += 1
        return True

    def refill(self) -> None:
        """Sends the message that has waited longest, if it may leave."""
        if self.backlog and self._in_flight is None and self._exchange is not None and self._exchange.is_usable:
            self.send_due(self.backlog.popleft())
        if not self.in_flight:
            self._publishers.check_idle()

    def expire(self, before_ns: int) -> None:
        """Gives up what was sent before an instant, and drops what has waited since before it."""
        while self.backlog and self.backlog[0] < before_ns:
            self._drop(self.backlog.popleft())
        if self._in_flight is not None and self._in_flight[1] < before_ns and self._exchange is not None:
            self._fail("timeout", "did not answer a publish in time")
            self._exchange.close()

    def end(self) -> None:
        """Ends for good: what is in flight is unanswered, and what waits is dropped."""
        self._ended = True
        if self.dialing is not None:
            self.dialing.cancel()
        self._unanswered()
        while self.backlog:
            self._drop(self.backlog.popleft())
        if self._exchange is not None:
            self._exchange.close()

    def _drop(self, due_ns: int) -> None:
        if due_ns >= self.owner.samples.measured_from_ns:
            self.owner.tally.dropped += 1

    # --- The connection ---------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connects, and goes on trying until it is connected."""
        while not self._ended:
            try:
                async with asyncio.timeout(self._publishers.connect_timeout_ns / NS_PER_S):
                    self._exchange = await self._publishers.connect(HttpExchange(self._on_response, self._on_lost))
            except OSError as error:
                self._count_failure(error)
                self.has_tried.set()
                await asyncio.sleep(REDIAL_DELAY_S)
            else:
                self.has_tried.set()
                self.refill()
                return

    def _count_failure(self, error: OSError) -> None:
        host_error = classify_host_error(error)
        if host_error is not None:
            self.owner.tally.host_errors[host_error] += 1
        elif isinstance(error, TimeoutError):
            self._fault("timeout", "could not be connected to for a publish: it took too long")
        else:
            self._fault("connect", f"could not be connected to for a publish: {cause_of(error)}")

    def dial(self) -> None:
        """Begins to connect."""
        if not self._ended:
            self.dialing = asyncio.get_running_loop().create_task(self.connect())

    def _on_response(self, status: int, at_ns: int) -> None:
        self._take_bytes()
        if self._in_flight is None:
            # It was given up a moment ago.
            return
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            due_ns, sent_ns = self._in_flight
            self._in_flight = None
            self.owner.samples.append(due_ns, sent_ns, at_ns, 1)
        else:
            known = HTTPStatus._value2member_map_.get(status)
            phrase = f" {known.phrase}" if isinstance(known, HTTPStatus) else ""
            self._fail(str(status), f"answered a publish with {status}{phrase}")
        self.refill()

    def _on_lost(self, why: str) -> None:
        self._take_bytes()
        self._exchange = None
        if self._in_flight is not None and not self._ended:
            self._fail("closed", f"did not answer a publish: {why}")
        self.dial()
        if not self.in_flight:
            self._publishers.check_idle()

    def _take_bytes(self) -> None:
        if self._exchange is not None:
            self.owner.tally.bytes_received += self._exchange.bytes_received
            self._exchange.bytes_received = 0

    def _fail(self, detail: str, text: str) -> None:
        """Counts the message in flight as unanswered, through a fault."""
        self._unanswered()
        self._fault(detail, text)

    def _fault(self, detail: str, text: str) -> None:
        self.owner.fault(Fault(FaultKind.PUBLISH_FAILED, detail, text))

    def _unanswered(self) -> None:
        if self._in_flight is None:
            return
        (due_ns, sent_ns), self._in_flight = self._in_flight, None
        owner = self.owner
        owner.samples.note_unanswered(due_ns, sent_ns, 1)
        if due_ns >= owner.samples.measured_from_ns:
            owner.tally.unanswered += 1
            owner.tally.unanswered_wait_ns.record(max(0, monotonic_ns() - due_ns))


class HttpPublishers:
    """The publishers by HTTP of one worker."""

    def __init__(
        self,
        plan: Plan,
        share: Shard,
        *,
        owner: SessionListener,
        audience: Audience,
        source: MessageGenerator,
        row_of: Callable[[int], Row],
    ) -> None:
        """Makes the clients; none is connected yet.

        Args:
            plan: A plan with publishers by HTTP.
            share: The worker's share: of so many publishers it has those of these numbers.
            owner: Counts what they send.
            audience: Has the numbers and markers of the publishers.
            source: Renders messages, the URL and headers.
            row_of: Returns the feed's row of a publisher.

        Raises:
            UsageError: The plan's certificates cannot be used.
        """
        fan_out = plan.fan_out
        assert fan_out is not None
        assert fan_out.publish is not None
        self._publish: HttpPublish = fan_out.publish
        self.endpoint = _endpoint(self._publish.url)
        self.tls: ssl.SSLContext | None = _context(plan, self.endpoint) if self.endpoint.secure else None
        self.owner = owner
        self.connect_timeout_ns = plan.connect_timeout_ns
        self.publisher: Callable[[int], Publisher] = audience.publisher
        self._audience = audience
        self._source = source
        self._row_of = row_of
        self._headers = self._publish.headers
        self._content_type = "application/octet-stream" if plan.message.kind == "binary" else None
        self._has = {name.lower() for name, _ in self._headers}
        self._idle = asyncio.Event()
        self._draining = False
        numbers = map(share.global_index, range(share.size(fan_out.publishers)))
        self.clients = [self._client(number) for number in numbers]
        """Publishers of this worker."""

    def _client(self, number: int) -> HttpPublisherClient:
        payloads = self._source.payloads(number, self._row_of(number))
        return HttpPublisherClient(self, number, self._audience.noted(payloads))

    async def connect(self, exchange: HttpExchange) -> HttpExchange:
        """Opens a connection for a client. Raises OSError."""
        endpoint, tls = self.endpoint, self.tls
        server_name = None if tls is None else endpoint.server_name
        await asyncio.get_running_loop().create_connection(
            lambda: exchange, endpoint.host, endpoint.port, ssl=tls, server_hostname=server_name
        )
        return exchange

    def request(self, number: int, payloads: PayloadStream) -> HttpRequest:
        """Returns the request of a publisher's next message, whose room and marker are set."""
        row = self._row_of(number)
        content = payloads.next()
        render = partial(self._source.render_publish, publisher=number, row=row)
        headers = [(name, render(value)) for name, value in self._headers]
        target = _endpoint(render_url(self._publish.url, render)).resource
        if "host" not in self._has:
            headers.insert(0, ("Host", self.endpoint.authority))
        if "content-type" not in self._has:
            headers.append(("Content-Type", self._content_type or _type_of(content)))
        return HttpRequest(self._publish.method, target, headers, content)

    # --- Phases -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects all clients; those that cannot be go on trying while the load has begun."""
        for client in self.clients:
            client.dial()
        for client in self.clients:
            await client.has_tried.wait()

    def expire(self, before_ns: int) -> None:
        """Gives up what was sent before an instant."""
        for client in self.clients:
            client.expire(before_ns)

    async def drain(self, timeout_ns: int) -> None:
        """Waits for the responses that are due, and for what waits to leave."""
        self._draining = True
        self.check_idle()
        try:
            async with asyncio.timeout(timeout_ns / NS_PER_S):
                await self._idle.wait()
        except TimeoutError:
            # What left a moment ago has not had its time: it is unanswered, and no fault.
            self.expire(monotonic_ns() - timeout_ns)
            self.close()

    def check_idle(self) -> None:
        """Ends `drain` once nothing is in flight."""
        if self._draining and not any(client.in_flight for client in self.clients):
            self._idle.set()

    def close(self) -> None:
        """Ends all clients."""
        for client in self.clients:
            client.end()


def _endpoint(url: str) -> Endpoint:
    """Returns a URL of http or https taken apart: as one of ws or wss, which has the same ports."""
    return Endpoint.of(f"ws{url[len('http') :]}")


def _context(plan: Plan, endpoint: Endpoint) -> ssl.SSLContext:
    """Returns the context of TLS: the target's, without the client's certificate where the origin is another."""
    target = plan.target
    if target.secure and target.endpoint.origin == endpoint.origin:
        return new_context(target)
    return new_context(msgspec.structs.replace(target, cert=None, key=None))


def _type_of(content: bytes) -> str:
    return "application/json" if content[:1] in {b"{", b"["} else "text/plain; charset=utf-8"
