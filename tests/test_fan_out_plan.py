"""Who publishes, who receives and in which room: arithmetic that every worker does for itself."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.common.sharding import Shard
from ws_load_test.plan.fan_out import FanOut, HttpPublish

COUNTS = st.integers(1, 60)
POST = HttpPublish("POST", "http://h/")


@st.composite
def fan_outs(draw):
    subscribers = draw(COUNTS)
    rooms = tuple(map(str, range(draw(st.integers(1, subscribers)))))
    kind = draw(st.sampled_from(["sessions", "everyone", "http"]))
    publishers = subscribers if kind == "everyone" else draw(COUNTS)
    publish = POST if kind == "http" else None
    timed = draw(st.none() | st.integers(1, 70))
    return FanOut(publishers, subscribers, kind == "everyone", rooms, publish=publish, timed=timed)


@given(fan_outs())
def test_every_connection_is_a_publisher_a_subscriber_or_both(fan_out):
    connections = range(fan_out.sessions)
    publishers = [found for one in connections if (found := fan_out.publisher_of(one)) is not None]
    subscribers = [found for one in connections if (found := fan_out.subscriber_of(one)) is not None]
    assert publishers == list(range(0 if fan_out.publish else fan_out.publishers))
    assert subscribers == list(range(fan_out.subscribers))
    assert [fan_out.subscriber_of(fan_out.connection_of(one)) for one in subscribers] == subscribers
    both = len(publishers) + len(subscribers) - fan_out.sessions
    assert both == (fan_out.subscribers if fan_out.everyone else 0)


@given(fan_outs())
def test_rooms_part_the_subscribers(fan_out):
    members = [0] * len(fan_out.rooms)
    for subscriber in range(fan_out.subscribers):
        members[fan_out.room_of_connection(fan_out.connection_of(subscriber))] += 1
    assert sum(members) == fan_out.subscribers
    assert max(members) == fan_out.largest_room
    assert min(members) >= fan_out.largest_room - 1
    own = fan_out.everyone and fan_out.self_delivery != "expected"
    assert fan_out.mean_audience == pytest.approx(sum(members) / len(members) - own)


@given(fan_outs(), st.integers(0, 200))
def test_a_publisher_keeps_to_its_room_unless_there_are_more_rooms(fan_out, number):
    rooms = len(fan_out.rooms)
    for publisher in range(min(fan_out.publishers, 10)):
        room, after = (fan_out.room_of_publish(publisher, one) for one in (number, number + 1))
        assert after == (room if fan_out.publishers >= rooms else (room + 1) % rooms)
        if not fan_out.publish:
            connection = publisher
            assert fan_out.room_of_publish(publisher, 0) == fan_out.room_of_connection(connection)


@given(fan_outs())
def test_every_room_is_published_to(fan_out):
    rooms = range(len(fan_out.rooms))
    publishes = ((one, number) for one in range(fan_out.publishers) for number in rooms)
    assert {fan_out.room_of_publish(*one) for one in publishes} == set(rooms)


@given(fan_outs(), st.integers(1, 8))
def test_workers_part_the_subscribers(fan_out, workers):
    found = [
        subscriber
        for shard in (Shard(index, workers) for index in range(workers))
        for place in range(shard.size(fan_out.sessions))
        if (subscriber := fan_out.subscriber_of(shard.global_index(place))) is not None
    ]
    assert sorted(found) == list(range(fan_out.subscribers))


# --- Timed ---


@settings(max_examples=40)
@given(st.integers(1, 1000), st.integers(1, 1200))
def test_as_many_subscribers_are_timed_as_were_asked_for(subscribers, timed):
    fan_out = FanOut(1, subscribers, timed=timed)
    assert sum(map(fan_out.is_timed, range(subscribers))) == min(timed, subscribers)
    assert all(map(FanOut(1, subscribers).is_timed, range(subscribers)))


@settings(max_examples=40)
@given(st.integers(2, 1000), st.data())
def test_the_timed_ones_are_spread_over_rooms_workers_and_the_order_of_joining(subscribers, data):
    timed = data.draw(st.integers(1, subscribers))
    fan_out = FanOut(1, subscribers, timed=timed)
    picked = [one for one in range(subscribers) if fan_out.is_timed(one)]
    for parts in (2, 3, 8, 10):
        counts = [sum(one % parts == part for one in picked) for part in range(parts)]
        assert max(counts) - min(counts) <= 20
    steps = [after - before for before, after in zip(picked, [*picked[1:], picked[0] + subscribers], strict=True)]
    assert max(steps) <= 2 * subscribers / timed + 1


def test_not_all_of_the_timed_ones_are_in_one_room():
    # Every tenth of a thousand would be in the first room of ten.
    fan_out = FanOut(1, 1000, rooms=tuple("abcdefghij"), timed=100)
    members = [fan_out.room_of_connection(fan_out.connection_of(one)) for one in range(1000) if fan_out.is_timed(one)]
    assert all(7 <= members.count(room) <= 13 for room in range(10))


# --- Amounts and secrets ---


def test_amounts_of_deliveries():
    fan_out = FanOut(10, 1000, rooms=tuple("abcdefghij"))
    assert fan_out.deliveries_per_s(50) == 5000
    assert fan_out.accounting_bytes(50, 10 * 10**9) == 100_000
    everyone = FanOut(100, 100, everyone=True)
    assert everyone.deliveries_per_s(10) == 990
    assert msgspec.structs.replace(everyone, self_delivery="expected").deliveries_per_s(10) == 1000


def test_secrets_of_a_publish_are_hidden_and_rooms_are_not():
    publish = HttpPublish("POST", "https://h/{room}?token=sdkjf84jfSDf84", (("Authorization", "Bearer sdkfj39fj3lkf"),))
    fan_out = FanOut(rooms=("room-sdkjf84jfSDf84a",), publish=publish)
    hidden = fan_out.redacted()
    assert hidden.rooms == fan_out.rooms
    assert hidden.publish == HttpPublish("POST", "https://h/{room}?token=***", (("Authorization", "***"),))
    assert publish.secrets() >= {"sdkjf84jfSDf84", "sdkfj39fj3lkf"}
    assert FanOut().redacted() == FanOut()
