"""Engines by name, each imported on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.engine import Engine
    from ws_load_test.plan.plan import Plan


def _portable() -> type[Engine]:
    from ws_load_test.engine.portable import PortableEngine  # noqa: PLC0415 - on demand

    return PortableEngine


ENGINES: dict[str, Callable[[], type[Engine]]] = {"portable": _portable}
"""For each name, what imports the engine's class."""
DEFAULT_ENGINE = "portable"


def engine_for(plan: Plan, name: str = DEFAULT_ENGINE) -> type[Engine]:
    """Returns the class of an engine that can run a plan.

    Raises:
        KeyError: There is no such engine.
        UsageError: The engine cannot run the plan; has all of its reasons.
    """
    engine = ENGINES[name]()
    if reasons := engine.unsupported(plan):
        raise UsageError(f"the {name} engine cannot run this plan: {'; '.join(reasons)}")
    return engine
