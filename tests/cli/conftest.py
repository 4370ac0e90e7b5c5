"""The program as its users run it."""

import os
import subprocess
import sys

import pytest

from ws_load_test.echo import EchoProcess

PROGRAM = (sys.executable, "-m", "ws_load_test")


@pytest.fixture(scope="session")
def echo_url():
    """A well-behaved echo server in a process of its own."""
    with EchoProcess() as server:
        yield server.url


@pytest.fixture
def program():
    """Runs the program to its end."""

    def run(*arguments, **options):
        settings = {"capture_output": True, "text": True, "timeout": 30, **options}
        return subprocess.run([*PROGRAM, *map(str, arguments)], check=False, **settings)

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
