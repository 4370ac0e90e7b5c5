"""Set-up of a session before its load: greetings are skipped; first messages are sent, each after a reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.sessions.sender import SettingUp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageKind


class SessionSetup:
    """First receiver of a session's messages; hands over to the session's sender when it is done."""

    def __init__(
        self,
        connection: Connection,
        greetings: int,
        opcode: int,
        first_messages: Sequence[bytes],
        wait_ns: int | None = None,
    ) -> None:
        """Becomes the receiver of `connection`; sends the first message unless greetings come first.

        Args:
            connection: An open session.
            greetings: Messages that come before the first one of ours.
            opcode: Kind of the first messages.
            first_messages: Payloads, each sent after the reply to the one before.
            wait_ns: Time after the last of them that stands for its reply; None: its reply is awaited.
        """
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set when the load may begin, or the session has ended."""
        self.blocks_load = bool(first_messages)
        """The load must wait: greetings alone answer nothing, whenever they come."""
        self.wait_ns = wait_ns if first_messages else None
        self._waiting: asyncio.TimerHandle | None = None
        """Runs while the last first message, which is not answered, takes effect."""
        self._connection = connection
        self._greetings = greetings
        self._opcode = opcode
        self._to_send = list(reversed(first_messages))
        self._sent_ns = 0
        connection.set_receiver(self, needs_payload=True)
        if not greetings:
            self._next_step()

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a greeting, or the reply to a first message, read at `at_ns`. Returns the load's replies, 0 or 1."""
        sender = self._connection.sender
        if sender.is_awaited(payload):
            return sender.on_message(opcode, payload, at_ns)
        if self._waiting is not None:
            return self._connection.count_unsolicited(payload)
        tally = self._connection.owner.tally
        if self._greetings:
            self._greetings -= 1
            tally.greetings += 1
            self._report("greeting")
            if self._greetings:
                return 0
        else:
            tally.first_replies += 1
            tally.first_reply_time_ns.record(at_ns - self._sent_ns)
            self._report("first-reply", at_ns - self._sent_ns)
            for name, test in self._connection.reading.expect_first:
                if not test(payload):
                    # A session that is not let in would only load the target's login.
                    text = f"answered a first message with what fails --expect-first {name}"
                    self._connection.close(Fault(FaultKind.CHECK_FAILED, "first-reply", text))
                    self._hand_over()
                    return 0
        self._next_step()
        return 0

    def on_ended(self) -> None:
        """Takes note that the session has ended."""
        self._hand_over()
        self._connection.sender.on_ended()

    async def until_ready(self, timeout_ns: int) -> None:
        """Waits until the session is set up; closes one that takes longer than a reply may, and the wait behind it."""
        try:
            async with asyncio.timeout((timeout_ns + (self.wait_ns or 0)) / NS_PER_S):
                await self.done
        except TimeoutError:
            what = f"did not greet or answer the first message within {format_duration(timeout_ns)}"
            self._connection.close(Fault(FaultKind.FIRST_REPLY_TIMEOUT, text=what))

    def pass_on(self) -> int:
        """Hands over although greetings are still to come. Returns how many."""
        left, self._greetings = self._greetings, 0
        self._hand_over()
        return left

    def _report(self, kind: MessageKind, took_ns: int | None = None) -> None:
        if self._connection.trace is not None:
            self._connection.trace.message_counted(kind, took_ns)

    def _hand_over(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._connection.set_receiver(self._connection.sender)
        if not self.done.done():
            self.done.set_result(None)

    def _next_step(self) -> None:
        if not self._to_send:
            self._hand_over()
            return
        self._connection.write_message(self._opcode, self._to_send.pop())
        self._sent_ns = monotonic_ns()
        if self.wait_ns is not None and not self._to_send:
            self._waiting = asyncio.get_running_loop().call_later(self.wait_ns / NS_PER_S, self._hand_over)


async def wait_until_ready(connection: Connection, timeout_ns: int) -> None:
    """Waits until a session is set up; closes a session that takes longer than a reply may, and the wait behind it."""
    receiver = connection.receiver
    if receiver.blocks_load and isinstance(receiver, SettingUp):
        await receiver.until_ready(timeout_ns)
