"""A Dask cluster of real processes on loopback, which tests may damage."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

AHEAD_S = 86_400
PR_SET_PDEATHSIG = 1
"""Request to be sent a signal when the parent ends (prctl of Linux)."""
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _shift():
    """What starts a program with another monotonic clock: a time namespace of Linux."""
    words = ("unshare", "--time", "--monotonic", str(AHEAD_S))
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return None if tried.returncode else words


SHIFT = _shift()
QUIET = {
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error",
    # What Dask measures of itself takes as much of a core as most of these runs.
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}


def end_with_parent():
    """Has this process end with the one that started it, however that ends; to be run between fork and exec."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition, timeout_s=60.0, what="it"):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in time"
        time.sleep(0.01)
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class DaskCluster:
    """A scheduler and some workers, each a host of its own to a run."""

    def __init__(self, directory, hosts, *options, tls=()):
        self.directory = directory
        self.file = directory / "scheduler.json"
        self.tls = tuple(tls)
        self.hosts = []
        scheme = "tls" if tls else "tcp"
        self._host = ("--host", f"{scheme}://127.0.0.1") if tls else ("--host", "127.0.0.1")
        arguments = (*self._host, "--port", "0", "--no-dashboard", "--scheduler-file", self.file)
        self.scheduler = self._start("dask_scheduler", *arguments, *options)
        until(self.file.exists, what="a scheduler")
        self.address = until(self._address, what="a scheduler file")
        self.heal(max(0, hosts - 1))
        # One whose clock is that of a machine which has been up for a day longer, where the system allows it.
        self.shifted = hosts > 0 and SHIFT is not None
        if hosts:
            self.heal(hosts, *(SHIFT or ()))

    def heal(self, hosts, *prefix):
        """As many workers as that, and all of them alive; a prefix is what starts the new ones."""
        for host in [host for host in self.hosts if host.poll() is not None]:
            self.hosts.remove(host)
            host.wait()
        wanted = hosts - len(self.hosts)
        arguments = (self.address, *self._host, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        where = ("--local-directory", self.directory, "--memory-limit", "0")
        started = [self._start("dask_worker", *arguments, *where, prefix=prefix) for _ in range(wanted)]
        self.hosts += started

    def worker_pids(self):
        """The processes of load of each host."""
        return [children_of(host.pid) for host in self.hosts]

    def stop(self):
        for process in (*self.hosts, self.scheduler):
            for child in children_of(process.pid):
                os.kill(child, signal.SIGKILL)
            if process.poll() is None:
                process.kill()
            process.wait()

    def _address(self):
        try:
            return json.loads(self.file.read_text())["address"]
        except ValueError:
            return None

    def _start(self, module, *arguments, prefix=()):
        words = [*prefix, sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments), *map(str, self.tls)]
        log = (self.directory / "log.txt").open("ab")
        with log:
            # Where no file of the driver's is.
            return subprocess.Popen(
                words,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **QUIET},
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it calls prctl, and nothing of Python
            )
