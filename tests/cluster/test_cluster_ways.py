"""The way to a cluster: TLS and who may use it, versions, files, source addresses, and a scheduler that is idle."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from daskcluster import DaskCluster, until

from ws_load_test import make_plan, run
from ws_load_test.api import Run
from ws_load_test.common.certificates import CertificateAuthority
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.echo import EchoProcess
from ws_load_test.fleet.cluster.spec import Cluster
from ws_load_test.fleet.factory import fleet_factory

distributed = pytest.importorskip("distributed")
discovery = pytest.importorskip("ws_load_test.fleet.cluster.discovery")


def identity(directory, name, authority):
    certificate = authority.issue("localhost", "127.0.0.1", mutual=True)
    for suffix, pem in (("pem", certificate.certificate_pem), ("key", certificate.key_pem)):
        (directory / f"{name}.{suffix}").write_bytes(pem)
    (directory / f"{name}-ca.pem").write_bytes(authority.certificate_pem)
    return {"ca": f"{directory}/{name}-ca.pem", "cert": f"{directory}/{name}.pem", "key": f"{directory}/{name}.key"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return identity(tmp_path_factory.mktemp("ours"), "ours", CertificateAuthority())


@pytest.fixture(scope="module")
def shut(tmp_path_factory, ours):
    """A scheduler alone that speaks TLS."""
    tls = ("--tls-ca-file", ours["ca"], "--tls-cert", ours["cert"], "--tls-key", ours["key"])
    cluster = DaskCluster(tmp_path_factory.mktemp("shut"), 0, tls=tls)
    yield cluster
    cluster.stop()


@pytest.fixture
def secure(tmp_path, ours):
    tls = ("--tls-ca-file", ours["ca"], "--tls-cert", ours["cert"], "--tls-key", ours["key"])
    cluster = DaskCluster(tmp_path, 2, "--idle-timeout", "600 s", tls=tls)
    yield cluster
    cluster.stop()


async def shorten_idle_timeout(cluster, files, idle_s):
    """Has the scheduler end itself after so short a time, which it could not have while hosts were being started."""

    def shorten(dask_scheduler):
        dask_scheduler.idle_timeout = idle_s
        checking = dask_scheduler.periodic_callbacks["idle-timeout"]
        checking.stop()
        checking.callback_time = idle_s * 250
        checking.start()

    security = discovery._security(Cluster(cluster.address, **files), cluster.address)
    async with distributed.Client(
        cluster.address, security=security, asynchronous=True, set_as_default=False
    ) as client:
        await client.run_on_scheduler(shorten)


def test_over_tls_with_files_of_the_driver_longer_than_the_scheduler_may_be_idle(ours, tmp_path, monkeypatch, secure):
    monkeypatch.chdir(tmp_path)
    shortening = []

    def on_interval(interval):
        if interval.phase == "measured" and not shortening:
            shortening.append(asyncio.create_task(shorten_idle_timeout(secure, ours, 0.5)))

    with EchoProcess(tls=True) as echo:
        (tmp_path / "ca.pem").write_bytes(echo.ca_path.read_bytes())
        (tmp_path / "users.csv").write_text("name\nann\nbob\n")
        plan = make_plan(
            echo.url, connections=4, rate=30, duration=4, cacert="ca.pem", feed="users.csv", message="{feed.name}"
        )
        summary = run(plan, cluster=Cluster(secure.address, hosts=2, **ours), on_interval=on_interval).summary
        counts = echo.counts()
    assert shortening[0].done()
    assert shortening[0].exception() is None
    assert summary.verdict.passed
    assert summary.messages.answered == counts.messages == 30 * 4
    assert counts.bytes == 3 * counts.messages
    assert [host.answered for host in summary.hosts] == [counts.messages // 2] * 2
    # Now that nobody keeps it awake it goes, as it was told to, so the run was what kept it.
    until(lambda: secure.scheduler.poll() is not None, what="the scheduler's idle time-out")
    assert not list(Path(secure.directory).glob("dask-scratch-space/*/ws-load-test-*"))


def refusal(cluster):
    with pytest.raises((HostError, UsageError)) as caught:
        run(make_plan("ws://127.0.0.1:1", connect_timeout=1), cluster=cluster)
    return str(caught.value)


def test_foreign_certificates_are_refused_on_both_sides(shut, ours, tmp_path):
    theirs = identity(tmp_path, "theirs", CertificateAuthority())
    at_s = time.monotonic()
    assert "do not accept each other's certificates" in refusal(Cluster(shut.address, **theirs))
    # One who trusts the scheduler, and whom the scheduler does not know.
    assert "do not accept each other's certificates" in refusal(Cluster(shut.address, **{**theirs, "ca": ours["ca"]}))
    assert time.monotonic() - at_s < 25
    torn = {**ours, "key": theirs["key"]}
    assert "--cluster-cert: cannot use the files" in refusal(Cluster(shut.address, **torn))
    (tmp_path / "empty.pem").write_text("")
    assert "--cluster-cert: cannot use the files" in refusal(
        Cluster(shut.address, **{**ours, "ca": f"{tmp_path}/empty.pem"})
    )


def test_a_cluster_without_hosts_is_waited_for_and_reported(shut, ours, monkeypatch):
    monkeypatch.setattr(discovery, "HOST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(discovery, "HOSTS_TIMEOUT_S", 0.3)
    assert "no host has joined" in refusal(Cluster(shut.address, **ours))
    assert "0 of 3 hosts have joined" in refusal(Cluster(shut.address, hosts=3, **ours))


def test_another_version_is_one_sentence_before_anything_is_sent(cluster, monkeypatch):
    original = discovery.version
    monkeypatch.setattr(discovery, "version", lambda name: "9.9" if name == "ws-load-test" else original(name))
    text = refusal(Cluster(str(cluster.file), hosts=4))
    assert "has ws-load-test 0." in text
    assert "this machine 9.9 (and 3 more such differences)" in text
    assert "pip install 'ws-load-test[cluster]==9.9'" in text
    assert not any(cluster.worker_pids())


def test_differences_in_words():
    system = {"packages": {"python": "3.9.1.final.0", "ws-load-test": None, "distributed": "1"}}
    differ = discovery._version_differences({"the host h:1": system}, ("ws-load-test", "distributed"))
    assert differ[0].startswith("the host h:1 has Python 3.9, this machine 3.1")
    assert differ[1].startswith("the host h:1 has no ws-load-test, this machine ")
    assert differ[2].startswith("the host h:1 has distributed 1, this machine 20")


def test_source_addresses_are_each_hosts_own(cluster, echo):
    where = Cluster(str(cluster.file), hosts=2, workers=2)
    text = refusal_of(where, make_plan(echo.url, connections=4, messages=4, bind=["127.0.0.1", "192.0.2.9"]))
    assert text == "--bind: 192.0.2.9 is not an address of any host of the cluster"
    text = refusal_of(where, make_plan(echo.url, connections=4, messages=4, bind=["192.0.2.9"]))
    assert text.count("none of the 1 addresses named is one of this host") == 2
    assert text.startswith("the cluster cannot carry the plan:\n  host ")
    result = run(make_plan(echo.url, connections=8, messages=80, bind=["127.0.0.1", "127.0.0.2"]), cluster=where)
    assert result.summary.messages.answered == 80
    assert result.summary.generator.workers == 4


GAME = """
import pathlib
import wlt_texts
from ws_load_test import role

