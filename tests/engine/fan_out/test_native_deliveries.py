"""Deliveries that the compiled loop finds are counted as Python counts them: both through the same server."""

import asyncio
import gc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.fan_out.recognition import MarkerRecognizer
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.engine.registry import ENGINES, why_missing
from ws_load_test.messages.marker import MarkerCodec
from ws_load_test.metrics.catalog import COUNT_FIELDS, HISTOGRAM_FIELDS, LABELED_FIELDS
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

pytestmark = pytest.mark.skipif(bool(why_missing("native")), reason=f"not built: {why_missing('native')}")

if not why_missing("native"):
    from ws_load_test.engine.native.reactor import find_markers

OF_THE_MACHINE = {"loop_lag_ns", "resolve_time_ns", "write_blocked_ns", "read_lag_ns", "send_lag_ns", "bytes_received"}
"""Counts that depend on moments: how many reads there were, and when."""
FOREIGN = MarkerCodec(b"zzz").encode(0, 0, 0, 0)


@pytest.fixture(autouse=True)
def collected_garbage():
    """Undoes what an engine does to the garbage collector of its process."""
    yield
    gc.unfreeze()
    gc.enable()


def frame(payload):
    return frames.encode_frame(frames.TEXT, payload)


class Room:
    """A server that delivers what is published to all members, each publish in another way."""

    def __init__(self, *, greets):
        self.members, self.rooms, self.publishers = {}, {}, set()
        self.latest = self.held = b""
        self.lock = asyncio.Lock()
        self.greets = greets

    async def __call__(self, peer):
        await peer.upgrade()
        if self.greets:
            await peer.send_frame(frames.TEXT, b"hello")
        async for message in peer.messages():
            words = message.payload.split(b" ")
            if words[0] == b"join":
                self.members[int(words[1])], self.rooms[peer] = peer, words[2]
                await peer.send_frame(frames.TEXT, b"welcome")
            else:
                self.publishers.add(peer)
                async with self.lock:
                    await self.publish(int(words[0]), message.payload, sender=peer)

    async def publish(self, number, payload, *, sender):
        """Delivers a publish by its number: once, twice, behind the next, in one read with others, or in pieces.

        All come to all members in the end, whatever their room, and the last comes once: nothing is left to wait for.
        Those who are not to have it have it first, for the run ends as soon as all others have the last.
        """
        whole = frame(payload)
        halves = frames.encode_frame(frames.TEXT, payload[:20], fin=False) + frames.encode_frame(
            0, payload[20:], fin=True
        )
        ping = frames.encode_frame(frames.PING, b"there?")
        forms = {
            1: whole + whole,
            2: ping + halves,
            3: frame(b"a push") + whole + frame(b"of another run: " + FOREIGN),
            4: frame(b"quotes " + self.latest + b" and is " + payload),
            5: b"",
            7: frame(self.latest) + whole,
            8: frame(b"wABC" + payload + b"w" * 40),
            9: frames.encode_frame(frames.BINARY, bytes(300) + payload),
        }
        stream = forms.get(number % 11, whole) + self.held
        self.held = b"" if stream else whole
        self.latest = payload
        turns = [
            (
                peer is not sender and self.rooms[peer] == self.rooms[sender],
                peer not in self.publishers,
                connection,
                peer,
            )
            for connection, peer in self.members.items()
        ]
        for _, _, connection, peer in sorted(turns, key=lambda one: one[:3]):
            cut = (number * 7 + connection) % len(stream) if stream else 0
            for piece in (stream[:cut], stream[cut:]):
                if piece:
                    await peer.send_raw(piece)
                    await asyncio.sleep(0.001)


