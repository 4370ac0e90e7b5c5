"""Runs on real Dask clusters: counted at the target, and damaged in every way that a process can be."""

import asyncio
import json
import os
import signal
import time
from collections import Counter

import msgspec
import pytest
from daskcluster import AHEAD_S, DaskCluster, is_running, until

from ws_load_test.common.errors import ExitCode
from ws_load_test.fleet.cluster import host_agent
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.worker.ipc import IntervalReport, Report

distributed = pytest.importorskip("distributed")


def finish(process, timeout_s=45):
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def told(cluster):
    """What the workers of all runs have said, as the scheduler keeps it."""

    async def ask():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            return [event for _, event in await client.get_events(host_agent.TOPIC)]

    return asyncio.run(ask())


def counted(server, before):
    return server.counts().messages - before.messages


def load_processes(cluster):
    return [pid for pids in cluster.worker_pids() for pid in pids]


def test_exactly_as_many_messages_as_asked_and_every_report_in_the_recording(cluster, echo, driver, tmp_path):
    before, known = echo.counts(), len(told(cluster))
    path = tmp_path / "run.jsonl"
    load = ("-c", 37, "-n", 20_000, "-r", "8k/s")
    process = driver(echo.url, *load, "--cluster", cluster.file, "--hosts", 4, "-o", path, "--json")
    code, out, err = finish(process)
    assert (code, err) == (ExitCode.PASSED, "")
    summary = json.loads(out)
    assert counted(echo, before) == 20_000
    assert [summary["messages"][name] for name in ("due", "sent", "answered")] == [20_000] * 3
    recording = read_recording(path)
    merged, own, parts = Tally(), Tally(), Tally()
    for interval in recording.intervals:
        merged.merge(interval.tally)
        for part in interval.hosts:
            parts.merge(Tally.from_record(part.record))
    lines = [msgspec.json.decode(event["line"], type=Report) for event in told(cluster)[known:] if "line" in event]
    reports = [line for line in lines if isinstance(line, IntervalReport)]
    for report in reports:
        own.merge(Tally.from_wire(report.tally))
    assert len(reports) >= 12
    assert merged.to_record() == own.to_record(), "the recording is the sum of what the workers said"
    assert (parts.sent, parts.answered) == (20_000, 20_000)
    assert parts.response_time_ns.to_record() == own.response_time_ns.to_record()

    hosts = recording.header.hosts
    assert [(host.first_worker, host.workers) for host in hosts] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert len({host.name for host in hosts}) == 4
    # One machine, so the clocks are the same one, but for one that is a day ahead; by how much that is wrong is known.
    truth_ns = sorted([0, 0, 0, AHEAD_S * 10**9 if cluster.shifted else 0])
    for host, ahead_ns in zip(sorted(hosts, key=lambda host: host.clock_ahead_ns), truth_ns, strict=True):
        assert abs(host.clock_ahead_ns - ahead_ns) <= host.clock_error_ns < 10**9
    # All the same they began together, and their seconds are the same ones.
    assert 0 <= summary["generator"]["start_spread_ns"] < 10**9
    assert all(0 <= interval.to_ns - interval.from_ns < 5 * 10**9 for interval in recording.intervals)
    until(lambda: not load_processes(cluster), what="the end of the load's processes")


def until_loaded(cluster, server, before):
    """Waits until every host has a process of load, and the load runs; returns these processes."""
    until(lambda: all(cluster.worker_pids()), what="workers on each host")
    until(lambda: counted(server, before) > 200, what="the load")
    return cluster.worker_pids()


