"""Permessage-deflate (RFC 7692): what is offered, agreed and sent, against an independent implementation."""

import asyncio
import contextlib
import os
import random
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_opening import Opened, fault_of, new_loop, plan_of
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.sync.server import serve

from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import TAIL, DeflateTooLargeError, PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DEFAULT_OFFER, DeflateError, DeflateParams

EVERYTHING = (
    "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11"
)
MUCH = 1 << 20

# --- what is agreed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "answer", "agreed"),
    [
        ("", "permessage-deflate", DeflateParams()),
        (DEFAULT_OFFER, "permessage-deflate", DeflateParams()),
        (DEFAULT_OFFER, "Permessage-Deflate ; client_max_window_bits = 9", DeflateParams(client_max_window_bits=9)),
        (DEFAULT_OFFER, 'permessage-deflate; client_max_window_bits="8"', DeflateParams(client_max_window_bits=8)),
        ("", "permessage-deflate;server_max_window_bits=8", DeflateParams(server_max_window_bits=8)),
        ("", "permessage-deflate; server_no_context_takeover", DeflateParams(server_no_context_takeover=True)),
        ("", "permessage-deflate; client_no_context_takeover", DeflateParams(client_no_context_takeover=True)),
        ("client_no_context_takeover", "permessage-deflate", DeflateParams(client_no_context_takeover=True)),
        ("client_max_window_bits=11", "permessage-deflate", DeflateParams(client_max_window_bits=11)),
        (
            EVERYTHING,
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9; server_no_context_takeover",
            DeflateParams(
                server_no_context_takeover=True,
                client_no_context_takeover=True,
                server_max_window_bits=9,
                client_max_window_bits=9,
            ),
        ),
    ],
)
def test_what_is_agreed(offer, answer, agreed):
    assert DeflateParams.from_offer(offer).negotiate(answer) == agreed


REFUSED = {
    "another extension": ("", "x-deflate", '"x-deflate", which was not offered (RFC 6455, section 9.1)'),
    "another beside it": ("", "permessage-deflate, x; y", 'the extension "x", which was not offered'),
    "two extensions": (
        "",
        "permessage-deflate, permessage-deflate",
        "2 times, which was offered once",
    ),
    "nothing": ("", "", "not offered"),
    "unknown": ("", "permessage-deflate; window=9", "does not have (RFC 7692, section 7.1)"),
    "empty": ("", "permessage-deflate; ; server_no_context_takeover", "does not have"),
    "twice": ("", "permessage-deflate" + 2 * "; server_no_context_takeover", "server_no_context_takeover twice"),
    "a flag with a value": ("", "permessage-deflate; server_no_context_takeover=true", "7.1.1)"),
    "bits of none": ("", "permessage-deflate; server_max_window_bits", "7.1.2.1)"),
    "client's bits of none": (DEFAULT_OFFER, "permessage-deflate; client_max_window_bits", "7.1.2.2)"),
    **{
        f"bits of {bits}": ("", f"permessage-deflate; server_max_window_bits={bits}", "value from 8 to 15")
        for bits in ("7", "16", "08", "-9", "x", '""', "9.0")
    },
    "not offered": ("", "permessage-deflate; client_max_window_bits=9", "was not offered (RFC 7692, section 7.1.2.2)"),
    "larger": ("client_max_window_bits=9", "permessage-deflate; client_max_window_bits=10", "7.1.2.2"),
    "the server's larger": ("server_max_window_bits=9", "permessage-deflate; server_max_window_bits=10", "7.1.2.1"),
    "the server's none": ("server_max_window_bits=9", "permessage-deflate", "7.1.2.1"),
    "the server's takeover": ("server_no_context_takeover", "permessage-deflate", "7.1.1.1"),
}


