"""Which shard has an item, by arithmetic alone."""

from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.sharding import Shard, shard_of


@given(st.integers(1, 40), st.integers(0, 5_000), st.data())
def test_the_shard_of_an_item_is_the_one_that_numbers_it(count, position, data):
    index = data.draw(st.integers(0, count - 1))
    assert shard_of(Shard(index, count).global_index(position), count) == index
