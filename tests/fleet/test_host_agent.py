"""The agent of a run on a host, without Dask: its replies and events, and its end without a driver."""

import asyncio
import os
import stat
from types import SimpleNamespace

import msgspec
import pytest

from ws_load_test import make_plan
from ws_load_test.common.errors import ExitCode
from ws_load_test.fleet import worker_process
from ws_load_test.fleet.cluster import file_store, host_agent, shipped_files
from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.worker.ipc import Command, Report

pytestmark = pytest.mark.real_programs

SECRET = "s3cr3t"


line = msgspec.json.encode


class Host:
    """The part of a Dask worker that the agent uses."""

    def __init__(self, directory):
        self.local_directory = str(directory)
        self.events = []
        self.periodic_callbacks = {name: SimpleNamespace(callback_time=20.0) for name in ("profile", "tick", "other")}

    def intervals(self):
        return [callback.callback_time for callback in self.periodic_callbacks.values()]

    def log_event(self, topic, message):
        assert topic == host_agent.TOPIC
        self.events.append(message)


def order(plan, *, workers=2, lease_ns=10**9, connections=None, run="r", ships=True):
    contents = shipped_files.read_all(plan)
    return host_agent.HostAssignment(
        driver="d",
        run=run,
        host=3,
        plan=msgspec.structs.replace(plan, workers=4),
        first_worker=1,
        workers=workers,
        interval_ns=10**8,
        lease_ns=lease_ns,
        machine_connections=connections or plan.connections,
        machine_workers=workers,
        shipment=shipped_files.shipment_name(plan, contents),
        files=contents if ships else None,
        tag="",
    )


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.01)


def test_a_run_on_a_host_from_its_assignment_to_its_end(tmp_path):
    async def go(server):
        host = Host(tmp_path)
        plan = make_plan(server.url, connections=8, messages=80, workers=1)
        answer = await host_agent.prepare(order(plan, lease_ns=10**10).sealed(), dask_worker=host)
        assert answer == {"problem": "", "sources": ()}
        [directory] = tmp_path.iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert host.intervals() == [1000, 1000, 20], "Dask is calm"
        assert await host_agent.launch("r") == {"problem": "", "sources": ()}
        decode = msgspec.json.Decoder(Report).decode
        lines = lambda: [decode(event["line"]) for event in host.events if "line" in event]  # noqa: E731
        await until(lambda: sum(getattr(one, "ready", False) for one in lines()) == 2)
        shares = LoadSwitch(messages=(20, 20, 20, 20))
        assert await host_agent.send("r", line(Command("start", host_agent.now_ns() + 10**7, switch=shares)))
        await until(lambda: sum(isinstance(one, LoadState) and one.waiting > 0 for one in lines()) >= 2)
        await host_agent.send("r", line(Command("switch", switch=LoadSwitch(exhausted=True))))
        await until(lambda: sum("ended" in event for event in host.events) == 2)
        await host_agent.shutdown("r")
        assert host.intervals() == [20, 20, 20]
        assert not await host_agent.send("r", line(Command("renew"))), "the host knows no such run any more"
        await host_agent.leave("d")
        return host.events

    with FaultyServer(behaviors.echoes) as server:
        events = asyncio.run(go(server))
        assert server.seen.messages == 40, "workers 1 and 2 of 4"
    assert [event["number"] for event in events] == list(range(len(events)))
    assert {(event["run"], event["host"]) for event in events} == {("r", 3)}
    assert {event["load_worker"] for event in events} == {1, 2}
    assert {event["ended"] for event in events if "ended" in event} == {"its process ended with code 0"}
    assert not list(tmp_path.iterdir())


def test_without_a_word_it_ends_itself_and_leaves_nothing(tmp_path):
    async def go(server):
        plan = make_plan(server.url, connections=8, duration=60, workers=1)
        await host_agent.prepare(order(plan).sealed(), dask_worker=Host(tmp_path))
        await host_agent.launch("r")
        run = host_agent._runs["r"]
        pids = [process.pid for process in run._workers.values()]
        await until(lambda: "r" not in host_agent._runs, 3)
        await run.shutdown()
        await until(lambda: not list(tmp_path.iterdir()), 3)
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert await host_agent.launch("r") == {"problem": "its lease has expired", "sources": ()}
        # Later calls are harmless.
        await host_agent.shutdown("r")
        await host_agent.kill_worker("r", 1)

    with FaultyServer(behaviors.echoes) as server:
        asyncio.run(go(server))