HERE = {here!r}

@role
async def player(session):
    for name in (__file__, wlt_texts.__file__):
        assert pathlib.Path(name).parent != pathlib.Path(HERE), "hosts have what was sent along"
    async for _ in session.iterations():
        await session.wait("20ms")
        reply = await session.exchange(wlt_texts.MOVE, until="json:id={{seq}}", name="move")
        print(reply.text)

@role
async def loser(session):
    async for turn in session.iterations():
        await session.exchange(wlt_texts.MOVE, until="json:id={{seq}}", name="move")
        if turn == 2:
            raise KeyError("lost")
"""


def test_code_of_roles_is_sent_along_and_fails_with_its_line(cluster, echo, tmp_path):
    (tmp_path / "wlt_texts.py").write_text('MOVE = \'{"op": "move", "id": {seq}}\'\n')
    (tmp_path / "wlt_game.py").write_text(GAME.format(here=str(tmp_path)))
    role = {name: {"sessions": 2, "python": f"{tmp_path / 'wlt_game.py'}:{name}"} for name in ("player", "loser")}
    role["heart"] = {
        "sessions": 2,
        "steps": [{"name": "beat", "wait": "20ms", "send": "b{seq}", "await": "contains:b{seq}"}],
    }
    before = echo.counts().messages
    result = run(make_plan(echo.url, role=role, duration=1, timeout=5), cluster=Cluster(str(cluster.file), hosts=2))
    summary = result.summary
    steps = {f"{step.role}/{step.name}": step for step in summary.steps}
    assert len(summary.hosts) == 2
    assert summary.faults == {"scenario-failed:KeyError": 2}
    (text,) = {text for one in result.recording.intervals for text in one.fault_examples.values()}
    assert text == "played by role \"loser\": wlt_game.py raises KeyError in line 22: 'lost'"
    assert {one.name: one.sessions.failed for one in summary.roles} == {"player": 0, "loser": 2, "heart": 0}
    assert steps["loser/move"].answered == 6
    assert min(steps["player/move"].answered, steps["heart/beat"].answered) > 0
    assert echo.counts().messages - before == summary.messages.sent == sum(step.sent for step in steps.values())


def refusal_of(where, plan):
    with pytest.raises((HostError, UsageError)) as caught:
        run(plan, cluster=where)
    return str(caught.value)


def test_a_recording_is_not_overwritten_where_no_cluster_is(tmp_path, cluster):
    path = tmp_path / "run.jsonl"
    path.write_text("kept")
    plan = make_plan("ws://127.0.0.1:1", bind="192.0.2.9")
    with pytest.raises(HostError):
        run(plan, output=path, overwrite=True, cluster=Cluster(str(cluster.file)))
    assert path.read_text() == "kept"
    until(lambda: not any(cluster.worker_pids()))


def test_a_caller_that_fails_gets_its_own_error_and_no_load_is_left(cluster, echo):
    def fail(interval):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(make_plan(echo.url, connections=4, duration=60), on_interval=fail, cluster=Cluster(str(cluster.file)))
    until(lambda: not any(cluster.worker_pids()))


def test_a_run_that_is_cancelled_leaves_no_load(cluster, echo):
    before = echo.counts()

    async def go():
        running = Run(
            make_plan(echo.url, connections=4, duration=60), make_fleet=fleet_factory(Cluster(str(cluster.file)))
        )
        task = asyncio.create_task(running.execute())
        while echo.counts().messages < before.messages + 100:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    until(lambda: not any(cluster.worker_pids()) and echo.counts().open == 0, 3)


def test_no_secret_is_in_what_the_cluster_keeps_or_logs(cluster, echo):
    secret = "s3cr3t-t0k3n-8f7a6b5c"
    log = Path(cluster.directory, "log.txt")
    plan = make_plan(f"{echo.url}?close=1011&after=3", connections=4, messages=40, bearer=secret, message=f"{secret}-m")
    run(plan, cluster=Cluster(str(cluster.file)))

    async def events():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            return await client.get_events()

    kept = repr(asyncio.run(events()))
    assert "ws-load-test" in kept
    assert secret not in kept
    assert secret not in log.read_text()
    for host in cluster.hosts:
        assert secret not in Path(f"/proc/{host.pid}/cmdline").read_text()
    assert os.getpid() not in [host.pid for host in cluster.hosts]
