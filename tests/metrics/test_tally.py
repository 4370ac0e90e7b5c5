from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.metrics.catalog import METRICS
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.tally import Tally

COUNTS = st.integers(0, 10**12)
COUNTERS = st.dictionaries(st.sampled_from(["1000", "1006", "closed:1011", "reset"]), st.integers(1, 10**9)).map(
    Counter
)


@st.composite
def histograms(draw):
    histogram = Histogram()
    histogram.record_block(np.array(draw(st.lists(st.integers(0, 10**11), max_size=8)), dtype=np.int64))
    return histogram


STRATEGIES = {"count": COUNTS, "size": COUNTS, "labeled": COUNTERS, "time": histograms(), "amount": histograms()}
EVENTS = st.dictionaries(st.sampled_from(["7 1006", "9 opened", "9 reconnected:20"]), st.integers(1, 10**9)).map(
    Counter
)
FLAT = {name: STRATEGIES[spec.kind] for name, spec in METRICS.items()} | {"session_events": EVENTS}
# Where messages are due when they are sent, one histogram stands for both times.
ONE_TIME = FLAT | {"service_time_ns": st.builds(Histogram), "due_when_sent": st.just(True)}
SINGLE = st.one_of(st.builds(Tally, **FLAT), st.builds(Tally, **ONE_TIME))


def nested(fields):
    """Returns a strategy of tallies with another within, as that of misbehaving connections; half are empty or none."""
    return st.builds(Tally, **fields, misbehaving=st.one_of(st.none(), st.builds(Tally), SINGLE))


TALLIES = st.one_of(nested(FLAT), nested(ONE_TIME))


def merged(*tallies):
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


@given(TALLIES)
@settings(deadline=None, max_examples=30)
def test_wire_and_record_give_back_the_same(tally):
    for write, read in ((Tally.to_wire, Tally.from_wire), (Tally.to_record, Tally.from_record)):
        assert read(msgspec.json.decode(msgspec.json.encode(write(tally)))) == tally


@given(TALLIES)
@settings(deadline=None, max_examples=10)
def test_steps_of_writing_come_to_the_same(tally):
    written = []

    def write():
        written.append((yield from tally.to_wire_in_steps()))

    for _ in write():
        assert not written
    assert written == [tally.to_wire()]


@given(TALLIES, TALLIES, TALLIES)
@settings(deadline=None, max_examples=30)
def test_merging_is_exact_in_any_order(one, two, three):
    assert merged(one, two, three) == merged(three, merged(two, one))
    check_sum(one, two, merged(one, two))


def check_sum(one, two, both):
    """Fails unless every count and histogram of `both` is what is in the one and in the other."""
    for name, spec in METRICS.items():
        mine, theirs, sum_of_both = (value_of(tally, name) for tally in (one, two, both))
        if spec.kind in ("time", "amount"):
            assert (sum_of_both.count, sum_of_both.sum) == (mine.count + theirs.count, mine.sum + theirs.sum)
        else:
            assert sum_of_both == mine + theirs
    parts = [tally.misbehaving for tally in (one, two) if tally.misbehaving is not None]
    if len(parts) == 2:
        check_sum(*parts, both.misbehaving)
    else:
        assert both.misbehaving == (merged(*parts) if parts else None)


def value_of(tally, name):
    return tally.service_times_ns if name == "service_time_ns" else getattr(tally, name)


def test_merging_leaves_the_other_alone():
    other = Tally(sent=2, closed=Counter({"1000": 1}))
    other.response_time_ns.record(5)
    total = merged(other, other)
    total.response_time_ns.record(7)
    assert (total.sent, total.closed["1000"], total.response_time_ns.count) == (4, 2, 3)
    assert (other.sent, other.closed["1000"], other.response_time_ns.count) == (2, 1, 1)


def test_merging_leaves_the_unkind_of_the_other_alone():
    """Also where there were none before: what comes later must not be counted into the other as well."""
    other = Tally(misbehaving=Tally(sent=2, faults=Counter(reset=1)))
    other.misbehaving.response_time_ns.record(5)
    total = merged(Tally(sent=1), other, other, Tally(sent=1))
    assert (total.sent, total.misbehaving.sent, total.misbehaving.faults) == (2, 4, {"reset": 2})
    assert (total.misbehaving.response_time_ns.count, total.misbehaving.response_time_ns.sum) == (2, 10)
    assert (other.sent, other.misbehaving.sent, other.misbehaving.faults) == (0, 2, {"reset": 1})
    assert other.misbehaving.response_time_ns.count == 1


def test_none_unkind_are_none_until_there_are_some():
    assert merged(Tally(sent=1), Tally(sent=2)).misbehaving is None
    assert merged(Tally(), Tally(misbehaving=Tally())).misbehaving == Tally()


def test_what_is_empty_is_not_written():
    assert Tally().to_wire() == Tally().to_record() == {}
    assert Tally.from_wire({}) == Tally.from_record({}) == Tally()
    assert Tally(sent=3, faults=Counter(reset=1)).to_record() == {"sent": 3, "faults": {"reset": 1}}


