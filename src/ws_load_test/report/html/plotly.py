"""Library that draws the charts: plotly.js from the Python package plotly (an extra: ``[html]``)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ws_load_test.common.errors import OutputError

LACKING = "the page's charts need plotly; install it with pip install 'ws-load-test[html]'"
_PLACE = ("package_data", "plotly.min.js")


def lacking() -> str | None:
    """Returns a sentence with the package to install; None where it is installed."""
    return LACKING if _path() is None else None


def script() -> str:
    """Returns the library's source, 5 MB, with its license at its head.

    Raises:
        OutputError: It is not installed, or cannot be read.
    """
    path = _path()
    if path is None:
        raise OutputError(LACKING)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error}); install plotly again") from error


def _path() -> Path | None:
    # Found and not imported: its Python half takes half a second, and nothing of it is needed.
    spec = importlib.util.find_spec("plotly")
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *_PLACE)
        if path.is_file():
            return path
    return None
