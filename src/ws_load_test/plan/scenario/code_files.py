"""Files of a role in Python: its own, and the modules beside it that it imports, which other machines need as well."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

_OURS = __name__.partition(".")[0]


def code_files(path: str) -> tuple[PurePath, ...]:
    """Returns the paths of the files, relative to the folder of the role's file, which is the first.

    Imports are followed from file to file, those within functions as well. What is installed, or part of Python, is
    found before a module of the same name that is beside the file.
    """
    main = Path(path).absolute()
    folder, found, left = main.parent, dict.fromkeys([main]), [main]
    while left:
        for name in _imports(left.pop(), folder):
            for file in _files_of(name, folder):
                if file not in found:
                    found[file] = None
                    left.append(file)
    return tuple(one.relative_to(folder) for one in found)


def _imports(file: Path, folder: Path) -> Iterator[tuple[str, ...]]:
    """Yields the modules that a file imports, and what may be modules, by the parts of their names."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # An import of it fails here as well, and says why.
        return
    package = file.relative_to(folder).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(one.name.split(".")) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                module = (*package[: len(package) - node.level + 1], *module)
            yield module
            yield from ((*module, one.name) for one in node.names)


def _files_of(name: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """Yields the files of a module in a folder, with those of the packages that it is in."""
    if not name or name[0] == _OURS or _is_elsewhere(name[0], folder):
        return
    for length in range(1, len(name) + 1):
        place = folder.joinpath(*name[:length])
        yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file())


def _is_elsewhere(name: str, folder: Path) -> bool:
    """Returns True for a module that is loaded, and not from this folder."""
    module = sys.modules.get(name)
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return not any(Path(place).absolute().is_relative_to(folder) for place in places)
