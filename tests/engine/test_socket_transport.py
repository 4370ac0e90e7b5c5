"""The transport of a socket that asyncio mostly does not read, over real sockets."""

import asyncio
import contextlib
import socket

import pytest

from ws_load_test.common.event_loop import run
from ws_load_test.engine.connect.socket_transport import SocketTransport


class Recorder(asyncio.Protocol):
    """Notes what a transport calls."""

    def __init__(self):
        self.data, self.calls, self.lost = b"", [], asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.data += data

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@contextlib.contextmanager
def connected():
    """A transport and its protocol, and the socket at the other end."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    protocol = Recorder()
    with near, far:
        yield SocketTransport(asyncio.get_running_loop(), near, protocol), protocol, far


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is awaited is no event
            await asyncio.sleep(0.001)


@pytest.fixture(params=[run, asyncio.run], ids=["uvloop", "asyncio"])
def start(request):
    return request.param


def test_it_reads_only_when_asked_to(start):
    async def main():
        with connected() as (transport, protocol, far):
            far.send(b"one")
            await asyncio.sleep(0.01)
            assert (protocol.data, transport.is_reading()) == (b"", False)
            transport.resume_reading()
            transport.resume_reading()
            await until(lambda: protocol.data == b"one")
            transport.pause_reading()
            far.send(b"two")
            await asyncio.sleep(0.01)
            assert protocol.data == b"one"
            transport.resume_reading()
            await until(lambda: protocol.data == b"onetwo")
            far.close()
            assert await protocol.lost is None
            assert transport.is_closing()

    start(main())


def test_it_keeps_what_the_kernel_does_not_take_and_ends_behind_it(start):
    async def main():
        with connected() as (transport, protocol, far):
            data = bytes(range(256)) * 20_000
            transport.write(data)
            assert 0 < transport.get_write_buffer_size() < len(data)
            transport.write(memoryview(b"end"))
            transport.close()
            assert protocol.calls == ["pause"]
            got = bytearray()
            async with asyncio.timeout(10):
                while piece := await asyncio.get_running_loop().sock_recv(far, 1 << 16):
                    got += piece
            assert got == data + b"end"
            assert protocol.calls == ["pause", "resume"]
            assert await protocol.lost is None
            transport.write(b"too late")
            transport.close()
            transport.abort()

    start(main())


def test_it_drops_what_waits_when_it_ends_at_once(start):
    async def main():
        with connected() as (transport, protocol, far):
            transport.resume_reading()
            transport.write(bytes(5_000_000))
            transport.close()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert await protocol.lost is None
            far.setblocking(True)
            got = 0
            while piece := far.recv(1 << 16):
                got += len(piece)
            assert got < 5_000_000

    start(main())


def test_errors_of_the_kernel_end_it_once(start):
    async def main():
        with connected() as (transport, protocol, far):
            far.close()
            transport.write(b"one")
            transport.write(b"two")
            assert isinstance(await protocol.lost, BrokenPipeError)
        listening = socket.create_server(("127.0.0.1", 0))
        with listening, socket.create_connection(listening.getsockname()) as near:
            far, _ = listening.accept()
            near.setblocking(False)
            protocol = Recorder()
            transport = SocketTransport(asyncio.get_running_loop(), near, protocol)
            near.send(b"unread")
            await asyncio.sleep(0.01)
            # With bytes unread, it is a reset.
            far.close()
            transport.resume_reading()
            assert isinstance(await protocol.lost, ConnectionResetError)

    start(main())


def test_another_protocol_takes_over(start):
    async def main():
        with connected() as (transport, protocol, far):
            other = Recorder()
            transport.resume_reading()
            transport.set_protocol(other)
            assert transport.get_protocol() is other
            far.send(b"one")
            await until(lambda: other.data == b"one")
            assert protocol.data == b""
            assert transport.get_extra_info("socket") is not None
            assert transport.get_extra_info("ssl_object") is None
            transport.set_write_buffer_limits(0)
            transport.write(bytes(5_000_000))
            assert other.calls == ["pause"]
            transport.abort()
            await other.lost

    start(main())
