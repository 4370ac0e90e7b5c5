"""Sessions that are lost, found again, renewed, cut off, and those of clients that behave badly."""

import asyncio
import csv

import pytest

from ws_load_test import make_plan
from ws_load_test.api import run
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

pytestmark = pytest.mark.every_engine

MS = 1_000_000


def total(result):
    """All intervals together."""
    tally = Tally()
    for interval in result.recording.intervals:
        tally.merge(Tally.from_record(interval.encoded_tally))
    return tally


def in_balance(summary):
    """Whether no message and no session is missing."""
    messages, connections = summary.messages, summary.connections
    return (
        messages.due == messages.sent + messages.dropped
        and messages.sent == messages.answered + messages.unanswered
        and connections.attempted == connections.opened + connections.failed + connections.cancelled
        and connections.opened == sum(connections.closed.values())
    )


@pytest.mark.parametrize(
    ("policy", "load"),
    [("now", {}), ("now", {"rate": 200}), ("50ms", {"rate": 200}), ("exponential:10ms..100ms", {"rate": 200})],
    ids=["now, closed loop", "now", "50ms", "exponential"],
)
def test_lost_sessions_are_dialled_again(policy, load):
    with FaultyServer(behaviors.closes_after(10, 4001, "that will do")) as server:
        duration = "1s" if load else "600ms"
        plan = make_plan(server.url, connections=3, duration=duration, reconnect=policy, workers=1, **load)
        summary = run(plan).summary
    connections = summary.connections
    assert connections.reconnected >= 1
    # What was being dialled at the end may have opened, or been called off, too late for either side to notice.
    assert 0 <= connections.opened - connections.reconnected - 3 <= 3
    assert 0 <= server.seen.upgraded - connections.opened <= 3
    assert summary.faults == {"closed:4001": connections.lost}
    assert connections.close_reasons == {"4001 that will do": connections.lost}
    assert 0 <= connections.lost - connections.reconnected <= 3
    assert in_balance(summary)
    if policy == "50ms":
        # Timers of the loop count milliseconds, and may be one early.
        assert summary.reconnect_time_ns.min >= 49 * MS


def test_lost_sessions_stay_lost_unless_a_policy_says_otherwise():
    with FaultyServer(behaviors.closes_after(10, 1012)) as server:
        summary = run(make_plan(server.url, connections=2, rate=100, duration="1s", workers=1)).summary
    assert server.seen.upgraded == 2
    assert summary.connections.reconnected == 0
    assert in_balance(summary)


def test_who_comes_back_to_a_dead_target_does_so_in_measure():
    refused = []

    async def once(peer):
        if refused:
            await behaviors.leaves_at_once(peer)
        else:
            refused.append(None)
            await behaviors.resets_after(1)(peer)

    with FaultyServer(once) as server:
        plan = make_plan(server.url, rate=100, duration="600ms", reconnect="now", workers=1)
        summary = run(plan).summary
    # At once means every ten milliseconds, not thousands of times a second.
    assert 2 < server.seen.accepted <= 62
    assert summary.connections.failed >= 1
    assert in_balance(summary)


def test_a_number_of_messages_ends_although_the_target_is_gone():
    first = []

    async def once(peer):
        if first:
            await behaviors.leaves_at_once(peer)
        else:
            first.append(None)
            await behaviors.resets_after(1)(peer)

    with FaultyServer(once) as server:
        plan = make_plan(server.url, messages=100, reconnect="now", connect_timeout="300ms", workers=1)
        summary = run(plan).summary
    assert summary.messages.due == 100
    assert in_balance(summary)


