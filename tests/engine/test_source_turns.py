"""Source addresses in turns, where a machine dials every connection and where it dials some."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.connect.dialer import Dialer


def dialler(share, urls=1):
    return Dialer(make_plan([f"ws://127.0.0.1:1/{number}" for number in range(urls)], workers=1), share)


def test_alone_a_machine_counts_all_connections():
    assert [dialler(None, 2).rotation_index(number) for number in range(6)] == [0, 0, 1, 1, 2, 2]


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 5), st.data())
def test_each_worker_uses_every_address_evenly_on_each_way(urls, of, sources, data):
    share = Shard(data.draw(st.integers(0, of - 1)), of)
    dialling = dialler(share, urls)
    used = Counter()
    for position in range(sources * urls * 4):
        number = share.global_index(position)
        used[number % urls, dialling.rotation_index(number) % sources] += 1
    for way in {way for way, _ in used}:
        counts = [used[way, source] for source in range(sources)]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("of", [2, 4])
def test_the_only_worker_of_a_machine_uses_all_its_addresses(of):
    """By the connections' own numbers it would take the same address every time."""
    dialling = dialler(Shard(1, of))
    assert {dialling.rotation_index(1 + of * position) % 2 for position in range(4)} == {0, 1}
