"""No test may leave anything behind, and the folders that take longest come first."""

import asyncio
import gc
import os
import sys
import time
import zlib

import pytest
from hypothesis import settings

from fork_server import ENGINE, ForkedEcho, ForkedWorker, ForkServer, prefer
from pauses import repeated_after_pauses
from ws_load_test.common import event_loop
from ws_load_test.echo.process import EchoProcess
from ws_load_test.engine import registry
from ws_load_test.engine.registry import ENGINES, why_missing, why_no_io_uring
from ws_load_test.fleet.worker_process import WorkerProcess
from ws_load_test.testing import leaks
from ws_load_test.worker.ipc import LONGEST_REPORT_BYTES

# How long an example takes says more about what else runs on the machine.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")

GRACE_S = 10.0
"""Seconds in which a test releases what it has taken: on a busy machine, other processes have most of them."""
LONGEST_FIRST = ("cluster", "cli", "recipes", "engine", "fleet", "live")
"""Folders in the order in which processes that share the tests take them: what is short fills the gaps at the end."""
SHARE_ON_PORTABLE = 5
"""One in so many of the tests of `every_engine` runs in the portable engine as well, without those that run alone."""


def pytest_generate_tests(metafunc):
    """Has tests of `every_engine` run in all that are built, as far as `TEST_ENGINE` says (CONTRIBUTING.md)."""
    asked = os.environ.get(ENGINE, "")
    assert asked in {"", "every", *ENGINES}, f"{ENGINE}={asked}: write {', '.join(ENGINES)} or every"
    marks = metafunc.definition.iter_markers("parametrize")
    is_chosen = asked in ENGINES or any("engine" in mark.args[0] for mark in marks)
    if is_chosen or metafunc.definition.get_closest_marker("every_engine") is None:
        return
    names = [name for name in ENGINES if not why_missing(name)]
    if "native-epoll" in names and (why_no_io_uring() or not asked):
        names.remove("native-epoll")
    is_other = zlib.crc32(metafunc.definition.nodeid.encode()) % SHARE_ON_PORTABLE
    if not asked and (is_other or metafunc.definition.get_closest_marker("alone") is not None):
        return
    if len(names) > 1:
        metafunc.parametrize("engine", names, indirect=True)


def pytest_collection_modifyitems(items):
    place = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))
    for item in items:
        if item.get_closest_marker("alone") is not None:
            item.obj = repeated_after_pauses(item.obj)


def pytest_collection_finish():
    # A collection of garbage then looks at what tests have made, not at all modules and tests.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _loops_have_run():
    """The first loop of a process keeps a pipe for the process's life, which is no test's leak."""
    event_loop.run(asyncio.sleep(0))


@pytest.fixture(scope="session", autouse=True)
def fork_server():
    """Starts workers and echo servers as forks, except for tests of `real_programs`; None where it cannot be."""
    # A fork has no tracer of its own.
    if sys.platform != "linux" or any(name.startswith("COVERAGE") for name in os.environ):
        yield None
        return
    server = ForkServer()
    start, start_child = WorkerProcess.start, EchoProcess._start_child

    async def fork_worker():
        if server.rests:
            return await start()
        return WorkerProcess(await ForkedWorker.start(server, LONGEST_REPORT_BYTES))

    def fork_echo(words, descriptors):
        return start_child(words, descriptors) if server.rests else ForkedEcho(server, words, descriptors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerProcess, "start", fork_worker)
        patch.setattr(EchoProcess, "_start_child", staticmethod(fork_echo))
        yield server
    server.close()


@pytest.fixture(autouse=True)
def engine(request, monkeypatch):
    """The engine of plans that name none and that it can run: native where it is built, unless the test has another."""
    name = getattr(request, "param", os.environ.get(ENGINE))
    if name in ENGINES:
        if missing := why_missing(name):
            pytest.skip(missing)
        # Workers that are forked read it (`fork_server`); those that are programs take what users get.
        monkeypatch.setenv(ENGINE, name)
        monkeypatch.setattr(registry, "PREFERRED", registry.PREFERRED)
        prefer(name)


@pytest.fixture(autouse=True)
def _nothing_left_behind(_loops_have_run, fork_server, request):
    if fork_server is None:
        with leaks(GRACE_S):
            yield
        return
    fork_server.rests = request.node.get_closest_marker("real_programs") is not None
    before = fork_server.living()
    with leaks(GRACE_S):
        yield
    until = time.monotonic() + GRACE_S
    while left := set(fork_server.living()) - set(before):
        assert time.monotonic() < until, f"left behind: forks {left}"
        time.sleep(0.01)
