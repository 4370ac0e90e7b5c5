"""Searching from Python: what ``ws-load-test capacity`` does, without a terminal.

from ws_load_test import find_capacity

found = find_capacity("ws://localhost:3001", slo=["p99 < 50ms", "errors < 0.1%"])
print(found.lower, found.sentence)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ws_load_test.common.event_loop import run_blocking
from ws_load_test.experiments.capacity.search_options import read_aim
from ws_load_test.experiments.capacity.search_runner import CapacitySearch

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from ws_load_test.common.errors import ExitCode
    from ws_load_test.experiments.capacity.step import Step


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """What a search found."""

    facts: dict[str, Any]
    """The same object that ``--json`` prints."""
    exit_code: ExitCode
    """What the command line would return."""

    @property
    def lower(self) -> float | None:
        """The highest amount that met the objectives each time: messages a second, or connections."""
        lower: float | None = self.facts["answer"]["lower"]
        return lower

    @property
    def upper(self) -> float | None:
        """The lowest amount above it that missed them; None where that is not known."""
        upper: float | None = self.facts["answer"]["upper"]
        return upper

    @property
    def sentence(self) -> str:
        """What was found and how sure it is."""
        return str(self.facts["answer"]["sentence"])


def find_capacity(
    url: str,
    *,
    output: str | os.PathLike[str] | None = None,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> CapacityResult:
    """Finds the highest load that meets objectives, in a script or in a notebook's cell.

    Args:
        url: What to test.
        output: A new folder for the recordings of the steps.
        on_step: Called with each step as it ends, as ``--json`` prints it.
        options: As the command line names them, dashes as underscores; ``from_`` where Python has its own ``from``.

    Raises:
        PlanError: with every problem that the options have, each naming its option.
        HostError: This machine cannot carry even the first step.
        UsageError: The plan's certificates cannot be used, or `output` is not empty.
        OutputError: `output` cannot be made, or the first step's recording not be opened.
    """
    given = {"url": url, **{name.removesuffix("_"): value for name, value in options.items()}}
    hunt = CapacitySearch(read_aim(given), output)

    def tell(step: Step) -> None:
        if on_step is not None:
            on_step(step.facts)

    async def search() -> None:
        await hunt.run(on_step=tell)

    run_blocking(search, hunt.interrupt)
    return CapacityResult(hunt.to_json(), hunt.exit_code)
