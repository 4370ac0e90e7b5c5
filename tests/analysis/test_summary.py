from collections import Counter

import msgspec
import pytest

from factories.printed import exit_code, summarize
from ws_load_test.analysis.aggregate import RunAggregator, aggregate
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    LostWorker,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally

SECOND = 10**9
LOAD = {"kind": "closed", "in_flight": 4}


def header(*, second=0, target="ws://a.example", workers=2, load=LOAD, plan=None):
    return Header(
        tool="ws-load-test 0.1.0",
        started_at=f"2026-03-01T12:00:{second:02}Z",
        plan={"load": load} if plan is None else plan,
        target=target,
        host={},
        workers=workers,
    )


def tally(*times, **counts):
    made = Tally(**{"due_when_sent": True, **counts})
    for time in times:
        made.response_time_ns.record(time)
    return made


def interval(made, index=1, *, phase="measured", measured_ns=None, from_ns=None, workers=()):
    if measured_ns is None:
        measured_ns = SECOND if phase == "measured" else 0
    from_ns = index * SECOND if from_ns is None else from_ns
    return Interval.of(
        made,
        index=index,
        phase=phase,
        from_ns=from_ns,
        to_ns=(index + 1) * SECOND,
        measured_ns=measured_ns,
        workers=workers,
    )


def recording(*intervals, head=None, interrupted=False, lost=(), killed=False):
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, lost_workers=tuple(lost), summary={})
    return Recording(head or header(), intervals, None if killed else trailer)


GOOD = recording(
    interval(tally(attempted=3, opened=2, failed=1, faults=Counter({"reset": 1})), 0, phase="opening"),
    interval(
        tally(5000, 7000, due=3, sent=3, answered=2, answered_in_window=2, bytes_sent=30, bytes_received=20),
        1,
        workers=[WorkerUsage(0, 900_000_000, SECOND), WorkerUsage(1, 100_000_000, SECOND)],
    ),
    interval(
        tally(
            9000,
            due=2,
            sent=1,
            dropped=1,
            answered=1,
            answered_in_window=1,
            closed=Counter({"1006": 1}),
            lost=1,
        ),
        2,
        workers=[WorkerUsage(0, 100_000_000, SECOND), WorkerUsage(1, 200_000_001, SECOND)],
    ),
    interval(
        tally(unanswered=1, pushed=4, surplus_replies=4, closed=Counter({"1000": 1})),
        3,
        phase="closing",
        workers=[WorkerUsage(1, 9 * SECOND, 9 * SECOND)],
    ),
)


def messages(**counts):
    words = ("due", "sent", "answered", "unanswered", "unawaited", "dropped", "pushed")
    words += ("duplicate_replies", "late_replies", "unknown_id", "out_of_order", "greetings")
    return {word: counts.get(word, 0) for word in words}


