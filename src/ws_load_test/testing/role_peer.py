"""Plays a role in Python against a test, without a server: the test is the target, and waits take no time.

from ws_load_test.testing import play

async with play(player) as peer:
    assert await peer.sent() == '{"op": "join", "id": 0}'
    peer.send('{"op": "joined", "id": 0}')
    assert await peer.closed() == 1000

The session is that of a run: the same player, on a connection whose transport is the test.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.scenario.python_role import PythonRole
from ws_load_test.testing.role_load import NoWaits, Surroundings, load_of
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.scenario.shared import SteppingSession
    from ws_load_test.engine.sessions.session import Session as EngineSession

PATIENCE_S = 5.0
"""Real time that a test waits for the role, in s: its code takes milliseconds, and a test that hangs shows nothing."""


@contextlib.asynccontextmanager
async def play(
    role: PythonRole,
    *,
    iterations: int = 1,
    number: int = 0,
    room: str = "",
    feed: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    protocol: str = "",
    fill: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[RolePeer]:
    """Runs one session of a role, and gives the other end of it.

    At the end of the block a session that is still there is lost, and an exception of the role is raised.

    Args:
        role: Role to play.
        iterations: Number of iterations after which the session leaves.
        number: Number of the session in the run.
        room: Name of its room.
        feed: Row of a feed, for ``{feed.COLUMN}``.
        env: Variables of the environment, for ``{env.NAME}``.
        protocol: Preset whose steps come before the role's.
        fill: Texts for places of the preset.
        patience_s: Real time that each call of the peer waits for the role, in s.

    Raises:
        TypeError: It is no role.
        PlanError: There is no such preset, or no such place in it.
    """
    if not isinstance(role, PythonRole):
        raise TypeError(f"play takes a role, not {role!r}; write @role above the coroutine")
    around = Surroundings(iterations, room, feed or {}, env or {}, protocol, fill or {})
    peer = RolePeer(role, around, number=number, patience_s=patience_s)
    try:
        yield peer
        peer.lose()
        await peer.closed()
    finally:
        peer.lose()
        peer.load.close()


class RolePeer:
    """The other end of a session: it receives what the role sends, and answers."""

    def __init__(self, role: PythonRole, around: Surroundings, *, number: int, patience_s: float) -> None:
        """Opens the session; its role begins in the next turn of the loop. Takes what `play` takes."""
        self.pushed: list[str | bytes] = []
        """Messages that completed no step, and that no reaction took."""
        self.faults: list[str] = []
        """Faults that the run would count, in words: a time-out, a check that failed, the end of the session."""
        self.completed: list[str] = []
        """Names of the steps that a message has completed, in order."""
        self._patience_s = patience_s
        self._sent: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._code = frames.ABNORMAL_CLOSURE
        self._is_lost = False
        self._alarms = NoWaits()
        self.load, self._publishes = load_of(role, around, self, self.on_idle, _Player)
        self.load.alarms = self._alarms
        self.connection = Connection(_Owner(self), ReadPolicy())
        self.connection.number = number
        self._player = cast("_Player", self.load.player(self.connection))
        self._player.peer = self
        self.connection.carry(self._player)
        self.connection.set_receiver(self._player, needs_payload=True)
        transport = _Transport(self)
        self.connection.attach(
            cast("asyncio.Transport", transport), cast("socket.socket", transport), secure=False, early=b""
        )
        self._player.open()

    async def sent(self) -> str | bytes:
        """Returns the next message of the role: text, or bytes of a binary one.

        Raises:
            AssertionError: It sends none: the session is over, or nothing came in time.
            Exception: An exception that the role has raised.
        """
        try:
            message = await asyncio.wait_for(self._sent.get(), self._patience_s)
        except TimeoutError:
            raise AssertionError(f"the role has sent nothing within {self._patience_s:g} s; {self._place}") from None
        if message is None:
            self._sent.put_nowait(None)
            await self._raise_failure()
            raise AssertionError(f"the role has sent nothing more, and the session is over{self._faults_text}")
        return message

    def send(self, message: str | bytes) -> None:
        """Sends the role a message: text, or bytes as a binary one.

        Raises:
            TypeError: It is neither.
            ValueError: The session is over.
        """
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {message!r}; write json.dumps(...) for an object")
        if self.connection.ended or self._is_lost:
            raise ValueError("the session is over; the role receives nothing more")
        is_text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else message
        self.connection.data_received(frames.encode_frame(frames.TEXT if is_text else frames.BINARY, payload))

    @property
    def markers(self) -> tuple[str, ...]:
        """Values of ``{marker}`` in the messages for other sessions that it has sent, in order."""
        return tuple(self._publishes.markers)

    def tick(self) -> None:
        """Lets each timer send once.

        Raises:
            AssertionError: There is none, as there is none before `session.iterations()`.
        """
        if not self._alarms.ring_timers():
            raise AssertionError(f"the session has no timer now; {self._place}")

    def time_out(self) -> None:
        """Lets the time pass until the present step is overdue, or the next that awaits a message: it fails there."""
        if self._player.deadline_ns:
            self._alarms.ring_deadlines()
        else:
            self._alarms.ring_next_deadline()

    def leave(self) -> None:
        """Lets the run end: the role takes no further iteration, and leaves."""
        self.load.end(monotonic_ns())
        self.load.leave()

    def close(self, code: int = frames.NORMAL_CLOSURE) -> None:
        """Closes the session, as a target would."""
        if not self.connection.ended:
            self.connection.data_received(frames.encode_frame(frames.CLOSE, frames.close_payload(code)))

    def lose(self) -> None:
        """Loses the connection, without a close frame."""
        if not self._is_lost:
            self._is_lost = True
            self.connection.connection_lost(None)

    async def closed(self) -> int:
        """Waits for the end of the session and of the role. Returns the close code; 1006 if there was none.

        Raises:
            AssertionError: They have not ended in time.
            Exception: An exception that the role has raised.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                await self._player.has_returned.wait()
                await self._player.has_gone.wait()
        except TimeoutError:
            raise AssertionError(f"the session is not over after {self._patience_s:g} s; {self._place}") from None
        await self._raise_failure()
        return self._code

    @property
    def _place(self) -> str:
        step = self._player.step
        return f'it is at step "{step.name}"' if step is not None else "it is at no step"

    @property
    def _faults_text(self) -> str:
        return f": the target {'; '.join(self.faults)}" if self.faults else ""

    async def _raise_failure(self) -> None:
        if self._player.failure is not None:
            failure, self._player.failure = self._player.failure, None
            raise failure

    # --- What the session does ----------------------------------------------------------------------------------------

    def take(self, frame_bytes: bytes) -> None:
        """Takes frames that the session has written."""
        for opcode, payload in _client_frames(frame_bytes):
            if opcode == frames.CLOSE:
                self._code = int.from_bytes(payload[:2])
                asyncio.get_running_loop().call_soon(self._answer_close, payload)
            elif opcode in {frames.TEXT, frames.BINARY}:
                self._sent.put_nowait(payload.decode() if opcode == frames.TEXT else payload)

    def _answer_close(self, payload: bytes) -> None:
        if not self.connection.ended:
            self.connection.data_received(frames.encode_frame(frames.CLOSE, payload))
        self.lose()

    def session_over(self) -> None:
        """Takes note that the session has ended."""
        self._sent.put_nowait(None)

    # --- Keeper of the session (`SessionKeeper`) ----------------------------------------------------------------------

    @property
    def connections(self) -> Iterable[Connection]:
        """The session, while it is open."""
        return () if self.connection.ended else (self.connection,)

    def end_session(self, connection: Connection, fault: Fault) -> None:
        """Closes the session for a fault."""
        self.faults.append(fault.text)
        connection.close(fault)

    def retire(self, connection: Connection, *, replace: bool, code: int) -> None:  # noqa: ARG002 - there is one
        """Closes the session as soon as it has left."""
        self._player.stop_sending()
        if self._player.is_over:
            connection.close(code=code)

    def on_idle(self, connection: Connection) -> None:
        """Closes the session, which has nothing left to do."""
        if self._player.is_over:
            connection.close()


