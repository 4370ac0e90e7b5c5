"""Engines that run in the process of the tests leave its garbage collector as it is."""

from types import SimpleNamespace

import pytest

from ws_load_test.engine import portable

NO_COLLECTOR = SimpleNamespace(collect=int, freeze=int, disable=int)
"""Collects nothing: all that the tests have made would be looked through for each run, and stay in memory after it."""


@pytest.fixture(autouse=True)
def _collector_of_the_tests(monkeypatch):
    monkeypatch.setattr(portable, "gc", NO_COLLECTOR)
