"""Runs on several machines: a row for each, and each judged by itself."""

import msgspec
import pytest

from factories.printed import exit_code, summarize
from ws_load_test.analysis.aggregate import RunAggregator, aggregate
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.per_host import error_between_hosts, host_rows, start_skew_ns
from ws_load_test.common.clock_model import ClockComparison
from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.metrics.recording import Header, Host, Recording, Trailer, WorkerUsage
from ws_load_test.metrics.recording_file import RecordingWriter, read_recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.worker.ipc import IntervalReport

SECOND, MILLI = 10**9, 10**6
NAMES = ("alpha", "beta")


def report(second, worker=0, *, auto_replies=100, lag_ns=50_000, cpu=0.3, late_ns=0, deliveries=0, **more):
    tally = Tally(due=auto_replies, sent=auto_replies, answered=auto_replies, answered_in_window=auto_replies)
    tally.deliveries = deliveries
    for _ in range(auto_replies):
        tally.response_time_ns.record(MILLI)
        tally.service_time_ns.record(MILLI)
        tally.send_lag_ns.record(lag_ns)
    from_ns = (1 + second) * SECOND + late_ns
    return IntervalReport(
        phase="measured",
        index=second,
        from_ns=from_ns,
        to_ns=from_ns + SECOND,
        usage=WorkerUsage(worker, round(cpu * SECOND), SECOND),
        tally=tally.to_wire(),
        began_ns=0 if second else from_ns,
        **more,
    )


def opening(tcp_ns, worker=0):
    tally = Tally(attempted=1, opened=1)
    tally.tcp_time_ns.record(tcp_ns)
    tally.connect_time_ns.record(tcp_ns)
    return IntervalReport("opening", 0, 0, SECOND, WorkerUsage(worker, 0, SECOND), tally.to_wire(), ready=True)


def run_of(alpha, beta, *, seconds=6, lose_at=None, ended=True, clocks=(), start_offset_ns=9):
    """Two hosts with a worker each; `alpha` and `beta` say how their reports differ."""
    coordinator = Coordinator(2, 0, hosts=(0, 1))
    coordinator.add_start(1, start_offset_ns)
    for second, offset_ns in clocks:
        coordinator.add_clock(1, ClockComparison.of(second * SECOND, offset_ns, 100))
    events = coordinator.report(0, opening(2 * MILLI)) + coordinator.report(1, opening(40 * MILLI, 1))
    for second in range(seconds):
        events += coordinator.report(0, report(second, done=second == seconds - 1, **alpha))
        if second == lose_at:
            events += coordinator.lose(1, "its host was silent for 3 s", (1 + second) * SECOND)
        if lose_at is None or second < lose_at:
            events += coordinator.report(1, report(second, 1, done=second == seconds - 1, **beta))
    hosts = tuple(
        Host(
            name=name,
            address=f"tls://{name}:1",
            first_worker=place,
            workers=1,
            facts={"cores": 1},
            clock_ahead_ns=place * 7,
            clock_error_ns=3,
        )
        for place, name in enumerate(NAMES)
    )
    header = Header(
        tool="t",
        started_at="2026-03-01T12:00:00Z",
        plan={"load": {"kind": "open"}},
        target="ws://h",
        host={"cores": 8},
        workers=2,
        hosts=hosts,
    )
    lost = tuple(coordinator.lost)
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, lost_workers=lost, summary={})
    return Recording(header, tuple(event.interval for event in events), trailer if ended else None)


def test_comparisons_of_clocks_in_the_recording_say_how_they_drift():
    recording = run_of({}, {}, clocks=[(0, 0), (1, 10_000), (7, 70_000)])
    assert sum(len(interval.clocks or ()) for interval in recording.intervals) == 3
    [began] = [one for interval in recording.intervals for one in interval.hosts or () if one.start_offset_ns]
    assert (began.host, began.start_offset_ns, began.began_ns) == (1, 9, (SECOND, SECOND))
    [_, beta] = summarize([recording])["hosts"]
    assert beta["clock_ahead_ns"] == pytest.approx(10_000, abs=beta["clock_error_ns"])
    # 100 ns of the comparisons, and 0.1 ppm of wander in the 3 s from the nearest of them.
    assert beta["clock_error_ns"] <= 402
    assert beta["clock_drift_ppm"] == pytest.approx(10, abs=0.05)
    assert beta["clock_drift_error_ppm"] < 0.2
    # It began 9,991 ns too early and has gained 10 ppm for six seconds, which is in its instants; the other was
    # compared once, seven seconds before the end.
    assert 769_991 <= error_between_hosts(aggregate([recording])) < 770_491
    clock = aggregate([recording]).hosts[1].clock
    assert clock.offset_at(4 * SECOND).offset_ns == pytest.approx(40_000, abs=100)


def test_the_deliveries_of_a_fan_out_are_counted_for_each_host():
    recording = run_of({}, {"auto_replies": 0, "deliveries": 40})
    assert [row.deliveries_per_s for row in host_rows([recording], aggregate([recording]))] == [None, None]
    recording.header.plan["fan_out"] = {"subscribers": 4}
    assert [row.deliveries_per_s for row in host_rows([recording], aggregate([recording]))] == [0, 40]


def test_an_offset_by_which_a_host_began_wrongly_is_in_the_error_between_hosts():
    clocks = [(0, 0), (1, 0), (5, 0)]
    right, wrong = (run_of({}, {}, clocks=clocks, start_offset_ns=given) for given in (0, -30 * MILLI))
    errors = [error_between_hosts(aggregate([recording])) for recording in (right, wrong)]
    assert errors[1] - errors[0] == pytest.approx(30 * MILLI, abs=1000)