class _Player(CoroutinePlayer):
    """The session; its waits are over at once, and the load begins when it is ready."""

    __slots__ = ("failure", "has_gone", "has_returned", "peer")

    peer: RolePeer

    def open(self) -> None:
        self.failure: Exception | None = None
        self.has_gone, self.has_returned = asyncio.Event(), asyncio.Event()
        super().open()

    async def _run(self) -> None:
        try:
            await super()._run()
        finally:
            self.has_returned.set()

    def _be_ready(self, now_ns: int) -> None:
        super()._be_ready(now_ns)
        asyncio.get_running_loop().call_soon(self.peer.load.add, self)

    def completed(self, player: SteppingSession, at_ns: int) -> None:
        assert self.step is not None
        self.peer.completed.append(self.step.name)
        super().completed(player, at_ns)

    def _wake(self, at_ns: int) -> None:  # noqa: ARG002 - that instant has not come
        super()._wake(monotonic_ns())

    def _crash(self, error: Exception) -> None:
        self.failure = self.failure or error
        super()._crash(error)

    def count_push(self, payload: bytes, at_ns: int) -> int:
        self.peer.pushed.append(_shown(payload))
        return super().count_push(payload, at_ns)

    def on_ended(self) -> None:
        super().on_ended()
        self.has_gone.set()
        self.peer.session_over()