def test_the_unkind_are_written_as_a_tally_of_their_own():
    tally = Tally(sent=3, misbehaving=Tally(sent=1, closed=Counter({"1006": 2})))
    assert tally.to_wire() == tally.to_record() == {"sent": 3, "misbehaving": {"sent": 1, "closed": {"1006": 2}}}
    assert Tally(misbehaving=Tally()).to_wire() == {"misbehaving": {}}, (
        "there are some, and nothing has come of them yet"
    )
    tally.misbehaving.response_time_ns.record(7)
    for write, read in ((Tally.to_wire, Tally.from_wire), (Tally.to_record, Tally.from_record)):
        again = read(write(tally))
        assert isinstance(again.misbehaving, Tally)
        assert again == tally


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"sent": "3"},
        {"sent": 1.5},
        {"sent": -1},
        {"sent": True},
        {"sent": None},
        {"faults": "reset"},
        {"faults": ["reset"]},
        {"faults": {"reset": "1"}},
        {"faults": {"reset": -1}},
        {"response_time_ns": 5},
        {"response_time_ns": {}},
        {"misbehaving": None},
        {"misbehaving": 3},
        {"misbehaving": {"sent": "3"}},
        {"misbehaving": {"seen": 1}},
        {"seen": 1},
        {"merge": 1},
        {"due_when_sent": 1},
    ],
)
def test_what_is_no_tally_raises_value_error(data):
    for read in (Tally.from_wire, Tally.from_record):
        with pytest.raises(ValueError):
            read(data)


def answered(value_ns, **more):
    tally = Tally(**more)
    tally.response_time_ns.record(value_ns)
    return tally


def test_where_messages_are_due_when_sent_response_times_are_service_times():
    tally = merged(answered(5, due_when_sent=True), answered(6, due_when_sent=True))
    assert tally.due_when_sent
    assert (tally.service_times_ns.count, tally.service_times_ns.sum) == (2, 11)
    assert not tally.service_time_ns.count, "kept once"
    assert tally.to_record().keys() == {"response_time_ns", "due_when_sent"}
    tally.separate_times()
    assert tally.service_times_ns is tally.service_time_ns == tally.response_time_ns
    assert not tally.due_when_sent


def test_service_times_of_both_kinds_of_load_are_added():
    on_schedule = answered(50)
    on_schedule.service_time_ns.record(40)
    for order in ([on_schedule, answered(5, due_when_sent=True)], [answered(5, due_when_sent=True), on_schedule]):
        total = merged(*order)
        assert (total.response_time_ns.sum, total.service_times_ns.sum, total.due_when_sent) == (55, 45, False)


def test_one_without_times_changes_nothing_about_those_of_another():
    assert merged(Tally(sent=1), answered(5, due_when_sent=True), Tally(sent=1)).due_when_sent
    assert not merged(Tally(due_when_sent=True), answered(5), Tally(due_when_sent=True)).due_when_sent


def test_service_times_of_their_own_contradict_that_messages_are_due_when_sent():
    data = answered(5, service_time_ns=answered(4).response_time_ns).to_record()
    with pytest.raises(ValueError, match="no service times of their own"):
        Tally.from_record(data | {"due_when_sent": True})


def test_an_interval_of_a_closed_loop_is_due_what_it_sent_or_dropped():
    tally = Tally(sent=5, dropped=2, misbehaving=Tally(sent=3, due_when_sent=True), due_when_sent=True)
    tally.complete_interval(warmup=False)
    assert (tally.due, tally.misbehaving.due) == (7, 3)
    on_schedule = Tally(due=9, sent=5)
    on_schedule.complete_interval(warmup=False)
    assert on_schedule == Tally(due=9, sent=5)


def test_a_warm_up_interval_keeps_sessions_and_how_many_messages_there_were():
    tally = Tally(**{name: 1 for name, spec in METRICS.items() if spec.kind in ("count", "size")}, due_when_sent=True)
    tally.keepalive_time_ns.record(7)
    tally.connect_time_ns.record(7)
    tally.complete_interval(warmup=True)
    assert (tally.warmup_sent, tally.sent, tally.bytes_sent, tally.bytes_received, tally.pushed) == (1, 0, 0, 0, 0)
    assert (tally.opened, tally.keepalive_time_ns.count, tally.connect_time_ns.count) == (1, 0, 1)


def test_what_a_killed_worker_had_in_flight_got_no_reply():
    tally = Tally(due=10, sent=8, answered=3, unanswered=1, misbehaving=Tally(due=2, sent=1))
    tally.complete_run()
    assert (tally.unanswered, tally.dropped) == (5, 2)
    assert (tally.misbehaving.unanswered, tally.misbehaving.dropped) == (1, 1)
    tally.complete_run()
    assert (tally.unanswered, tally.dropped) == (5, 2)
