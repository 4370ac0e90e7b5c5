"""Options that say where a run is carried out, and what is wrong with them."""

import pytest

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.fleet.cluster.spec import Cluster

HERE = "tcp://127.0.0.1:8786"


@pytest.fixture
def planned(monkeypatch):
    """The plan and the options of each run that was asked for."""
    found = []

    def take(plan, ours):
        found.append((plan, dict(ours)))
        return 0

    monkeypatch.setattr("ws_load_test.cli.run._run", take)
    return found


def test_a_cluster_is_beside_the_plan_and_workers_are_each_hosts(planned):
    files = ["--cluster-ca", "ca", "--cluster-cert", "c", "--cluster-key", "k"]
    assert main(["ws://h", "-w", "3", "-c", "9", "--cluster", "tls://s:1", "--hosts", "2", *files]) == 0
    assert main(["ws://h", "--cluster", "tcp://s:1", "--insecure-cluster", "--on-worker-lost", "stop"]) == 0
    assert main(["ws://h", "-w", "1"]) == 0
    (plan, ours), (_, other), (_, none) = planned
    assert plan.connections == 9
    assert ours["cluster"] == Cluster("tls://s:1", hosts=2, workers=3, ca="ca", cert="c", key="k")
    assert other["cluster"] == Cluster("tcp://s:1", insecure=True, on_worker_lost="stop")
    assert "cluster" not in none


def test_a_plan_file_may_name_it_too(planned, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f'url = "ws://h"\ncluster = "{HERE}"\nhosts = 4\nworkers = 2\n')
    assert main(["--plan", str(path), "--hosts", "5"]) == 0
    assert planned[0][1]["cluster"] == Cluster(HERE, hosts=5, workers=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hosts", "2"], "--hosts: needs a cluster; add --cluster ADDRESS"),
        (["--insecure-cluster"], "--insecure-cluster: needs a cluster"),
        (["--cluster", HERE, "--hosts", "0"], "--hosts: "),
        (["--cluster", HERE, "--hosts", "two"], "--hosts: "),
        (["--cluster", HERE, "-w", "-1"], "--workers: "),
        (["--cluster", HERE, "--on-worker-lost", "cry"], '--on-worker-lost: "cry" is neither continue nor stop'),
        (["--cluster", "tcp://10.0.0.1:8786"], "--insecure-cluster"),
        (["--cluster", "missing.json"], "neither an address nor a scheduler file that exists"),
        (["--cluster", HERE, "--probe"], "--cluster: a probe opens its one connection from this machine"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, said, planned, capsys):
    assert main(["ws://h", *words]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not planned


def test_all_problems_are_reported_at_once(planned, capsys):
    assert main(["ws://h", "--cluster", HERE, "--hosts", "x", "-w", "y", "--on-worker-lost", "z"]) == ExitCode.USAGE
    assert "3 problems" in capsys.readouterr().err
    assert not planned


@pytest.mark.parametrize(
    "line", ["cluster = 3", "hosts = true", "on-worker-lost = 3", 'insecure-cluster = "yes"', "cluster-ca = 3"]
)
def test_wrong_kinds_of_values_in_a_plan_file(line, planned, tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_text(f'url = "ws://h"\n{line}\n' + ("" if line.startswith("cluster =") else f'cluster = "{HERE}"\n'))
    assert main(["--plan", str(path)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert f"--{line.partition(' ')[0]}: " in err
    assert "Traceback" not in err
    assert not planned


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "cluster: there is one thing to do, for example ws-load-test cluster up --ssh host1,host2"),
        (["down"], "cluster: there is one thing to do"),
        (["up"], "--ssh: missing; name the hosts, for example --ssh host1,host2"),
        (["up", "--ssh", "a,a"], "--ssh: a is named twice"),
        (["up", "--ssh", "a", "--port", "x"], "--port"),
    ],
)
def test_a_cluster_that_cannot_be_meant(words, said, capsys):
    assert main(["cluster", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_explain_says_where(capsys):
    assert main(["ws://h", "--cluster", HERE, "--hosts", "3", "-w", "2", "--explain"]) == 0
    out = capsys.readouterr().out
    assert f"cluster      {HERE}, 3 of its hosts" in out
    assert "processes for each host: 2" in out
    assert out.count("workers") == 1
