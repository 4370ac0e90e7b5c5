"""Conditions on steps, reactions, sessions and iterations: read, judged, and refused where nothing has the name."""

from fractions import Fraction

import msgspec
import pytest

from factories.results import MILLI, SECOND, interval
from factories.scenarios import CHAT, plan, recorded, second
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.thresholds import AbortMonitor, RequestedCondition
from ws_load_test.common.errors import PlanError
from ws_load_test.metrics.catalog import CONDITION_METRICS, PART_CONDITIONS
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.condition_sense import check_objective, check_unwanted
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.options.thresholds import check_condition_parts
from ws_load_test.plan.plan_warnings import threshold_warnings, why_uncounted
from ws_load_test.plan.scenario.condition_parts import why_no_part
from ws_load_test.plan.thresholds import parse_condition

SCOPE = ConditionScope(aggregate([recorded()]).tally, SECOND)


def value(text):
    return SCOPE.value(parse_condition(text))


@pytest.mark.parametrize(
    ("written", "text", "name", "part", "statistic"),
    [
        ("steps.join.p99 > 1s", "steps.join.p99 > 1s", "steps.NAME.response", "join", "99"),
        ("Steps.Log in.P99.9 > 1s", "steps.Log in.p99.9 > 1s", "steps.NAME.response", "Log in", "99.9"),
        (
            "any  steps.writer/say.first.p95>1s",
            "any steps.writer/say.first.p95 > 1s",
            "steps.NAME.first",
            "writer/say",
            "95",
        ),
        ("steps.say.send-lag.max > 1s", "steps.say.send_lag.max > 1s", "steps.NAME.send_lag", "say", "max"),
        ("steps.say.failed > 1%", "steps.say.failed > 1%", "steps.NAME.failed", "say", ""),
        ("on.tick.out-of-order > 0", "on.tick.out_of_order > 0", "on.NAME.out_of_order", "tick", ""),
        ("on.tick.age.mean > 1s", "on.tick.age.mean > 1s", "on.NAME.age", "tick", "mean"),
        ("on.tick.silence > 1", "on.tick.silence > 1", "on.NAME.silence", "tick", ""),
        ("on.tick.silence > 30 s", "on.tick.silence > 30s", "on.NAME.max_silence", "tick", ""),
        ("on.tick.max_silence > 1m", "on.tick.max_silence > 1m", "on.NAME.max_silence", "tick", ""),
        ("on.tick.rate < 90/s", "on.tick.rate < 90/s", "on.NAME.rate", "tick", ""),
        ("SESSIONS.failed > 0", "sessions.failed > 0", "sessions.failed", "", ""),
        ("iterations.time.p50 > 1s", "iterations.time.p50 > 1s", "iterations.time", "", "50"),
    ],
)
def test_conditions_are_read(written, text, name, part, statistic):
    condition = parse_condition(written)
    assert (condition.text, condition.metric.name) == (text, name)
    assert (condition.metric.part, condition.metric.statistic) == (part, statistic)
    assert parse_condition(condition.text) == condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps.say.p999 > 1s", "did you mean steps.say.p99.9"),
        ("steps.say.fialed > 0", "did you mean steps.say.failed"),
        ("steps.say.first > 1s", "say what of it, for example steps.say.first.p99"),
        ("steps.say.failed.p99 > 1s", "there is no metric"),
        ("on.tick.p99 > 1s", "there is no metric"),
        ("on.tick.gap > 0", "did you mean on.tick.gaps"),
        ("sessions.fialed > 0", "sessions.failed"),
        ("any nodes.skew > 1", "whole run"),
        ("any on.tick.silence > 30s", "whole run"),
        ("on.tick.max_silence > 3", "its limit has no unit"),
        ("on.tick.silence > 30parsecs", "on.tick.silence is a count"),
    ],
)
def test_what_is_no_metric_raises_with_the_nearest(text, words):
    with pytest.raises(ValueError, match=words):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.say.min > 1s", MILLI),
        ("steps.say.max > 1s", 100 * MILLI),
        ("steps.say.service.max > 1s", 50 * MILLI),
        ("steps.ask.first.max > 1s", 40 * MILLI),
        ("steps.ask.gap.max > 1s", 19 * MILLI),
        ("steps.ask.stalls > 0", 1),
        ("steps.say.failed > 0", 6),
        ("steps.say.failed > 1%", Fraction(6, 104)),
        ("steps.say.dropped > 1%", Fraction(1, 104)),
        ("steps.typing.unawaited > 0", 6),
        ("steps.join.answered < 9", 9),
        ("steps.reader/join.answered < 9", 8),
        ("steps.join.max > 1s", 8 * MILLI),
        ("steps.leave.failed > 0", 0),
        ("steps.leave.p99 > 1s", None),
        ("on.tick.gaps > 0", 2),
        ("on.tick.gaps > 1%", Fraction(2, 90)),
        ("on.tick.missed > 0", 5),
        ("on.tick.repeats > 0", 1),
        ("on.tick.out_of_order > 0", 1),
        ("on.tick.silence > 0", 1),
        ("on.tick.silence_time.max > 1s", 6 * SECOND),
        ("on.tick.silence > 7s", 7 * SECOND),
        ("on.typing.silence > 7s", None),
        ("on.tick.rate < 90", 88),
        ("on.typing.rate < 1", 0),
        ("on.tick.seen < 1", 90),
        ("on.tick.age.min < 1s", -20 * MILLI),
        ("on.tick.age.max > 1s", 86 * MILLI),
        ("on.reader/tick.undated > 0", 2),
        ("sessions.due > 0", 13),
        ("sessions.failed > 0", 4),
        ("sessions.failed > 1%", Fraction(4, 12)),
        ("sessions.dropped > 1%", Fraction(1, 13)),
        ("sessions.completed < 1%", Fraction(7, 12)),
        ("iterations.dropped > 0", 1),
        ("iterations.time.max > 1s", 900 * MILLI),
        ("unawaited > 0", 6),
    ],
)
def test_values_are_those_of_the_part(text, expected):
    assert value(text) == expected


