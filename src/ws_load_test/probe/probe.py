"""One session and one message, looked at step by step: what a run would do, before there is one.

The session is opened, introduced, read and ended by what every run uses; a rehearsal is an owner of connections, as a
crew is, and looks on.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.connection_pool import CLOSE_TIMEOUT_S
from ws_load_test.engine.session_setup import SessionSetup, wait_until_ready
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.probe.diagnosis import (
    ReceivedMessage,
    SessionRecord,
    describe_match,
    diagnose,
    explain_unmatched,
)
from ws_load_test.probe.tracing import (
    FrameSplitter,
    TracingDialer,
    trace_connection,
    trace_deflate,
)
from ws_load_test.probe.transcript import Transcript
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.connect.dialer import ConnectTimings
    from ws_load_test.engine.connection import Connection
    from ws_load_test.engine.session import Session
    from ws_load_test.plan.plan import Plan
    from ws_load_test.probe.tracing import Frame
    from ws_load_test.probe.transcript import Step

SCHEMA = "ws-load-test/rehearsal/1"
SILENCE_S = 1.0
"""How long is listened where no reply is awaited."""
SHORTEST_LINGER_NS, LONGEST_LINGER_NS = NS_PER_S // 10, NS_PER_S
"""How long is listened behind a reply that was paired in order, for what would have been the better one."""
SHOW_S = 0.25
"""How often steps are shown while something is awaited; showing takes time, which no reply should pay."""


class Probe:
    """One connection, one message."""

    def __init__(self, plan: Plan, on_steps: Callable[[list[Step]], None] | None = None) -> None:
        """Takes the plan of a run, and who is shown the steps now and then.

        Raises:
            UsageError: The plan's certificates or its feed cannot be used.
        """
        load = ClosedLoop() if isinstance(plan.load, ClosedLoop) else plan.load
        self.plan = msgspec.structs.replace(
            plan, connections=1, workers=1, load=load, connection_profile=None, misbehaving=None
        )
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=isinstance(load, OpenLoop))
        self.samples.measured_from_ns = 0
        self.outfit = ConnectionFactory(self, self.plan, Shard(0, 1), on_exhausted=_nothing, on_idle=_nothing)
        fills = plan.target.is_templated or any(one.is_template for one in plan.setup_messages)
        self._secret_row = 0 if fills else None
        self.record = SessionRecord(plan, awaited=plan.correlation.rule != "none")
        self.journal = Transcript(plan.target, self._hide)
        self._dialler = TracingDialer(self.plan, self.journal)
        self.journal.follow(self._dialler)
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
        self._last_sent_ns = 0
        self._arriving, self._leaving = FrameSplitter(), FrameSplitter()
        self._plain_sent: list[bytes] = []
        self._inflated: list[bytes] = []
        self._parts: list[bytes] = []
        self._compressed = False
        self._mismatches: list[str] = []

    def stop(self) -> None:
        """Waits no longer: closes, and says how far it got."""
        self._stopped.set()

    async def run(self) -> dict[str, Any]:
        """The facts: what ``--probe --json`` prints.

        Raises:
            UsageError: What a field gives cannot be a part of the request.
            OSError: Through a failing of this machine.
        """
        showing = asyncio.create_task(self._show())
        conversing = asyncio.create_task(self._run_session())
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            # Showing ends only when nobody reads it any more.
            await asyncio.wait((conversing, stopped, showing), return_when=asyncio.FIRST_COMPLETED)
            if not conversing.done():
                self.record.interrupted = True
                conversing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await conversing
            await self._close()
            if showing.done():
                showing.result()
        finally:
            for task in (showing, stopped, conversing):
                task.cancel()
            if self._connection is not None and not self._gone.is_set():
                self._connection.abort()
            self.outfit.close()
        self._on_steps(self.journal.flush())
        return self._facts()

    # --- The phases -------------------------------------------------------------------------------------------------

    async def _run_session(self) -> None:
        """From the first lookup to the reply."""
        connection = self.outfit.connection(self, 0)
        trace_connection(connection, self._sent, self._received)
        try:
            await self._dialler.resolve()
            self._timings = await self._dialler.dial(connection, 0, self.journal.filler(self.outfit.renderer(0)))
        except DialError as error:
            self.fault(error.fault)
            return
        await wait_until_ready(connection, self.plan.timeout_ns)
        if connection.closing:
            return
        timeout_s = self.plan.timeout_ns / NS_PER_S
        if not self._send(connection) or not self.record.awaited:
            await self._wait_for_reply(min(SILENCE_S, timeout_s))
            return
        if not await self._wait_for_reply(timeout_s):
            # By any clock, all that was sent has waited long enough.
            connection.sender.give_up_on(monotonic_ns() + 1, self.plan.timeout_ns)
        elif self.record.reply_ns is not None and self.plan.correlation.rule == "order":
            self._answered.clear()
            linger_ns = min(max(3 * self.record.reply_ns, SHORTEST_LINGER_NS), LONGEST_LINGER_NS)
            if not connection.ended:
                await self._wait_for_reply(linger_ns / NS_PER_S)

    async def _wait_for_reply(self, wait_s: float) -> bool:
        """Waits for a reply, or for the end of the session; returns whether there was one of them."""
        try:
            async with asyncio.timeout(wait_s):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True

    def _send(self, connection: Connection) -> bool:
        """Sends the message; returns False where the plan has none."""
        load = self.plan.load
        if isinstance(load, OpenLoop) and not load.rate.peak:
            return False
        self._answered.clear()
        if connection.ended:
            self._answered.set()
        self._sending = True
        self.outfit.load.limit(1)
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
            self.journal.add("fault", kind="", text=f"did not answer our close within {CLOSE_TIMEOUT_S:.0f} s")
            connection.abort()
            # The loop turns, so that the socket is closed.
            await asyncio.sleep(0)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOW_S)
            self._on_steps(self.journal.flush())

    # --- What the connection says -----------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """The session is open."""
        connection = self._connection = cast("Connection", session)
        self.record.opened, self._opened_ns = True, monotonic_ns()
        if connection.deflate is not None:
            trace_deflate(connection.deflate, self._plain_sent.append, self._inflated.append)
        self.outfit.attach_frames(connection)
        first_messages, greetings = self.outfit.first_messages(0), self.plan.correlation.greetings
        if first_messages or greetings:
            SessionSetup(connection, greetings, self.outfit.first_opcode, first_messages)

    def session_ended(self, session: Session, fault: Fault | None) -> None:  # noqa: ARG002 - the one that there is
        """The session is over; the fault is what the target did wrong, if that was the end of it."""
        if fault is not None:
            self.fault(fault)
        self.journal.add("end", code=next(iter(self.tally.closed), ""), ours=fault is None)
        self._answered.set()

    def transport_closed(self, session: Session) -> None:  # noqa: ARG002 - as above
        """The TCP connection is closed."""
        self._gone.set()

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target said why it closes: its frame is shown."""

    def fault(self, fault: Fault) -> None:
        """The target did something wrong."""
        text = self._hide(fault.text)
        if fault.kind is FaultKind.CHECK_FAILED:
            self._mismatches.append(fault.text)
            return
        self.record.fault = Fault(fault.kind, fault.detail, text)
        self.journal.add("fault", kind=fault.key, text=text)

    # --- What goes both ways ----------------------------------------------------------------------------------------

    def _sent(self, data: bytes) -> None:
        """Bytes have left."""
        for _, frame in self._leaving.cut(data):
            if frame is None:
                continue
            plain = self._plain_sent.pop(0) if frame.is_compressed and self._plain_sent else None
            step = self.journal.frame("sent", frame, plain)
            payload = frame.payload if plain is None else plain
            if self._sending:
                step["what"], self.record.message = "message", payload
            elif frame.opcode < frames.CLOSE:
                answers = self._connection.reading.answers if self._connection is not None else ()
                step["what"] = "answer" if any(payload == answer for _, answer in answers) else "first-message"
                self._last_sent_ns = monotonic_ns()

    def _received(self, data: bytes, read: Callable[[bytes], None]) -> None:
        """Bytes have come: the engine reads them frame by frame, so that it can be seen what it makes of each."""
        for piece, frame in self._arriving.cut(data):
            if frame is None:
                read(piece)
                continue
            step, before = self.journal.frame("received", frame), self._counts()
            # What is read may be answered by another first message.
            waited_ns = monotonic_ns() - self._last_sent_ns
            read(piece)
            payload = self._complete_message(step, frame)
            if payload is not None:
                self._classify(step, frame, payload, before, waited_ns)

    def _complete_message(self, step: Step, frame: Frame) -> bytes | None:
        """The message that a frame completes; None if it completes none."""
        if frame.opcode >= frames.CLOSE:
            return frame.payload if frame.opcode == frames.PONG else None
        self._compressed |= frame.is_compressed
        self._parts.append(frame.payload)
        if not frame.is_last:
            return None
        payload = b"".join(self._parts)
        if self._compressed and self._inflated:
            payload = self._inflated.pop(0)
            self.journal.inflated(step, payload)
        self._parts.clear()
        self._compressed = False
        return payload

    def _counts(self) -> dict[str, int]:
        tally = self.tally
        return {
            "reply": self.samples.length,
            "first-reply": tally.first_replies,
            "greeting": tally.greetings,
            "late": tally.late_replies,
            "duplicate": tally.duplicate_replies,
            "push": tally.pushed,
        }

    def _classify(self, step: Step, frame: Frame, payload: bytes, before: dict[str, int], waited_ns: int) -> None:
        """Notes what the engine has counted a message as, and why."""
        verdict = next((name for name, count in self._counts().items() if count > before[name]), None)
        if verdict is None:
            return
        if verdict == "reply":
            row = self.samples.length - 1
            step["took_ns"] = self.record.reply_ns = self.samples.done[row] - self.samples.sent[row]
            step["why"] = self.record.pairing = describe_match(self.plan.correlation, payload, self._hide)
            self._answered.set()
        elif verdict == "first-reply":
            step["took_ns"] = waited_ns
            self._first_replies_ns.append(waited_ns)
        elif verdict == "greeting":
            self._greeted_ns = monotonic_ns() - self._opened_ns
        elif verdict == "push":
            assert self._connection is not None
            awaited = self.record.message is not None
            verdict, step["why"] = explain_unmatched(
                self.plan.correlation, self._connection.reading, frame.opcode, payload, self._hide, awaited=awaited
            )
        step["verdict"] = verdict
        self._note_checks(step, verdict)
        self.record.came.append(ReceivedMessage(verdict, payload))

    def _note_checks(self, step: Step, verdict: str) -> None:
        """Notes what the engine said of each check of a reply."""
        told, self._mismatches = self._mismatches, []
        if not told and verdict != "reply":
            return
        assert self._connection is not None
        names = [name for name, _ in self._connection.reading.expect]
        failed = [name for name in names if any(text.endswith(f"--expect {name}") for text in told)]
        if names:
            step["checks"] = [{"check": name, "passed": name not in failed} for name in names]
        if verdict == "reply":
            self.record.failed += failed

    def _hide(self, text: str) -> str:
        return self.outfit.redact(text, self._secret_row)

    # --- What it came to --------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        seen, timings = self.record, self._timings
        times: dict[str, Any] = {}
        if self._dialler.resolved_ns:
            times["resolve"] = sum(self._dialler.resolved_ns.values())
        if timings is not None:
            named = {"tcp": timings.tcp_ns, "proxy": timings.proxy_ns, "tls": timings.tls_ns}
            times |= {name: ns for name, ns in named.items() if ns is not None}
            times |= {"upgrade": timings.upgrade_ns, "open": timings.total_ns}
        if self._greeted_ns is not None:
            times["greeting"] = self._greeted_ns
        if self._first_replies_ns:
            times["first_replies"] = self._first_replies_ns
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
            "steps": self.journal.steps,
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
    """What nobody waits for."""
