"""Search for the number of sessions of a scenario: roles keep their shares, and conditions on steps decide."""

import re

import msgspec
import pytest

from factories.capacity import result_of
from factories.results import MILLI, SECOND, interval
from factories.scenarios import CHAT, plan, recorded, second
from ws_load_test.analysis.summary import summarize
from ws_load_test.common.errors import PlanError
from ws_load_test.experiments.capacity.backlog import shortfalls
from ws_load_test.experiments.capacity.bracketing import NextStep, Outcome, Purpose
from ws_load_test.experiments.capacity.scenario_sessions import arriving_roles, with_sessions
from ws_load_test.experiments.capacity.search_options import SCENARIO_SLO, read_spec
from ws_load_test.experiments.capacity.step import evaluate_step
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.thresholds import parse_condition

URL = "ws://h:1/"
STEPS = [{"name": "say", "send": "hello", "await": "json:ok"}]
SHARED = {"reader": {"share": 3, "steps": STEPS}, "writer": {"share": 1, "steps": STEPS}}
FIXED = {"reader": {"sessions": 30, "steps": STEPS}, "writer": {"sessions": 10, "steps": STEPS}}


def sessions_of(made):
    return {role.name: role.sessions for role in made.scenario.roles}


@pytest.mark.parametrize("roles", [SHARED, FIXED])
def test_roles_keep_their_shares(roles):
    spec = read_spec({"url": URL, "role": roles, "slo": ["steps.say.p99 < 50ms"], "workers": 2})
    assert spec.dimension == "sessions", "that is what a plan with roles has"
    for level, expected in ((100, (75, 25)), (402, (302, 100)), (10, (8, 2))):
        made = spec.plan(level)
        assert tuple(sessions_of(made).values()) == expected
        assert sum(sessions_of(made).values()) == made.connections == level == spec.load_of(made)
        assert (made.slo, made.duration_ns, made.workers) == (("steps.say.p99 < 50ms",), 5 * SECOND, 2)
    assert spec.show(100) == "100 sessions"


def test_default_objectives_are_of_messages_and_sessions():
    spec = read_spec({"url": URL, "role": SHARED})
    assert tuple(one.text for one in spec.objectives) == SCENARIO_SLO


def test_a_number_of_sessions_that_leaves_a_role_without_any_is_a_problem():
    with pytest.raises(PlanError, match="role writer has no session of 1; begin with more"):
        with_sessions(plan(), 1)
    assert sessions_of(with_sessions(plan(), 20)) == {"reader": 18, "writer": 2}
    assert with_sessions(plan(), 20, workers=64).workers == 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"find": "sessions"}, "the plan has none; write --find connections"),
        ({"find": "rate", "role": SHARED}, "a plan with roles has no rate to vary; write --find sessions"),
        ({"find": "connections", "role": SHARED}, "has no connections to vary"),
        ({"role": SHARED, "connections": 5}, "is what the search varies"),
        ({"role": SHARED, "slo": ["steps.siy.p99 < 1s"]}, 'there is no step "siy"; did you mean say?'),
    ],
)
def test_what_cannot_be_searched_is_a_problem(options, words):
    with pytest.raises(PlanError, match=re.escape(words)):
        read_spec({"url": URL, **options})


def test_sessions_that_arrive_are_no_load_to_search_for():
    role = msgspec.structs.replace(CHAT.roles[0], arrive_per_s=2.0)
    assert arriving_roles(plan(msgspec.structs.replace(CHAT, roles=(role, CHAT.roles[1])))) == ["reader"]
    arriving = {"reader": {"arrive": "2/s", "at-most": 30, "steps": STEPS, "stay": "5s"}}
    with pytest.raises(PlanError, match="sessions of role reader arrive at a rate"):
        read_spec({"url": URL, "role": arriving})


def step_of(tally, *objectives):
    recording = recorded(*[tally] * 6, plan=plan(slo=objectives))
    # That of the factory has a dial that fails.
    opening = interval(Tally(attempted=10, opened=10), index=0, phase="opening")
    recording = msgspec.structs.replace(recording, intervals=(opening, *recording.intervals[1:]))
    result, digest = result_of(recording)
    return evaluate_step(
        1,
        NextStep(10.0, Purpose.GROW),
        tuple(map(parse_condition, objectives)),
        result,
        digest=digest,
    )


def calm():
    """A second in which nothing fails."""
    made = second()
    for name in ("writer/say", "writer/ask"):
        step = made.steps[name]
        step.due = step.sent = step.answered
        step.unanswered = step.dropped = 0
        step.faults.clear()
    made.due = made.sent = made.answered + made.unawaited
    made.unanswered = made.dropped = made.lost = 0
    made.faults.clear()
    writer = made.roles["writer"]
    writer.failed_at.clear()
    writer.sessions_dropped = writer.iterations_dropped = 0
    writer.sessions_due = writer.sessions_begun = writer.sessions_completed = 200
    return made


def test_conditions_on_steps_decide():
    met = step_of(calm(), "steps.say.p99 < 200ms", "sessions.failed < 1%")
    assert met.outcome is Outcome.MET
    assert not met.summary.behind, "messages that nothing answers are no queue"
    missed = step_of(calm(), "steps.say.p99 < 50ms")
    assert missed.outcome is Outcome.MISSED
    assert 99 * MILLI <= missed.summary.objectives[0].value <= 99.1 * MILLI
    assert missed.summary.objectives[0].few == 600, "of the step, not of all messages"


def test_sessions_that_fail_are_a_shortfall():
    found = shortfalls(summarize([recorded()]))
    assert "5 of the 13 sessions, 38 %, failed or were dropped" in found
    assert "1 of the 12 iterations, 8 %, found no session that was free" in found
    assert not any("sessions" in one for one in shortfalls(summarize([recorded(*[calm()] * 3)])))
