"""Comparisons of fan-outs: their deliveries, which no acknowledgement need accompany."""

import numpy as np

from factories.comparison import MILLI, interval, lognormal, recording
from ws_load_test.analysis.comparison.comparability import blocker
from ws_load_test.analysis.comparison.compare import compare
from ws_load_test.analysis.comparison.metrics import Verdict
from ws_load_test.analysis.comparison.samples import Variant
from ws_load_test.metrics.histogram import Histogram

PLAN = {"fan_out": {"publishers": 1, "subscribers": 10}, "correlation": {"rule": "none"}}


def histogram(times):
    made = Histogram()
    made.record_block(np.asarray(times, dtype=np.int64))
    return made


def fanned_out(seed, *, slower=1.0, lost=0.0, seconds=12, delivered=True):
    rng, intervals = np.random.default_rng(seed), []
    for index in range(seconds):
        times = lognormal(rng, 2000) * MILLI * slower
        last = lognormal(rng, 200) * 3 * MILLI * slower
        missing = int(rng.binomial(2000, lost)) if delivered else 2000
        counts = {"due": 200, "sent": 200, "answered": 0, "deliveries_expected": 2000, "deliveries_missing": missing}
        if delivered:
            counts |= {"delivery_time_ns": histogram(times), "last_time_ns": histogram(last)}
        intervals.append(interval([], index, deliveries=2000 - missing, **counts))
    return Variant.of(f"side {seed}", [recording(*intervals, plan=PLAN)])


def verdicts(comparison):
    return {one.metric.name: one.verdict for one in comparison.differences}


def test_deliveries_are_compared_and_replies_are_not_missed():
    comparison = compare(fanned_out(1), fanned_out(2))
    assert verdicts(comparison) == dict.fromkeys(
        ("delivery.p50", "delivery.p99", "last.p50", "errors", "missing"), Verdict.NO_DIFFERENCE
    )
    assert comparison.left_out == ()
    assert comparison.overall is Verdict.NO_DIFFERENCE


def test_slower_deliveries_are_worse():
    found = verdicts(compare(fanned_out(1), fanned_out(2, slower=1.2)))
    assert found["delivery.p50"] is found["delivery.p99"] is found["last.p50"] is Verdict.WORSE
    assert found["missing"] is Verdict.NO_DIFFERENCE


def test_a_lower_reach_is_worse():
    comparison = compare(fanned_out(1, lost=0.001), fanned_out(2, lost=0.02))
    (one,) = [one for one in comparison.differences if one.metric.name == "missing"]
    assert one.verdict is Verdict.WORSE
    assert 0.0005 < one.base < 0.0015
    assert 0.015 < one.new < 0.025
    assert one.is_regression(0.1)
    assert verdicts(comparison)["delivery.p50"] is Verdict.NO_DIFFERENCE


def test_a_side_without_deliveries_is_worse():
    comparison = compare(fanned_out(1), fanned_out(2, delivered=False))
    assert comparison.overall is Verdict.WORSE
    assert ("last.p50", "side 2 has no publish whose last delivery was followed") in [
        (metric.name, reason) for metric, reason in comparison.left_out
    ]


def test_a_fan_out_is_not_compared_with_another_run():
    plain = Variant.of("plain", [recording(interval([MILLI], 0))])
    assert blocker(fanned_out(1, seconds=1), plain) == (
        "side 1 was a fan-out and plain was none; compare runs of the same kind"
    )
    assert blocker(plain, fanned_out(1, seconds=1)) == blocker(fanned_out(1, seconds=1), plain)
    assert blocker(fanned_out(1, seconds=1), fanned_out(2, seconds=1)) is None
