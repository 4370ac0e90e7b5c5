"""No test may leave anything behind, and those that measure time have the machine to themselves."""

from pathlib import Path

import pytest
from hypothesis import settings

from ws_load_test.testing import leaks

# How long an example takes says more about what else runs on the machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ALONE = {"engine"}
"""Folders of tests that look at times of microseconds, or fill the machine."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in ALONE:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    with leaks():
        yield