def test_a_row_for_each_host_with_what_was_its_own():
    recording = run_of({}, {"auto_replies": 50, "lag_ns": 90_000, "cpu": 0.6, "late_ns": 5 * MILLI})
    summary = summarize([recording])
    alpha, beta = summary["hosts"]
    assert [alpha[name] for name in ("name", "workers", "first_worker", "answered")] == ["alpha", 1, 0, 600]
    assert [beta[name] for name in ("name", "workers", "first_worker", "answered")] == ["beta", 1, 1, 300]
    assert (alpha["throughput_per_s"], beta["throughput_per_s"]) == (100, 50)
    assert (alpha["cpu_share"], beta["cpu_share"]) == (0.3, 0.6)
    assert (alpha["path_time_ns"], beta["path_time_ns"]) == (2 * MILLI, 40 * MILLI)
    assert beta["send_lag_ns"]["max"] == 90_000
    # One comparison at the start of the run, and up to 100 ppm of drift in the seven seconds after it.
    assert (beta["clock_ahead_ns"], beta["clock_drift_ppm"]) == (7, None)
    assert 700_000 < beta["clock_error_ns"] < 701_000
    assert (alpha["began_after_ns"], beta["began_after_ns"]) == (0, 5 * MILLI)
    assert summary["generator"]["start_spread_ns"] == 5 * MILLI
    assert summary["messages"]["answered"] == alpha["answered"] + beta["answered"]
    assert not alpha["saturated"]
    assert summary["verdict"]["passed"]


def test_a_host_that_is_late_does_not_hide_behind_others_that_are_not():
    recording = run_of({"auto_replies": 1000}, {"auto_replies": 100, "lag_ns": 30 * MILLI})
    digested = aggregate([recording])
    assert digested.tally.send_lag_ns.percentiles((50,))[0] < MILLI, "all together look well"
    [reason] = [reason for reason in diagnose([recording], digested) if reason.saturates]
    assert reason.text.startswith("host beta: half of the messages left more than 30 ms late")
    # The machine that led has 8 cores, and the one that is late has one.
    assert "use a machine with more cores" in reason.text
    alpha, beta = host_rows([recording], digested)
    assert (alpha.saturated, beta.saturated) == (False, True)


def test_what_all_hosts_suffer_is_reported_once():
    busy = {"cpu": 0.99}
    summary = summarize([run_of(busy, busy)])
    [reason] = summary["generator"]["reasons"]
    assert reason.startswith("host alpha and 1 more of 2: the worker used 99 % of a core")
    assert summary["generator"]["saturated"]


def test_a_lost_host_is_reported_with_its_share_and_since_when():
    recording = run_of({}, {}, lose_at=3)
    summary = summarize([recording])
    [lost] = summary["generator"]["lost"]
    assert lost == {
        "worker": 1,
        "host": "beta",
        "at_ns": 4 * SECOND,
        "share": 0.5,
        "reason": "its host was silent for 3 s",
    }
    alpha, beta = summary["hosts"]
    assert (alpha["lost_workers"], alpha["lost_since_ns"]) == (0, None)
    assert (beta["lost_workers"], beta["lost_since_ns"]) == (1, 4 * SECOND)
    assert (alpha["answered"], beta["answered"]) == (600, 300)
    assert exit_code(summary, 1) == 4
    told = [interval.index for interval in recording.intervals if interval.lost_workers]
    assert told == [3], "whoever watches hears of it with the first interval after it"


def test_a_recording_without_its_end_still_tells_who_was_lost():
    assert [one["host"] for one in summarize([run_of({}, {}, lose_at=2, ended=False)])["generator"]["lost"]] == ["beta"]


def test_a_recording_on_disk_says_the_same(tmp_path):
    recording = run_of({}, {"auto_replies": 7}, lose_at=4)
    with RecordingWriter(tmp_path / "run.jsonl") as writer:
        writer.write_header(recording.header)
        for interval in recording.intervals:
            writer.write_interval(interval)
        writer.write_trailer(recording.trailer)
    again = read_recording(tmp_path / "run.jsonl")
    assert again == recording
    assert summarize([again]) == summarize([recording])


def test_a_run_of_this_machine_alone_writes_nothing_of_hosts(tmp_path):
    coordinator = Coordinator(1, 0)
    [event] = coordinator.report(0, opening(1))
    first = event.interval
    header = Header(tool="t", started_at="2026-03-01T12:00:00Z", plan={}, target="ws://h", host={}, workers=1)
    assert b"host" not in msgspec.json.encode(first)
    assert b"lost" not in msgspec.json.encode(first)
    assert b"hosts" not in msgspec.json.encode(header)
    summary = summarize([Recording(header, (first,))])
    assert summary["hosts"] == summary["generator"]["lost"] == []
    assert summary["generator"]["start_spread_ns"] is None


def test_recordings_of_two_runs_have_a_row_for_each_host_of_each():
    one = run_of({}, {"late_ns": 3 * MILLI})
    other = msgspec.structs.replace(
        run_of({}, {"late_ns": 9 * MILLI}),
        header=msgspec.structs.replace(one.header, started_at="2026-03-01T13:00:00Z"),
    )
    digested = aggregate([one, other])
    assert [row.name for row in host_rows([one, other], digested)] == ["alpha", "beta"] * 2
    assert {row.first_worker for row in host_rows([one, other], digested)} == {None}
    assert start_skew_ns(digested) == 9 * MILLI


def test_a_part_of_a_host_that_there_is_not_is_damage():
    recording = run_of({}, {})
    with pytest.raises(ValueError, match="there is no host 1"):
        RunAggregator(recording.header.hosts[:1]).add_interval(recording.intervals[0])
