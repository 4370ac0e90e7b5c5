"""What this machine cannot carry: said before anything is opened, and never blamed on the target."""

import json
import resource
import shutil
import subprocess
import sys

import pytest

from ws_load_test import Plan
from ws_load_test.errors import HostError, UsageError
from ws_load_test.fleet.host import facts, prepare
from ws_load_test.testing import FaultyServer, behaviours

PROGRAM = [sys.executable, "-m", "ws_load_test"]


def run_with_open_files(soft, hard, *arguments):
    command = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    return subprocess.run(
        ["sh", "-c", command, "sh", *PROGRAM, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_soft_limit_is_raised_first():
    with FaultyServer(behaviours.echoes) as server:
        done = run_with_open_files(80, 400, server.url, "-c", "120", "-n", "120", "-w", "1", "--json")
    assert done.stderr == ""
    assert done.returncode == 0
    assert json.loads(done.stdout)["connections"]["opened"] == 120


def test_beyond_the_hard_limit_there_is_one_clear_error_and_nothing_opened(tmp_path):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviours.echoes) as server:
        done = run_with_open_files(100, 164, server.url, "-c", "1000", "-w", "2", "-o", str(path))
        assert server.seen.accepted == 0
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for words in (
        "--connections: 1,000 connections on 2 workers need 564",
        "hard limit is 164",
        "ulimit -Hn 564",
        "-w 10",
        "lower -c to 200",
    ):
        assert words in done.stderr
    assert not path.exists(), "nothing is touched"


def test_the_remedies_work():
    with FaultyServer(behaviours.echoes) as server:
        done = run_with_open_files(164, 164, server.url, "-c", "150", "-w", "2", "-n", "150", "--json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_limit_that_suffices_is_left_alone(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 2000))
    set_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    prepare(Plan.of("ws://h", connections=900, workers=1))
    assert set_to == []
    prepare(Plan.of("ws://h", connections=1900, workers=1))
    assert set_to == [(1964, 2000)]
    with pytest.raises(HostError):
        prepare(Plan.of("ws://h", connections=1937, workers=1))
    prepare(Plan.of("ws://h", connections=1937, workers=2))


def test_no_limit_at_all_suffices(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    prepare(Plan.of("ws://h", connections=10**6, workers=1))


def test_a_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"--cacert: cannot use .* it holds no PEM certificates"):
        prepare(Plan.of("wss://h", cacert=str(tmp_path / "ca.pem")))


def test_says_what_machine_it_is():
    assert facts().keys() >= {"system", "machine", "python", "cores"}
    assert facts()["cores"] >= 1


PORTS = 12
_IN_A_NAMESPACE = [
    "unshare",
    "-rn",
    "sh",
    "-c",
    f'ip link set lo up && echo "50000 {50000 + PORTS - 1}" >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"',
    "sh",
]


def _may_have_a_network():
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_IN_A_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


# The echo server must stand in the same network as its client, so one program runs both.
_FLOOD_INSIDE = """
import sys
from ws_load_test.cli import main
from ws_load_test.echo import EchoProcess
with EchoProcess(port=3001) as server:
    code = main([server.url, *sys.argv[1:]])
sys.exit(code)
"""


@pytest.mark.parametrize("how", ["--json", "-v=warn"])
def test_no_ports_left_is_this_machines_trouble(how):
    if not _may_have_a_network():
        pytest.skip("making a network namespace is not permitted here")
    command = [*_IN_A_NAMESPACE, sys.executable, "-c", _FLOOD_INSIDE, "-c", "30", "-n", "100", "-w", "1", how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    if how != "--json":
        assert "ip_local_port_range" in " ".join(done.stdout.split())
        assert "refused" not in done.stdout
        return
    summary = json.loads(done.stdout)
    connections = summary["connections"]
    assert summary["faults"] == {}
    assert (connections["attempted"], connections["opened"], connections["failed"]) == (30, PORTS, 30 - PORTS)
    assert summary["messages"]["answered"] == 100
    assert summary["generator"]["bound"]
    [reason] = summary["generator"]["reasons"]
    assert f"out-of-ports {30 - PORTS} times" in reason
    assert "ip_local_port_range" in reason
