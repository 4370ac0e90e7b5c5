import contextlib
import subprocess
import sys

import pytest
from daskcluster import DaskCluster

from ws_load_test.echo import EchoProcess
from ws_load_test.testing import leaks

GRACE_S = 10.0
"""As in the conftest above."""
PROGRAM = (sys.executable, "-m", "ws_load_test")


@pytest.fixture(scope="session")
def echo():
    with EchoProcess() as server:
        yield server


@pytest.fixture(scope="session")
def four_hosts(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"), 4)
    yield cluster
    cluster.stop()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request):
    """As everywhere; but the hosts that a test before has killed are replaced first, for good."""
    if "cluster" in request.fixturenames:
        request.getfixturevalue("four_hosts").heal(4)
    with leaks(GRACE_S):
        yield


@pytest.fixture
def cluster(four_hosts):
    """Four hosts that are well."""
    return four_hosts


@pytest.fixture
def driver(tmp_path):
    """Starts the program on this machine, and ends it."""
    started = []

    def begin(*arguments):
        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            # In order first: `cluster up` has hosts elsewhere to end.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
