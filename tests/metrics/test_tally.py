import dataclasses
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def strategy_of(room):
    if room.default == 0:
        return COUNTS
    return {Counter: COUNTERS, Histogram: histograms()}[room.default_factory]


FLAT = {room.name: strategy_of(room) for room in dataclasses.fields(Tally) if room.name != "misbehaving"}
# One within another, as those of unkind connections are; half of them empty or none.
TALLIES = st.builds(Tally, **FLAT, misbehaving=st.one_of(st.none(), st.just(Tally()), st.builds(Tally, **FLAT)))


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


@given(TALLIES, TALLIES, TALLIES)
@settings(deadline=None, max_examples=30)
def test_merging_is_exact_in_any_order(one, two, three):
    assert merged(one, two, three) == merged(three, merged(two, one))
    check_sum(one, two, merged(one, two))


def check_sum(one, two, both):
    """Fails unless every count and histogram of `both` is what is in the one and in the other."""
    for room in dataclasses.fields(Tally):
        mine, theirs, sum_of_both = (getattr(tally, room.name) for tally in (one, two, both))
        if isinstance(mine, Histogram):
            assert (sum_of_both.count, sum_of_both.sum) == (mine.count + theirs.count, mine.sum + theirs.sum)
        elif room.name != "misbehaving":
            assert sum_of_both == mine + theirs
        elif mine is None or theirs is None:
            assert sum_of_both == (theirs if mine is None else mine)
        else:
            check_sum(mine, theirs, sum_of_both)


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
    ],
)
def test_what_is_no_tally_raises_value_error(data):
    for read in (Tally.from_wire, Tally.from_record):
        with pytest.raises(ValueError):
            read(data)
