"""Steps, reactions and roles of a scenario within a tally."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.results import recording
from ws_load_test.metrics.catalog import METRICS, PER_STEP_FIELDS
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.metric_set import rows_of
from ws_load_test.metrics.recording import Interval
from ws_load_test.metrics.recording_checks import LARGEST_TOTAL, IntervalChecker
from ws_load_test.metrics.scenario_metrics import AT_DIAL, ReactionTally, RoleTally, part_key, split_key
from ws_load_test.metrics.session_excerpts import MOST_READ, Entry, Excerpt, RoleExcerpts
from ws_load_test.metrics.tally import PARTS, Tally


def histogram(values):
    result = Histogram()
    for value in values:
        result.record(value)
    return result


HISTOGRAMS = st.lists(st.integers(0, 10**11), max_size=3).map(histogram)
COUNTERS = st.dictionaries(st.sampled_from(["join", AT_DIAL, "reset"]), st.integers(1, 9)).map(Counter)
STRATEGIES = {"count": st.integers(0, 9), "labeled": COUNTERS, "time": HISTOGRAMS, "amount": HISTOGRAMS}


ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(["step", "push", "fault"]),
    name=st.sampled_from(["join", "say"]),
    at_ns=st.integers(-5, 5),
    sent_ns=st.none() | st.integers(0, 5),
    count=st.integers(1, 3),
)
EXCERPTS = st.builds(
    Excerpt,
    session=st.integers(0, 3),
    opened_ns=st.none() | st.integers(-5, 5),
    took_ns=st.integers(0, 3),
    is_partial=st.booleans(),
    entries=st.lists(ENTRIES, max_size=2),
)
ROLE_EXCERPTS = st.builds(
    RoleExcerpts, first=st.none() | EXCERPTS, slowest=st.none() | EXCERPTS, failed=st.none() | EXCERPTS
)


def of_kind(kind, names=None):
    rows = rows_of(kind)
    more = {"excerpts": st.none() | ROLE_EXCERPTS} if kind is RoleTally else {}
    return st.builds(kind, **{name: STRATEGIES[rows[name].kind] for name in names or rows}, **more)


def by_name(parts):
    return st.dictionaries(st.sampled_from(["reader/join", "writer/say", "a/b/c"]), parts, max_size=2)


TALLIES = st.builds(
    Tally,
    sent=st.integers(0, 9),
    nodes=by_name(of_kind(Tally, ("opened", "response_time_ns"))),
    steps=by_name(of_kind(Tally, PER_STEP_FIELDS)),
    reactions=by_name(of_kind(ReactionTally)),
    roles=by_name(of_kind(RoleTally)),
)


def merged(*tallies):
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


@given(TALLIES)
@settings(deadline=None, max_examples=15)
def test_parts_go_over_the_wire_and_into_recordings(tally):
    for write, read in ((Tally.to_wire, Tally.from_wire), (Tally.to_record, Tally.from_record)):
        assert read(msgspec.json.decode(msgspec.json.encode(write(tally)))) == tally


@given(TALLIES, TALLIES, TALLIES)
@settings(deadline=None, max_examples=15)
def test_parts_of_one_name_are_added_exactly_and_in_any_order(one, two, three):
    before = Tally.from_record(two.to_record())
    both = merged(one, two)
    assert merged(both, three) == merged(three, merged(two, one))
    assert two == before, "the other stays as it was"
    for name in PARTS:
        parts = [getattr(tally, name) for tally in (one, two)]
        assert getattr(both, name).keys() == parts[0].keys() | parts[1].keys()
        for key, part in getattr(both, name).items():
            for row, spec in rows_of(type(part)).items():
                values = [getattr(own[key], row) for own in parts if key in own]
                if spec.is_histogram:
                    assert getattr(part, row).sum == sum(value.sum for value in values)
                else:
                    assert getattr(part, row) == sum(values, type(values[0])())


def test_a_recording_without_parts_is_read_as_before():
    tally = Tally.from_record({"sent": 3, "answered": 3})
    assert (tally.steps, tally.reactions, tally.roles, tally.unawaited) == ({}, {}, {}, 0)
    assert tally.to_record() == {"sent": 3, "answered": 3}


@pytest.mark.parametrize(
    "data",
    [
        {"steps": []},
        {"steps": {"a/b": 3}},
        {"steps": {"a/b": {"seen": 1}}},
        {"steps": {"a/b": {"steps": {}}}},
        {"steps": {"a/b": {"misbehaving": {}}}},
        {"steps": {"a/b": {"roles": {}}}},
        {"reactions": {"a/b": {"sent": "1"}}},
        {"reactions": {"a/b": {"answered": 1}}},
        {"reactions": {"a/b": {"age_ns": 3}}},
        {"roles": {"a": {"failed_at": 3}}},
        {"roles": {"a": {"sessions_due": True}}},
        {"nodes": {"n1": {"nodes": {}}}},
    ],
)
def test_what_is_no_part_raises_value_error(data):
    for read in (Tally.from_wire, Tally.from_record):
        with pytest.raises(ValueError, match=r"tally|histogram"):
            read(data)


def test_messages_that_nothing_answers_are_not_in_flight():
    step = Tally(due=9, sent=7, answered=2, unanswered=1, unawaited=1)
    tally = Tally(due=9, sent=7, answered=2, unanswered=1, unawaited=1, steps={"reader/say": step})
    assert tally.in_flight == 3
    tally.complete_run()
    for one in (tally, step):
        assert (one.unanswered, one.unawaited, one.dropped, one.in_flight) == (4, 1, 2, 0)


def test_a_warm_up_interval_leaves_reactions_out_and_keeps_sessions():
    reaction = ReactionTally(**{name: 1 for name, spec in rows_of(ReactionTally).items() if spec.kind == "count"})
    reaction.record_age(-7)
    role = RoleTally(sessions_due=3, sessions_begun=2, failed_at=Counter(join=1))
    tally = Tally(reactions={"reader/tick": reaction}, roles={"reader": role})
    tally.complete_interval(warmup=False)
    assert (reaction.seen, reaction.age_ahead_ns.count) == (1, 1)
    tally.complete_interval(warmup=True)
    assert reaction == ReactionTally(seen_in_window=1), "the engine counts that by instants"
    assert (role.sessions_due, role.sessions_begun, role.sessions_failed) == (3, 2, 1)


def test_ages_below_zero_are_counted():
    reaction = ReactionTally()
    for age_ns in (5, 0, -3, -1):
        reaction.record_age(age_ns)
    assert (reaction.ages, reaction.age_ns.count, reaction.age_ns.sum) == (4, 2, 5)
    assert (reaction.age_ahead_ns.count, reaction.age_ahead_ns.sum) == (2, 4)


def test_keys_name_a_role_and_its_part():
    assert split_key(part_key("reader", "a/b")) == ("reader", "a/b")


def test_what_parts_count_is_bounded_as_well():
    def interval(count):
        tally = Tally(roles={"reader": RoleTally(failed_at=Counter(join=count))}, steps={"reader/a": Tally(sent=count)})
        return Interval.of(tally, index=0, phase="measured", from_ns=0, to_ns=1, measured_ns=1)

    assert Tally(roles={"a": RoleTally(failed_at=Counter(join=2))}, misbehaving=Tally(sent=3)).total() == 5
    checker = IntervalChecker(recording().header)
    with pytest.raises(ValueError, match="2\\^56"):  # noqa: PT012 - one of the intervals is too much
        for number in range(17):
            checker.check(msgspec.structs.replace(interval((1 << 53) - 1), index=number))
    assert LARGEST_TOTAL == 1 << 56


def test_every_row_of_a_part_is_complete():
    assert METRICS.keys() > set(PER_STEP_FIELDS)
    for kind in (ReactionTally, RoleTally):
        for name, spec in rows_of(kind).items():
            assert spec.help.endswith(".")
            assert spec.unit_name
            assert spec.kind != "time" or (name.endswith("_ns") and (spec.no_value or spec.condition is None))
            wholes = [rows_of(kind)[whole] for whole in spec.percent_of]
            assert all(whole.kind == "count" and whole.no_value for whole in wholes), name


def test_of_each_kind_the_excerpt_that_shows_most_is_kept():
    found = RoleExcerpts()
    late = Excerpt(session=7, opened_ns=50, ended_ns=10, took_ns=3)
    early = Excerpt(session=8, opened_ns=10, ended_ns=20, took_ns=9)
    partial = Excerpt(session=1, ended_ns=1, is_partial=True)
    for one in (late, early, late):
        found.add("first", one)
        found.add("slowest", one)
    for one in (partial, late, early, partial):
        found.add("failed", one)
    assert (found.first, found.slowest, found.failed) == (late, early, early)
    tallies = [Tally(roles={"a": RoleTally(excerpts=RoleExcerpts(failed=one))}) for one in (partial, late)]
    assert merged(*tallies).roles["a"].excerpts == RoleExcerpts(failed=late)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"third": {"session": 1}},
        {"first": {}},
        {"first": {"session": -1}},
        {"first": {"session": 1, "entries": [["step", "say"]]}},
        {"first": {"session": 1, "entries": [["dance", "say", 1]]}},
        {"first": {"session": 1, "entries": [["step", "say", 1 << 61]]}},
        {"first": {"session": 1, "entries": [["push", "", 1]] * (MOST_READ + 1)}},
    ],
)
def test_what_is_no_excerpt_is_refused(data):
    with pytest.raises(ValueError, match="of another form"):
        RoleTally.from_record({"excerpts": data})