def test_every_condition_on_a_part_can_be_read_and_has_a_value_or_a_reason():
    assert {spec.condition for spec in PART_CONDITIONS} < CONDITION_METRICS.keys()
    for spec in PART_CONDITIONS:
        name = spec.condition.replace("NAME", "tick" if spec.condition.startswith("on") else "ask")
        text = {"time": f"{name}.p99 > 1s", "duration": f"{name} > 1s"}.get(spec.kind, f"{name} > 1")
        condition = parse_condition(text)
        assert SCOPE.value(condition) is not None or SCOPE.why_no_value(condition)


def test_a_share_of_nothing_has_a_reason():
    empty = ConditionScope(Tally(), SECOND)
    assert empty.value(parse_condition("sessions.failed > 1%")) is None
    assert empty.why_no_value(parse_condition("sessions.failed > 1%")) == "no session began"
    assert empty.why_no_value(parse_condition("steps.say.failed > 1%")) == "no message was due"
    assert empty.why_no_value(parse_condition("on.tick.age.p99 > 1s")) == "no such message had a time stamp"


def checks(*texts, recording=None, option="fail-if"):
    found = summarize([recording or recorded()], conditions=[RequestedCondition(option, text) for text in texts])
    return found.verdict.checks


def test_a_run_is_judged_by_its_steps():
    failed, passed = checks("steps.say.p99 > 50ms", "steps.ask.first.p95 > 1s")
    assert (failed.passed, failed.unit, passed.passed) == (False, "ns", True)
    assert 99 * MILLI <= failed.value <= 99.1 * MILLI


def test_each_interval_is_judged_by_itself():
    quiet = second()
    quiet.reactions.clear()
    (check,) = checks("any on.tick.rate < 80", recording=recorded(second(), quiet, second()))
    assert (check.passed, check.intervals, check.failed_intervals, check.value) == (False, 3, 1, 0)
    (check,) = checks("any steps.say.failed > 5", recording=recorded(second(), quiet))
    assert (check.failed_intervals, check.value) == (2, 6)
    (check,) = checks("any steps.writer/say.p99 > 98ms", recording=recorded(second()))
    assert not check.passed


def test_a_name_that_the_scenario_lacks_fails_and_names_the_nearest():
    check, other = checks("steps.jion.failed > 0", "on.tock.gaps > 0")
    assert (check.passed, check.why) == (False, 'there is no step "jion"; did you mean join?')
    assert (other.passed, other.why) == (False, 'there is no reaction "tock"; did you mean tick?')


def test_a_time_of_silence_needs_no_bound_in_the_plan():
    role = {
        "user": {
            "on": [
                {"name": "head", "when": "json:n"},
                {"name": "tick", "when": "json:t", "silence": "5s"},
                {"name": "other", "when": "json:o"},
            ]
        }
    }
    conditions = ["on.head.silence > 30s", "on.user/head.silence > 10s", "on.tick.silence > 1m", "on.other.seen < 1"]
    made = make_plan("ws://h/", role=role, fail_if=conditions)
    found = {one.name: one.silence_ns for one in made.scenario.roles[0].reactions}
    assert found == {"head": 10 * SECOND, "tick": 5 * SECOND, "other": None}
    assert made.fail_if == tuple(conditions)
    assert not made.warnings


