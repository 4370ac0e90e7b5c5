"""An interval is decoded for nothing that follows a run: the coordinator has just merged its tallies."""

import asyncio
import dataclasses
import gc
import io
import statistics

import msgspec
import pytest

from factories.results import MILLI, SECOND, answers, interval, recording
from ws_load_test import make_plan
from ws_load_test.analysis.thresholds import AbortMonitor
from ws_load_test.api import Run
from ws_load_test.experiments.capacity.early_stop import EarlyStop
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.live.run_state import RunState
from ws_load_test.live.telemetry.publisher import MetricsPublisher
from ws_load_test.live.telemetry.snapshot import RunMetrics
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import Recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import FaultyServer, behaviors


@pytest.fixture
def decoded(monkeypatch):
    """The encoded tallies that were decoded, by whichever thread."""
    found, original = [], Tally.from_record.__func__

    def counted(cls, data):
        found.append(data)
        return original(cls, data)

    monkeypatch.setattr(Tally, "from_record", classmethod(counted))
    return found


def executed(server, on_interval, **options):
    """The recording of a short run on a schedule with two workers, in ten intervals and more."""
    plan = make_plan(server.url, rate=200, connections=2, duration="1s", workers=2, **options)
    run = Run(plan, on_interval=on_interval, interval_s=0.1)
    return asyncio.run(run.execute()).recording


def test_no_consumer_of_a_run_decodes_its_intervals(decoded):
    plan = make_plan("ws://h/", rate=200, duration="1s", workers=2)
    publisher = MetricsPublisher(RunMetrics(plan, "1"), [])
    state = RunState(plan)
    consumers = [publisher, ProgressLogger(plan, io.StringIO()), state.on_interval]
    early_stop = EarlyStop(plan, read_spec({"url": "ws://h/", "slo": "p99 < 1ms"}).objectives)
    before = []

    def follow(event):
        # Of the interval before, its condition `any` has been judged meanwhile.
        before.append(len(decoded))
        for consumer in consumers:
            consumer(event)
        early_stop.add_event(event)
        state.findings()

    with FaultyServer(behaviors.echoes) as server:
        made = executed(server, follow, abort_if=["p50 > 1m", "any max > 1m"])
    publisher.close()
    assert len(before) == len(made.intervals) > 10
    assert set(before) == {0}
    kept = {id(one.encoded_tally) for one in made.intervals}
    assert not [data for data in decoded if id(data) in kept], "in no thread, and not at the end either"
    assert state.tally.sent == 200


def test_a_condition_of_each_interval_takes_the_tally_as_it_was_merged():
    event = IntervalEvent.decode(interval(answers(MILLI)))
    damaged = msgspec.structs.replace(event.interval, encoded_tally={"nonsense": 1}, measured_ns=SECOND)
    event = dataclasses.replace(event, interval=damaged)
    plan = make_plan("ws://h/", abort_if=["any max > 1us"], abort_grace="0s", duration="9s")
    header = recording().header
    [found] = AbortMonitor.of(plan, Recording(header, ())).add_event(event, Tally())
    assert found.value == MILLI


def test_a_long_run_keeps_its_intervals_encoded():
    alive = []

    def count(_):
        alive.append(sum(type(one) is Tally for one in gc.get_objects()))

    with FaultyServer(behaviors.echoes) as server:
        made = executed(server, count)
    assert len(made.intervals) > 10
    # Other threads come and go with a few; a tally kept for each interval would add one each.
    early, late = statistics.median(alive[:5]), statistics.median(alive[-5:])
    assert late <= early + 4, "those of one interval"
