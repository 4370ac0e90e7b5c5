"""Standard streams that are closed, full or left, and the signals that end a run."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ws_load_test.cli.signals import on_signals
from ws_load_test.common.errors import ExitCode

RECORDING = Path(__file__).parents[1] / "data" / "recordings_v1" / "closed.jsonl"
PROGRAM = f"{sys.executable} -m ws_load_test"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of Unix")


@pytest.mark.parametrize(
    ("streams", "code", "words"),
    [
        ("--help >&-", ExitCode.OUTPUT_FAILED, "standard output cannot be written: bad file descriptor\n"),
        ("--help >/dev/full", ExitCode.OUTPUT_FAILED, "standard output cannot be written: no space left on device\n"),
        ("--help >/dev/full 2>&-", ExitCode.OUTPUT_FAILED, ""),
        (f"report {RECORDING} --fail-if x <&- >&- 2>/dev/full", ExitCode.USAGE, ""),
        ("--help | true", ExitCode.OUTPUT_FAILED, ""),
    ],
)
def test_what_cannot_be_printed_is_a_sentence_and_an_exit_code(streams, code, words):
    # The status of the program, not of what reads its output.
    shell = f"set -o pipefail; {PROGRAM} {streams}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.removeprefix("ws-load-test: ")) == (code, words)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_run_in_order(name):
    number = getattr(signal, name)

    async def main():
        received = asyncio.Event()
        on_signals(received.set)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(received.wait(), 60)

    # The tests themselves may run under `nohup`.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        asyncio.run(main())
    finally:
        signal.signal(number, before)


def test_a_run_under_nohup_goes_on_without_its_terminal():
    async def main():
        received = asyncio.Event()
        on_signals(received.set)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        assert not received.is_set()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGHUP, before)
