"""Steps, reactions, roles and sessions of a summary."""

import math
from collections import Counter
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories.results import MILLI, SECOND, interval, recording
from factories.scenarios import CHAT, plan, recorded, second
from ws_load_test.analysis.ages import AgeStats, age_statistic
from ws_load_test.analysis.aggregate import counts_of
from ws_load_test.analysis.scenario import ScenarioResults, scenario_of, step_places
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.summary_types import FailureReason
from ws_load_test.metrics.scenario_metrics import AT_DIAL, ReactionTally, RoleTally
from ws_load_test.metrics.tally import Tally


@pytest.fixture(scope="module")
def summary():
    return summarize([recorded()])


def of(rows, key):
    (found,) = (row for row in rows if row.key == key)
    return found


def test_steps_come_in_the_order_of_the_plan_also_where_none_was_taken(summary):
    assert [(one.key, one.place) for one in summary.steps] == [
        ("reader/join", "open"),
        ("writer/join", "open"),
        ("writer/say", "steps"),
        ("writer/ask", "steps"),
        ("writer/typing", "steps"),
        ("writer/beat", "timer"),
        ("writer/leave", "leave"),
    ]
    assert of(summary.steps, "writer/leave").due == 0
    assert [one.key for one in summary.on] == ["reader/tick", "reader/typing"]


def test_counts_of_a_step(summary):
    say = of(summary.steps, "writer/say")
    assert (say.due, say.sent, say.answered, say.unanswered, say.unawaited, say.dropped) == (104, 103, 100, 3, 0, 1)
    assert (say.failed, say.sessions_failed) == (6, 2), "3 unanswered, 1 dropped, 2 failed checks; 2 sessions"
    assert say.faults == {"reply-timeout": 3, "check-failed": 2}
    assert (say.response_time_ns.count, say.response_time_ns.max, say.service_time_ns.max) == (
        100,
        100 * MILLI,
        50 * MILLI,
    )
    assert say.stream is None
    assert of(summary.steps, "writer/typing").unawaited == 6


def test_times_of_a_streamed_step(summary):
    ask = of(summary.steps, "writer/ask")
    assert (ask.stream.streamed, ask.stream.broken_off, ask.stream.stalls) == (21, 1, 1)
    assert (ask.stream.first_time_ns.max, ask.stream.gap_ns.count) == (40 * MILLI, 19)
    assert ask.stream.answer_messages.max == 11
    assert summary.streams.streamed == 21, "the totals have them as well"


def test_counts_of_a_reaction(summary):
    tick = of(summary.on, "reader/tick")
    assert (tick.seen, tick.rate_per_s, tick.sent) == (90, 88.0, 0)
    assert (tick.gaps, tick.missed, tick.repeats, tick.out_of_order, tick.restarts) == (2, 5, 1, 1, 1)
    assert (tick.stalls, tick.silence_ns.max, tick.undated) == (1, 6 * SECOND, 2)
    assert (tick.age_ns.count, tick.age_ns.negative, tick.age_ns.min) == (88, 2, -20 * MILLI)
    assert tick.age_ns.max == 86 * MILLI
    nothing = of(summary.on, "reader/typing")
    assert (nothing.seen, nothing.rate_per_s, nothing.age_ns) == (0, 0.0, None)
    assert (nothing.gaps, nothing.unnumbered, nothing.undated, nothing.stalls) == (None,) * 4, "nothing looks for these"


def test_sessions_balance(summary):
    both = summary.sessions
    assert (both.due, both.begun, both.dropped) == (13, 12, 1)
    assert (both.completed, both.failed, both.unfinished) == (7, 4, 1)
    assert both.failed_at == {"writer/say": 2, f"reader/{AT_DIAL}": 1, "writer/ask": 1}
    reader, writer = summary.roles
    assert (reader.name, reader.sessions.failed_at, reader.iterations) == ("reader", {AT_DIAL: 1}, None)
    assert (writer.sessions.due, writer.sessions.failed_at) == (4, {"say": 2, "ask": 1})
    counts = writer.iterations
    assert (counts.due, counts.begun, counts.completed, counts.dropped) == (12, 11, 9, 1)
    assert (counts.time_ns.count, counts.time_ns.max) == (9, 900 * MILLI)


def test_messages_balance(summary):
    messages = summary.messages
    assert messages.due == messages.sent + messages.dropped
    assert messages.sent == messages.answered + messages.unanswered + messages.unawaited


def test_a_run_without_a_scenario_has_none():
    summary = summarize([recording()])
    assert (summary.sessions, summary.roles, summary.steps, summary.on) == (None, [], [], [])


def test_rows_of_a_plan_that_cannot_be_read_are_those_that_were_counted():
    header = msgspec.structs.replace(recorded().header, plan={"scenario": {"roles": "?"}})
    found = summarize([msgspec.structs.replace(recorded(), header=header)])
    assert scenario_of([msgspec.structs.replace(recorded(), header=header)]) is None
    assert [(one.key, one.place) for one in found.steps] == [
        (key, "unknown") for key in ("reader/join", "writer/join", "writer/say", "writer/ask", "writer/typing")
    ]
    assert found.sessions.due == 13


