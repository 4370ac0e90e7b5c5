"""Engines by name, each imported on demand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.engine import Engine
    from ws_load_test.plan.plan import Plan


def _portable() -> type[Engine]:
    from ws_load_test.engine.portable import PortableEngine  # noqa: PLC0415 - on demand

    return PortableEngine


def _native() -> type[Engine]:
    from ws_load_test.engine.native.engine import NativeEngine  # noqa: PLC0415 - on demand

    return _native_by_epoll() if why_no_io_uring() else NativeEngine


def _native_by_epoll() -> type[Engine]:
    from ws_load_test.engine.native.engine import NativeEpollEngine  # noqa: PLC0415 - on demand

    return NativeEpollEngine


def why_no_io_uring() -> str:
    """Returns why the native engine cannot use io_uring, and uses epoll instead; empty if it can.

    Raises:
        ImportError: It is not built.
    """
    from ws_load_test.engine.native import io_uring  # noqa: PLC0415 - on demand

    return io_uring.why_no_io_uring()


ENGINES: dict[str, Callable[[], type[Engine]]] = {
    "native": _native,
    "native-epoll": _native_by_epoll,
    "portable": _portable,
}
"""For each name, what imports the engine's class (ImportError: it is not built)."""
PREFERRED = ("native", "portable")
"""Those of which ``auto`` takes the first that is built and can run a plan."""
COMPILED_PARTS: dict[str, str] = dict.fromkeys(("native", "native-epoll"), "ws_load_test.engine.native.reactor")
"""For an engine that a build may lack, the module that is built; it imports nothing else of the engine."""
DEFAULT_ENGINE = "auto"


def engine_for(plan: Plan, name: str = DEFAULT_ENGINE) -> type[Engine]:
    """Returns the class of an engine that can run a plan; ``auto``: of the first that is built and can.

    Raises:
        KeyError: There is no such engine.
        UsageError: The engine is not built, or cannot run the plan; has all of its reasons.
    """
    if name == DEFAULT_ENGINE:
        for engine in map(_built, PREFERRED):
            if engine is not None and not engine.unsupported(plan):
                return _suited(engine, plan)
        raise UsageError(f"no engine of this installation can run this plan: {why_engine(plan)}")
    if missing := why_missing(name):
        raise UsageError(f"the {name} engine is not part of this installation: {missing}; take --engine auto")
    engine = ENGINES[name]()
    if reasons := engine.unsupported(plan):
        raise UsageError(f"the {name} engine cannot run this plan: {'; '.join(reasons)}")
    return _suited(engine, plan)


def why_missing(name: str) -> str:
    """Returns why an engine cannot be had in this installation; empty if it can."""
    try:
        ENGINES[name]()
    except ImportError as error:
        return _not_built(error)
    return ""


def why_not_built(name: str) -> str:
    """Returns why an engine lacks its compiled part, in the words of `why_missing`; empty if it has it, or needs none.

    Imports no more than that part.
    """
    part = COMPILED_PARTS.get(name)
    try:
        if part is not None:
            import_module(part)
    except ImportError as error:
        return _not_built(error)
    return ""


def why_engine(plan: Plan, name: str = DEFAULT_ENGINE) -> str:
    """Returns the engine that runs a plan, and why it is not one that would be preferred."""
    if name != DEFAULT_ENGINE:
        return _with_backend(name, plan)
    reasons: list[str] = []
    for each in PREFERRED:
        missing = why_missing(each)
        wanting = [missing] if missing else ENGINES[each]().unsupported(plan)
        if not wanting:
            return "; ".join([_with_backend(each, plan), *reasons])
        reasons.append(f"not {each}: {', '.join(wanting)}")
    return "; ".join(reasons)


def _suited(engine: type[Engine], plan: Plan) -> type[Engine]:
    """Returns an engine, or the same by epoll where that is better.

    On a schedule most messages leave by themselves, and io_uring has no batches to gain from: 50,000 a second took 0.99
    of a core in place of 0.85, and left 30 µs late in place of 14 (medians).
    """
    if engine.name == "native" and not plan.load.due_when_sent:
        return ENGINES["native-epoll"]()
    return engine


def _with_backend(name: str, plan: Plan) -> str:
    """Returns an engine's name, and why it does not use io_uring if it could elsewhere."""
    if name == "native" and not plan.load.due_when_sent:
        return "native-epoll, which is better on a schedule"
    try:
        why = why_no_io_uring() if name == "native" else ""
    except ImportError:
        return name
    return f"native-epoll, as there is no io_uring ({why})" if why else name


def _not_built(error: ImportError) -> str:
    return f"it is built on Linux, where there is a C compiler ({error})"


def _built(name: str) -> type[Engine] | None:
    try:
        return ENGINES[name]()
    except ImportError:
        return None
