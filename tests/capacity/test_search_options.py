"""What is asked of a search: its options, and how long its steps must be."""

import pytest

from ws_load_test.common.errors import PlanError
from ws_load_test.experiments.capacity.search_options import (
    read_spec,
    refused_options,
)
from ws_load_test.plan.load import ClosedLoop, OpenLoop

SECOND = 10**9
URL = "ws://h:1/"


def aim(**options):
    return read_spec({"url": URL, **options})


def problems(**options):
    with pytest.raises(PlanError) as caught:
        aim(**options)
    return {problem.option: problem.text for problem in caught.value.problems}


def test_defaults():
    asked = aim()
    assert (asked.dimension, asked.range.first, asked.range.maximum, asked.range.precision) == ("rate", 100, None, 0.05)
    assert [one.text for one in asked.objectives] == ["errors < 0.1%"]
    plan = asked.plan(250)
    assert (plan.connections, plan.warmup_ns, plan.load.rate.peak) == (100, SECOND, 250)
    assert plan.slo == ("errors < 0.1%",)
    # The load goes on through the warm-up.
    assert plan.load.rate.duration_ns == plan.duration_ns + plan.warmup_ns


@pytest.mark.parametrize(
    ("slo", "rate", "options", "seconds"),
    [
        ("p99 < 50ms", 100, {}, 20),
        ("p99 < 50ms", 300, {}, 20 / 3),
        ("p99 < 50ms", 400, {}, 5),
        ("p99 < 50ms", 100_000, {}, 5),
        ("p1 < 50ms", 100, {}, 20),
        ("p99.9 < 50ms", 1000, {}, 20),
        ("p99.99 < 50ms", 1000, {}, 60),
        ("p99.99 < 50ms", 1000, {"max_step_duration": "5m"}, 200),
        ("p99.99 < 50ms", 1000, {"step_duration": "2m"}, 120),
        ("errors < 0.1%", 200, {}, 10),
        # Of a queue that grows by 5 %, 800 messages show enough.
        ("p50 < 50ms", 100, {}, 8),
        ("max < 1s", 100, {}, 8),
        ("max < 1s", 100, {"precision": "10%"}, 5),
        # However many messages there are, there are no more dials.
        ("connect.p99 < 1s", 200, {}, 5),
        ("errors <= 0%", 200, {}, 5),
        ("faults < 3", 200, {}, 5),
    ],
)
def test_a_step_is_as_long_as_its_objectives_need(slo, rate, options, seconds):
    assert aim(slo=slo, **options).plan(rate).duration_ns == pytest.approx(seconds * SECOND, rel=1e-6)


def test_connections_send_each_or_together_or_flood_or_are_held():
    def load(**options):
        plan = aim(find="connections", **options).plan(300)
        return plan.connections, plan.load

    each = load()
    assert (each[0], each[1].rate.peak) == (300, 300)
    assert load(rate_per_connection="0.5")[1].rate.peak == 150
    assert load(rate="40")[1].rate.peak == 40
    assert load(rate="0", slo="errors < 1%")[1].rate.peak == 0
    assert load(in_flight=3)[1] == ClosedLoop(3)
    assert isinstance(load(arrivals="poisson")[1], OpenLoop)
    assert aim(find="connections", rate_per_connection="2", slo="p99 < 1s").plan(100).duration_ns == 10 * SECOND


def test_objectives_are_those_of_each_step():
    asked = aim(slo=["p99<50ms", "errors <= 0.1 %", "rate > 900"])
    assert asked.plan(300).slo == ("p99 < 50ms", "errors <= 0.1%", "rate > 900")


VALUES = {"messages": 5, "stages": "1s:5", "connection_stages": "1s:5", "disconnect": "5%@1s", "explain": True,
          "probe": True, "fail_if_saturated": True, "rate": 5, "rate_per_connection": 5, "in_flight": 2,
          "connections": 5}  # fmt: skip


@pytest.mark.parametrize("name", refused_options("rate"))
def test_what_a_search_decides_itself_is_refused_with_why(name):
    option = "--" + name.replace("_", "-")
    assert problems(**{name: VALUES.get(name, "5s")}) == {option: refused_options("rate")[name]}


def test_random_arrivals_have_one_seed_in_all_steps():
    asked = aim(arrivals="poisson")
    assert len({asked.plan(rate).load.seed for rate in (100, 200, 200, 400)}) == 1
    assert asked.plan(100).load.seed != aim(arrivals="poisson").plan(100).load.seed
    assert aim(arrivals="poisson", seed=7).plan(300).load.seed == 7


def test_flags_that_are_off_are_no_options():
    assert aim(live=False, force=False)
    assert aim(explain=False, fail_if_saturated=False, probe=None)


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ({"find": "both"}, "--find", "not one of rate, connections, subscribers"),
        ({"find": "connections", "connections": 3}, "--connections", "what the search varies"),
        ({"slo": "p99 < 50"}, "--slo", "no unit"),
        ({"slo": "p99"}, "--slo", 'write for example "p99 < 50ms"'),
        ({"slo": "any p99 < 50ms"}, "--slo", "leave out any"),
        ({"slo": "tls.p99 < 50ms"}, "--slo", "never be met, because the target is ws://"),
        ({"slo": "p99 < 1s", "find": "connections", "rate": 0}, "--slo", "no message is sent"),
        ({"match": "none"}, "--match", "awaits no replies"),
        ({"from": 0}, "--from", "0 is no rate"),
        ({"from": 10, "max": 5}, "--max", "less than --from"),
        ({"max": 5}, "--max", "which is 100"),
        ({"precision": "0.1%"}, "--precision", "between 1 % and 50 %"),
        ({"precision": "close"}, "--precision", "not a share"),
        ({"step_duration": "0s"}, "--step-duration", "too short"),
        ({"max_step_duration": "1s"}, "--max-step-duration", "shorter than --step-duration"),
        ({"cooldown": "long"}, "--cooldown", "not a duration"),
        ({"conections": 3}, "conections", "did you mean connections"),
        ({"url": None}, "URL", "missing"),
    ],
    ids=str,
)
def test_what_is_wrong_is_reported(options, option, words):
    told = problems(**options)
    assert list(told) == [option]
    assert words in told[option]


def test_all_problems_at_once():
    assert set(problems(slo=["p99 < 50", "p98"], duration="5s", connections=0)) == {
        "--slo",
        "--duration",
        "--connections",
    }
