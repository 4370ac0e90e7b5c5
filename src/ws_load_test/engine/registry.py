"""Engines by name, each imported on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.engine import Engine


def _portable() -> type[Engine]:
    from ws_load_test.engine.portable import PortableEngine  # noqa: PLC0415 - on demand

    return PortableEngine


ENGINES: dict[str, Callable[[], type[Engine]]] = {"portable": _portable}
"""For each name, what imports the engine's class."""
DEFAULT_ENGINE = "portable"