@pytest.mark.parametrize(("offer", "answer", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_what_was_offered_fails_the_upgrade_with_its_clause(offer, answer, words):
    with pytest.raises(DeflateError) as caught:
        DeflateParams.from_offer(offer).negotiate(answer)
    assert words in str(caught.value)


def answering(extensions):
    async def behave(peer):
        await peer.upgrade(headers={"Sec-WebSocket-Extensions": extensions})
        await peer.until_gone()

    return behave


@pytest.mark.parametrize(
    ("offered", "answer", "words"),
    [
        ("on", "permessage-deflate; client_max_window_bits=16", "7.1.2.2"),
        ("on", "permessage-deflate; evil=hush-hush", "a parameter that permessage-deflate does not have"),
        (None, "permessage-deflate", "which was not offered"),
    ],
)
def test_a_bad_answer_is_a_fault(offered, answer, words):
    with FaultyServer(answering(answer)) as server:
        fault = fault_of(plan_of(server.url, **({"deflate": offered} if offered else {})))
    assert fault.key == "upgrade-invalid"
    assert words in fault.text


@contextlib.contextmanager
def echoing(**settings):
    """A server of the `websockets` library that echoes, with compression as these settings have it."""

    def echo(connection):
        for message in connection:
            connection.send(message)

    extensions = [ServerPerMessageDeflateFactory(**settings)] if settings is not None else None
    with serve(echo, "127.0.0.1", 0, compression=None, extensions=extensions, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


class Talking(Opened):
    """Sends messages compressed, one after another, and takes the echoes in."""

    def __init__(self, messages):
        super().__init__()
        self.messages, self.received, self.data = list(messages), [], b""
        self.done = asyncio.get_running_loop().create_future()

    def attach(self, transport, sock, **how):
        super().attach(transport, sock, **how)
        self.send()

    def send(self):
        if len(self.received) == len(self.messages):
            self.done.set_result(self.received)
            return
        payload = self.deflate.compress(self.messages[len(self.received)])
        self.transport.write(frames.encode_frame(frames.BINARY, payload, mask=os.urandom(4), rsv=0x40))

    def data_received(self, data):
        self.data += data
        if len(self.data) < 2:
            return
        length, start = self.data[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(self.data[2:start])
        if len(self.data) >= start + length:
            assert self.data[0] == frames.FIN | 0x40 | frames.BINARY
            self.received.append(self.deflate.decompress(self.data[start : start + length], MUCH))
            self.data = self.data[start + length :]
            self.send()


MESSAGES = [
    b"",
    b"",
    b"",
    b"PING",
    b"PING" * 1000,
    b"",
    os.urandom(300),
    b"a" * 100_000,
    b"PING" * 1000,
    random.Random(1).randbytes(70_000),
]


@pytest.mark.parametrize(
    ("offer", "settings"),
    [
        ("on", {}),
        ("on", {"client_max_window_bits": 9}),
        ("client_max_window_bits=8", {}),
        (EVERYTHING, {}),
        ("client_no_context_takeover", {"server_max_window_bits": 9}),
        ("server_no_context_takeover", {"client_no_context_takeover": True}),
    ],
)
def test_an_independent_server_understands_and_is_understood(offer, settings):
    async def main(plan):
        dialler = Dialer(plan)
        await dialler.resolve()
        session = Talking(MESSAGES)
        await dialler.dial(session, 0)
        received = await asyncio.wait_for(session.done, 60)
        await session.close()
        return received

    with echoing(**settings) as url, asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main(plan_of(url, deflate=offer))) == MESSAGES


def test_a_server_that_declines_gets_plain_messages():
    async def main(plan):
        dialler = Dialer(plan)
        await dialler.resolve()
        session = Opened()
        await dialler.dial(session, 0)
        await session.close()
        return session.deflate

    from ws_load_test.testing import behaviors

    with FaultyServer(behaviors.echoes) as server:
        assert asyncio.run(main(plan_of(server.url, deflate="on"))) is None
        offered = server.seen.requests[0].headers["sec-websocket-extensions"]
    assert offered == "permessage-deflate; client_max_window_bits"


# --- what travels ------------------------------------------------------------------------------------------------

agreements = st.builds(
    DeflateParams,
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(8, 15),
    st.none() | st.integers(8, 15),
)
payloads = st.lists(
    st.binary(max_size=2000) | st.builds(lambda text, count: text * count, st.binary(max_size=600), st.integers(0, 40)),
    max_size=8,
)


def peer_of(agreement):
    """The server's end, by an independent implementation."""
    return TheirDeflate(
        remote_no_context_takeover=agreement.client_no_context_takeover,
        local_no_context_takeover=agreement.server_no_context_takeover,
        remote_max_window_bits=agreement.client_max_window_bits or 15,
        # zlib has no raw deflate of 8 bits, and that implementation does not help it.
        local_max_window_bits=max(9, agreement.server_max_window_bits or 15),
    )


@settings(deadline=None)
@given(agreements, payloads)
def test_both_ways_whatever_is_agreed(agreement, messages):
    ours, theirs = PerMessageDeflate(agreement), peer_of(agreement)
    for message in messages:
        sent = ours.compress(message)
        assert not sent.endswith(TAIL)
        assert bytes(theirs.decode(Frame(Opcode.BINARY, sent, rsv1=True)).data) == message
        back = bytes(theirs.encode(Frame(Opcode.BINARY, message)).data)
        assert ours.decompress(back, MUCH) == message


def test_a_window_of_eight_bits_is_never_left():
    text = random.Random(7).randbytes(251)
    ours = PerMessageDeflate(DeflateParams(client_max_window_bits=8))
    strict = zlib.decompressobj(-8)
    for _ in range(20):
        assert strict.decompress(ours.compress(text + text) + TAIL) == text + text


def test_takeover_is_taken_and_left_as_agreed():
    text = random.Random(8).randbytes(500)
    taken, left = PerMessageDeflate(DeflateParams()), PerMessageDeflate(DeflateParams(client_no_context_takeover=True))
    sizes = [[len(deflate.compress(text)) for _ in range(3)] for deflate in (taken, left)]
    assert sizes[0][1] < 50
    assert min(sizes[1]) > 500


def test_a_message_may_end_with_a_final_block():
    ours = PerMessageDeflate(DeflateParams())
    text = random.Random(9).randbytes(400)
    window = b""
    for number in range(4):
        # RFC 7692, section 7.2.3.4: a final block, and a byte that begins the empty block whose rest is the tail.
        theirs = zlib.compressobj(wbits=-15, zdict=window) if window else zlib.compressobj(wbits=-15)
        message = text + bytes([number])
        data = theirs.compress(message) + theirs.flush(zlib.Z_FINISH) + b"\x00"
        assert ours.decompress(data, MUCH) == message
        if number:
            assert len(data) < 100, "it refers to the messages before"
        window += message


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x06", b"PING", bytes(range(200))])
def test_what_is_not_compressed_is_reported_so(data):
    with pytest.raises(DeflateError, match=r"cannot be inflated \(RFC 7692, section 7\.2\.2\)"):
        PerMessageDeflate(DeflateParams()).decompress(data, MUCH)


@pytest.mark.parametrize(
    "agreement",
    [DeflateParams(server_max_window_bits=9), DeflateParams(server_no_context_takeover=True)],
    ids=["9", "none"],
)
def test_references_to_messages_that_were_to_be_forgotten_are_reported(agreement):
    far = zlib.compressobj(wbits=-15)
    text = random.Random(10).randbytes(3000)
    first, second = (far.compress(text) + far.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    ours = PerMessageDeflate(agreement)
    assert ours.decompress(first.removesuffix(TAIL), MUCH) == text
    with pytest.raises(DeflateError):
        ours.decompress(second.removesuffix(TAIL), MUCH)


def test_a_bomb_is_not_inflated():
    import tracemalloc

    bomb = PerMessageDeflate(DeflateParams()).compress(bytes(1 << 26))
    ours = PerMessageDeflate(DeflateParams())
    tracemalloc.start()
    try:
        with pytest.raises(DeflateTooLargeError, match="more than 1000 bytes"):
            ours.decompress(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_a_message_of_just_the_size_is_taken(size):
    data = PerMessageDeflate(DeflateParams()).compress(bytes(size))
    assert PerMessageDeflate(DeflateParams()).decompress(data, size) == bytes(size)
    if size:
        with pytest.raises(DeflateTooLargeError):
            PerMessageDeflate(DeflateParams()).decompress(data, size - 1)
