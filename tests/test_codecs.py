"""Values in messages of each encoding: paths, what a server of another make writes, and what is malformed."""

import json
import struct

import msgpack
import pytest
from google.protobuf import descriptor_pb2, struct_pb2, wrappers_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.api import run
from ws_load_test.common.errors import PlanError
from ws_load_test.echo import EchoProcess
from ws_load_test.engine.native.rules import unsupported
from ws_load_test.plan.codecs import CODECS, CodecName
from ws_load_test.plan.codecs.msgpack_path import msgpack_extractor
from ws_load_test.plan.codecs.protobuf_path import protobuf_extractor
from ws_load_test.plan.correlation import number_reader, parse_check, parse_place, parse_rule
from ws_load_test.plan.fan_out import MarkerRule
from ws_load_test.plan.node import node_rule
from ws_load_test.plan.options.fan_out_values import marker_rule
from ws_load_test.plan.options.read_plan import make_plan

PATHS = {
    "json": ["a", "a.b", "[0]"],
    "msgpack": ["a", "1", "a[0].b", "[0]"],
    "protobuf": ["1", "1.3", "2[0].1", "1.1.1"],
}


def test_every_codec_has_its_name_and_a_test():
    assert tuple(CODECS) == CodecName.__args__ == tuple(PATHS)


# --- MessagePack -----------------------------------------------------------------------------------------------------

keys = st.text(st.sampled_from("abc1"), min_size=1, max_size=2) | st.integers(0, 3)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.sampled_from("xyé"), max_size=3)
    | st.binary(max_size=4)
)
documents = st.recursive(
    leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=3), max_leaves=12
)
paths = st.lists(st.text(st.sampled_from("abc1"), min_size=1, max_size=2) | st.integers(0, 2), min_size=1, max_size=4)


def walk(document, steps):
    """What Python finds at a path; None if it leads nowhere. A name of digits is a number where no text is the key."""
    for step in steps:
        if isinstance(step, str) and isinstance(document, dict):
            key = step if step in document or not step.isdigit() else int(step)
            if key not in document:
                return None
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            key = step
        else:
            return None
        document = document[key]
    return document


def plain(value):
    """The same with bytes as JSON has them in our words, at the top alone."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    return value if isinstance(value, str) else json.dumps(value)


@given(documents, paths)
@example({"a": {1: "x"}}, ["a", "1"])
@example({"a": {1: "x", "1": "y"}}, ["a", "1"])
@example({2: 0, "a": 7}, ["a"])
@example({"a": b"\xff\x00"}, ["a"])
@example({"a": "text"}, ["a", 0])
@example({"a": b"text"}, ["a", 0])
@example({0: False}, [0])
@example([{1: "x"}], [0, "1"])
@settings(deadline=None, max_examples=200)
def test_a_path_leads_where_python_finds_it(document, steps):
    path = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in steps).removeprefix(".")
    found, value = msgpack_extractor(path)(msgpack.packb(document)), walk(document, steps)
    if isinstance(value, dict | list):
        assert found is not None
    else:
        assert found == (None if value is None else plain(value))


def test_a_whole_value_is_written_as_json():
    payload = msgpack.packb({"a": [1, {"b": None}], "t": msgpack.Timestamp(1, 0), "e": msgpack.ExtType(5, b"ab")})
    assert msgpack_extractor("a")(payload) == '[1,{"b":null}]'
    assert msgpack_extractor("t")(payload) == '"1970-01-01T00:00:01Z"'
    assert msgpack_extractor("e")(payload) == '"ab"'
    assert msgpack_extractor("a")(msgpack.packb({"a": {None: 1}})) is None


# --- Protocol Buffers ------------------------------------------------------------------------------------------------


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number, value):
    """A field as the specification has it: a number as a varint, bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2**64 - 1) | st.binary(max_size=5)), max_size=8))
@settings(deadline=None, max_examples=200)
def test_a_field_that_comes_again_has_its_last_value(fields):
    payload = b"".join(field(*one) for one in fields)
    for number in {1, *(number for number, _ in fields)}:
        values = [value for other, value in fields if other == number]
        texts = [str(one) if isinstance(one, int) else plain(one) for one in values]
        assert protobuf_extractor(str(number))(payload) == (texts[-1] if texts else None)
        assert [protobuf_extractor(f"{number}[{place}]")(payload) for place in range(len(texts))] == texts
        assert protobuf_extractor(f"{number}[{len(texts)}]")(payload) is None


