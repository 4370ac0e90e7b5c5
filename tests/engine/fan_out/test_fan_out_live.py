"""Fan-out over real sockets, against the exact counts of the built-in server's rooms.

Runs go side by side in one loop, since nearly all of their time is waiting: for deliveries that do not come.
"""

import asyncio

import pytest

from engine.fan_out.in_process import EVERYONE, measure, measure_rooms, together
from ws_load_test.common.sharding import shard_of
from ws_load_test.messages.marker import MarkerCodec
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateParams

ALONE = {"publishers": 1, "rooms": 1, "timeout": "1s"}
MISSES = {**EVERYONE, "timeout": "1s"}
FAULTS = {
    "none": ("", EVERYONE),
    "lose": ("&lose=5%25", MISSES),
    "duplicate": ("&duplicate=5%25", EVERYONE),
    "misdeliver": ("&misdeliver=5%25", EVERYONE),
    "nodes": ("&nodes=2", MISSES),
    "stuck": ("&stuck=2", MISSES),
    # A publisher that gets nothing of its own: all deliveries are to subscribers.
    "swap": ("&swap=5%25&self=no", ALONE),
    "everything": ("&lose=5%25&duplicate=5%25&swap=5%25&self=no", {"timeout": "1s"}),
}


async def interrupts(fleets, server):
    """Interrupts in order after some messages."""
    await until(lambda: server.rooms.report().total.published >= 10)
    fleets[0].stop()
    await asyncio.sleep(60)


async def cuts_off_stuck_members(_, server):
    """Ends the sessions of stuck members once all messages are out."""
    await until(lambda: server.rooms.report().total.published == 10)
    await asyncio.sleep(0.1)
    for member in list(server.rooms.room("0").members):
        if member.stuck:
            member.transport.abort()
    await asyncio.sleep(60)


async def cuts_off_six(_, server):
    """Ends the sessions of half of the members amid the load."""
    await until(lambda: server.rooms.report().total.published >= 10)
    for member in list(server.rooms.room("0").members)[:6]:
        member.transport.abort()
    await asyncio.sleep(60)


async def kills_a_worker(fleets, server):
    """Ends the second worker amid the load."""
    await until(lambda: server.rooms.report().total.published >= 10)
    fleets[0].lose(1)
    await asyncio.sleep(60)


async def until(true):
    """Waits for a condition."""
    while not true():  # noqa: ASYNC110 - the server's counts are no event
        await asyncio.sleep(0.001)


LONGER = {**EVERYONE, "rooms": 1, "rate": 60, "messages": 60, "reconnect": "50ms"}
OTHERS = {
    "more rooms": ("", {"publishers": 2}),
    "named rooms": ("&self=no", {"publishers": 2, "rooms": "A,B"}),
    "either": ("", {**EVERYONE, "self_delivery": "either"}),
    "either, none comes": ("&self=no", {**EVERYONE, "self_delivery": "either"}),
    "excluded": ("", {**EVERYONE, "self_delivery": "excluded"}),
    "excluded, none comes": ("&self=no", {**EVERYONE, "self_delivery": "excluded"}),
    "expected, none comes": ("&self=no", MISSES),
    "warm-up": ("&misdeliver=100%25", {**EVERYONE, "warmup": "100ms"}),
    "duration": ("&self=no", {"messages": None, "duration": "300ms"}),
    "binary": ("&self=no", {"binary": True}),
    "json": ("&self=no", {"message": '{"op": "say", "room": "{room}", "id": {seq}}', "marker": "json:id"}),
    "regex": ("&self=no", {"message": '{"op": "say", "room": "{room}", "text": "<{seq}>"}', "marker": "regex:<(.*?)>"}),
    "timed": ("&self=no", {"timed": 3}),
    "hosts": ("", {**EVERYONE, "connections": 9, "workers": 3, "hosts": ((0, 2), (2, 1))}),
}
"""Runs without faults, by one worker."""
RESTLESS = {
    "interrupted": ("&self=no", {"messages": 3000, "during": interrupts}),
    "cut off": (
        "&stuck=1",
        {**MISSES, "rooms": 1, "messages": 10, "during": cuts_off_stuck_members},
    ),
    "lifetime": ("", {**EVERYONE, "lifetime": "200ms", "messages": 60}),
    "disconnect": ("", {**EVERYONE, "disconnect": "50%@200ms", "messages": 60}),
    "came back": ("", {**LONGER, "during": cuts_off_six}),
    "replayed": ("&replay=5s", {**LONGER, "during": cuts_off_six}),
    "recovered": ("&replay=5s", {**LONGER, "recovery": "expected", "during": cuts_off_six}),
    "not recovered": ("", {**LONGER, "timeout": "1s", "recovery": "expected", "during": cuts_off_six}),
    "killed": ("&self=no", {"rooms": 1, "publishers": 2, "workers": 2, "messages": 60, "during": kills_a_worker}),
}
"""Runs with sessions, or workers, that leave amid the load."""


