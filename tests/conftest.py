"""No test may leave anything behind, and those that measure time have the machine to themselves."""

import pytest
from hypothesis import settings

from ws_load_test.testing import leaks

# How long an example takes says more about what else runs on the machine.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")

ALONE = {"engine", "test_health_live"}
"""Folders and modules of tests that look at times of microseconds, or at who comes first."""


def pytest_collection_modifyitems(items):
    for item in items:
        if {item.path.stem, item.path.parent.name} & ALONE:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    with leaks():
        yield