async def counts_of(engine_type, plan):
    """Runs a plan in an engine of this process. Returns all that it counted, by name, and the sessions lent."""
    engine = engine_type(plan, Shard(0, 1))
    lent = set()
    if engine_type.name == "native":
        lend = engine._pool.factory.lender.lend
        engine._pool.factory.lender.lend = lambda one: lend(one) and (lent.add(one.number) or True)
    await engine.open()
    now_ns = monotonic_ns()
    parts = []
    window = LoadWindow(now_ns, now_ns, None, LoadSwitch(), b"run")
    engine.start(window, lambda phase, at_ns: parts.append(engine.collect()))
    await engine.wait()
    await engine.drain(engine.published)
    await engine.close()
    tally = Tally()
    for part in [*parts, engine.collect()]:
        tally.merge(part.tally)
    counted = {name: getattr(tally, name) for name in (*COUNT_FIELDS, *LABELED_FIELDS) if name not in OF_THE_MACHINE}
    for name in ("session_events", "delivery_group_time_us", "closed"):
        counted.pop(name, None)
    times = {name: getattr(tally, name).count for name in HISTOGRAM_FIELDS if name not in OF_THE_MACHINE}
    return {name: value for name, value in (counted | times).items() if value}, lent


@pytest.mark.parametrize(
    ("options", "lent"),
    [
        ({"publishers": 1, "subscribers": 4}, 5),
        ({"publishers": 2, "subscribers": 6, "rooms": 2}, 8),
        ({"everyone": True, "connections": 4, "self_delivery": "either"}, 4),
        ({"everyone": True, "connections": 3, "self_delivery": "excluded", "ignore": "contains:push"}, 3),
        ({"publishers": 1, "subscribers": 3, "skip_first": 1}, 4),
    ],
    ids=["one room", "two rooms, all deliveries to both", "everyone", "excluded", "greetings"],
)
def test_deliveries_are_counted_alike(options, lent):
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(Room(greets="skip_first" in options)) as server:
            plan = make_plan(
                server.url,
                workers=1,
                rate=100,
                messages=22,
                timeout="30s",
                first_message="join {connection} {room}",
                message="{seq} of {room}: {marker}",
                **options,
            )
            assert engine_type.unsupported(plan) == []
            counted, were_lent = run(counts_of(engine_type, plan))
            assert len(were_lent) == (lent if engine_type.name == "native" else 0)
            outcomes.append(counted)
            assert server.seen.violations == []
    portable, native = outcomes
    assert native == portable
    assert portable["sent"] == 22
    assert portable["deliveries"] > 0
    assert portable["deliveries_duplicate"] > 0
    assert portable["deliveries_foreign"] > 0


PIECES = st.sampled_from(
    [
        *(
            MarkerCodec(b"run").encode(*values)
            for values in ((0, 0, 0, 0), (14_776_335, 916_132_831, 62**8 - 1, 62**6 - 1), (7, 8, 9, 10))
        ),
        *(FOREIGN, MarkerCodec(b"ru0").encode(1, 2, 3, 4), MarkerCodec(b"run").encode(1, 2, 3, 4)[:-1]),
        *(b"wrun", b"w", b"run", b" ", b"a", b"0", b"\x00", "é".encode(), b"w" * 29, b"wrun0" + b"0" * 24),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=8), st.integers(0, 400), st.integers(0, 255))
@example([MarkerCodec(b"run").encode(0, 0, 0, 0)] * 2, 400, 0)
def test_markers_in_a_message_are_those_that_python_finds(pieces, place, byte):
    payload = bytearray(b"".join(pieces))
    if place < len(payload):
        payload[place] = byte
    payload = bytes(payload)
    found, is_foreign = find_markers(b"wrun", payload)
    markers, foreign = MarkerRecognizer(MarkerCodec(b"run")).recognize(payload)
    assert [(publisher, number, due, due + lag) for publisher, number, due, lag in found] == [
        tuple(one) for one in markers
    ]
    assert is_foreign == foreign


def test_fan_outs_that_need_more_are_refused_with_the_reason():
    native, room = ENGINES["native"](), {"rate": 1, "workers": 1, "message": "{seq} {marker}"}
    for options, words in (
        ({"everyone": True, "connections": 2, "match": "order"}, "await no replies"),
        ({"subscribers": 2, "marker": r"regex:(\d+)", "message": "{seq}"}, "{marker} alone"),
        ({"subscribers": 2, "reply_instant": "kernel"}, "of no deliveries"),
    ):
        (reason,) = native.unsupported(make_plan("ws://host/", **room | options))
        assert words in reason
    for options in ({"subscribers": 2}, {"subscribers": 2, "match": "order"}, {"everyone": True, "connections": 2}):
        assert native.unsupported(make_plan("ws://host/", **room | options)) == []
