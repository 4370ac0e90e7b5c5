"""Results for other programs, each format a file: interval logs, percentiles, tables, test results, metrics.

A new format is a module with a function `lines`, and the row of its option, which names the module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from ws_load_test.common.errors import OptionProblem, OutputError, option_name
from ws_load_test.metrics.existing_files import is_recording
from ws_load_test.plan.options.catalog import BY_NAME, EXPORTS
from ws_load_test.report.exports.atomic_write import (
    append_atomic,
    same_file,
    why_unwritable,
    write_atomic,
)
from ws_load_test.report.html import plotly
from ws_load_test.report.results import Results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FORMATS", "STDOUT", "Results", "export", "predict_failures", "validate", "write_texts"]


def _lines(module: str, results: Results) -> Iterable[str]:
    lines: Callable[[Results], Iterable[str]] = import_module(f"ws_load_test.report.{module}").lines
    return lines(results)


FORMATS: dict[str, Callable[[Results], Iterable[str]]] = {
    name: partial(_lines, BY_NAME[name].export_module) for name in EXPORTS
}
"""Writer of each format, by the name of its option."""

STDOUT = "-"
"""Path that stands for standard output."""


def validate(wanted: Mapping[str, str], others: Mapping[str, Sequence[str]] | None = None) -> list[OptionProblem]:
    """Returns the problems with the files that are wanted, by format, from their names alone.

    `others` are files that must stay as they are, each list under what it is (``the recording``).
    """
    found: list[OptionProblem] = []
    earlier: list[tuple[str, str]] = []
    for name, path in wanted.items():
        option = option_name(name)
        if not path:
            found.append(OptionProblem(option, f"names no file; write for example {option} results.txt"))
            continue
        if path.startswith("-") and path != STDOUT:
            # Not repeated: it may be an option with a secret in it, whose own value is missing before it.
            found.append(
                OptionProblem(option, "is followed by what looks like an option; begin a file of such a name with ./")
            )
            continue
        if name == "html" and (lacking := plotly.lacking()) is not None:
            found.append(OptionProblem(option, lacking))
        for one, taken in earlier:
            if path == taken == STDOUT:
                found.append(
                    OptionProblem(option, f"standard output is taken by {option_name(one)}; name a file for one")
                )
            elif STDOUT not in (path, taken) and same_file(path, taken):
                found.append(OptionProblem(option, f"{path} is the file of {option_name(one)} as well; name another"))
        what = None if path == STDOUT else _kept_as(path, others or {})
        if what is not None:
            found.append(OptionProblem(option, f"{path} is {what}, which it would overwrite; name another file"))
        earlier.append((name, path))
    return found


def _kept_as(path: str, others: Mapping[str, Sequence[str]]) -> str | None:
    """Returns what a file is that must stay as it is; None for any other."""
    for what, paths in others.items():
        if any(same_file(path, other) for other in paths):
            return what
    return "a recording" if is_recording(path) else None


def predict_failures(wanted: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each file that will surely not be written, while something can be done about it."""
    return [
        f"{option_name(name)}: {path} cannot be written: {why}"
        for name, path in wanted.items()
        if path != STDOUT and (why := why_unwritable(path)) is not None
    ]


def export(wanted: Mapping[str, str], results: Results, *, appended: str | None = None) -> list[OutputError]:
    """Writes results to files; returns an error for each that cannot be written, and the others are.

    See `write_texts` for the arguments and for what is raised.
    """
    texts = {name: partial(FORMATS[name], results) for name in wanted}
    return write_texts(texts, wanted, appended=appended)


def write_texts(
    texts: Mapping[str, Callable[[], Iterable[str]]], wanted: Mapping[str, str], *, appended: str | None = None
) -> list[OutputError]:
    """Writes texts to files; returns an error for each that cannot be written, and the others are.

    Args:
        texts: What makes each text, by the name of its option.
        wanted: A path for each format, or `STDOUT`; that comes last, so that a reader who leaves spoils no file.
        appended: A file that others write to as well (``$GITHUB_STEP_SUMMARY``), whose contents stay.

    Raises:
        OSError: Standard output cannot be written.
    """
    errors: list[OutputError] = []
    for name, path in sorted(wanted.items(), key=lambda entry: entry[1] == STDOUT):
        try:
            text = texts[name]()
            if path == STDOUT:
                _print(text)
            elif appended and same_file(path, appended):
                append_atomic(path, text)
            else:
                write_atomic(path, text)
        except OutputError as error:
            errors.append(OutputError(f"{option_name(name)}: {error}"))
    return errors


def _print(text: Iterable[str]) -> None:
    # As bytes: what other programs read is UTF-8 whatever the terminal's encoding, and line ends stay as they are.
    sys.stdout.flush()
    for part in text:
        sys.stdout.buffer.write(part.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