class TestOneRecording:
    def test_is_exactly_the_documented_object(self):
        summary = summarize([GOOD])
        times = summary["response_time_ns"]
        assert list(times)[:5] == ["count", "min", "mean", "stdev", "max"]
        assert (times["count"], times["min"], times["mean"], times["max"]) == (3, 5000, 7000, 9000)
        expected = {
            "schema": 2,
            "tool": "ws-load-test 0.1.0",
            "name": "",
            "target": "ws://a.example",
            "load": LOAD,
            "command": "",
            "started_at": "2026-03-01T12:00:00Z",
            "duration_s": 2.0,
            "interrupted": False,
            "connections": {
                "attempted": 3,
                "opened": 2,
                "failed": 1,
                "cancelled": 0,
                "lost": 1,
                "reconnected": 0,
                "recycled": 0,
                "tls_resumed": 0,
                "closed": {"1000": 1, "1006": 1},
                "close_reasons": {},
            },
            "messages": messages(due=5, sent=4, answered=3, unanswered=1, dropped=1, pushed=4),
            "warmup": {"sent": 0, "answered": 0},
            "bytes": {"sent": 30, "received": 20, "pushed": None, "uncompressed_sent": 0, "uncompressed_received": 0},
            "throughput_per_s": 1.5,
            "response_time_ns": times,
            "service_time_ns": times,
            "streams": None,
            "fanout": None,
            "sessions": None,
            "roles": [],
            "steps": [],
            "on": [],
            "connect_time_ns": None,
            "opening": {
                "resolve_time_ns": None,
                "tcp_time_ns": None,
                "proxy_time_ns": None,
                "tls_time_ns": None,
                "upgrade_time_ns": None,
                "first_reply_time_ns": None,
                "first_replies": 0,
                "not_granted": {},
                "left_out_by_redirects": {},
                "failed_addresses": {},
            },
            "reconnect_time_ns": None,
            "reconnect_storm": None,
            "waves": [],
            "nodes": None,
            "traces": None,
            "misbehaving": None,
            "unanswered_wait_ns": None,
            "keepalive_time_ns": None,
            "faults": {"reset": 1},
            "warnings": [
                (
                    "4 messages came too many (7 for the 4 sent), and replies are paired in order: pushes were probably"
                    " taken for replies, so the pairing is not to be trusted, and every response time may be wrong;"
                    " tell replies by their id with --match json:PATH, --match regex:PATTERN or --match echo, or say"
                    " what a push is with --ignore CHECK; that is 2 for each session: if these are greetings,"
                    " --skip-first 2 is enough"
                ),
                "the percentiles lack 1 unanswered message: read the highest ones as lower bounds",
                "all percentiles rest on fewer than 10 of 3 answers, so chance decides: run longer",
            ],
            "generator": {
                "workers": 2,
                "engines": [],
                "cpu_share": 0.5,
                "send_lag_ns": None,
                "saturated": False,
                "reasons": [],
                "lost": [],
                "start_spread_ns": None,
            },
            "hosts": [],
            "verdict": {"passed": True, "reason": None, "why": None, "checks": []},
        }
        # As text, so that the order of the keys is compared too.
        assert msgspec.json.encode(summary) == msgspec.json.encode(expected)

    def test_leaves_the_recording_as_it_was(self):
        assert summarize([GOOD]) == summarize([GOOD])

    def test_a_run_that_measured_nothing_has_no_throughput(self):
        summary = summarize([recording(interval(tally(attempted=1, failed=1), 0, phase="opening"))])
        assert summary["throughput_per_s"] is None
        assert summary["duration_s"] == 0
        assert summary["generator"]["cpu_share"] is None
        assert summary["response_time_ns"] is None
        assert summary["verdict"]["passed"] is False

    def test_messages_of_a_killed_run_are_unanswered_or_dropped(self):
        killed = recording(interval(tally(opened=1, due=10, sent=8, answered=5, dropped=1)), killed=True)
        summary = summarize([killed])
        assert summary["messages"] == messages(due=10, sent=8, answered=5, unanswered=3, dropped=2)
        assert summary["interrupted"] is True
        assert summary["verdict"]["passed"] is False

    def test_failings_of_this_machine_are_reasons_with_their_remedy(self):
        failing = tally(opened=1, host_errors=Counter({"too-many-open-files": 12, "gremlins": 1}))
        generator = summarize([recording(interval(failing))])["generator"]
        assert generator["saturated"] is True
        assert len(generator["reasons"]) == 2
        assert "too-many-open-files 12 times: raise the limit" in generator["reasons"][0]
        assert generator["reasons"][1].endswith("gremlins once")

    def test_what_the_digest_knows_need_not_be_read_again(self, monkeypatch):
        gathered = RunAggregator()
        for one in GOOD.intervals:
            gathered.add_interval(one)
        expected = summarize([GOOD])
        monkeypatch.setattr(Interval, "tally", property(lambda self: pytest.fail("decoded again")))
        assert summarize([GOOD], aggregate([GOOD], [gathered])) == expected

    def test_reading_a_digest_changes_nothing(self):
        killed = recording(interval(tally(due=10, sent=8, answered=5)), killed=True)
        gathered = RunAggregator()
        gathered.add_interval(killed.intervals[0])
        for _ in range(2):
            summary = summarize([killed], aggregate([killed], [gathered]))
            assert (summary["messages"]["unanswered"], summary["messages"]["dropped"]) == (3, 2)
        assert gathered.tally == killed.intervals[0].tally

    def test_warm_up_and_waits_are_reported_apart(self):
        made = tally(5000, sent=3, answered=1, unanswered=2, warmup_sent=7, warmup_answered=6)
        made.unanswered_wait_ns.record(9000, 2)
        made.keepalive_time_ns.record(300)
        summary = summarize([recording(interval(made))])
        assert summary["warmup"] == {"sent": 7, "answered": 6}
        assert summary["unanswered_wait_ns"]["min"] == 9000
        assert summary["keepalive_time_ns"]["count"] == 1

    def test_an_open_load_stands_there_as_the_plan_has_it(self):
        load = {"kind": "open", "rate": {"stages": ({"duration_ns": SECOND, "start": 5.0, "end": 5.0},)}}
        load |= {"arrivals": "poisson", "seed": 7, "max_in_flight": None}
        assert summarize([recording(head=header(load=load))])["load"] == load

    @pytest.mark.parametrize("load", [{"kind": "telepathy", "depth": 2}, {"in_flight": 1}, "none", None])
    def test_a_load_of_another_version_is_kept_as_it_was_recorded(self, load):
        unknown = {"kind": "unknown", "recorded": load}
        assert summarize([recording(head=header(load=load))])["load"] == unknown
        mixed = [recording(head=header(load=one)) for one in (load, LOAD, load)]
        assert summarize(mixed)["load"] == {"kind": "mixed", "loads": [unknown, LOAD]}

    def test_faults_come_most_frequent_first(self):
        faults = Counter({"b": 1, "c": 2, "a": 1})
        assert list(summarize([recording(interval(tally(faults=faults)))])["faults"]) == ["c", "a", "b"]


