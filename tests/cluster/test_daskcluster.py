"""The cluster of the tests leaves nothing behind, however they end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daskcluster import is_running, until

PARENT = """
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
from daskcluster import end_with_parent
options = {"stdout": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": end_with_parent}
print(subprocess.Popen(["sleep", "20"], **options).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_hosts_end_with_the_process_that_started_them():
    words = [sys.executable, "-c", PARENT, Path(__file__).parent]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not is_running(int(done.stdout)), 5, "the end of the host")
