"""A load generator for WebSocket APIs.

    from ws_load_test import make_plan, run

    result = run(make_plan("ws://localhost:3001", connections=100, duration="10s"))
    print(result.summary["response_time_ns"]["p99"])

The names below are the public API; everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.common.version import __version__

if TYPE_CHECKING:
    from ws_load_test.api import Result, run
    from ws_load_test.common.errors import LoadTestError, PlanError
    from ws_load_test.experiments.capacity.api import CapacityResult, find_capacity
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.plan.options.read_plan import make_plan
    from ws_load_test.plan.plan import Plan

__all__ = [
    "CapacityResult",
    "Cluster",
    "LoadTestError",
    "Plan",
    "PlanError",
    "Result",
    "__version__",
    "find_capacity",
    "make_plan",
    "run",
]

_HOMES = {
    "CapacityResult": "ws_load_test.experiments.capacity.api",
    "Cluster": "ws_load_test.fleet.cluster.spec",
    "LoadTestError": "ws_load_test.common.errors",
    "Plan": "ws_load_test.plan.plan",
    "PlanError": "ws_load_test.common.errors",
    "Result": "ws_load_test.api",
    "make_plan": "ws_load_test.plan.options.read_plan",
    "find_capacity": "ws_load_test.experiments.capacity.api",
    "run": "ws_load_test.api",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `ws-load-test --help` does not wait for numpy.
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