@given(st.lists(st.integers(1, 2**29 - 1), min_size=1, max_size=5), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=50)
def test_nested_messages(numbers, value):
    payload = field(numbers[-1], value)
    for number in reversed(numbers[:-1]):
        payload = field(7 if number != 7 else 8, b"beside") + field(number, payload)
    assert protobuf_extractor(".".join(map(str, numbers)))(payload) == str(value)


def test_what_the_library_writes_is_read():
    # name = 1, message_type = 4 (name = 1, field = 2 (name = 1, number = 3, options = 8 (packed = 2)))
    written = descriptor_pb2.FileDescriptorProto(name="chat.proto")
    for name in ("Say", "Said"):
        message = written.message_type.add(name=name)
        one = message.field.add(name="text", number=300)
        one.options.packed = True
    payload = written.SerializeToString()
    found = {
        path: protobuf_extractor(path)(payload) for path in ("1", "4.1", "4[0].1", "4[1].2.3", "4.2.8.2", "4[0].2")
    }
    assert found == {
        "1": "chat.proto",
        "4.1": "Said",
        "4[0].1": "Say",
        "4[1].2.3": "300",
        "4.2.8.2": "1",
        "4[0].2": written.message_type[0].field[0].SerializeToString().hex(),
    }


def test_numbers_are_those_of_the_wire():
    assert protobuf_extractor("1")(wrappers_pb2.Int64Value(value=-1).SerializeToString()) == str(2**64 - 1)
    assert protobuf_extractor("1")(wrappers_pb2.BytesValue(value=b"\xff\x01").SerializeToString()) == "ff01"
    bits = struct.unpack("<Q", struct.pack("<d", 0.5))[0]
    assert protobuf_extractor("2")(struct_pb2.Value(number_value=0.5).SerializeToString()) == str(bits)
    bits = struct.unpack("<I", struct.pack("<f", 0.5))[0]
    assert protobuf_extractor("1")(wrappers_pb2.FloatValue(value=0.5).SerializeToString()) == str(bits)
    # What has its default value is not there at all.
    assert protobuf_extractor("1")(wrappers_pb2.Int64Value(value=0).SerializeToString()) is None


