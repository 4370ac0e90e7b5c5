"""One session and one message, shown step by step: what a run would do, before there is one.

The session is opened, set up, read and ended by what every run uses; a probe is an owner of connections, as a pool's
group is, and an observer of one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.connection_pool import CLOSE_TIMEOUT_S
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.engine.sessions.session_setup import wait_until_ready
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import ClosedLoop
from ws_load_test.probe.diagnosis import (
    ReceivedMessage,
    SessionRecord,
    describe_match,
    diagnose,
    explain_unmatched,
)
from ws_load_test.probe.tracing import FrameSplitter
from ws_load_test.probe.transcript import OPCODES, Transcript
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.connect.connect_timings import ConnectTimings
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageKind
    from ws_load_test.engine.sessions.session import Session
    from ws_load_test.importing.capture import Direction
    from ws_load_test.plan.plan import Plan
    from ws_load_test.probe.session_log import MessageWriter, SessionLog
    from ws_load_test.probe.tracing import Frame
    from ws_load_test.probe.transcript import Step

SCHEMA = "ws-load-test/probe/1"
SILENCE_S = 1.0
"""Time that the session stays open where no reply is awaited, so that pushes can be shown."""
MIN_LINGER_NS, MAX_LINGER_NS = NS_PER_S // 10, NS_PER_S
"""Bounds of the time that the session stays open after a reply that was paired in order, since a later message may be
the better one: three times what the reply took."""
SHOW_INTERVAL_S = 0.25
"""Time between two prints of steps while something is awaited: printing takes time, which no reply should pay."""


class Probe:
    """One connection, one message."""

    def __init__(
        self,
        plan: Plan,
        on_steps: Callable[[list[Step]], None] | None = None,
        *,
        number: int = 0,
        start_ns: int | None = None,
    ) -> None:
        """Takes the plan of a run, and what is called with new steps now and then.

        Args:
            plan: Plan of a run.
            on_steps: Called with new steps.
            number: Number of the connection, as its fields show it.
            start_ns: Instant from which steps count; None: now.

        Raises:
            UsageError: The plan's certificates or its feed cannot be used.
        """
        load = ClosedLoop() if plan.load.due_when_sent else plan.load
        self.plan = msgspec.structs.replace(
            plan, connections=1, workers=1, load=load, connection_profile=None, misbehaving=None
        )
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=not load.due_when_sent)
        self.samples.measured_from_ns = 0
        self.loop_turns = LoopTurns(endless=True)
        """Never over: the observer has the session read in pieces (`attach_observed`)."""
        self.kinds = KindLimits()
        self.factory = ConnectionFactory(self, self.plan, Shard(0, 1), on_exhausted=_nothing, on_idle=_nothing)
        fills = plan.target.is_templated or any(one.is_template for one in plan.setup_messages)
        self._number = number
        self._secret_row = number if fills else None
        self.record = SessionRecord(plan, awaited=plan.correlation.rule != "none")
        self.transcript = Transcript(plan.target, self._redact, traffic=self, start_ns=start_ns)
        self._dialer = Dialer(self.plan, listener=self.transcript)
        self.transcript.follow(self._dialer)
        self._on_steps = on_steps or _nothing
        self._timings: ConnectTimings | None = None
        self._connection: Connection | None = None
        self._opened_ns = 0
        self._greeted_ns: int | None = None
        self._first_replies_ns: list[int] = []
        self._stopped = asyncio.Event()
        self._answered = asyncio.Event()
        """A reply has come, or the session has ended."""
        self._gone = asyncio.Event()
        self._sending = False
        self._counted: list[tuple[MessageKind, int | None]] = []
        """Decision of the engine on the message that is being read, and the time that its answer took."""
        self._arriving, self._leaving = FrameSplitter(), FrameSplitter()
        self._plain_sent: list[bytes] = []
        self._decompressed: list[bytes] = []
        self._parts: list[bytes] = []
        self._opcode = frames.TEXT
        """Opcode of the message that is being read."""
        self._log: MessageWriter | None = None
        self._compressed = False
        self._mismatches: list[str] = []

    def keep_messages(self, log: SessionLog, name: str = "") -> None:
        """Notes each message of the session in a log, under a name."""
        self._log = log.writer(log.begin(self.plan.target, self.transcript.now_ns(), name), self._redact)

    def stop(self) -> None:
        """Waits no longer: closes, and reports how far it got."""
        self._stopped.set()

    async def run(self) -> dict[str, Any]:
        """Returns the facts that ``--probe --json`` prints.

        Raises:
            UsageError: What a field gives cannot be a part of the request.
            OSError: Through a failing of this machine.
        """
        showing = asyncio.create_task(self._show())
        session = asyncio.create_task(self._run_session())
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            # Showing ends only when its output cannot be written any more.
            await asyncio.wait((session, stopped, showing), return_when=asyncio.FIRST_COMPLETED)
            if not session.done():
                self.record.interrupted = True
                session.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await session
            await self._close()
            if showing.done():
                showing.result()
        finally:
            for task in (showing, stopped, session):
                task.cancel()
            if self._connection is not None and not self._gone.is_set():
                self._connection.abort()
            self.factory.close()
        self._on_steps(self.transcript.flush())
        return self._facts()

    # --- The phases -------------------------------------------------------------------------------------------------

    async def _run_session(self) -> None:
        """Goes from the first lookup to the reply."""
        connection = self.factory.connection(self, self._number, trace=self)
        try:
            await self._dialer.resolve()
            filler = self.transcript.filler(self.factory.renderer(self._number))
            self._timings = await self._dialer.dial(connection, self._number, filler)
        except DialError as error:
            self.fault(error.fault)
            return
        for asked in self._timings.not_granted:
            self.transcript.add("declined", what=asked)
        await wait_until_ready(connection, self.plan.timeout_ns)
        if not connection.closing:
            await self._exchange(connection)

    async def _exchange(self, connection: Connection) -> None:
        """Sends the message, and waits for its reply."""
        timeout_s = self.plan.timeout_ns / NS_PER_S
        if not self._send(connection) or not self.record.awaited:
            await self._wait_for_reply(min(SILENCE_S, timeout_s))
            return
        if not await self._wait_for_reply(timeout_s):
            # By any clock, all that was sent has waited long enough.
            connection.sender.give_up_on(monotonic_ns() + 1, self.plan.timeout_ns)
        elif self.record.reply_ns is not None and self.plan.correlation.rule == "order":
            self._answered.clear()
            linger_ns = min(max(3 * self.record.reply_ns, MIN_LINGER_NS), MAX_LINGER_NS)
            if not connection.ended:
                await self._wait_for_reply(linger_ns / NS_PER_S)

    async def _wait_for_reply(self, wait_s: float) -> bool:
        """Waits for a reply, or for the end of the session. Returns False if neither came."""
        try:
            async with asyncio.timeout(wait_s):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True

    def _send(self, connection: Connection) -> bool:
        """Sends the message; returns False where the plan has none."""
        if not self.plan.load.sends_messages:
            return False
        self._answered.clear()
        if connection.ended:
            self._answered.set()
        self._sending = True
        self.factory.load.limit(1)
        connection.sender.send_due(monotonic_ns())
        self._sending = False
        return True

    async def _close(self) -> None:
        """Ends the session with a close handshake, or without one where the target does not answer."""
        connection = self._connection
        if connection is None:
            return
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._gone.wait()
        except TimeoutError:
            self.transcript.add("fault", kind="", text=f"did not answer our close within {CLOSE_TIMEOUT_S:.0f} s")
            connection.abort()
            # The loop turns, so that the socket is closed.
            await asyncio.sleep(0)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOW_INTERVAL_S)
            self._on_steps(self.transcript.flush())

    # --- Events of the connection -----------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """The session is open."""
        connection = self._connection = cast("Connection", session)
        self.record.opened, self._opened_ns = True, monotonic_ns()
        self.factory.session_opened(connection)

    def session_ended(self, session: Session, fault: Fault | None) -> None:  # noqa: ARG002 - the one that there is
        """The session is over; the fault is the target's failing that ended it, if there was one."""
        if fault is not None:
            self.fault(fault)
        self.transcript.add("end", code=next(iter(self.tally.closed), ""), ours=fault is None)
        self._answered.set()

    def transport_closed(self, session: Session) -> None:  # noqa: ARG002 - as above
        """The TCP connection is closed."""
        self._gone.set()

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target's close frame gave a reason: the frame is shown."""

    def fault(self, fault: Fault) -> None:
        """The target did something wrong."""
        text = self._redact(fault.text)
        if fault.kind is FaultKind.CHECK_FAILED:
            self._mismatches.append(fault.text)
            return
        self.record.fault = Fault(fault.kind, fault.detail, text)
        self.transcript.add("fault", kind=fault.key, text=text)

    # --- Traffic ----------------------------------------------------------------------------------------------------

    def bytes_sent(self, data: bytes) -> None:
        """Bytes have left."""
        for _, frame in self._leaving.cut(data):
            if frame is None:
                continue
            plain = self._plain_sent.pop(0) if frame.is_compressed and self._plain_sent else None
            step = self.transcript.frame("sent", frame, plain)
            payload = frame.payload if plain is None else plain
            self._note_message(step["at_ns"], "sent", frame.opcode, payload)
            if self._sending:
                step["what"], self.record.message = "message", payload
            elif frame.opcode < frames.CLOSE:
                answers = self._connection.reading.answers if self._connection is not None else ()
                step["what"] = "answer" if any(payload == answer for _, answer in answers) else "first-message"

    def message_compressed(self, payload: bytes) -> None:
        """A message is about to be compressed."""
        self._plain_sent.append(payload)

    def message_decompressed(self, payload: bytes) -> None:
        """A message has been decompressed."""
        self._decompressed.append(payload)

    def bytes_received(self, data: bytes, read: Callable[[bytes], None]) -> None:
        """Bytes have come: the engine reads them frame by frame, so that its decision on each can be observed."""
        for piece, frame in self._arriving.cut(data):
            if frame is None:
                read(piece)
                continue
            step = self.transcript.frame("received", frame)
            place = 0 if self._log is None else self._log.place
            self._counted.clear()
            read(piece)
            payload = self._complete_message(step, frame)
            if frame.opcode >= frames.CLOSE:
                self._note_message(step["at_ns"], "received", frame.opcode, frame.payload, place)
            elif payload is not None:
                self._note_message(step["at_ns"], "received", self._opcode, payload, place)
            if payload is not None and self._counted:
                self._classify(step, frame, payload, *self._counted[0])

    def message_counted(self, kind: MessageKind, took_ns: int | None = None) -> None:
        """The engine has counted the message that is being read."""
        self._counted.append((kind, took_ns))

    def _complete_message(self, step: Step, frame: Frame) -> bytes | None:
        """Returns the message that a frame completes; None if it completes none."""
        if frame.opcode >= frames.CLOSE:
            return frame.payload if frame.opcode == frames.PONG else None
        if not self._parts:
            self._opcode = frame.opcode
        self._compressed |= frame.is_compressed
        self._parts.append(frame.payload)
        if not frame.is_last:
            return None
        payload = b"".join(self._parts)
        if self._compressed and self._decompressed:
            payload = self._decompressed.pop(0)
            self.transcript.decompressed(step, payload)
        self._parts.clear()
        self._compressed = False
        return payload

    def _classify(self, step: Step, frame: Frame, payload: bytes, kind: MessageKind, took_ns: int | None) -> None:
        """Notes as what the engine has counted a message, and why."""
        verdict: str = kind
        if verdict == "reply":
            step["took_ns"] = self.record.reply_ns = took_ns
            step["why"] = self.record.pairing = describe_match(self.plan.correlation, payload, self._redact)
            stream = None if self._connection is None else self._connection.reading.stream
            if stream is not None and stream.read_count is not None:
                step["count"] = stream.read_count(payload)
            self._answered.set()
        elif verdict in {"first", "part"}:
            step["took_ns"] = took_ns
            if verdict == "first":
                self.record.first_ns = took_ns
        elif verdict == "first-reply" and took_ns is not None:
            step["took_ns"] = took_ns
            self._first_replies_ns.append(took_ns)
        elif verdict == "greeting":
            self._greeted_ns = monotonic_ns() - self._opened_ns
        elif verdict == "push":
            assert self._connection is not None
            awaited = self.record.message is not None
            verdict, step["why"] = explain_unmatched(
                self.plan.correlation, self._connection.reading, frame.opcode, payload, self._redact, awaited=awaited
            )
        step["verdict"] = verdict
        self._note_checks(step, verdict)
        if verdict == "reply":
            self.transcript.keep(step)
        self.record.add(ReceivedMessage(verdict, payload))

    def _note_message(
        self, at_ns: int, direction: Direction, opcode: int, payload: bytes, place: int | None = None
    ) -> None:
        """Notes a message in the log, if there is one."""
        if self._log is not None:
            self._log.add(at_ns, direction, OPCODES.get(opcode, "reserved"), payload, place)

    def _note_checks(self, step: Step, verdict: str) -> None:
        """Notes the engine's result of each check of a reply."""
        mismatches, self._mismatches = self._mismatches, []
        if not mismatches and verdict != "reply":
            return
        assert self._connection is not None
        names = [name for name, _ in self._connection.reading.expect]
        failed = [name for name in names if any(text.endswith(f"--expect {name}") for text in mismatches)]
        if names:
            step["checks"] = [{"check": name, "passed": name not in failed} for name in names]
        if verdict == "reply":
            self.record.failed += failed

    def _redact(self, text: str) -> str:
        return self.factory.redact(text, self._secret_row)

    # --- Outcome ----------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        seen, timings = self.record, self._timings
        times: dict[str, Any] = {}
        if self._dialer.resolved_ns:
            times["resolve"] = sum(self._dialer.resolved_ns.values())
        if timings is not None:
            named = {"tcp": timings.tcp_ns, "proxy": timings.proxy_ns, "tls": timings.tls_ns}
            times |= {name: ns for name, ns in named.items() if ns is not None}
            times |= {"upgrade": timings.upgrade_ns, "open": timings.total_ns}
        if self._greeted_ns is not None:
            times["greeting"] = self._greeted_ns
        if self._first_replies_ns:
            times["first_replies"] = self._first_replies_ns
        if seen.first_ns is not None:
            times["first"] = seen.first_ns
        if seen.reply_ns is not None:
            times["reply"] = seen.reply_ns
        return {
            "schema": SCHEMA,
            "target": self.plan.target.redacted().url,
            "opened": seen.opened,
            "sent": seen.message is not None,
            "replied": seen.reply_ns is not None,
            "pushed": seen.count("push", "ignored", "surplus", "early"),
            "fault": None if seen.fault is None else {"kind": seen.fault.key, "text": seen.fault.text},
            "interrupted": seen.interrupted,
            "exit_code": int(self._exit_code()),
            "times_ns": times,
            "steps": self.transcript.steps,
            "frames_left_out": self.transcript.frames_left_out,
            "conclusion": diagnose(seen),
        }

    def _exit_code(self) -> ExitCode:
        seen = self.record
        if seen.interrupted and seen.reply_ns is None:
            return ExitCode.INTERRUPTED
        if not seen.opened:
            return ExitCode.NOTHING_OPENED
        if seen.failed or (seen.fault is not None and seen.fault.kind is FaultKind.PROTOCOL_ERROR):
            return ExitCode.THRESHOLD_FAILED
        passed = seen.fault is None if seen.message is None or not seen.awaited else seen.reply_ns is not None
        return ExitCode.PASSED if passed else ExitCode.THRESHOLD_FAILED


def _nothing(*_: Any) -> None:
    """Ignores an event."""
