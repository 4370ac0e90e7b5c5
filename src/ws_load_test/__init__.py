"""A load generator for WebSocket APIs.

    from ws_load_test import make_plan, run

    result = run(make_plan("ws://localhost:3001", connections=100, duration="10s"))
    print(result.p99, result.summary.throughput_per_s)

The names below are the public API; everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.common.version import __version__

if TYPE_CHECKING:
    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.sides import compare
    from ws_load_test.analysis.recordings import read_recording
    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.api import Result, run, run_async
    from ws_load_test.common.errors import LoadTestError, PlanError
    from ws_load_test.experiments.ab import ab
    from ws_load_test.experiments.capacity.api import CapacityResult, find_capacity
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.plan.describe import describe_plan
    from ws_load_test.plan.options.read_plan import make_plan
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.scenario.python_role import Message, Session, SessionOver, role

__all__ = [
    "CapacityResult",
    "Cluster",
    "Comparison",
    "LoadTestError",
    "Message",
    "Plan",
    "PlanError",
    "Recording",
    "Result",
    "Session",
    "SessionOver",
    "Summary",
    "TimeStats",
    "__version__",
    "ab",
    "compare",
    "describe_plan",
    "find_capacity",
    "make_plan",
    "read_recording",
    "role",
    "run",
    "run_async",
]

_HOMES = {
    "CapacityResult": "ws_load_test.experiments.capacity.api",
    "Cluster": "ws_load_test.fleet.cluster.spec",
    "Comparison": "ws_load_test.analysis.comparison.compare",
    "LoadTestError": "ws_load_test.common.errors",
    "Message": "ws_load_test.plan.scenario.python_role",
    "Plan": "ws_load_test.plan.plan",
    "PlanError": "ws_load_test.common.errors",
    "Recording": "ws_load_test.metrics.recording",
    "Result": "ws_load_test.api",
    "Session": "ws_load_test.plan.scenario.python_role",
    "SessionOver": "ws_load_test.plan.scenario.python_role",
    "Summary": "ws_load_test.analysis.summary_types",
    "TimeStats": "ws_load_test.analysis.summary_types",
    "ab": "ws_load_test.experiments.ab",
    "compare": "ws_load_test.analysis.comparison.sides",
    "find_capacity": "ws_load_test.experiments.capacity.api",
    "describe_plan": "ws_load_test.plan.describe",
    "make_plan": "ws_load_test.plan.options.read_plan",
    "read_recording": "ws_load_test.analysis.recordings",
    "role": "ws_load_test.plan.scenario.python_role",
    "run": "ws_load_test.api",
    "run_async": "ws_load_test.api",
}
"""Module of each public name, imported at its first use."""


def __getattr__(name: str) -> Any:
    # Imported at the first use, so that `ws-load-test --help` does not wait for numpy.
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