def together_by_name(runs, *, at_once=8, **defaults):
    """Makes runs side by side, by their names."""
    measuring = {name: measure_rooms(query, **defaults, **options) for name, (query, options) in runs.items()}
    return together(at_once=at_once, **measuring)


@pytest.fixture(scope="module")
def by_one_worker():
    """What was measured with each fault: the tally, the counts of the server, the result."""
    return together_by_name(FAULTS, workers=1)


@pytest.fixture(scope="module")
def by_two_workers():
    """The same."""
    return together_by_name(FAULTS, workers=2)


@pytest.fixture(scope="module")
def measured():
    """The same of runs without faults."""
    return together_by_name(OTHERS)


@pytest.fixture(scope="module")
def restless():
    """The same of runs with sessions that leave."""
    return together_by_name(RESTLESS, at_once=4)


@pytest.fixture(params=["by_one_worker", "by_two_workers"])
def faulty(request):
    """What was measured with each fault, by one worker or two."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_delivery_is_in_one_count(faulty, fault):
    tally, counts, result = faulty[fault]
    assert not result.summary.faults
    assert tally.sent == counts.published == 30
    assert tally.deliveries_expected == counts.due
    assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing + tally.deliveries_cut_off
    assert tally.deliveries == counts.deliveries
    assert tally.deliveries_missing == counts.lost + counts.unreached + counts.withheld + counts.gone
    assert tally.deliveries_cut_off == tally.deliveries_late == tally.deliveries_foreign == 0
    assert tally.deliveries_ambiguous == tally.deliveries_replayed == tally.deliveries_negative == 0
    # Every delivery that came is timed once, those too that came twice or to somebody else's room.
    assert tally.delivery_time_ns.count == tally.transit_time_ns.count == tally.read_lag_ns.count == tally.deliveries
    assert sum(int(length) * count for length, count in tally.delivery_gaps.items()) == tally.deliveries_missing


def test_what_is_duplicated_swapped_or_misdelivered_is_found(faulty):
    for fault, (tally, counts, _) in faulty.items():
        assert tally.deliveries_duplicate == counts.duplicated, fault
        assert tally.deliveries_misdelivered == counts.misdelivered, fault
    tally, counts, _ = faulty["swap"]
    assert tally.deliveries_out_of_order == counts.swapped > 0
    assert faulty["none"][0].deliveries_out_of_order == 0
    assert [name for name, (_, counts, _) in faulty.items() if counts.duplicated] == ["duplicate", "everything"]
    assert [name for name, (_, counts, _) in faulty.items() if counts.misdelivered] == ["misdeliver"]


def test_reach_and_complete_publishes(faulty):
    def reached(fault):
        fan_out = faulty[fault][2].summary.fanout
        assert fan_out.publishes.followed == 30
        return fan_out.reach, fan_out.publishes.complete

    assert reached("none") == (1, 30)
    assert reached("nodes") == (0.5, 0)
    assert reached("stuck") == (0.5, 0)
    assert reached("lose")[0] == pytest.approx(0.95, abs=0.01)
    assert 20 <= reached("lose")[1] < 30


def test_rooms_and_publishers_of_any_number(measured):
    # Publisher p writes to room (p + n) mod 3 and is a member of room p: what the other one writes there is no claim.
    tally, counts, result = measured["more rooms"]
    assert tally.sent == counts.published == 30
    assert tally.deliveries == tally.deliveries_expected == 30 * 4
    assert tally.deliveries_to_publisher == counts.due - 30 * 4 > 0
    assert tally.delivery_groups == {"0": 40, "1": 40, "2": 40}
    assert {one.name for one in result.summary.fanout.worst_rooms} == {"0", "1", "2"}
    assert result.summary.fanout.publishes.complete == 30
    tally, counts, _ = measured["named rooms"]
    assert tally.deliveries == tally.deliveries_expected == counts.due == 30 * 6
    assert set(tally.delivery_groups) == {"A", "B"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("either", (30 * 3, 30, 0, 0)),
        ("either, none comes", (30 * 3, 0, 0, 0)),
        ("excluded", (30 * 3, 0, 30, 0)),
        ("excluded, none comes", (30 * 3, 0, 0, 0)),
        ("expected, none comes", (30 * 4, 0, 0, 30)),
    ],
)
def test_what_a_publisher_gets_of_its_own(measured, name, counts):
    expected, own, misdelivered, missing = counts
    tally, _, _ = measured[name]
    assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing == expected
    assert tally.deliveries_to_publisher == own
    assert tally.deliveries_misdelivered == misdelivered
    assert tally.deliveries_missing == missing


def test_the_warm_up_is_not_counted(measured):
    tally, counts, result = measured["warm-up"]
    assert (tally.warmup_sent, tally.sent, counts.published) == (10, 30, 40)
    assert tally.deliveries_expected == tally.deliveries == 30 * 4
    # One for each delivery; those of the warm-up are as many as went before.
    assert (tally.deliveries_misdelivered, counts.misdelivered) == (30 * 4, 40 * 4)
    assert tally.deliveries_ambiguous == tally.deliveries_replayed == tally.deliveries_to_publisher == 0
    assert tally.delivery_time_ns.count == 30 * 4
    assert result.summary.fanout.publishes.followed == 30


def test_runs_of_such_a_time_of_binary_messages_and_of_ids(measured):
    for name in ("duration", "binary", "json", "regex"):
        tally, counts, result = measured[name]
        assert tally.sent + tally.dropped == 30, name
        assert tally.sent == counts.published, name
        assert tally.deliveries == tally.deliveries_expected == counts.due == 4 * tally.sent, name
        assert tally.deliveries_ambiguous == tally.deliveries_foreign == tally.pushed == 0, name
        assert result.summary.fanout.publishes.complete == tally.sent, name


def test_some_are_timed_and_all_are_counted(measured):
    tally, counts, _ = measured["timed"]
    assert tally.deliveries == tally.deliveries_expected == counts.due == 30 * 4
    assert tally.delivery_time_ns.count == tally.delivery_groups.total() == 30 // 3 * 3
    assert tally.subscriber_mean_time_ns.count == 3


def test_an_interrupted_run_counts_what_it_has_sent(restless):
    tally, counts, result = restless["interrupted"]
    assert result.summary.interrupted
    assert 0 < tally.sent == counts.published < 3000
    assert tally.deliveries == tally.deliveries_expected == counts.due == 4 * tally.sent


def test_what_the_target_cut_off_is_a_loss(restless):
    # The member was stuck, and the target ended its session while its deliveries could still come.
    tally, counts, result = restless["cut off"]
    assert tally.sent == counts.published == 10
    assert tally.lost == 1
    assert tally.deliveries_expected == counts.due == 10 * 12
    assert tally.deliveries == counts.deliveries == 10 * 11
    assert (tally.deliveries_cut_off, tally.deliveries_missing, tally.deliveries_ambiguous) == (10, 0, 0)
    assert result.summary.fanout.reach == pytest.approx(11 / 12)


def test_what_we_end_is_not_held_against_the_target(restless):
    tally, counts, _ = restless["lifetime"]
    assert tally.recycled > 0
    assert tally.deliveries_missing == tally.deliveries_cut_off == tally.deliveries_duplicate == 0
    assert 0 < tally.deliveries == tally.deliveries_expected <= counts.deliveries
    # What came is judged, or its session was joining or leaving.
    assert tally.deliveries + tally.deliveries_ambiguous >= counts.deliveries - counts.gone
    tally, _, _ = restless["disconnect"]
    assert tally.storm_disconnected == 6
    assert tally.deliveries_missing == tally.deliveries_cut_off == 0
    assert 0 < tally.deliveries == tally.deliveries_expected


def test_what_was_published_while_a_session_was_away(restless):
    for name in ("came back", "replayed", "recovered", "not recovered"):
        tally, counts, _ = restless[name]
        assert (tally.lost, tally.reconnected, tally.sent) == (6, 6, 60), name
        assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing + tally.deliveries_cut_off, name
        assert counts.replayed == 0 or "replay" in RESTLESS[name][0]
    tally, counts, _ = restless["came back"]
    assert tally.deliveries_missing == tally.deliveries_replayed == tally.deliveries_duplicate == 0
    assert tally.deliveries <= counts.deliveries <= tally.deliveries + tally.deliveries_ambiguous
    assert tally.deliveries_expected < 60 * 12
    tally, counts, _ = restless["replayed"]
    # All of the last five seconds comes again: what had come before, and what was missed.
    assert tally.deliveries_duplicate >= 6 * 10
    assert 0 < tally.deliveries_replayed <= counts.replayed - tally.deliveries_duplicate
    assert tally.deliveries_replayed + tally.deliveries_duplicate + tally.deliveries_ambiguous >= counts.replayed
    assert tally.deliveries_missing == 0
    # Who was away is owed what was published meanwhile; sessions that were just joining are not judged.
    for name in ("recovered", "not recovered"):
        tally, counts, _ = restless[name]
        assert tally.deliveries_expected + tally.deliveries_ambiguous == 60 * 12
        assert tally.deliveries_ambiguous <= 6 * 12
    assert restless["recovered"][0].deliveries_missing == 0
    assert restless["not recovered"][0].deliveries_missing > 0


def test_a_worker_that_is_killed_leaves_the_counts_of_the_others_right(restless):
    tally, counts, result = restless["killed"]
    assert result.summary.verdict.reason == "worker-lost"
    # Of two workers the second has every other subscriber and the second publisher, and reports once a second.
    assert tally.deliveries == tally.deliveries_expected == counts.published * 6
    assert tally.deliveries_missing == tally.deliveries_ambiguous == 0
    assert tally.sent < counts.published


def test_deliveries_within_one_host_are_timed_apart(measured):
    tally, counts, _ = measured["hosts"]
    assert tally.deliveries == counts.due == tally.delivery_time_ns.count == 30 * 3
    # Of three workers two are on one host: all have as many sessions, in turn by the number of a session.
    workers = [shard_of(number, 3) for number in range(9)]
    rooms = [[workers[number] == 2 for number in range(room, 9, 3)] for room in range(3)]
    own = [sum(one == other for other in room) for room in rooms for one in room]
    # Each session has sent the same number of messages, or one more.
    assert 3 * sum(own) <= tally.same_host_delivery_time_ns.count <= 4 * sum(own)
    assert 0 < tally.same_host_delivery_time_ns.count < 90
    assert measured["named rooms"][0].same_host_delivery_time_ns.count == 0


# --- Messages that the built-in server does not make ----------------------------------------------------------------


class Broadcast:
    """A server that sends each message to all its clients, as `change` makes it."""

    def __init__(self, change=lambda payload: [payload], *, deflates=False):
        self.change, self.deflates, self.peers = change, deflates, {}

    async def __call__(self, peer):
        if self.deflates:
            await peer.upgrade(headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        else:
            await peer.upgrade()
        deflate = PerMessageDeflate(DeflateParams())
        self.peers[peer] = deflate
        try:
            async for message in peer.messages():
                payload = deflate.decompress(message.payload, 1000) if self.deflates else message.payload
                for made in self.change(payload):
                    for other, compressing in list(self.peers.items()):
                        data = compressing.compress(made) if self.deflates else made
                        await other.send_frame(frames.TEXT, data, rsv=frames.RSV1 if self.deflates else 0)
        finally:
            del self.peers[peer]


def in_pairs():
    """Two messages in one, and each pair after some text with the marker of another run."""
    waiting = []

    def change(payload):
        waiting.append(payload)
        if len(waiting) < 2:
            return []
        pair = b"[" + b",".join(waiting) + b"]"
        waiting.clear()
        return [b"other: " + MarkerCodec(b"zzz").encode(0, 0, 0, 0), pair]

    return change


def test_compressed_messages_several_in_one_and_those_of_other_runs():
    options = {"first_message": None, "rooms": 1, "publishers": 1, "subscribers": 4, "message": '"{marker}"'}
    with FaultyServer(Broadcast(deflates=True)) as deflating, FaultyServer(Broadcast(in_pairs())) as pairing:
        found = together(
            deflated=measure(deflating.url, **options, deflate=True), paired=measure(pairing.url, **options)
        )
    for result, tally in found.values():
        assert not result.summary.faults
        assert tally.sent == 30
        assert tally.deliveries == tally.deliveries_expected == tally.delivery_time_ns.count == 30 * 4
        assert tally.deliveries_to_publisher == 30
        assert tally.deliveries_duplicate == tally.deliveries_out_of_order == 0
    assert found["paired"][1].deliveries_foreign == 15 * 5
    assert found["deflated"][1].deliveries_foreign == 0
