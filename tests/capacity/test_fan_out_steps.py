"""Searches of fan-outs: for a rate, and for subscribers, judged by deliveries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories.capacity import MILLI, SECOND, recorded, result_of
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.common.errors import PlanError
from ws_load_test.experiments.capacity.backlog import delivery_backlog_growth
from ws_load_test.experiments.capacity.bracketing import NextStep, Outcome, Purpose
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.experiments.capacity.step import evaluate_step
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.terminal.capacity import show_amount, step_line

BASE = {"url": "ws://h/", "message": "{marker}", "rate": 100, "find": "subscribers", "workers": 1}
SECONDS = 6


def aim(**options):
    return read_spec({name: value for name, value in {**BASE, **options}.items() if value is not None})


def second(sent=100, delivered=5000, expected=None, time_ns=MILLI):
    made = Tally(due=sent, sent=sent, deliveries_expected=delivered if expected is None else expected)
    made.deliveries, made.deliveries_missing = delivered, made.deliveries_expected - delivered
    made.delivery_time_ns.record(time_ns, delivered)
    return made


def step_of(*tallies, slo="reach > 90%"):
    plan = aim(slo=slo).plan(50)
    opening = Tally(attempted=51, opened=51)
    result, digest = result_of(recorded(plan, [opening, *tallies]))
    return evaluate_step(1, NextStep(50, Purpose.GROW), aim(slo=slo).objectives, result, digest=digest)


# --- Options ---


def test_subscribers_grow_at_the_rate_of_the_plan():
    spec = aim(publishers=3, rooms=4)
    assert [one.text for one in spec.objectives] == ["reach > 99.9%"]
    for amount in (8, 500):
        plan = spec.plan(amount)
        assert (plan.fan_out.subscribers, plan.connections, plan.load.rate.peak) == (amount, amount + 3, 100)
        assert spec.load_of(plan) == amount
    assert spec.show(1200) == "1,200 subscribers"
    assert show_amount(1200, "subscribers") == "1,200"
    assert spec.range.whole


def test_a_rate_is_that_of_all_publishers():
    spec = aim(find="rate", rate=None, subscribers=40)
    plan = spec.plan(250)
    assert (plan.connections, plan.load.rate.peak, spec.load_of(plan)) == (41, 250, 250)
    assert [one.text for one in spec.objectives] == ["reach > 99.9%"]


@pytest.mark.parametrize(
    ("slo", "subscribers", "seconds"),
    [
        # Of a p99 2,000 values: 20 deliveries of each of 100 messages, or one last of each.
        ("delivery.p99 < 50ms", 20, 5),
        ("delivery.p99.9 < 50ms", 4, 50),
        ("last.p99 < 50ms", 20, 20),
        ("reach > 99.9%", 2, 10),
        # Of a queue 800 deliveries.
        ("delivery.p50 < 50ms", 1, 8),
    ],
)
def test_a_step_is_as_long_as_its_deliveries_need(slo, subscribers, seconds):
    assert aim(slo=slo).plan(subscribers).duration_ns == seconds * SECOND


def test_problems():
    with pytest.raises(PlanError, match="write --find connections"):
        aim(everyone=True, connections=10)
    with pytest.raises(PlanError, match="add --rate or --stages"):
        aim(rate=None)
    with pytest.raises(PlanError, match="is what the search varies"):
        aim(subscribers=10)
    with pytest.raises(PlanError, match="take --find subscribers"):
        aim(find="connections", subscribers=10)


# --- Steps ---


def test_a_step_without_acknowledgements_is_judged_by_its_deliveries():
    step = step_of(*(second() for _ in range(SECONDS)), slo="delivery.p99 < 50ms")
    assert step.outcome is Outcome.MET
    assert (step.summary.reach, step.summary.delivery_time_ns.p99) == (1, MILLI)
    assert step.summary.times == step.summary.delivery_time_ns
    assert step.summary.errors == 0
    # Messages published, in the five seconds of a step.
    assert step.summary.achieved_per_s == pytest.approx(120)
    assert step_line(step.summary, "subscribers").endswith("met  p50 1 ms, p99 1 ms")
    slow = step_of(*(second(time_ns=60 * MILLI) for _ in range(SECONDS)), slo="delivery.p99 < 50ms")
    assert slow.outcome is Outcome.MISSED


def test_deliveries_that_come_later_and_later_are_a_queue():
    late = [second(delivered=5000 - 600 * index) for index in range(SECONDS)]
    step = step_of(*late)
    assert step.outcome is Outcome.MISSED
    (why,) = step.summary.behind
    assert why.startswith("the queue of deliveries on their way grew by ")


def test_deliveries_that_do_not_come_are_no_queue():
    lossy = [second(delivered=4950, expected=5000) for _ in range(SECONDS)]
    assert step_of(*lossy, slo="reach > 99.5%").summary.behind == []
    assert step_of(*lossy, slo="reach > 99.5%").outcome is Outcome.MISSED
    worse = step_of(*(second(delivered=4900, expected=5000) for _ in range(SECONDS)))
    assert worse.summary.behind == ["600 of the 30,000 deliveries, 2 %, did not come in time"]


@given(st.lists(st.integers(1, 10**4), min_size=3, max_size=12), st.integers(1, 50))
def test_what_comes_at_once_is_never_a_queue(sent, each):
    tallies = [second(count, count * each) for count in sent]
    digest = aggregate([recorded(aim().plan(50), [Tally(), *tallies])])
    assert delivery_backlog_growth(digest.recordings[0], digest.tally) is None