@pytest.mark.parametrize("load", [{"rate": 200}, {"in_flight": 3}], ids=["open loop", "closed loop"])
def test_a_lifetime_loses_nothing(load):
    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(server.url, connections=4, duration="800ms", lifetime="150ms", workers=1, **load)
        summary = run(plan).summary
    connections = summary.connections
    assert connections.recycled >= 4
    # What was being dialled at the end may have opened, or been called off, too late for either side to notice.
    assert 0 <= connections.opened - connections.recycled - 4 <= 4
    assert connections.opened <= server.seen.upgraded <= connections.opened + connections.cancelled
    assert connections.closed == {"1000": connections.opened}
    assert (connections.lost, summary.messages.unanswered, summary.faults) == (0, 0, {})
    assert summary.messages.answered == server.seen.messages
    assert in_balance(summary)


@pytest.mark.alone
def test_a_storm_is_reported_from_its_moment_to_the_last_one_back():
    slow = []

    async def slow_to_take_back(peer):
        slow.append(None)
        if len(slow) > 10:
            await asyncio.sleep(0.2)
        await behaviors.echoes(peer)

    with FaultyServer(slow_to_take_back) as server:
        plan = make_plan(server.url, connections=10, rate=200, duration="1500ms", disconnect="30%@500ms", workers=1)
        result = run(plan)
    summary = result.summary
    storm = summary.reconnect_storm
    assert (storm.disconnected, storm.not_back) == (3, 0)
    assert 200 * MS <= storm.back_time_ns.min <= storm.all_back_after_ns < 900 * MS
    assert storm.unanswered == summary.messages.unanswered
    # All are back by the end of the second, which has had three less meanwhile.
    measured = [one for one in result.recording.intervals if one.phase == "measured"]
    assert [one.encoded_tally.get("open_dip", 0) for one in measured] == [3, 0]
    assert summary.connections.lost == 0
    assert server.seen.upgraded == 13
    assert in_balance(summary)


def test_unkind_clients_are_in_no_number_but_their_own():
    async def pings_and_pushes(peer):
        await peer.upgrade()
        peer.answers_pings = False

        async def push():
            while True:
                await asyncio.sleep(0.02)
                await peer.send_frame(frames.PING, b"are you there")
                await peer.send_frame(frames.TEXT, b"n" * 2000)

        pushing = asyncio.create_task(push())
        try:
            async for message in peer.messages():
                await peer.reply(message)
        finally:
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)

    with FaultyServer(pings_and_pushes) as server:
        plan = make_plan(
            server.url,
            connections=8,
            rate=160,
            duration="1500ms",
            message="{uuid}",
            match="echo",
            slow_readers="12%:1kB/s",
            stalled_readers="12%",
            no_pong_clients="12%",
            timeout="800ms",
            workers=1,
        )
        result = run(plan)
    summary = result.summary
    tally = total(result)
    misbehaving = tally.misbehaving
    assert misbehaving is not None
    # Five healthy ones had every reply in time; what the three others lack is theirs.
    assert summary.messages.sent == summary.messages.answered == 150
    assert summary.faults == {}
    assert (misbehaving.sent, misbehaving.sent) == (90, misbehaving.answered + misbehaving.unanswered)
    assert misbehaving.unanswered >= 30
    # 1 kB/s: of 150 kB that were meant for the slow one, little more than what it asked for.
    assert summary.connections.opened == 8
    assert summary.misbehaving.messages.sent == 90
    # Those that hear and speak answered the pings: five of eight, the slow one now and then.
    assert len(server.seen.pongs) > 5 * 20


def test_each_connection_has_its_own_row_and_keeps_it(tmp_path):
    path = tmp_path / "tokens.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["token"], *([f"t0ken{number:05}"] for number in range(12))])
    with FaultyServer(behaviors.closes_after(5, 4000)) as server:
        plan = make_plan(
            server.url + "{connection}?access={feed.token}",
            connections=12,
            rate=240,
            duration="1s",
            feed=str(path),
            header="Authorization: Bearer {feed.token}",
            first_message="login {feed.token}",
            reconnect="now",
            workers=2,
        )
        result = run(plan, output=tmp_path / "run.jsonl")
    requests = [(request.headers["authorization"], request.target) for request in server.seen.requests]
    assert len(requests) > 24
    assert set(requests) == {(f"Bearer t0ken{number:05}", f"/{number}?access=t0ken{number:05}") for number in range(12)}
    assert {payload for payload in server.seen.payloads if payload.startswith(b"login")} == {
        b"login t0ken%05d" % number for number in range(12)
    }
    assert "t0ken" not in (tmp_path / "run.jsonl").read_text()
    assert "t0ken" not in repr(result.summary)


