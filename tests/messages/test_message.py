"""Filler text of messages that only have a size."""

import pytest

from ws_load_test.messages import filler_text
from ws_load_test.messages.random_values import ALPHABET


@pytest.mark.parametrize("size", [0, 1, 4, 1000, 3_000_000])
def test_filler_is_text_of_its_size_and_the_same_every_time(size):
    filler = filler_text(size)
    assert len(filler) == size
    assert filler == filler_text(size)
    assert set(filler.decode()) <= set(ALPHABET)
