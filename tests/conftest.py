"""No test may leave anything behind, and the folders that take longest come first."""

import asyncio

import pytest
from hypothesis import settings

from ws_load_test.common import event_loop
from ws_load_test.testing import leaks

# How long an example takes says more about what else runs on the machine.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")

LONGEST_FIRST = ("cluster", "cli", "recipes", "engine", "fleet", "live")
"""Folders in the order in which processes that share the tests take them: what is short fills the gaps at the end."""


def pytest_collection_modifyitems(items):
    place = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _loops_have_run():
    """The first loop of a process keeps a pipe for the process's life, which is no test's leak."""
    event_loop.run(asyncio.sleep(0))


@pytest.fixture(autouse=True)
def _nothing_left_behind(_loops_have_run):
    with leaks():
        yield
