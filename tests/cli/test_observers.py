"""What becomes of those who watch a run, however it ends; the run itself is none here."""

import asyncio
import contextlib
import threading
import time

import pytest

from ws_load_test import make_plan
from ws_load_test.api import Run
from ws_load_test.cli import main
from ws_load_test.cli import observers as room
from ws_load_test.cli import run as command
from ws_load_test.common.errors import ExitCode
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.metrics.recording import Host

URL = "ws://h.invalid/"


class Watching:
    """A watcher that tells what happens to it."""

    def __init__(self, name, told, fails=None, lingers_s=0.0):
        self.name, self.told, self.fails, self.lingers_s = name, told, fails, lingers_s
        self.over = threading.Event()

    def __call__(self, interval):
        self.told.append(f"{self.name} interval")

    def close(self):
        self.told.append(f"{self.name} closed")
        if self.fails is not None:
            raise self.fails

    def flush(self):
        self.told.append(f"{self.name} lingers")
        self.over.wait(self.lingers_s)


@pytest.fixture
def watch(monkeypatch):
    """Has runs watched by whom the test says; nobody lingers on when it is over."""
    watching = []

    def these(*some):
        watching.extend(some)
        monkeypatch.setattr(command, "watchers", lambda *_, **__: iter(some))

    yield these
    for one in watching:
        one.over.set()
    for thread in threading.enumerate():
        if thread.name == "lingering":
            thread.join(5)


@pytest.fixture
def fails(monkeypatch):
    """Has the fleet fail as it begins."""

    def with_this(error):
        async def run(self):
            raise error

        monkeypatch.setattr(LocalFleet, "run", run)

    return with_this


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("its own")])
def test_the_end_of_one_watcher_does_not_depend_on_another(error, watch, fails):
    told = []
    watch(Watching("metrics", told, error), Watching("view", told, error))
    fails(LookupError("the run's"))
    with contextlib.suppress(KeyboardInterrupt, RuntimeError):
        command.run(URL, {})
    assert told[:2] == ["view closed", "metrics closed"]


def test_an_error_is_not_withheld_while_others_are_waited_for(watch, fails, monkeypatch):
    told = []
    monkeypatch.setattr(room, "STOP_S", 0.1)
    watch(Watching("metrics", told, lingers_s=30))
    fails(LookupError("the run's"))
    begun = time.monotonic()
    with pytest.raises(LookupError, match="the run's"):
        command.run(URL, {})
    assert time.monotonic() - begun < 20
    assert told == ["metrics closed", "metrics lingers"]


def test_a_run_that_has_ended_is_lingered_for(watch, echo_url, capsys):
    told, watcher = [], None
    watcher = Watching("metrics", told, lingers_s=0.3)
    watch(watcher)
    begun = time.monotonic()
    assert main([echo_url, "-n", "5", "-w", "1", "-q"]) == ExitCode.PASSED
    assert time.monotonic() - begun > 0.3
    assert told[-2:] == ["metrics closed", "metrics lingers"]
    assert capsys.readouterr().err == ""


def test_what_was_made_is_closed_when_the_next_cannot_be(monkeypatch, fails):
    told = []

    def make(*_, **__):
        yield Watching("metrics", told)
        raise ReferenceError("no room")

    monkeypatch.setattr(command, "watchers", make)
    fails(AssertionError("it must not begin"))
    with pytest.raises(ReferenceError, match="no room"):
        command.run(URL, {})
    assert told == ["metrics closed", "metrics lingers"]


class Settled(LocalFleet):
    """A fleet that is another than was asked for, as one of a cluster is."""

    async def prepare(self):
        await super().prepare()
        self.plan = make_plan(URL, workers=6, connections=6)
        self.hosts = (Host(name="a", address="a", first_worker=0, workers=6, facts={"cores": 8}),)

    async def run(self):
        """Has nothing to do."""


def test_who_is_reported_first_gets_the_plan_that_is_run():
    got = []
    run = Run(make_plan(URL, workers=1), make_fleet=Settled, on_start=lambda *told: got.append(told))
    asyncio.run(run.execute())
    ((header, plan),) = got
    assert (plan.workers, header.workers, header.hosts[0].name) == (6, 6, "a")


def test_what_fails_before_the_start_leaves_an_older_recording(tmp_path):
    path = tmp_path / "older.jsonl"
    path.write_text("older")

    def fail(*_):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(Run(make_plan(URL), output=path, overwrite=True, make_fleet=Settled, on_start=fail).execute())
    assert path.read_text() == "older"
