"""Reading under TLS: one buffer for all sessions, from which each read is copied at its size."""

import asyncio

import pytest
from test_opening import Opened, new_loop, plan_of
from test_opening_tls import echoing

from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.tls_reader import FIRST_BUFFER_BYTES, TlsReadBuffer, TlsReader
from ws_load_test.testing import Certificates
from ws_load_test.websocket import frames

certificates = Certificates()
LONG_BYTES = 5 * FIRST_BUFFER_BYTES


class Reading(Opened):
    """A session that keeps what it reads, and by which way it came."""

    def __init__(self):
        super().__init__()
        self.reads, self.changed = [], asyncio.Event()

    def data_received(self, data):
        assert type(data) is bytes
        self.reads.append(data)
        self.changed.set()

    async def read(self, size):
        while sum(map(len, self.reads)) < size:
            self.changed.clear()
            await self.changed.wait()
        return b"".join(self.reads)


class Recorder:
    """Stands for a session: records what it is handed."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


def test_a_read_is_copied_at_its_size_before_another_session_reads():
    buffer = TlsReadBuffer()
    sessions = [Recorder(), Recorder()]
    for number, session in enumerate(sessions):
        reader = TlsReader(session, buffer)
        reader.get_buffer(300)[:3] = bytes([65 + number]) * 3
        reader.buffer_updated(3)
    assert [session.calls for session in sessions] == [[("data_received", b"AAA")], [("data_received", b"BBB")]]


@pytest.mark.parametrize("hint", [-1, 0, FIRST_BUFFER_BYTES, FIRST_BUFFER_BYTES + 1, LONG_BYTES])
def test_the_buffer_holds_all_that_is_there(hint):
    buffer = TlsReadBuffer()
    assert len(buffer.get_buffer(hint)) == max(hint, FIRST_BUFFER_BYTES)
    assert len(buffer.get_buffer(1)) == max(hint, FIRST_BUFFER_BYTES)


def test_all_else_that_happens_is_the_sessions():
    session = Recorder()
    reader = TlsReader(session, TlsReadBuffer())
    lost = ConnectionResetError()
    reader.pause_writing()
    reader.resume_writing()
    reader.eof_received()
    reader.connection_lost(lost)
    assert session.calls == [("pause_writing",), ("resume_writing",), ("eof_received",), ("connection_lost", lost)]


@pytest.mark.parametrize("loop", [new_loop, asyncio.new_event_loop], ids=["ours", "asyncio"])
@pytest.mark.parametrize("secure", [True, False], ids=["wss", "ws"])
def test_long_messages_come_whole_and_only_tls_has_a_reader_between(tmp_path, loop, secure):
    payload = bytes(range(256)) * (LONG_BYTES // 256)

    async def main():
        trust = {"cacert": str(certificates.write_ca(tmp_path))} if secure else {}
        dialer = Dialer(plan_of(url, **trust))
        await dialer.resolve()
        sessions = [Reading() for _ in range(3)]
        for number, session in enumerate(sessions):
            await dialer.dial(session, number)
            assert isinstance(session.transport.get_protocol(), TlsReader) == secure
        for session in sessions:
            session.transport.write(frames.encode_client_frame(frames.BINARY, payload))
        for session in sessions:
            assert (await session.read(10 + LONG_BYTES))[10:] == payload
            await session.close()

    with echoing(certificates.trusted().server_context() if secure else None) as address:
        url = address if secure else address.replace("wss:", "ws:")
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(main(), 10))
