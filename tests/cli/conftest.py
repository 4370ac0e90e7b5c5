"""The program as its users run it."""

import contextlib
import io
import logging
import os
import subprocess
import sys

import pytest

from ws_load_test.cli import main
from ws_load_test.echo import EchoProcess

PROGRAM = (sys.executable, "-m", "ws_load_test")


@pytest.fixture(scope="session")
def echo_url():
    """A well-behaved echo server in a process of its own."""
    with EchoProcess() as server:
        yield server.url


def run_here(words):
    """Runs the program in this process, which has imported everything; returns what a process of its own would."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in ("out", "err"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # Those of pytest would keep the program from having its own.
    root.handlers.clear()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    out_text, err_text = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(words, code, out_text, err_text)


@pytest.fixture
def program():
    """Runs the program to its end: in a process of its own only if there are options for it."""

    def run(*arguments, **options):
        words = [*map(str, arguments)]
        if not options:
            return run_here(words)
        settings = {"capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run([*PROGRAM, *words], check=False, **settings)

    return run


@pytest.fixture
def start():
    """Starts the program, and leaves nothing of it behind."""
    started = []

    def begin(*arguments, **options):
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        process = subprocess.Popen([*PROGRAM, *map(str, arguments)], start_new_session=True, **settings)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