def test_several_recordings_are_added():
    both = summarize([recorded(), recorded(second(), second())])
    assert (of(both.steps, "writer/say").answered, both.sessions.failed) == (300, 11)
    assert of(both.on, "reader/tick").rate_per_s == 88 * 3 / both.duration_s


def test_steps_that_share_a_name_are_one_row():
    role = msgspec.structs.replace(CHAT.roles[1], steps=CHAT.roles[1].steps * 2)
    assert list(step_places(msgspec.structs.replace(CHAT, roles=(role,)))) == [
        "writer/join",
        "writer/say",
        "writer/ask",
        "writer/typing",
        "writer/beat",
        "writer/leave",
    ]


def test_one_role_names_its_steps_alone():
    tally = Tally(roles={"reader": RoleTally(sessions_due=2, sessions_begun=2, failed_at={"join": 2})})
    tally = Tally.from_record(tally.to_record())
    scenario = msgspec.structs.replace(CHAT, roles=CHAT.roles[:1])
    found = ScenarioResults.of([recorded(plan=plan(scenario))], tally, SECOND)
    assert found.sessions.failed_at == {"join": 2}


# --- Ages -----------------------------------------------------------------------------------------------------------

AGES = st.lists(st.integers(-2000, 2000), min_size=1, max_size=30)
"""Ages in ns that each have a bucket of their own: below 2,048 a histogram is exact."""


def aged(ages):
    reaction = ReactionTally()
    for age_ns in ages:
        reaction.record_age(age_ns)
    return reaction


@given(AGES, st.integers(0, 1000))
def test_percentiles_of_ages_are_those_of_all_in_their_order(ages, per_mille):
    rank = max(1, math.ceil(Fraction(per_mille, 1000) * len(ages)))
    assert age_statistic(aged(ages), str(per_mille / 10)) == sorted(ages)[rank - 1]


@given(AGES)
def test_other_statistics_of_ages(ages):
    reaction, mean = aged(ages), sum(ages) / len(ages)
    assert (age_statistic(reaction, "min"), age_statistic(reaction, "max")) == (min(ages), max(ages))
    assert abs(age_statistic(reaction, "mean") - Fraction(sum(ages), len(ages))) <= Fraction(1, 2)
    deviation = math.sqrt(sum((age - mean) ** 2 for age in ages) / len(ages))
    # Middles of buckets are off by half a nanosecond.
    assert abs(float(age_statistic(reaction, "stdev")) - deviation) <= 1.5


def test_no_age_has_no_statistics():
    assert age_statistic(ReactionTally(), "99") is None
    assert AgeStats.of(ReactionTally()) is None
    assert AgeStats.of(aged([-5])).p99 == -5


# --- Verdict --------------------------------------------------------------------------------------------------------


def verdict_of(scenario, *tallies):
    made = recorded(*tallies, plan=plan(scenario))
    calm = interval(Tally(opened=9, attempted=9), index=0, phase="opening")
    return summarize([msgspec.structs.replace(made, intervals=(calm, *made.intervals[1:]))]).verdict


SILENT = msgspec.structs.replace(CHAT, roles=(msgspec.structs.replace(CHAT.roles[1], steps=CHAT.roles[1].steps[3:]),))
LISTENERS = msgspec.structs.replace(CHAT, roles=CHAT.roles[:1])


def test_a_run_whose_steps_await_nothing_passes():
    sent = Tally(due=5, sent=5, unawaited=5)
    assert verdict_of(SILENT, sent).passed
    unanswered = Tally(due=5, sent=5, unanswered=1, unawaited=4)
    assert verdict_of(CHAT, unanswered).reason is FailureReason.NOTHING_ANSWERED
    assert verdict_of(CHAT, Tally()).reason is FailureReason.NOTHING_SENT


def test_sessions_that_only_listen_pass_where_something_comes():
    heard = Tally(reactions={"reader/tick": ReactionTally(seen=1)})
    assert verdict_of(LISTENERS, heard).passed
    nothing = verdict_of(LISTENERS, Tally())
    assert (nothing.reason, nothing.why) == (
        FailureReason.NOTHING_ANSWERED,
        "no message came to which a role reacts",
    )
    holding = msgspec.structs.replace(CHAT.roles[0], reactions=())
    assert verdict_of(msgspec.structs.replace(CHAT, roles=(holding,)), Tally()).passed


def test_checks_of_steps_that_sessions_take_once_are_not_all_replies():
    wrong = Tally(due=3, sent=3, answered=3, answered_in_window=3, faults=Counter({"check-failed": 3}))
    wrong.steps = {"writer/say": Tally(answered=3), "reader/join": Tally(answered=3)}
    assert verdict_of(CHAT, wrong).passed
    wrong.steps["reader/join"].answered = 0
    assert verdict_of(CHAT, wrong).reason is FailureReason.ALL_REPLIES_WRONG


def test_counts_of_recordings_have_those_of_their_parts():
    total = counts_of([recorded(), recorded()])
    assert (total.steps["writer/say"].sent, total.reactions["reader/tick"].seen) == (206, 180)
    assert (total.roles["writer"].failed_at, total.unawaited) == ({"say": 4, "ask": 2}, 12)
    assert not total.steps["writer/say"].response_time_ns.count