class _Owner:
    """Owner of the session, whose counts nothing reads."""

    def __init__(self, peer: RolePeer) -> None:
        self._peer = peer
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=True)
        self.loop_turns = LoopTurns(endless=True)
        self.kinds = KindLimits()

    def session_opened(self, session: EngineSession) -> None:
        """Does nothing: the peer has opened it."""

    def session_ended(self, session: EngineSession, fault: Fault | None) -> None:  # noqa: ARG002 - there is one
        """Notes the fault that ended the session, unless it is noted."""
        if fault is not None and not self._peer.faults:
            self._peer.faults.append(fault.text)

    def close_reason(self, session: EngineSession, code: int, reason: str) -> None:
        """Does nothing: the test has given it."""

    def transport_closed(self, session: EngineSession) -> None:
        """Does nothing: there is no socket."""

    def fault(self, fault: Fault) -> None:
        """Notes a fault."""
        self._peer.faults.append(fault.text)


class _Transport:
    """Socket and transport of the session: what is written is the peer's at once."""

    def __init__(self, peer: RolePeer) -> None:
        self._peer = peer
        self._closed = False

    def send(self, data: bytes) -> int:
        self._peer.take(bytes(data))
        return len(data)

    write = send

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Does nothing: nothing waits."""

    def is_closing(self) -> bool:
        return self._closed

    def is_reading(self) -> bool:
        return True

    def close(self) -> None:
        self._closed = True
        asyncio.get_running_loop().call_soon(self._peer.lose)

    abort = close


def _client_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields opcode and payload of the frames that a client has written at once (RFC 6455, section 5.2)."""
    while data:
        length, start = data[1] & 0x7F, 2
        if length >= frames.LENGTH_IS_16_BIT:
            start = 4 if length == frames.LENGTH_IS_16_BIT else 10
            length = int.from_bytes(data[2:start])
        mask, end = data[start : start + 4], start + 4 + length
        yield data[0] & 0x0F, frames.apply_mask(data[start + 4 : end], mask)
        data = data[end:]


def _shown(payload: bytes) -> str | bytes:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload
