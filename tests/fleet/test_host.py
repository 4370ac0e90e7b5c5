"""What this machine cannot carry: said before anything is opened, and never blamed on the target."""

import json
import resource
import subprocess
import sys

import pytest

from ws_load_test import make_plan
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.fleet.preflight import host_check
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits, machine_info
from ws_load_test.testing import FaultyServer, behaviors

PROGRAM = [sys.executable, "-m", "ws_load_test"]


def run_with_open_files(soft, hard, *arguments):
    command = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    return subprocess.run(
        ["sh", "-c", command, "sh", *PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_soft_limit_is_raised_first():
    with FaultyServer(behaviors.echoes) as server:
        done = run_with_open_files(80, 400, server.url, "-c", "120", "-n", "120", "-w", "1", "--json")
    assert done.stderr == ""
    assert done.returncode == 0
    assert json.loads(done.stdout)["connections"]["opened"] == 120


def test_beyond_the_hard_limit_there_is_one_clear_error_and_nothing_opened(tmp_path):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviors.echoes) as server:
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
    with FaultyServer(behaviors.echoes) as server:
        done = run_with_open_files(164, 164, server.url, "-c", "150", "-w", "2", "-n", "150", "--json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_limit_that_suffices_is_left_alone(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 2000))
    set_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    check_and_raise_limits(make_plan("ws://h", connections=900, workers=1))
    assert set_to == []
    check_and_raise_limits(make_plan("ws://h", connections=1900, workers=1))
    assert set_to == [(1964, 2000)]
    with pytest.raises(HostError):
        check_and_raise_limits(make_plan("ws://h", connections=1937, workers=1))
    check_and_raise_limits(make_plan("ws://h", connections=1937, workers=2))


def test_a_limit_that_root_may_not_set_either_has_two_settings(monkeypatch, tmp_path):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    monkeypatch.setattr(host_check, "_NR_OPEN", tmp_path / "nr_open")
    (tmp_path / "nr_open").write_text("1064\n")
    for connections, remedy in (
        (1000, "raise the limit with `ulimit -Hn 1064` as root"),
        (1001, "raise the limit with `sysctl -w fs.nr_open=1065` and `ulimit -Hn 1065` as root"),
    ):
        shortage = host_check.check_open_files(make_plan("ws://h", connections=connections, workers=1))
        assert shortage.remedies == (remedy,)


def test_what_a_system_refuses_in_spite_of_its_limits_is_reported(monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(HostError, match=r"1,064 open files; .*kern\.maxfilesperproc=1064.*-w"):
        check_and_raise_limits(make_plan("ws://h", connections=1000, workers=1))


def test_no_limit_at_all_suffices(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check_and_raise_limits(make_plan("ws://h", connections=10**6, workers=1))


def test_a_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"--cacert: cannot use .* it holds no PEM certificates"):
        check_and_raise_limits(make_plan("wss://h", cacert=str(tmp_path / "ca.pem")))


def test_says_what_machine_it_is():
    assert machine_info().keys() >= {"system", "machine", "python", "cores"}
    assert machine_info()["cores"] >= 1
