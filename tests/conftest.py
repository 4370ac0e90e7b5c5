"""No test may leave anything behind."""

import pytest

from ws_load_test.testing import leaks


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    with leaks():
        yield
