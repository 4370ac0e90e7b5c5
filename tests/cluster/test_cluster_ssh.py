"""A cluster started by SSH: a real sshd on loopback, with keys of its own."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from daskcluster import children_of, is_running, until

from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.testing import free_port

pytest.importorskip("distributed")
pytest.importorskip("asyncssh")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(
    SSHD is None or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root and openssh-server"
)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory):
    """A configuration by which two names lead to this machine."""
    directory = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    port = free_port()
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {directory}/user.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"Subsystem sftp internal-sftp\n"
    )
    public = (directory / "host.pub").read_text().strip()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (directory / "config").write_text(
        f"Host one two\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {directory}/user\n"
        f"  UserKnownHostsFile {directory}/known_hosts\n"
        f"Host stranger\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {directory}/host\n"
        f"  UserKnownHostsFile {directory}/known_hosts\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", directory / "sshd_config"], stderr=subprocess.DEVNULL)
    yield directory / "config"
    server.terminate()
    server.wait()


def up(driver, *words):
    return driver("cluster", "up", *words)


def sessions():
    """Processes of clusters that were started by SSH."""
    found = subprocess.run(["pgrep", "-f", "distributed.cli.dask_spec"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split() if is_running(int(pid))]


def keys():
    """Directories with the keys of such clusters, here and on their hosts."""
    return {
        path for path in Path("/tmp").iterdir() if re.fullmatch(r"ws-load-test-(cluster-.*|[0-9a-f]{16})", path.name)
    }


def test_up_run_and_down(ssh, echo, driver):
    before = sessions()
    left = keys()
    cluster = up(driver, "--ssh", "one,two", "--ssh-config", ssh, "--port", free_port())
    first, second = cluster.stdout.readline(), cluster.stdout.readline()
    assert "the cluster is up" in first, cluster.communicate(timeout=60)
    words = shlex.split(second.replace("ws-load-test URL", ""))
    assert re.fullmatch(r"tls://[\d.]+:\d+", words[1])
    for number in (3, 5, 7):
        assert Path(words[number]).stat().st_mode & 0o077 == 0
    counted = echo.counts().messages
    process = driver(echo.url, "-n", 1000, "-c", 8, "-w", 1, "--hosts", 2, "--json", *words)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (ExitCode.PASSED, "")
    # Shares of one budget, which the hosts use up as fast as they can.
    shares = [host["answered"] for host in json.loads(out)["hosts"]]
    assert sum(shares) == 1000
    assert min(shares) > 100
    assert echo.counts().messages - counted == 1000
    assert len(keys() - left) == 2
    cluster.send_signal(signal.SIGINT)
    out, err = cluster.communicate(timeout=60)
    assert (cluster.returncode, err) == (ExitCode.PASSED, "")
    until(lambda: set(sessions()) <= set(before), what="the end of the cluster's processes")
    assert keys() <= left, "keys are gone, here and there"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ssh", "stranger"], "--ssh: stranger cannot be reached by SSH: permission denied"),
        (["--ssh", "one", "--remote-python", "/no/python"], "--ssh: the cluster does not start"),
    ],
)
def test_what_cannot_be_started_is_one_sentence(words, said, ssh, driver):
    process = up(driver, *words, "--ssh-config", ssh, "--port", free_port())
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.USAGE
    assert said in err
    assert "Traceback" not in err
    assert not children_of(process.pid)


def test_a_configuration_that_is_not_there(driver):
    process = up(driver, "--ssh", "one", "--ssh-config", "/no/config")
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.USAGE
    assert "--ssh-config: " in err


def test_names_of_hosts():
    from ws_load_test.fleet.cluster.ssh import read_names

    assert read_names(["one,two", " three "]) == ("one", "two", "three")
    with pytest.raises(UsageError, match="--ssh: one is named twice"):
        read_names(["one,two", "one"])
    with pytest.raises(UsageError, match="--ssh: missing; name the hosts"):
        read_names([","])