def test_without_a_plan_that_can_be_read_a_name_that_nothing_has_fails():
    header = msgspec.structs.replace(recorded().header, plan={"from": "the future"})
    known, unknown = checks(
        "steps.say.failed > 99", "steps.nosuch.failed > 0", recording=msgspec.structs.replace(recorded(), header=header)
    )
    assert (known.passed, known.value) == (True, 6)
    assert (unknown.passed, unknown.why) == (False, "nothing of this name was counted")


def test_a_run_is_stopped_by_a_step():
    monitor = AbortMonitor.of(plan(abort_if=("steps.say.failed > 5",), abort_grace_ns=0, duration_ns=60 * SECOND), None)
    monitor.start = recorded()
    events = monitor.add_event(IntervalEvent.decode(interval(second())), second())
    assert [(event.condition, event.value) for event in events] == [("steps.say.failed > 5", 6)]


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("steps.jion.p99 > 1s", 'there is no step "jion"; did you mean join?'),
        ("steps.writer/siy.p99 > 1s", 'there is no step "writer/siy"; did you mean writer/say?'),
        ("steps.xyz.p99 > 1s", 'there is no step "xyz"; there are join, say, ask, typing, beat, leave'),
        ("steps.pause.p99 > 1s", 'there is no step "pause"; there are'),
        ("on.join.gaps > 0", 'there is no reaction "join"; there are tick, typing'),
        ("steps.reader/join.p99 > 1s", ""),
        ("on.tick.gaps > 0", ""),
        ("sessions.failed > 0", ""),
        ("p99 > 1s", ""),
    ],
)
def test_names_are_those_of_the_scenario(text, lack):
    assert why_no_part(parse_condition(text).metric, CHAT).startswith(lack)
    assert bool(why_no_part(parse_condition(text).metric, CHAT)) == bool(lack)


def test_a_plan_with_a_wrong_name_is_refused():
    with pytest.raises(PlanError) as raised:
        check_condition_parts(
            plan(fail_if=("steps.jion.p99 > 1s",), slo=("on.tock.rate > 1/s",), abort_if=("errors > 1",))
        )
    assert [problem.option for problem in raised.value.problems] == ["--fail-if", "--slo"]
    assert "did you mean join?" in str(raised.value)
    with pytest.raises(PlanError, match="is of a scenario, and the plan has no roles"):
        check_condition_parts(plan(None, fail_if=("sessions.failed > 0",)))
    check_condition_parts(plan(fail_if=("steps.say.p99 > 1s", "sessions.failed > 0")))


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("steps.say.first.p95 > 1s", "an answer to step say is one message without until"),
        ("steps.ask.first.p95 > 1s", ""),
        ("steps.typing.p99 > 1s", "step typing awaits no message"),
        ("steps.typing.failed > 0", ""),
        ("on.typing.gaps > 0", "reaction typing has no sequence"),
        ("on.typing.age.p99 > 1s", "reaction typing has no age"),
        ("on.typing.silence > 0", "reaction typing has no silence"),
        ("on.typing.rate < 1", ""),
        ("on.tick.repeats > 0", ""),
    ],
)
def test_what_nothing_would_count_has_a_reason(text, lack):
    assert why_uncounted(parse_condition(text).metric, plan()) == lack
    warnings = threshold_warnings(plan(fail_if=(text,)))
    assert warnings == ((f'--fail-if: "{text}" fails, because {lack}',) if lack else ())


def test_conditions_make_sense():
    for text in (
        "steps.say.p99 > 1s",
        "on.tick.gaps > 0",
        "sessions.failed > 1%",
        "on.tick.rate < 9",
        "on.tick.age.min < 0s",
    ):
        check_unwanted(parse_condition(text), "--fail-if")
    for text in ("steps.say.failed < 1%", "on.tick.gaps == 0", "sessions.completed > 99%", "on.tick.rate > 9"):
        check_objective(parse_condition(text))
    for text in ("steps.say.p99 < 1s", "on.tick.gaps < 2", "sessions.failed < 1%", "on.tick.rate > 9"):
        with pytest.raises(ValueError, match="--slo"):
            check_unwanted(parse_condition(text), "--fail-if")
    with pytest.raises(ValueError, match="never holds"):
        check_unwanted(parse_condition("sessions.failed > 100%"), "--fail-if")