def test_processes_killed_and_stopped_and_hosts_killed_and_stopped_are_each_reported_and_the_last_host_goes_on(
    cluster, echo, driver, tmp_path
):
    before, path = echo.counts(), tmp_path / "run.jsonl"
    words = ["-c", 8, "-w", 2, "-r", 800, "-d", "7s", "--hosts", 4]
    process = driver(echo.url, *words, "--cluster", cluster.file, "--json", "-o", path)
    pids_by_host = until_loaded(cluster, echo, before)
    _, gone, stopped, _ = cluster.hosts
    os.kill(pids_by_host[0][0], signal.SIGKILL)
    os.kill(pids_by_host[0][1], signal.SIGSTOP)
    gone.kill()
    stopped.send_signal(signal.SIGSTOP)
    at_s = time.monotonic()
    # Their dead host cannot hold them, and their stopped one cannot end them.
    until(lambda: not any(map(is_running, pids_by_host[1])), what="the end of the dead host's processes")
    until(lambda: not any(map(is_running, pids_by_host[2])), what="the end of the stopped host's processes")
    assert time.monotonic() - at_s > 3, "their lease ended them"
    try:
        code, out, err = finish(process)
    finally:
        stopped.send_signal(signal.SIGCONT)
    assert code == ExitCode.WORKER_LOST
    summary, recording = json.loads(out), read_recording(path)
    lost = summary["generator"]["lost"]
    assert Counter(one["reason"] for one in lost) == {
        "its process was killed (SIGKILL)": 1,
        "it was silent for 4 s": 1,
        "the Dask worker on its host is gone": 2,
        "its host was silent for 3 s": 2,
    }
    assert {one["share"] for one in lost} == {1 / 8}
    began_ns = next(one.from_ns for one in recording.intervals if one.phase == "measured")
    late_ns = {one["reason"]: one["at_ns"] - began_ns for one in lost}
    assert late_ns["its host was silent for 3 s"] > max(3 * 10**9, late_ns["its process was killed (SIGKILL)"])
    assert err.count("lost:") == 4
    told = [one for interval in recording.intervals for one in interval.lost_workers or ()]
    assert told == list(recording.trailer.lost_workers)
    # The last host did all of its part, and nobody's part was done by another one, or twice.
    names = {one["host"] for one in lost}
    assert len(names) == 3
    [alone] = [row for row in summary["hosts"] if row["name"] not in names]
    assert alone["sent"] == alone["answered"] == 1400
    assert summary["messages"]["answered"] <= counted(echo, before)
    assert 6.9 < summary["duration_s"] < 15
    until(lambda: not load_processes(cluster), what="the end of what was stopped")
    until(lambda: echo.counts().open == 0, what="the end of all connections")


def test_the_others_stop_when_they_are_to(cluster, echo, driver):
    before = echo.counts()
    words = ["-c", 4, "-r", 400, "-d", "60s", "--on-worker-lost", "stop", "--hosts", 4]
    process = driver(echo.url, *words, "--cluster", cluster.file)
    pids_by_host = until_loaded(cluster, echo, before)
    os.kill(pids_by_host[0][0], signal.SIGKILL)
    code, out, err = finish(process)
    assert code == ExitCode.WORKER_LOST
    assert "A worker was lost" in out
    assert "with 25 %" in out
    assert "the others stop" in err
    assert "interrupted" not in out
    until(lambda: not load_processes(cluster), what="the end of the load's processes")


def test_a_scheduler_that_dies_ends_the_run_and_its_load(echo, driver, tmp_path):
    cluster = DaskCluster(tmp_path, 2)
    try:
        before = echo.counts()
        process = driver(echo.url, "-c", 4, "-r", 400, "-d", "60s", "--hosts", 2, "--cluster", cluster.address)
        pids_by_host = until_loaded(cluster, echo, before)
        cluster.scheduler.kill()
        code, out, err = finish(process)
        assert code == ExitCode.WORKER_LOST
        assert "the cluster's scheduler is gone" in " ".join(out.split())
        assert "Traceback" not in err
        pids = [pid for pids_of_host in pids_by_host for pid in pids_of_host]
        until(lambda: not any(map(is_running, pids)), what="the end of the load's processes")
    finally:
        cluster.stop()


def test_a_driver_that_dies_takes_the_load_with_it_within_the_lease(cluster, echo, driver):
    before = echo.counts()
    process = driver(echo.url, "-c", 4, "-r", 400, "-d", "60s", "--hosts", 4, "--cluster", cluster.file)
    until_loaded(cluster, echo, before)
    process.kill()
    at_s = time.monotonic()
    until(lambda: not load_processes(cluster) and echo.counts().open == 0, 40, what="the end of the load")
    assert time.monotonic() - at_s > 2, "by its lease, and not by chance"
    scratch = cluster.directory / "dask-scratch-space"
    until(lambda: not list(scratch.glob("*/ws-load-test-*")), what="the end of the plan's files")


def test_ctrl_c_stops_all_hosts_within_a_second_and_reports(cluster, echo, driver):
    before = echo.counts()
    process = driver(echo.url, "-c", 8, "-r", 400, "-d", "60s", "--hosts", 4, "--cluster", cluster.file)
    until_loaded(cluster, echo, before)
    process.send_signal(signal.SIGINT)
    # A second is what it may take; the others are for a machine that has much else to do.
    until(lambda: echo.counts().open == 0, 30, what="the end of the load")
    code, out, _ = finish(process)
    assert code == ExitCode.INTERRUPTED
    assert "Partial: interrupted" in out
    until(lambda: not load_processes(cluster), what="the end of the load's processes")


def test_ctrl_c_twice_waits_for_no_host(cluster, echo, driver):
    before = echo.counts()
    process = driver(
        f"{echo.url}?silent=1", "-c", 8, "--timeout", "60s", "-d", "60s", "--hosts", 4, "--cluster", cluster.file
    )
    until(lambda: counted(echo, before) == 8, what="the load")
    process.send_signal(signal.SIGINT)
    assert "stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == ExitCode.INTERRUPTED
    until(lambda: not load_processes(cluster), what="the end of the load's processes")