GROUP = b"\x0b" + field(2, 9) + b"\x0c"  # field 1 as a group, with a field 2 in it
MALFORMED = {
    "a tag that is cut off": b"\x88",
    "a varint that is cut off": b"\x08\x80",
    "a varint of 11 bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "a length beyond the end": b"\x12\x05abc" + field(1, 1),
    "a fixed number that is cut off": field(1, 1) + b"\x15\x01\x02",
    "field number 0": field(1, 1) + b"\x00\x01",
    "a field number that is too large": field(1, 1) + varint(1 << 32) + b"\x01",
    "no wire type": field(1, 1) + b"\x0e",
    "a group without an end": field(1, 1) + b"\x0b",
    "an end without a group": field(1, 1) + b"\x0c",
    "an end of another group": field(1, 1) + b"\x0b\x14",
    "groups too deep": field(1, 1) + b"\x0b" * 5000 + b"\x0c" * 5000,
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_has_no_value(payload):
    assert protobuf_extractor("1")(payload) is None


def test_a_group_is_skipped():
    assert protobuf_extractor("2")(GROUP) is None
    assert protobuf_extractor("2")(GROUP + field(2, 5)) == "5"


@pytest.mark.parametrize("path", ["", "a", "0", "1.", ".1", "1..2", "1.0", "-1", "1[x]", "1[", "536870912", "01", "1 "])
def test_what_is_no_path_of_numbers_is_refused(path):
    with pytest.raises(ValueError, match=r"is no path of field numbers; write for example protobuf:1 or protobuf:1\.3"):
        protobuf_extractor(path)


# --- All of them -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_bytes_have_a_value_or_none(payload):
    for name, codec in CODECS.items():
        for path in PATHS[name]:
            found = codec.reader(path)(payload)
            assert found is None or type(found) is str


@given(documents.map(msgpack.packb), st.integers(0, 60), st.integers(0, 255))
@settings(deadline=None, max_examples=200)
def test_a_message_with_a_damaged_byte_has_a_value_or_none(payload, place, byte):
    damaged = payload[:place] + bytes([byte]) + payload[place + 1 :]
    for path in PATHS["msgpack"]:
        for one in (damaged, payload[:place]):
            found = msgpack_extractor(path)(one)
            assert found is None or type(found) is str


@pytest.mark.parametrize(
    "payload", [b"\x91" * 100_000, b"\x81\xa1a" * 100_000, b"\xdf\xff\xff\xff\xff", b"\x82\xa1x" + b"\x91" * 100_000]
)
def test_a_message_nested_too_deep_has_no_value(payload):
    assert msgpack_extractor("a")(payload) is None
    assert msgpack_extractor("a[0]")(payload) is None


def test_a_nested_message_of_any_depth_is_read():
    payload = b""
    for _ in range(2000):
        payload = field(1, payload)
    assert protobuf_extractor(".".join("1" * 2000))(payload) == ""
    assert protobuf_extractor(".".join("1" * 2001))(payload) is None


# --- In options ------------------------------------------------------------------------------------------------------


def test_each_option_takes_every_codec():
    assert parse_rule("msgpack:a=b") == ("msgpack", "a=b")
    assert parse_rule("protobuf:1.2=3") == ("protobuf", "1.2=3")
    assert parse_check("protobuf:1.3=7").test()(field(1, field(3, 7)))
    assert not parse_check("protobuf:1.3=8").test()(field(1, field(3, 7)))
    assert parse_check("msgpack:ok").test()(msgpack.packb({"ok": False}))
    assert not parse_check("msgpack:ok").test()(msgpack.packb({"ok": None}))
    assert str(parse_check("msgpack:a[0]=x=y")) == "msgpack:a[0]=x=y"
    assert number_reader(parse_place("msgpack:n"))(msgpack.packb({"n": 12})) == 12
    assert node_rule("msgpack:node.name").extractor()(msgpack.packb({"node": {"name": "a"}})) == "a"
    assert node_rule("protobuf:1").in_messages
    assert marker_rule("protobuf:2=1") == MarkerRule("protobuf", "2=1")
    for text in ("msgpack:a..b", "protobuf:x"):
        with pytest.raises(ValueError, match="is no path"):
            parse_check(text)
        with pytest.raises(ValueError, match="is no path"):
            parse_rule(text)
        with pytest.raises(ValueError, match="is no path"):
            node_rule(text)


MESSAGES = {
    "msgpack": (msgpack.packb({"id": "{seq:8}"}).replace(b"\xa7", b"\xa8"), "msgpack:id", "msgpack:id"),
    "protobuf": (field(1, field(3, b"{uuid}" + b" " * 30)).replace(b" " * 30, b""), "protobuf:1.3", "protobuf:1"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_replies_find_their_messages_among_pushes(name, tmp_path):
    payload, rule, check = MESSAGES[name]
    (tmp_path / "message.bin").write_bytes(payload)
    with EchoProcess() as server:
        plan = make_plan(
            f"{server.url}?push=2000",
            message=f"@{tmp_path / 'message.bin'}",
            binary=True,
            match=rule,
            expect=check,
            rate=200,
            duration="300ms",
            connections=2,
            workers=1,
        )
        summary = run(plan).summary
    assert summary.messages.answered == summary.messages.sent == 60
    assert summary.messages.pushed > 0
    assert summary.messages.unknown_id == 0
    assert not summary.faults


@pytest.mark.parametrize("name", MESSAGES)
def test_the_compiled_loop_takes_every_codec(name, tmp_path):
    payload, rule, check = MESSAGES[name]
    (tmp_path / "message.bin").write_bytes(payload)
    of_ids = make_plan("ws://h/", message=f"@{tmp_path / 'message.bin'}", binary=True, match=rule)
    for plan in (of_ids, make_plan("ws://h/", expect=check), make_plan("ws://h/", ignore=check)):
        assert not unsupported(plan)
    assert not unsupported(make_plan("ws://h/", message='{"id": {seq}}', match="json:id"))
    # A field of MessagePack needs numbers of fixed length.
    assert not unsupported(make_plan("ws://h/", message="{seq:8}"))


def test_a_message_without_the_id_is_refused(tmp_path):
    (tmp_path / "message.bin").write_bytes(msgpack.packb({"id": None}))
    with pytest.raises(
        PlanError, match=r"msgpack:id finds no id in the message that is sent; put one in, or mend the path"
    ):
        make_plan("ws://h/", message=f"@{tmp_path / 'message.bin'}", binary=True, match="msgpack:id")
