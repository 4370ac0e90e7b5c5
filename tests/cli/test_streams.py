"""Standard streams that are closed, full or left, and the signals that end a run."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ws_load_test.cli import report
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
        (
            f"report {RECORDING} | true",
            ExitCode.OUTPUT_FAILED,
            "standard output was closed by its reader, so that a part of the output is lost\n",
        ),
    ],
)
def test_what_cannot_be_printed_is_a_sentence_and_an_exit_code(streams, code, words):
    # The status of the program, not of what reads its output.
    shell = f"set -o pipefail; {PROGRAM} {streams}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.removeprefix("ws-load-test: ")) == (code, words)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_run_in_order(name):
    async def main():
        received = asyncio.Event()
        on_signals(received.set)
        os.kill(os.getpid(), getattr(signal, name))
        await asyncio.wait_for(received.wait(), 5)

    asyncio.run(main())


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_without_a_writer_is_mentioned(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(report, "PIPE_PATIENCE_MS", 1)
    path = tmp_path / "run.jsonl"
    os.mkfifo(path)
    with contextlib.ExitStack() as opened:
        report._mention_silent_pipe(str(path), opened)
        assert [one.message for one in caplog.records] == [
            f'report: "{path}" is a pipe into which nothing was written yet; waiting for it'
        ]
        caplog.clear()
        with path.open("w") as writer:
            writer.write("{}")
            writer.flush()
            report._mention_silent_pipe(str(path), opened)
    report._mention_silent_pipe(__file__, opened)
    report._mention_silent_pipe(str(tmp_path / "none"), opened)
    assert not caplog.records