def times(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


class TestSessions:
    def test_every_phase_of_opening_has_its_times(self):
        rooms = ("resolve", "tcp", "proxy", "tls", "upgrade", "first_reply")
        made = tally(first_replies=7)
        for number, room in enumerate(rooms, 1):
            setattr(made, f"{room}_time_ns", times(*[1000 * number] * number))
        opening = summarize([recording(interval(made, 0, phase="opening"))])["opening"]
        assert list(opening)[:7] == [*(f"{room}_time_ns" for room in rooms), "first_replies"]
        assert [opening[f"{room}_time_ns"]["count"] for room in rooms] == [1, 2, 3, 4, 5, 6]
        assert [opening[f"{room}_time_ns"]["max"] for room in rooms] == [1000, 2000, 3000, 4000, 5000, 6000]
        assert opening["first_replies"] == 7

    def test_sessions_that_follow_others_and_what_targets_say(self):
        made = tally(
            opened=9, reconnected=4, recycled=3, tls_resumed=2, close_reasons=Counter({"1011 b": 1, "1013 a": 5})
        )
        made.reconnect_time_ns = times(700, 900)
        summary = summarize([recording(interval(made))])
        connections = summary["connections"]
        assert [connections[word] for word in ("opened", "reconnected", "recycled", "tls_resumed")] == [9, 4, 3, 2]
        assert list(connections["close_reasons"].items()) == [("1013 a", 5), ("1011 b", 1)]
        assert summary["reconnect_time_ns"]["max"] == 900

    def test_every_count_of_messages_and_bytes(self):
        made = tally(
            duplicate_replies=1, late_replies=2, unknown_id=3, out_of_order=4, greetings=5, pushed=6, pushed_bytes=60
        )
        made.uncompressed_bytes_sent, made.uncompressed_bytes_received = 70, 80
        summary = summarize([recording(interval(made))])
        assert summary["messages"] == messages(
            duplicate_replies=1, late_replies=2, unknown_id=3, out_of_order=4, greetings=5, pushed=6
        )
        assert summary["bytes"] == {
            "sent": 0,
            "received": 0,
            "pushed": 60,
            "uncompressed_sent": 70,
            "uncompressed_received": 80,
        }

    def test_pushes_that_were_merely_counted_have_no_known_size(self):
        assert summarize([recording(interval(tally(pushed=3)))])["bytes"]["pushed"] is None
        assert summarize([recording(interval(tally()))])["bytes"]["pushed"] == 0


def storm(*back, dropped=3, connect=()):
    return tally(
        storm_disconnected=dropped,
        storm_unanswered=2,
        storm_recovery_time_ns=times(*back),
        connect_time_ns=times(*connect),
    )


class TestStorm:
    def test_all_are_back_when_the_last_one_is(self):
        made = recording(
            interval(tally(connect_time_ns=times(9_000_000)), 0, phase="opening"),
            interval(storm(100, connect=[50]), 1),
            interval(storm(400, 300, dropped=0, connect=[80]), 2),
            interval(tally(connect_time_ns=times(8_000_000)), 3),
        )
        found = summarize([made])["reconnect_storm"]
        stats = found.pop("back_time_ns")
        assert found == {
            "disconnected": 3,
            "back": 3,
            "not_back": 0,
            "all_back_after_ns": 400,
            # Of the dials at that time, not of all of them.
            "worst_connect_ns": 80,
            "unanswered": 4,
        }
        assert (stats["count"], stats["p50"]) == (3, 300)

    def test_as_long_as_one_is_missing_not_all_are_back(self):
        found = summarize([recording(interval(storm(100, 200)))])["reconnect_storm"]
        assert (found["back"], found["not_back"], found["all_back_after_ns"]) == (2, 1, None)
        nobody = summarize([recording(interval(storm()))])["reconnect_storm"]
        assert (nobody["not_back"], nobody["back_time_ns"], nobody["worst_connect_ns"]) == (3, None, None)

    def test_storms_of_several_recordings_add_up(self):
        one, two = (recording(interval(storm(*back, connect=back))) for back in ((1, 2, 900), (3, 4, 5)))
        for order in ([one, two], [two, one]):
            found = summarize(order)["reconnect_storm"]
            assert (found["disconnected"], found["all_back_after_ns"], found["worst_connect_ns"]) == (6, 900, 900)


class TestUnkind:
    def plan(self):
        return {
            "load": LOAD,
            "connections": 40,
            "misbehaving": {"slow_reader": 0.1, "slow_reader_bytes_per_s": 9.0, "no_pong": 0.02},
        }

    def test_they_are_in_no_other_number(self):
        aside = tally(70_000, due=5, sent=5, answered=1, answered_in_window=1, lost=2, bytes_sent=50, pushed=1)
        aside.faults["closed:1008"] += 2
        aside.closed["1008"] += 2
        made = tally(5000, due=3, sent=3, answered=3, answered_in_window=3, misbehaving=aside)
        summary = summarize([recording(interval(made), head=header(plan=self.plan()))])
        assert summary["messages"] == messages(due=3, sent=3, answered=3)
        assert (summary["throughput_per_s"], summary["faults"], summary["response_time_ns"]["max"]) == (3.0, {}, 5000)
        found = summary["misbehaving"]
        assert found.pop("response_time_ns")["max"] == 70_000
        assert found == {
            "connections": {
                "slow_reader": 4,
                "stalled_reader": 0,
                "no_pong": 1,
                "lost": 2,
                "closed": {"1008": 2},
            },
            # What was in flight when the last word came is unanswered here, too.
            "messages": messages(due=5, sent=5, answered=1, unanswered=4, pushed=1),
            "bytes": {"sent": 50, "received": 0},
            "faults": {"closed:1008": 2},
        }

    def test_a_plan_that_cannot_be_read_has_no_numbers(self):
        head = header(plan={"load": LOAD, "misbehaving": {"slow_reader": "much"}})
        assert (
            summarize([recording(interval(tally(misbehaving=tally())), head=head)])["misbehaving"]["connections"][
                "slow_reader"
            ]
            == 0
        )


def run_of(second, *, seconds=4, first=1, **options):
    intervals = [interval(tally(opened=1, answered_in_window=8), first + k) for k in range(seconds)]
    return recording(*intervals, head=header(second=second, **options))


class TestSeveralRecordings:
    def test_machines_that_ran_together_share_their_time(self):
        summary = summarize([run_of(10), run_of(10)])
        assert (summary["duration_s"], summary["throughput_per_s"]) == (4.0, 16.0)
        assert summarize([run_of(10), run_of(12)])["duration_s"] == 6.0
        # One inside the other, given in either order.
        assert summarize([run_of(10, seconds=8), run_of(12)])["duration_s"] == 8.0
        assert summarize([run_of(12), run_of(10, seconds=8)])["duration_s"] == 8.0

    def test_repeats_add_their_times(self):
        summary = summarize([run_of(30), run_of(10)])
        assert (summary["duration_s"], summary["throughput_per_s"]) == (8.0, 8.0)
        assert summary["started_at"] == "2026-03-01T12:00:10Z"

    def test_times_count_from_where_the_measuring_began(self):
        assert summarize([run_of(10, first=5), run_of(14, first=1)])["duration_s"] == 4.0

    def test_an_interval_measured_in_part_is_measured_at_its_end(self):
        late = recording(interval(tally(), 1, measured_ns=SECOND // 2), interval(tally(), 2), head=header(second=0))
        other = recording(interval(tally(), 2, measured_ns=SECOND), head=header(second=0))
        assert summarize([late])["duration_s"] == 1.5
        assert summarize([late, other])["duration_s"] == 1.5

    def test_everything_else_adds_up(self):
        one, two = summarize([GOOD]), summarize([GOOD, GOOD])
        assert two["messages"] == {name: 2 * count for name, count in one["messages"].items()}
        assert two["response_time_ns"]["count"] == 6
        assert two["generator"]["workers"] == 4

    def test_workers_of_two_machines_are_different_ones_though_they_have_the_same_numbers(self):
        idle, busy = (
            recording(interval(tally(), workers=[WorkerUsage(0, cpu_ns, SECOND)])) for cpu_ns in (0, SECOND // 2)
        )
        for order in ([idle, busy], [busy, idle]):
            assert summarize(order)["generator"]["cpu_share"] == 0.5

    def test_differences_are_all_named(self):
        other = {"kind": "closed", "in_flight": 1}
        summary = summarize([run_of(10), run_of(20, target="ws://b.example", load=other), run_of(30)])
        assert summary["target"] == "ws://a.example, ws://b.example"
        assert summary["load"] == {"kind": "mixed", "loads": [LOAD, other]}

    def test_one_bad_recording_spoils_the_verdict(self):
        lost = recording(interval(tally(opened=1)), lost=[LostWorker(0, "gone", 1)])
        for bad in (lost, recording(interrupted=True), recording(killed=True)):
            assert summarize([GOOD, bad])["verdict"]["passed"] is False
        assert summarize([GOOD, lost])["interrupted"] is False
        assert summarize([GOOD, recording(killed=True)])["interrupted"] is True

    def test_one_killed_recording_does_not_hide_in_the_sum(self):
        killed = recording(interval(tally(due=4, sent=4)), killed=True)
        odd = recording(interval(tally(sent=0, unanswered=4)))
        assert summarize([killed, odd])["messages"]["unanswered"] == 8

    def test_none_is_refused(self):
        with pytest.raises(ValueError, match="at least one"):
            summarize([])


class TestExitCode:
    def summary(self, *, opened=1, passed=True, interrupted=False, saturated=True):
        made = summarize([GOOD])
        made["generator"]["saturated"] = saturated
        made["connections"]["opened"] = opened
        made["verdict"]["passed"] = passed and bool(opened)
        if not opened:
            made["verdict"]["reason"] = "nothing-opened"
        return made | {"interrupted": interrupted}

    @pytest.mark.parametrize(
        ("facts", "lost", "expected"),
        [
            ({}, 0, ExitCode.PASSED),
            ({"passed": False}, 0, ExitCode.THRESHOLD_FAILED),
            ({"passed": False, "opened": 0}, 0, ExitCode.NOTHING_OPENED),
            ({"passed": False, "opened": 0}, 1, ExitCode.WORKER_LOST),
            ({"passed": False, "opened": 0, "interrupted": True}, 1, ExitCode.INTERRUPTED),
        ],
    )
    def test_the_reason_that_spoils_most_wins(self, facts, lost, expected):
        assert exit_code(self.summary(**facts), lost) is expected

    @pytest.mark.parametrize(
        ("facts", "lost", "expected"),
        [
            ({}, 0, ExitCode.GENERATOR_BOUND),
            ({"saturated": False}, 0, ExitCode.PASSED),
            ({"passed": False}, 0, ExitCode.THRESHOLD_FAILED),
            ({"opened": 0}, 0, ExitCode.NOTHING_OPENED),
            ({}, 1, ExitCode.WORKER_LOST),
            ({"interrupted": True}, 0, ExitCode.INTERRUPTED),
        ],
    )
    def test_saturation_comes_last(self, facts, lost, expected):
        assert exit_code(self.summary(**facts), lost, fail_if_saturated=True) is expected

    def test_passed_is_what_zero_means(self):
        lost = recording(interval(tally(opened=1)), lost=[LostWorker(0, "gone", 1)])
        for made in (GOOD, lost, recording(), recording(interrupted=True), recording(killed=True)):
            summary = summarize([made])
            lost_workers = len(made.trailer.lost_workers) if made.trailer else 0
            assert summary["verdict"]["passed"] == (exit_code(summary, lost_workers) == 0)
