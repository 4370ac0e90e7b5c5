"""Comparison of two runs of a scenario by their steps."""

import numpy as np
import pytest

from factories.results import MILLI, histogram
from factories.scenarios import recorded
from ws_load_test.analysis.comparison.compare import compare
from ws_load_test.analysis.comparison.metrics import METRICS, Verdict, metrics_named
from ws_load_test.analysis.comparison.samples import Variant
from ws_load_test.metrics.tally import Tally


def seconds(count, *, slower=1.0, seed=1, without=()):
    """Seconds of 400 times each: `say` takes 10 ms on average, the others as long on both sides."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        steps = {}
        for key, factor in (("writer/say", slower), ("writer/ask", 1.0), ("reader/ask", 1.0)):
            values = (rng.lognormal(0, 0.2, 400) * 10 * MILLI * factor).astype(int).tolist()
            if key not in without:
                steps[key] = Tally(due=400, sent=400, answered=400, response_time_ns=histogram(*values))
        whole = Tally(due=800, sent=800, answered=800, answered_in_window=800, steps=steps)
        for step in steps.values():
            whole.response_time_ns.merge(step.response_time_ns)
        made.append(whole)
    return recorded(*made)


def by_name(comparison):
    return {one.metric.name: one for one in comparison.differences}


@pytest.fixture(scope="module")
def found():
    return compare(Variant.of("old", [seconds(20)]), Variant.of("new", [seconds(20, slower=1.3, seed=2)]))


def test_the_step_that_became_slower_is_named(found):
    differences = by_name(found)
    say, ask = differences["steps.say.p50"], differences["steps.writer/ask.p50"]
    assert say.verdict is Verdict.WORSE
    assert 0.25 < say.change < 0.35
    assert say.metric.label == "say p50"
    assert ask.verdict is Verdict.NO_DIFFERENCE
    assert "steps.reader/ask.p99" in differences, "two roles have a step of the name"


def test_steps_before_the_load_are_in_no_block(found):
    assert not any("join" in name for name in by_name(found))
    assert not any("join" in metric.name for metric, _ in found.left_out)


def test_values_are_those_of_the_step(found):
    base = found.base.total.times_of_step("say")
    assert by_name(found)["steps.say.p99"].base == base.percentile(99)
    assert base.count == 8000


def test_named_steps_are_compared_alone():
    metrics = metrics_named(["steps.say.p95,p50"])
    assert [one.name for one in metrics] == ["p50", "steps.say.p95"]
    comparison = compare(Variant.of("old", [seconds(8)]), Variant.of("new", [seconds(8, seed=3)]), metrics=metrics)
    assert list(by_name(comparison)) == ["p50", "steps.say.p95"]
    with pytest.raises(ValueError, match="is not compared"):
        metrics_named(["steps.say.p101"])
    with pytest.raises(ValueError, match="is not compared"):
        metrics_named(["steps.say"])


def test_a_step_that_one_side_lacks_is_left_out_with_a_reason():
    comparison = compare(Variant.of("old", [seconds(8)]), Variant.of("new", [seconds(8, without=("writer/say",))]))
    reasons = {metric.name: why for metric, why in comparison.left_out}
    assert reasons["steps.say.p50"] == "new has no times of step say"


def test_a_comparison_without_steps_has_none():
    variant = Variant.of("a", [recorded(*[Tally(due=5, sent=5, answered=5, response_time_ns=histogram(5))] * 6)])
    comparison = compare(variant, variant)
    assert {metric.name for metric, _ in comparison.left_out} | by_name(comparison).keys() <= {
        metric.name for metric in METRICS
    }
