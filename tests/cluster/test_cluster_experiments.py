"""Experiments on a real Dask cluster: joined once, over all hosts, and what happens when a host or a worker is lost."""

import asyncio
import json
import os
import signal

import pytest
from daskcluster import until

from ws_load_test import ab, find_capacity
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode, LostHostError
from ws_load_test.fleet.cluster.spec import Cluster
from ws_load_test.metrics.recording_file import read_recording

distributed = pytest.importorskip("distributed")


def events(cluster, action):
    """What the scheduler has noted of this kind, from the beginning."""

    async def ask():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            return [event for _, event in await client.get_events("all") if event["action"] == action]

    return asyncio.run(ask())


def pids_by_address(cluster):
    """The process of each Dask worker, in the order in which hosts are chosen."""

    async def ask():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            return sorted((await client.run(os.getpid)).items())

    return asyncio.run(ask())


def load_processes(cluster):
    return [pid for pids in cluster.worker_pids() for pid in pids]


def until_nothing_is_left(cluster, echo):
    until(lambda: not load_processes(cluster) and echo.counts().open == 0, what="the end of the load")
    until(lambda: not list(cluster.directory.glob("dask-scratch-space/*/ws-load-test-*")), 3, what="the end of files")


def test_rounds_of_ab_share_one_membership_and_say_how_many_hosts_ran_them(
    cluster, echo, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ws_load_test.experiments.ab.MIN_REPEATS", 2)
    (tmp_path / "users.csv").write_text("name\nann\nbob\n")
    before, joined = echo.counts().messages, len(events(cluster, "add-client"))
    words = ["--rounds", "2", "--round-duration", "200ms", "--warmup", "0", "-c", "4", "-r", "200", "--hosts", "2"]
    words += ["-m", "{feed.name}", "--feed", "users.csv", "-o", "kept", "--json", "--cluster", str(cluster.file)]
    assert main(["ab", echo.url, f"{echo.url}?delay=5ms", *words]) == ExitCode.PASSED
    assert json.loads(capsys.readouterr().out)["ab"]["generator"] == [{"round": 1, "workers": 2, "hosts": 2}]
    assert echo.counts().messages - before == 4 * 40
    # One of them is that of the first question here.
    assert len(events(cluster, "add-client")) - joined == 2
    recordings = [read_recording(path) for path in sorted((tmp_path / "kept").glob("*/*.jsonl"))]
    assert [len(recording.header.hosts) for recording in recordings] == [2] * 4
    assert all(sum(one.tally.sent for one in recording.intervals) == 40 for recording in recordings)
    until_nothing_is_left(cluster, echo)


def test_a_search_goes_on_over_the_hosts_that_are_left_and_says_so(cluster, echo, caplog):
    seen, (_, (_, second), *_) = [], pids_by_address(cluster)

    def on_step(step):
        seen.append(step)
        if len(seen) == 1:
            host = next(host for host in cluster.hosts if host.pid == second)
            host.kill()
            host.wait()

    found = find_capacity(
        echo.url,
        slo=["errors < 50%"],
        cluster=Cluster(str(cluster.file), hosts=2),
        connections=8,
        from_=200,
        max=200,
        warmup=0,
        cooldown=0,
        step_duration="250ms",
        max_step_duration="250ms",
        on_step=on_step,
    )
    assert [(step.outcome, step.generator.hosts, step.generator.workers) for step in seen] == [
        ("met", 2, 2),
        ("met", 1, 1),
    ]
    assert (found.lower, found.exit_code) == (200, ExitCode.PASSED)
    assert "was lost between two runs" in caplog.text
    until(lambda: not load_processes(cluster) and echo.counts().open == 0, what="the end of the load")


def test_a_lost_worker_ends_an_experiment_where_the_others_are_to_stop(cluster, echo):
    where = Cluster(str(cluster.file), hosts=2, on_worker_lost="stop")
    rounds = []

    def on_round(round_, result):
        rounds.append(result.summary.generator.lost)

    async def go():
        running = asyncio.create_task(asyncio.to_thread(measure))
        while len(load_processes(cluster)) < 2:  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)
        os.kill(load_processes(cluster)[0], signal.SIGKILL)
        await running

    def measure():
        ab(echo.url, echo.url, cluster=where, on_round=on_round, round_duration=60, connections=4, rate=100)

    with pytest.raises(LostHostError, match=r"was lost \(its process was killed \(SIGKILL\)\), and --on-worker-lost"):
        asyncio.run(go())
    assert [len(lost) for lost in rounds] == [1]
    until_nothing_is_left(cluster, echo)


@pytest.mark.parametrize("command", ["ab", "capacity"])
def test_ctrl_c_in_the_middle_of_a_round_or_step_leaves_nothing_on_any_host(command, cluster, echo, driver):
    before = echo.counts().messages
    words = {
        "ab": ["ab", echo.url, echo.url, "--round-duration", "60s", "-c", 8, "-r", 400],
        "capacity": ["capacity", echo.url, "--from", 400, "--step-duration", "60s"],
    }[command]
    process = driver(*words, "--cluster", cluster.file, "--hosts", 2)
    until(lambda: len(load_processes(cluster)) == 2 and echo.counts().messages > before + 200, what="the load")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in err
    if command == "capacity":
        assert "2 workers on 2 hosts" in out
    until_nothing_is_left(cluster, echo)
