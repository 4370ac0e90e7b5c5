"""Import graph of the package: no circles of modules, few packages on few floors."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ws_load_test"
MOST_PACKAGES = 24
"""Top-level packages and modules: more do not fit in one drawing that a reader takes in."""
MOST_FLOORS = 11
"""Steps of the longest chain of imports between them, the ground included."""


def import_graph(source: Path) -> dict[str, set[str]]:
    """Modules and the modules that each imports, anywhere in it: type-checking blocks and functions included."""
    paths = {module_name(path, source): path for path in source.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        imported = set(imported_names(ast.parse(path.read_text(encoding="utf-8"))))
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in imported} & paths.keys()
        graph[module].discard(module)
    return graph


def module_name(path: Path, source: Path) -> str:
    """``ws_load_test.plan.plan``; a package stands for its ``__init__``."""
    return ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_names(tree: ast.AST):
    """Yields the full names that a module imports: of modules, and of what is taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of modules that import each other, directly or through others, without the package's name."""
    reached = {module: reachable(graph, module) for module in graph}
    found = set()
    for module in graph:
        if module in reached[module]:
            group = {other for other in reached[module] if module in reached[other]}
            found.add(frozenset(name.partition(".")[2] for name in group))
    return found


def reachable(graph: dict[str, set[str]], module: str) -> set[str]:
    """Every module that is imported by this one, directly or through others."""
    seen: set[str] = set()
    pending = [module]
    while pending:
        fresh = graph[pending.pop()] - seen
        seen |= fresh
        pending += fresh
    return seen


def package_graph(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same for top-level packages; a module beside them (api.py, __main__.py, __init__.py) counts as one."""
    packages: dict[str, set[str]] = {}
    for module, imported in graph.items():
        own = packages.setdefault(package_of(module), set())
        own |= {package_of(name) for name in imported} - {package_of(module)}
    return packages


def package_of(module: str) -> str:
    """The part of a module's name behind that of the whole package."""
    return [*module.split("."), "__init__"][1]


def floors(packages: dict[str, set[str]]) -> dict[str, int]:
    """Floor of each package: 1 for one that imports none, else one above the highest that it imports.

    Raises:
        CycleError: Two packages import each other.
    """
    floor: dict[str, int] = {}
    for package in TopologicalSorter(packages).static_order():
        floor[package] = 1 + max((floor[name] for name in packages[package]), default=0)
    return floor


def test_no_modules_import_each_other():
    assert not circles(import_graph(SOURCE))


def test_packages_are_few_and_stand_on_few_floors():
    packages = package_graph(import_graph(SOURCE))
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
    floor = floors(packages)
    assert max(floor.values()) <= MOST_FLOORS, floor
    assert {name for name, number in floor.items() if number == 1} == {"common", "websocket"}


def test_every_import_counts(tmp_path):
    package = tmp_path / "house"
    (package / "upper").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("from house.upper import top\n")
    (package / "ground.py").write_text("def later():\n    from house.upper.top import name\n")
    (package / "upper" / "__init__.py").write_text("")
    (package / "upper" / "middle.py").write_text("if TYPE_CHECKING:\n    import house.upper.top\n")
    (package / "upper" / "top.py").write_text("from house import ground\nfrom house.upper.middle import name\n")
    graph = import_graph(package)
    assert graph["house.__main__"] == {"house.upper.top"}
    assert circles(graph) == {frozenset({"ground", "upper.top", "upper.middle"})}
    with pytest.raises(CycleError):
        floors(package_graph(graph))
    graph["house.ground"].clear()
    assert circles(graph) == {frozenset({"upper.top", "upper.middle"})}
    assert floors(package_graph(graph)) == {"__init__": 1, "ground": 1, "upper": 2, "__main__": 3}
