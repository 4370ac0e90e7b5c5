"""RFC 6455 on the wire, against the RFC's own examples and an independent implementation."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.streams import StreamReader

from ws_load_test.messages import Message, filler_text
from ws_load_test.websocket import frames as ws_frames

SIZES = [0, 1, 124, 125, 126, 127, 128, 65535, 65536, 70_000]


def read(data, *, mask):
    """The frames in `data`, as an independent implementation reads them."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    found = []
    while True:
        at_end = stream.at_eof()
        try:
            next(at_end)
        except StopIteration as result:
            if result.value:
                return found
        parsing = Frame.parse(stream.read_exact, mask=mask)
        with pytest.raises(StopIteration) as parsed:
            next(parsing)
        found.append(parsed.value.value)


def test_the_examples_of_the_rfc():
    """RFC 6455, section 5.7, and section 1.3 for the key."""
    mask = bytes.fromhex("37fa213d")
    assert ws_frames.encode_frame(ws_frames.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ws_frames.encode_frame(ws_frames.TEXT, b"Hello", mask=mask) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert ws_frames.encode_frame(ws_frames.TEXT, b"Hel", fin=False) == bytes.fromhex("010348656c")
    assert ws_frames.encode_frame(ws_frames.CONTINUATION, b"lo") == bytes.fromhex("80026c6f")
    assert ws_frames.encode_frame(ws_frames.PING, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert ws_frames.encode_frame(ws_frames.PONG, b"Hello", mask=mask) == bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert ws_frames.encode_frame(ws_frames.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert ws_frames.encode_frame(ws_frames.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    assert ws_frames.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [ws_frames.TEXT, ws_frames.BINARY, ws_frames.PING])
def test_an_independent_server_reads_what_a_client_writes(opcode, size):
    if opcode == ws_frames.PING and size > ws_frames.LARGEST_CONTROL_PAYLOAD:
        return
    payload = filler_text(size)
    (found,) = read(ws_frames.encode_client_frame(opcode, payload), mask=True)
    assert (found.opcode, bytes(found.data), found.fin) == (Opcode(opcode), payload, True)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
@settings(deadline=None)
def test_masking_is_byte_by_byte_and_its_own_reverse(payload, mask):
    masked = ws_frames.apply_mask(payload, mask)
    assert masked == bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    assert ws_frames.apply_mask(masked, mask) == payload


@given(st.integers(1, 9), st.sampled_from([0, 4, 125, 126, 65536]), st.sampled_from(["text", "binary", "ping"]))
@settings(deadline=None, max_examples=40)
def test_frames_made_ahead_are_so_many_times_the_message(count, size, kind):
    size = min(size, 125) if kind == "ping" else size
    payload = filler_text(size)
    message = Message(kind, size, payload)
    frames = message.frames(count)
    found = read(bytes(frames), mask=True)
    assert [(frame.opcode, bytes(frame.data)) for frame in found] == [(Opcode(message.opcode), payload)] * count
    each = len(frames) // count
    assert len(frames) == count * each
    for number in range(count):
        assert len(read(bytes(frames[number * each : (number + 1) * each]), mask=True)) == 1, "a cut between any two"


def test_masks_and_keys_are_not_repeated():
    frames = {ws_frames.encode_client_frame(ws_frames.TEXT, b"")[2:6] for _ in range(50)}
    assert len(frames) > 45
    keys = {ws_frames.new_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


def test_close_codes_that_may_travel():
    """RFC 6455, section 7.4, and the registry of IANA; 1004 to 1006 and 1015 never do."""
    allowed = {*range(1000, 1015), *range(3000, 5000)} - {1004, 1005, 1006}
    assert {code for code in range(70_000) if ws_frames.close_code_is_valid(code)} == allowed
    known = {int(code) for code in CloseCode} - {1005, 1006, 1015}
    assert known <= allowed


@pytest.mark.parametrize("reason", ["", "out of tea", "x" * 123, "x" * 124, "ü" * 61 + "xü", "ü" * 100])
def test_a_close_reason_is_cut_to_whole_characters(reason):
    body = ws_frames.close_payload(4711, reason)
    assert int.from_bytes(body[:2]) == 4711
    assert len(body) <= ws_frames.LARGEST_CONTROL_PAYLOAD
    kept = body[2:].decode()
    assert reason.startswith(kept)
    assert len(kept.encode()) >= min(len(reason.encode()), 122)
