"""How workers are spread over machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.fleet.cluster.worker_counts import first_worker_numbers, workers_per_host

CORES = st.lists(st.integers(0, 70), min_size=1, max_size=20)


@given(CORES, st.integers(1, 2_000), st.none() | st.integers(1, 40))
def test_every_host_gets_what_it_has_room_for_as_far_as_there_are_connections(cores, connections, each):
    room = [max(1, count) if each is None else each for count in cores]
    found = workers_per_host(cores, connections, each)
    assert sum(found) == min(sum(room), connections)
    assert all(0 <= count <= most for count, most in zip(found, room, strict=True))
    # Nobody has fewer than another one, unless it has no room for more, or came later in the last turn.
    for place, count in enumerate(found):
        if count < room[place]:
            assert all(other <= count + 1 for other in found)
            assert all(other <= count for other in found[place + 1 :])


@pytest.mark.parametrize(
    ("cores", "connections", "each", "found"),
    [
        ([4, 4], 100, None, [4, 4]),
        ([8, 2], 100, None, [8, 2]),
        ([8, 2], 100, 3, [3, 3]),
        ([8, 8], 3, None, [2, 1]),
        ([1, 1, 1], 1, None, [1, 0, 0]),
    ],
)
def test_examples(cores, connections, each, found):
    assert workers_per_host(cores, connections, each) == found


def test_workers_are_numbered_host_by_host():
    assert first_worker_numbers([2, 1, 3]) == [0, 2, 3]
