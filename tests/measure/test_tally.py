import dataclasses
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.measure.histogram import Histogram
from ws_load_test.measure.tally import Tally

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


TALLIES = st.builds(Tally, **{room.name: strategy_of(room) for room in dataclasses.fields(Tally)})


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
    both = merged(one, two)
    for room in dataclasses.fields(Tally):
        mine, theirs, sum_of_both = (getattr(tally, room.name) for tally in (one, two, both))
        if isinstance(mine, Histogram):
            assert (sum_of_both.count, sum_of_both.sum) == (mine.count + theirs.count, mine.sum + theirs.sum)
        else:
            assert sum_of_both == mine + theirs


def test_merging_leaves_the_other_alone():
    other = Tally(sent=2, closed=Counter({"1000": 1}))
    other.response_time_ns.record(5)
    total = merged(other, other)
    total.response_time_ns.record(7)
    assert (total.sent, total.closed["1000"], total.response_time_ns.count) == (4, 2, 3)
    assert (other.sent, other.closed["1000"], other.response_time_ns.count) == (2, 1, 1)


def test_what_is_empty_is_not_written():
    assert Tally().to_wire() == Tally().to_record() == {}
    assert Tally.from_wire({}) == Tally.from_record({}) == Tally()
    assert Tally(sent=3, faults=Counter(reset=1)).to_record() == {"sent": 3, "faults": {"reset": 1}}


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
        {"seen": 1},
        {"merge": 1},
    ],
)
def test_what_is_no_tally_raises_value_error(data):
    for read in (Tally.from_wire, Tally.from_record):
        with pytest.raises(ValueError):
            read(data)