def test_a_stop_that_precedes_the_start_of_the_workers_stops_them(tmp_path):
    async def go(server):
        host = Host(tmp_path)
        plan = make_plan(server.url, connections=8, duration=60, workers=1)
        await host_agent.prepare(order(plan, lease_ns=10**10).sealed(), dask_worker=host)
        await host_agent.send("r", line(Command("stop")))
        await host_agent.launch("r")
        await until(lambda: sum("ended" in event for event in host.events) == 2)
        await host_agent.leave("d")
        assert "r" not in host_agent._runs
        assert not list(tmp_path.iterdir())

    with FaultyServer(behaviors.echoes) as server:
        asyncio.run(go(server))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bind": ["192.0.2.1"]}, "--bind: none of the 1 addresses named is one of this host"),
        ({"cacert": "ca.pem"}, '--cacert: cannot use "{directory}/cacert-ca.pem": it holds no PEM certificates'),
    ],
)
def test_what_it_cannot_do_it_says_and_is_gone(options, said, tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    (here / "ca.pem").write_text(SECRET)
    plan = make_plan("wss://127.0.0.1:1", workers=1, **options)
    answer = asyncio.run(host_agent.prepare(order(plan).sealed(), dask_worker=Host(there)))
    directory = answer["problem"].partition('"')[2].partition("/cacert")[0]
    assert answer["problem"].startswith(said.replace("{directory}", directory))
    assert SECRET not in answer["problem"]
    assert host_agent._runs == {}
    assert not list(there.iterdir())


def test_files_are_sent_once_for_all_runs_of_a_driver_and_again_if_they_change(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    host, feed = Host(there), here / "users.csv"

    def files():
        return sorted(path.read_text() for path in there.glob("*/*/feed-users.csv"))

    async def prepare(plan, run, *, ships=True):
        assignment = order(plan, run=run, ships=ships, lease_ns=4 * 10**8)
        return (await host_agent.prepare(assignment.sealed(), dask_worker=host))["problem"]

    async def go():
        feed.write_text("name\nann\n")
        plan = make_plan("ws://127.0.0.1:1", feed="users.csv", message="{feed.name}", workers=1)
        gone = "the plan's files were removed there, because the driver was silent for too long"
        assert await prepare(plan, "r", ships=False) == gone
        assert not list(there.iterdir())
        paths = set()
        for number in range(3):
            assert not await prepare(plan, f"r{number}", ships=number == 0)
            paths.add(host_agent._runs[f"r{number}"]._plan.message.feed.path)
            await host_agent.shutdown(f"r{number}")
        assert len(paths) == 1
        assert files() == ["name\nann\n"]
        feed.write_text("name\nbob\n")
        assert not await prepare(plan, "r4")
        assert host_agent._runs["r4"]._plan.message.feed.path not in paths
        assert files() == ["name\nann\n", "name\nbob\n"]
        await host_agent.shutdown("r4")
        # Between runs the driver keeps them; without a word of it they are removed.
        for _ in range(4):
            await asyncio.sleep(0.15)
            host_agent.renew_files("d")
        assert len(files()) == 2
        await until(lambda: not list(there.iterdir()), 3)
        assert not await prepare(plan, "r5")
        assert files() == ["name\nbob\n"]
        await host_agent.leave("d")
        assert host_agent._runs == host_agent._stores == {}

    monkeypatch.setattr(file_store, "_LEASE_CHECK_S", 0.02)
    asyncio.run(go())
    assert not list(there.iterdir())


def test_a_place_that_cannot_be_written_to_is_reported(tmp_path):
    plan = make_plan("ws://127.0.0.1:1", workers=1)
    answer = asyncio.run(host_agent.prepare(order(plan).sealed(), dask_worker=Host(tmp_path / "missing")))
    assert answer["problem"].startswith("cannot write the plan's files to ")
    assert answer["problem"].endswith(": No such file or directory")


def test_an_order_shows_nothing_of_itself():
    plan = make_plan("ws://h", bearer=SECRET, workers=1)
    sealed = order(plan).sealed()
    assert SECRET.encode() in sealed.data
    assert SECRET not in f"{sealed} {sealed!r} {(sealed,)} {vars(type(sealed))}"


def test_a_crash_tells_its_kind_and_no_more(tmp_path, monkeypatch):
    program = tmp_path / "worker"
    program.write_text(
        f"#!/bin/sh\nread line\necho 'ValueError: {SECRET}' >&2\nexit {int(ExitCode.THRESHOLD_FAILED)}\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(worker_process.sys, "executable", str(program))

    async def go():
        host = Host(tmp_path)
        await host_agent.prepare(order(make_plan("ws://127.0.0.1:1", workers=1), workers=1).sealed(), dask_worker=host)
        await host_agent.launch("r")
        await until(lambda: host.events)
        await host_agent.leave("d")
        return host.events

    [event] = asyncio.run(go())
    assert event["ended"] == "its process ended with code 1: ValueError"
