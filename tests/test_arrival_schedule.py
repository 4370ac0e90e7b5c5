"""Shares: together they are everything, and no two overlap."""

import math
from collections import Counter
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.sharding import Shard, largest_size, rotation
from ws_load_test.plan.schedule import evenly_spaced_ns


@st.composite
def shares_of(draw):
    of = draw(st.integers(1, 40))
    return [Shard(index, of) for index in range(of)]


@given(shares_of(), st.integers(0, 500))
def test_shares_are_disjoint_complete_and_in_order(shares, total):
    parts = [[share.global_index(position) for position in range(share.size(total))] for share in shares]
    assert sorted(number for part in parts for number in part) == list(range(total))
    for part in parts:
        assert part == sorted(set(part))


@given(shares_of(), st.integers(0, 10**12))
def test_shares_differ_by_one_at_most(shares, total):
    counts = [share.size(total) for share in shares]
    assert sum(counts) == total
    assert max(counts) - min(counts) <= 1
    assert max(counts) == largest_size(total, len(shares))


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 100))
def test_what_is_dealt_in_turn_is_dealt_over_each_share_as_well(of, ways, rounds):
    """Two URLs are not one worker's each: over each worker's connections, all are used about as often."""
    total = of * ways * rounds
    for share in (Shard(index, of) for index in range(of)):
        used = Counter(share.global_index(position) % ways for position in range(total // of))
        counts = [used[way] for way in range(ways)]
        # Logarithmic in the rounds, as multiples of the golden ratio have it (Knuth 6.4); in step it would be `rounds`.
        assert max(counts) - min(counts) <= 2 + 2 * math.log2(1 + ways * rounds)


@pytest.mark.parametrize(("of", "ways"), [(2, 2), (2, 4), (3, 3), (4, 2), (4, 4), (3, 6)])
def test_a_few_connections_are_enough_for_every_worker_to_meet_every_url(of, ways):
    for share in (Shard(index, of) for index in range(of)):
        assert len({share.global_index(position) % ways for position in range(3 * ways)}) == ways


@given(st.integers(1, 50), st.integers(0, 10**12))
def test_a_rotation_begins_within_the_cycle(size, number):
    assert 0 <= rotation(number, size) < size


def test_numbers_go_on_without_end():
    for share in (Shard(0, 1), Shard(1, 3)):
        assert list(islice(share.numbers(), 9)) == [share.global_index(position) for position in range(9)]


@given(shares_of(), st.integers(0, 10**9), st.integers(0, 10**6))
def test_a_share_never_shrinks_when_there_is_more(shares, total, more):
    for share in shares:
        assert share.size(total) <= share.size(total + more) <= share.size(total) + more


def test_a_share_travels_as_json():
    share = Shard(3, 8)
    assert msgspec.json.decode(msgspec.json.encode(share), type=Shard) == share


def test_evenly_spaced_things_begin_at_once():
    assert [evenly_spaced_ns(number, 4) for number in range(4)] == [0, 250_000_000, 500_000_000, 750_000_000]


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_spacing_does_not_drift(number, per_s):
    assert abs(evenly_spaced_ns(number, per_s) * per_s - number * 10**9) <= per_s
