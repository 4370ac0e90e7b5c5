"""What is said in a session before the load: greetings come; first messages are sent, each after a reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.read_policy import NO_FAST_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.engine.connection import Connection


class SessionSetup:
    """The beginning of a session; `done` is set when the load may begin on it."""

    def __init__(self, connection: Connection, greetings: int, opcode: int, first_messages: Sequence[bytes]) -> None:
        """Takes over what `connection` reads until it is done; sends the first message unless greetings come first."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.blocks_load = bool(first_messages)
        """Whether the load must wait: greetings alone answer nothing, whenever they come."""
        self._connection = connection
        self._greetings = greetings
        self._opcode = opcode
        self._to_send = list(reversed(first_messages))
        self._sent_ns = 0
        connection.introduction = self
        connection.reply_head = NO_FAST_PATH
        if not greetings:
            self._next_step()

    def on_message(self, payload: bytes, at_ns: int) -> None:
        """A message has come: a greeting, or the reply to a first message."""
        tally = self._connection.owner.tally
        if self._greetings:
            self._greetings -= 1
            tally.greetings += 1
            if self._greetings:
                return
        else:
            tally.first_replies += 1
            tally.first_reply_time_ns.record(at_ns - self._sent_ns)
            for name, test in self._connection.reading.expect_first:
                if not test(payload):
                    # Whoever is not let in would load nothing but the door.
                    text = f"answered a first message with what fails --expect-first {name}"
                    self._connection.close(Fault(FaultKind.CHECK_FAILED, "first-reply", text))
                    self.cancel()
                    return
        self._next_step()

    def cancel(self) -> None:
        """The session has ended."""
        self._connection.introduction = None
        if not self.done.done():
            self.done.set_result(None)

    def _next_step(self) -> None:
        connection = self._connection
        if self._to_send:
            connection.write_message(self._opcode, self._to_send.pop())
            self._sent_ns = monotonic_ns()
            return
        connection.introduction = None
        connection.reply_head = connection.ordinary_head
        if not self.done.done():
            self.done.set_result(None)


async def wait_until_ready(connection: Connection, timeout_ns: int) -> None:
    """Waits until what comes before the load has been said; closes a session that takes longer than a reply may."""
    introduction = connection.introduction
    if introduction is None or not introduction.blocks_load:
        return
    try:
        async with asyncio.timeout(timeout_ns / NS_PER_S):
            await introduction.done
    except TimeoutError:
        what = f"did not greet or answer the first message within {format_duration(timeout_ns)}"
        connection.close(Fault(FaultKind.FIRST_REPLY_TIMEOUT, text=what))
