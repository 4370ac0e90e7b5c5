"""Shares: together they are everything, and no two overlap."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.sharding import Shard
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
    assert counts == sorted(counts, reverse=True)


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
