"""Python API of the capacity search, equivalent to ``ws-load-test capacity``.

from ws_load_test import find_capacity

found = find_capacity("ws://localhost:3001", slo=["p99 < 50ms", "errors < 0.1%"])
print(found.lower, found.sentence)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from ws_load_test.common.event_loop import run_blocking
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.experiments.capacity.search_runner import CapacitySearch

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from ws_load_test.analysis.capacity_types import CapacitySummary, StepSummary
    from ws_load_test.common.errors import ExitCode
    from ws_load_test.experiments.capacity.step import Step
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.plan.options.catalog import CapacityOptions


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """Result of a search."""

    summary: CapacitySummary
    """The object that ``--json`` prints; see docs/capacity.md."""
    exit_code: ExitCode
    """Exit code of the command line."""

    @property
    def lower(self) -> float | None:
        """Highest load that met the objectives each time, in messages per second or connections; None if none did."""
        return self.summary.answer.lower

    @property
    def upper(self) -> float | None:
        """Lowest load above it that missed them; None if unknown."""
        return self.summary.answer.upper

    @property
    def sentence(self) -> str:
        """The result and its certainty, as a sentence."""
        return self.summary.answer.sentence


def find_capacity(
    url: str,
    *,
    output: str | os.PathLike[str] | None = None,
    on_step: Callable[[StepSummary], None] | None = None,
    cluster: Cluster | None = None,
    **options: Unpack[CapacityOptions],
) -> CapacityResult:
    """Finds the highest load that meets objectives, in a script or in a notebook's cell.

    Args:
        url: URL of the target.
        output: A new folder for the recordings of the steps.
        on_step: Called with each step as it ends, as ``--json`` prints it.
        cluster: Other machines that run the steps in place of this one; it is joined once for all of them.
        options: Options of the command line, dashes as underscores; ``from_`` for ``--from``, a keyword of Python.

    Raises:
        PlanError: The options have problems; each names its option.
        HostError: This machine, or one of the cluster, cannot carry even the first step.
        UsageError: The plan's certificates cannot be used, or the cluster cannot, or `output` is not empty.
        OutputError: `output` cannot be made, or the first step's recording cannot be opened.
    """
    named = {"url": url, **{name.removesuffix("_"): value for name, value in options.items()}}
    search = CapacitySearch(read_spec(named), output, cluster)

    def on_step_end(step: Step) -> None:
        if on_step is not None:
            on_step(step.summary)

    async def run() -> None:
        await search.run(on_step=on_step_end)

    run_blocking(run, search.interrupt)
    return CapacityResult(search.summary(), search.exit_code)
