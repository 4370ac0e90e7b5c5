"""Fields that only the sender of a message can fill: its room and its marker."""

import pytest

from ws_load_test.common.sharding import Shard
from ws_load_test.messages import Message, MessageGenerator, Template
from ws_load_test.messages.fields import MAX_ROOM_NAME_BYTES
from ws_load_test.messages.marker import MARKER_BYTES
from ws_load_test.messages.publication import SAMPLE_MARKER
from ws_load_test.messages.size_estimate import estimate_sizes
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.redaction import public_url

TEXT = '{"room":"{room}","n":{seq},"text":"{marker}"}'


def generator_of(text, room_of=None):
    message = Message(payload=text.encode(), is_template=(True,), fields=Template(text).fields and ("room",))
    return MessageGenerator(message, Shard(0, 1), room_of)


def test_the_sender_sets_both_before_each_message():
    generator = generator_of(TEXT)
    payloads = generator.payloads(0)
    found = []
    for room, marker in (("a", "m1"), ("b", "m2")):
        generator.publication.room, generator.publication.marker = room, marker
        found.append(payloads.next())
    assert found == [b'{"room":"a","n":0,"text":"m1"}', b'{"room":"b","n":1,"text":"m2"}']


def test_sessions_share_their_numbers_and_the_publication():
    generator = generator_of(TEXT)
    one, other = generator.payloads(0), generator.payloads(1)
    generator.publication.room, generator.publication.marker = "r", "m"
    assert (one.next(), other.next()) == (b'{"room":"r","n":0,"text":"m"}', b'{"room":"r","n":1,"text":"m"}')


def test_texts_of_a_connection_have_its_room():
    generator = generator_of(TEXT, lambda connection: f"room {connection % 2}")
    assert [generator.render("join {room} {connection}", one) for one in (3, 4)] == ["join room 1 3", "join room 0 4"]


def test_a_request_that_publishes_has_the_room_of_its_message():
    generator = generator_of(TEXT, lambda connection: f"room {connection % 2}")
    generator.publication.room, generator.publication.marker = "news", "m"
    assert generator.render_publish("/{room}/{marker}", 3) == "/news/m"


def test_messages_vary_by_them():
    plan = make_plan("ws://h/", subscribers=2, rate=1, message="{marker}")
    assert plan.message.is_dynamic
    assert plan.message.is_template == (True,)
    assert plan.message.size_bytes == plan.message.max_bytes == MARKER_BYTES == len(SAMPLE_MARKER)


@pytest.mark.parametrize(("room", "mean"), [("0", 1), ("lobby", 5)])
def test_sizes_are_those_of_a_named_room(room, mean):
    assert estimate_sizes(Template("{room}"), None, room) == (MAX_ROOM_NAME_BYTES, mean)
    assert estimate_sizes(Template("{marker}"), None) == (MARKER_BYTES, MARKER_BYTES)


@pytest.mark.parametrize("text", ["{room:1}", "{marker:x}"])
def test_they_take_no_argument(text):
    assert "takes nothing behind a colon" in Template(text).problems[0]


def test_a_misspelled_one_is_noticed():
    assert [str(one) for one in Template("{Marker} {rooms}").suspicious] == [
        "{Marker} is sent as it is; did you mean {marker}?",
        "{rooms} is sent as it is; did you mean {room}?",
    ]


def test_their_names_are_no_secrets():
    assert public_url("ws://h/room/{room}?token={marker}") == "ws://h/room/{room}?token={marker}"
