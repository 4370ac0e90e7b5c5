import math
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from factories.comparison import MILLI, cliff, drawn, heavy, interval, joined, lognormal, recording, side
from ws_load_test import make_plan
from ws_load_test.analysis.comparison import comparability
from ws_load_test.analysis.comparison.compare import compare
from ws_load_test.analysis.comparison.metrics import METRICS, Verdict, metrics_named
from ws_load_test.analysis.comparison.samples import (
    ResamplingUnit,
    Variant,
    _merged,
    pair_variants,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.terminal.comparison import heading

DIFFERENT = (Verdict.BETTER, Verdict.WORSE)


def by_name(comparison):
    return {one.metric.name: one for one in comparison.differences}


# What is simulated, how often, and in how many of these at most any metric may be called different: at 5 % a true rate
# goes beyond that once in a hundred times. benchmarks/false_alarms.py looks longer, and at more.
SCENARIOS = {
    "lognormal": ({"per_s": 110}, {}, 200, 17),
    "seconds that drift": ({"seconds": 48, "drift": 0.05, "memory": 0.5, "per_s": 50}, {}, 40, 6),
    "heavy tail": ({"shape": heavy}, {}, 30, 5),
    "a cliff at p99": ({"shape": cliff}, {}, 30, 5),
    "unequal lengths": ({"seconds": 6, "per_s": 150}, {"seconds": 36}, 30, 5),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_false_alarms_are_as_rare_as_stated(name):
    one, other, pairs, most = SCENARIOS[name]
    rng = np.random.default_rng(20_260_301)
    one = {"per_s": 300} | one
    alarms = 0
    for _ in range(pairs):
        comparison = compare(side(rng, **one), side(rng, **(one | other)))
        assert comparison.inconclusive_reason is None
        alarms += any(difference.verdict in DIFFERENT for difference in comparison.differences)
    assert alarms <= most


def test_a_tenth_more_is_found_in_twenty_thousand_samples():
    rng, found = np.random.default_rng(7), 0
    for _ in range(20):
        comparison = compare(side(rng, 10, 2000), side(rng, 10, 2000, slower=1.1))
        found += by_name(comparison)["p99"].verdict is Verdict.WORSE
    assert found >= 19


def test_a_slower_tail_is_found_where_the_rest_is_the_same():
    rng = np.random.default_rng(8)

    def slow_tail(rng, count):
        times = lognormal(rng, count)
        return np.where(times > 2.2, times * 1.3, times)

    found = by_name(compare(side(rng, 20, 2000), side(rng, 20, 2000, slow_tail)))
    assert found["p99"].verdict is Verdict.WORSE
    assert found["p50"].verdict is Verdict.NO_DIFFERENCE


def test_both_directions_have_their_words():
    rng = np.random.default_rng(3)
    slow, fast = side(rng, slower=1.3), side(rng)
    for base, new, word in ((fast, slow, Verdict.WORSE), (slow, fast, Verdict.BETTER)):
        comparison = compare(base, new)
        found = by_name(comparison)
        assert found["p50"].verdict is found["mean"].verdict is word
        assert comparison.overall is word
        assert found["p50"].low < found["p50"].change < found["p50"].high
    # More of it is better.
    busy, idle = side(rng, per_s=2000), side(rng, per_s=1500)
    assert by_name(compare(idle, busy))["rate"].verdict is Verdict.BETTER
    assert by_name(compare(busy, idle))["rate"].verdict is Verdict.WORSE


def test_the_estimates_are_those_of_the_reports():
    rng = np.random.default_rng(4)
    base, new = side(rng), side(rng, slower=2)
    found = by_name(compare(base, new))
    p99 = [one.total.response.percentile(99) for one in (base, new)]
    assert (found["p99"].base, found["p99"].new) == tuple(p99)
    assert found["p99"].change == pytest.approx(p99[1] / p99[0] - 1)
    assert found["rate"].base == pytest.approx(base.total.answered_in_window / 10)


def test_the_same_recordings_give_the_same_intervals():
    rng = np.random.default_rng(5)
    base, new = side(rng), side(rng)
    assert compare(base, new).differences == compare(base, new).differences


def test_more_confidence_has_longer_intervals():
    rng = np.random.default_rng(6)
    base, new = side(rng), side(rng)
    lengths = [by_name(compare(base, new, confidence=sure))["p50"] for sure in (0.8, 0.95, 0.999)]
    assert lengths[0].high < lengths[1].high < lengths[2].high


def test_fewer_metrics_have_shorter_intervals_and_are_the_only_ones():
    rng = np.random.default_rng(9)
    base, new = side(rng, 20, 500), side(rng, 20, 500, slower=1.1)
    together = by_name(compare(base, new))
    alone = by_name(compare(base, new, metrics=metrics_named(["p99"])))
    two = by_name(compare(base, new, metrics=metrics_named(["errors,p99"])))
    assert list(alone) == ["p99"]
    assert list(two) == ["p99", "errors"]
    widths = [found["p99"].high - found["p99"].low for found in (alone, two, together)]
    assert widths[0] < widths[2]
    assert widths == sorted(widths)
    assert metrics_named([]) == METRICS
    with pytest.raises(ValueError, match='"p9" is not compared; did you mean p9'):
        metrics_named(["p99", "p9"])


def test_a_verdict_never_rests_on_the_fastest_tenth_alone():
    rng = np.random.default_rng(10)
    made = compare(side(rng, 20, 500), side(rng, 20, 500))

    def with_verdicts(**verdicts):
        found = (replace(one, verdict=verdicts.get(one.metric.name, Verdict.NO_DIFFERENCE)) for one in made.differences)
        return replace(made, differences=tuple(found))

    fast = with_verdicts(p10=Verdict.WORSE)
    assert (fast.overall, heading(fast)) == (Verdict.NO_DIFFERENCE, "No difference")
    both = with_verdicts(p10=Verdict.WORSE, p50=Verdict.WORSE)
    assert (both.overall, heading(both)) == (Verdict.WORSE, "Worse: p10, p50")
    mixed = with_verdicts(p10=Verdict.WORSE, p99=Verdict.BETTER)
    assert (mixed.overall, heading(mixed)) == (Verdict.BETTER, "Better: p99")
    asked = replace(fast, differences=fast.differences[:1])
    assert (asked.overall, heading(asked)) == (Verdict.WORSE, "Worse: p10")


def test_errors_are_compared_as_a_difference_and_may_come_of_nothing():
    rng = np.random.default_rng(9)
    none, some = side(rng, failing=0), side(rng, failing=0.02)
    errors = by_name(compare(none, some))["errors"]
    assert errors.verdict is Verdict.WORSE
    assert errors.change == errors.new == pytest.approx(0.02, rel=0.2)
    assert errors.is_regression(1000)
    assert by_name(compare(some, none))["errors"].verdict is Verdict.BETTER
    one = side(rng, failing=0)
    one.total.errors = one.units[3].errors = 1
    assert by_name(compare(none, one))["errors"].verdict is Verdict.NO_DIFFERENCE


def test_a_single_burst_of_errors_may_be_chance_where_steady_ones_are_none():
    rng = np.random.default_rng(21)
    none, burst, steady = (side(rng, failing=0) for _ in range(3))
    burst.total.errors = burst.units[3].errors = 200
    for unit in steady.units:
        unit.errors = 20 + int(rng.integers(3))
    steady.total.errors = sum(unit.errors for unit in steady.units)
    assert by_name(compare(none, burst))["errors"].verdict is Verdict.NO_DIFFERENCE
    assert by_name(compare(none, steady))["errors"].verdict is Verdict.WORSE


def test_what_is_too_small_for_a_histogram_is_no_difference():
    # Every second the same, so that nothing varies at all.
    base, new = (
        Variant.of("x", [recording(*(interval([value] * 1000, index) for index in range(6)))])
        for value in (1_000_000, 1_000_600)
    )
    found = by_name(compare(base, new))
    assert {found[name].verdict for name in ("p50", "mean", "rate")} == {Verdict.NO_DIFFERENCE}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_short_a_look_says_nothing_and_why(count):
    rng = np.random.default_rng(10)
    short, long = side(rng, seconds=count), side(rng, slower=5)
    comparison = compare(short, long)
    assert {one.verdict for one in comparison.differences} == {Verdict.UNKNOWN}
    assert {one.low for one in comparison.differences} == {None}
    assert comparison.overall is Verdict.UNKNOWN
    assert "run longer" in comparison.inconclusive_reason
    # Nothing was found, and nothing is all right either.
    assert "nothing can be concluded" in comparison.failing(0.05)


def test_percentiles_that_chance_decides_are_left_out():
    rng = np.random.default_rng(11)
    comparison = compare(side(rng, per_s=50), side(rng, per_s=50))
    assert "p90" in by_name(comparison)
    left = {metric.name for metric, _ in comparison.left_out}
    assert left == {"p99", "p99.9"}
    sides = (Variant.of("a", [drawn(rng, per_s=50)]), Variant.of("b", [drawn(rng, per_s=50)]))
    (note,) = [one for one in comparability.notes(compare(*sides)) if "not compared" in one]
    assert note == "not compared: p99 and p99.9, because too few replies were slower"


def test_a_side_that_answers_nothing_has_regressed():
    answered = Variant.of("base", [drawn(np.random.default_rng(12))])
    nothing = Variant.of("new", [recording(*(interval([], index, failed=20) for index in range(10)))])
    comparison = compare(answered, nothing)
    assert comparison.unanswered_variant is nothing
    assert comparison.overall is Verdict.WORSE
    assert comparison.failing(0.05) == "it got no answer at all"
    assert by_name(comparison)["errors"].verdict is Verdict.WORSE
    assert compare(nothing, answered).overall is Verdict.BETTER
    # A base that was down says nothing, and so no check passes by it.
    assert compare(nothing, answered).failing(0.05) == "nothing can be concluded: new got no answer at all"
    assert compare(nothing, nothing).inconclusive_reason == "nothing succeeded on either side"


# --- Repeats and pairs ------------------------------------------------------------------------------------------------


def _repeats(rng, name, slower, spread, count=6):
    """Runs that differ from each other by more than their seconds do."""
    factors = slower * np.exp(spread * rng.standard_normal(count))
    return Variant.of(name, [drawn(rng, 5, 200, slower=factor) for factor in factors])


def test_repeats_see_what_seconds_cannot():
    rng = np.random.default_rng(13)
    # One run of each differs by 20 % as runs here do, and its own seconds say that this is certain.
    one, other = drawn(rng, 10, 500), drawn(rng, 10, 500, slower=1.2)
    single = compare(Variant.of("a", [one]), Variant.of("b", [other]))
    assert by_name(single)["p50"].verdict is Verdict.WORSE
    repeated = compare(_repeats(rng, "a", 1.0, 0.2), _repeats(rng, "b", 1.2, 0.2))
    assert by_name(repeated)["p50"].verdict is Verdict.NO_DIFFERENCE
    assert not any("only the variation within runs" in one for one in comparability.notes(repeated))
    assert any("only the variation within runs" in one for one in comparability.notes(single))


def test_connect_times_are_compared_where_runs_were_repeated():
    rng = np.random.default_rng(14)
    assert "connect.p50" not in by_name(compare(Variant.of("a", [drawn(rng)]), Variant.of("b", [drawn(rng)])))
    found = by_name(compare(_repeats(rng, "a", 1, 0.01), _repeats(rng, "b", 1, 0.01)))
    assert found["connect.p50"].verdict is Verdict.NO_DIFFERENCE


def _streamed(rng, *, slower=1.0, streams=True):
    """A side of one recording whose answers have a first message, half as long after they were due as the last."""
    intervals = []
    for index in range(12):
        times = (lognormal(rng, 1000) * MILLI).astype(np.int64)
        made = interval(times, index)
        tally = Tally.from_record(made.encoded_tally)
        if streams:
            tally.first_time_ns.record_block((times * 0.5 * slower).astype(np.int64))
        intervals.append(structs.replace(made, encoded_tally=tally.to_record()))
    return Variant.of("streamed" if streams else "plain", [recording(*intervals)])


def test_times_to_the_first_message_are_compared_where_both_sides_have_them():
    rng = np.random.default_rng(31)
    found = by_name(compare(_streamed(rng), _streamed(rng, slower=1.2)))
    assert found["first.p50"].verdict is found["first.p95"].verdict is Verdict.WORSE
    assert found["first.p50"].change == pytest.approx(0.2, abs=0.03)
    assert found["p50"].verdict is Verdict.NO_DIFFERENCE


def test_times_to_the_first_message_of_one_side_alone_are_left_out_with_the_reason():
    rng = np.random.default_rng(32)
    comparison = compare(_streamed(rng), _streamed(rng, streams=False))
    reasons = {metric.name: reason for metric, reason in comparison.left_out}
    assert reasons["first.p50"] == "plain has no times of first messages"
    neither = compare(_streamed(rng, streams=False), _streamed(rng, streams=False))
    assert not any(metric.first for metric, _ in neither.left_out)


def test_pairs_take_out_what_both_of_them_share():
    rng = np.random.default_rng(15)
    drifts = np.exp(0.3 * rng.standard_normal(8))
    base, new = (
        [drawn(rng, 2, 500, slower=slower * drift, mark=("s", k)) for k, drift in enumerate(drifts, 1)]
        for slower in (1.0, 1.1)
    )
    one, other = pair_variants(("a", "b"), base, new)
    paired = compare(one, other, paired=True)
    assert by_name(paired)["p50"].verdict is Verdict.WORSE
    assert by_name(compare(one, other))["p50"].verdict is Verdict.NO_DIFFERENCE
    assert 1 + by_name(paired)["p50"].low < 1.1 < 1 + by_name(paired)["p50"].high


def test_false_alarms_of_pairs_are_as_rare_as_stated():
    rng, alarms = np.random.default_rng(16), 0
    for _ in range(30):
        # Both of a pair are slower or faster by the same.
        seeds = rng.integers(1 << 30, size=2)
        drifts = np.exp(0.3 * rng.standard_normal(8))

        def rounds(seed, drifts=drifts):
            chance = np.random.default_rng(seed)
            return joined([side(chance, 1, 300, slower=drift) for drift in drifts])

        comparison = compare(*map(rounds, seeds), paired=True)
        alarms += any(difference.verdict in DIFFERENT for difference in comparison.differences)
    assert alarms <= 5


# --- Regressions and remarks ------------------------------------------------------------------------------------------


def test_a_regression_is_worse_and_by_more_than_the_limit():
    rng = np.random.default_rng(17)
    comparison = compare(side(rng, 20, 2000), side(rng, 20, 2000, slower=1.08))
    p50 = by_name(comparison)["p50"]
    assert p50.verdict is Verdict.WORSE
    assert p50.is_regression(0.05)
    assert not p50.is_regression(0.2)
    assert comparison.failing(0.05).startswith("p10, p50, p90, p99")
    assert comparison.failing(0.2) is None
    assert compare(comparison.new, comparison.base).failing(0) is None
    slower = by_name(compare(side(rng, per_s=2000), side(rng, per_s=1600)))["rate"]
    assert slower.is_regression(0.1)
    assert not slower.is_regression(0.3)


def _planned(name="x", **options):
    plan = make_plan("ws://h/", **options)
    import msgspec

    return Variant.of(name, [drawn(np.random.default_rng(18), plan=msgspec.to_builtins(plan.redacted()))])


def test_other_plans_are_reported_and_other_kinds_of_load_refused():
    base, new = _planned(rate=100, connections=5), _planned(rate=200, connections=5)
    (note,) = [one for one in comparability.notes(compare(base, new)) if "plans differ" in one]
    assert "load: open: 100/s / open: 200/s" in note
    assert "connections" not in note
    assert comparability.blocker(base, new) is None
    assert not any("plans differ" in one for one in comparability.notes(compare(base, base)))
    assert "the other a closed loop" in comparability.blocker(base, _planned(connections=5))


def test_the_seed_of_random_instants_makes_no_other_plan():
    one, other = (_planned(rate=100, arrivals="poisson", seed=seed) for seed in (1, 2))
    assert not any("plan" in note for note in comparability.notes(compare(one, other)))
    mixed = Variant.of("x", [*one.recordings, *other.recordings])
    assert not any("same plan" in note for note in comparability.notes(compare(mixed, mixed)))
    faster = _planned(rate=200, arrivals="poisson", seed=3)
    (note,) = [note for note in comparability.notes(compare(one, faster)) if "plans differ" in note]
    assert "100/s, Poisson arrivals of seed 1" in note
    assert "200/s, Poisson arrivals of seed 3" in note


@pytest.mark.parametrize("whole", [0, 1])
def test_blocks_that_resemble_their_neighbours_count_for_less_against_repeats_too(whole):
    rng = np.random.default_rng(22)
    repeats = joined([side(rng, 2, 300) for _ in range(6)])
    slower = np.linspace(1, 1.4, 12)
    lengths = {}
    for name, order in (("rising", range(12)), ("mixed", [0, 11, 1, 10, 2, 9, 3, 8, 4, 7, 5, 6])):
        units = [side(np.random.default_rng(place), 1, 300, slower=slower[place]).units[0] for place in order]
        cut = Variant("cut", (), tuple(units), False, ResamplingUnit(), _merged(units))
        sides = (repeats, cut) if whole == 0 else (cut, repeats)
        p50 = by_name(compare(*sides))["p50"]
        lengths[name] = math.log((1 + p50.high) / (1 + p50.low))
    # Three times as long is what the most correlation that is allowed for comes to.
    assert lengths["rising"] > 1.8 * lengths["mixed"]


def test_what_is_not_seen_is_said_of_the_side_that_was_not_repeated():
    rng = np.random.default_rng(23)
    repeats, single = _repeats(rng, "many", 1, 0.01), Variant.of("single", [drawn(rng)])
    for sides in ((repeats, single), (single, repeats)):
        (note,) = [one for one in comparability.notes(compare(*sides)) if "only the variation" in one]
        assert note.startswith("only the variation within runs is known for single, and")


def test_doubts_of_a_side_are_reported():
    rng = np.random.default_rng(19)
    cut = Variant.of("new", [drawn(rng, ended=False), drawn(rng, interrupted=True)])
    told = list(comparability.caveats(cut))
    assert "new was killed before the end, in 1 of 2 recordings" in told
    assert "new was interrupted, in 1 of 2 recordings" in told
    lacking = Variant.of("new", [drawn(rng, failed=3)])
    assert any("read the highest ones as lower bounds" in doubt for doubt in comparability.caveats(lacking))
    assert list(comparability.caveats(Variant.of("new", [drawn(rng, per_s=2000)]))) == []


def test_the_names_of_metrics_are_those_of_thresholds():
    from ws_load_test.plan.thresholds import parse_condition

    limits = {"ns": "1ms", "per_s": "1", "share": "1%"}
    for metric in METRICS:
        assert parse_condition(f"{metric.name} > {limits[metric.unit]}")


def test_no_number_is_ever_not_one():
    rng = np.random.default_rng(20)
    # Half of the seconds are silent.
    gaps = [interval(rng.integers(MILLI, 2 * MILLI, 300 * (index % 2)), index) for index in range(10)]
    comparison = compare(Variant.of("a", [recording(*gaps)]), Variant.of("b", [drawn(rng)]))
    for one in comparison.differences:
        assert all(math.isfinite(value) for value in (one.base, one.new, one.change))
        assert (one.low is None) == (one.high is None)