def test_a_secret_that_the_server_repeats_stays_one(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text("token\nt0psecret\n")

    async def blabs(peer):
        await peer.upgrade()
        await peer.send_frame(frames.CLOSE, frames.close_payload(4001, "no such token: t0psecret, h3ader"))
        await peer.until_gone()

    with FaultyServer(blabs) as server:
        plan = make_plan(
            server.url, duration="300ms", feed=str(path), bearer="{feed.token}", header="X-Api-Key: h3ader", workers=1
        )
        result = run(plan, output=tmp_path / "run.jsonl")
    written = (tmp_path / "run.jsonl").read_text() + repr(result)
    assert "no such token" in written
    assert "t0psecret" not in written
    assert "h3ader" not in written


def test_who_cannot_be_opened_before_the_load_is_dialled_again_from_its_start():
    tried = []

    async def the_second_time(peer):
        tried.append(None)
        await (behaviors.rejects(503) if len(tried) <= 2 else behaviors.echoes)(peer)

    with FaultyServer(the_second_time) as server:
        # Long enough for them to come back: two sessions alone would be done with a number of messages before that.
        plan = make_plan(server.url, connections=4, rate=400, duration="1s", reconnect="now", workers=2)
        summary = run(plan).summary
    assert summary.faults == {"upgrade-rejected:503": 2}
    assert (summary.connections.opened, summary.connections.reconnected) == (4, 0), "no session took another's place"
    assert summary.messages.answered == 400
    assert in_balance(summary)


def test_a_target_that_hangs_up_at_once_is_not_dialled_ever_faster():
    with FaultyServer(behaviors.closes_after(0, 1013)) as server:
        plan = make_plan(server.url, connections=2, rate=20, duration="1s", reconnect="100ms", workers=1)
        summary = run(plan).summary
    assert server.seen.accepted <= 2 + 2 * 11
    assert in_balance(summary)


def test_a_number_of_messages_ends_although_no_session_reconnects():
    with FaultyServer(behaviors.closes_after(3, 1001)) as server:
        summary = run(make_plan(server.url, messages=100, lifetime="10s", workers=1)).summary
    assert summary.messages.due == 100
    assert in_balance(summary)


def test_the_end_of_a_connection_that_is_read_slowly_is_noticed():
    with FaultyServer(behaviors.vanishes_after(3)) as server:
        plan = make_plan(server.url, connections=2, rate=40, duration="1s", slow_readers="50%:100kB/s", workers=1)
        result = run(plan)
    misbehaving = total(result).misbehaving
    assert misbehaving is not None
    assert misbehaving.lost == 1
    assert result.summary.connections.lost == 1


def test_a_target_that_reads_nothing_more_does_not_fill_the_memory():
    with FaultyServer(behaviors.never_reads) as server:
        plan = make_plan(server.url, rate=400, duration="1s", size="60kB", match="echo", timeout="400ms", workers=1)
        summary = run(plan).summary
    assert summary.messages.dropped > 100
    assert summary.connections.lost == 1
    assert "reply-timeout" in summary.faults
    assert in_balance(summary)


def test_a_number_of_messages_ends_although_no_session_ever_opens():
    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(
            server.url,
            messages=10,
            reconnect="now",
            first_message="let me in",
            expect_first="contains:welcome",
            connect_timeout="200ms",
            workers=1,
        )
        summary = run(plan).summary
    assert summary.messages.dropped == 10
    assert set(summary.faults) == {"check-failed:first-reply"}
    assert in_balance(summary)
