"""Forks of the tests are the same programs as those that users start."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ws_load_test.fleet.worker_process import WorkerProcess


@pytest.fixture(autouse=True)
def _is_in_use(fork_server):
    if fork_server is None:
        pytest.skip("programs are not forked here")


def ended(prepare=lambda worker: None):
    """Returns how a worker ends that is prepared for its end, and what /proc says of it before."""

    def words_of(worker):
        return Path(f"/proc/{worker.pid}/cmdline").read_text()

    async def main():
        worker = await WorkerProcess.start()
        words = words_of(worker)
        prepare(worker)
        worker.close_stdin()
        return await worker.follow(lambda line: None), words

    return asyncio.run(main())


def killed(worker):
    os.kill(worker.pid, signal.SIGKILL)


def sent_nonsense(worker):
    # In place of an assignment.
    worker.send([])


@pytest.mark.parametrize("prepare", [lambda worker: None, killed, sent_nonsense])
def test_a_fork_ends_as_the_program_does(prepare, fork_server):
    forked, words = ended(prepare)
    assert "fork_server" in words
    fork_server.rests = True
    assert ended(prepare)[0] == forked


def test_a_fork_that_goes_on_is_noticed(fork_server):
    async def main():
        worker = await WorkerProcess.start()
        assert worker.pid in fork_server.living()
        worker.close_stdin()
        await worker.follow(lambda line: None)
        assert worker.pid not in fork_server.living()

    asyncio.run(main())
