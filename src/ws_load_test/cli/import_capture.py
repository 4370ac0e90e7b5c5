"""``ws-load-test import``: the sessions of a capture become a plan file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.common.errors import ExitCode, OutputError, UsageError, cause_of
from ws_load_test.common.units import quoted, quoted_path
from ws_load_test.importing.import_capture import import_captures
from ws_load_test.importing.read_capture import choose_sessions, read_captures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLAN_FILE = "scenario.toml"
FASTEST, SLOWEST = 1e6, 1e-3
"""Bounds of --speed: a wait of an hour becomes 3.6 ms, and one of a second a quarter of an hour."""


def import_file(
    capture: str, extra: Sequence[str], *, socket: str | None, speed: str, output: str | None, force: bool
) -> int:
    """Prints the plan file of a capture, or writes it to the folder `output`; returns the exit code.

    Raises:
        UsageError: The capture or an option cannot be used, or a file is there already.
        OutputError: A file cannot be written.
    """
    if not capture or extra:
        given = "no capture named" if not capture else "more than one capture named"
        raise UsageError(f"import: {given}; write for example: ws-load-test import app.har > scenario.toml")
    factor = _speed(speed)
    sessions = choose_sessions(read_captures(capture), socket, capture)
    folder = "" if output is None else _folder(output)
    plan = import_captures(sessions, speed=factor, folder=folder)
    if output is None:
        if plan.files:
            raise UsageError(
                f"import: the client sent {len(plan.files)} messages that are kept in files; name a folder for them and"
                " the plan file: -o DIR"
            )
        sys.stdout.write(plan.text)
        return ExitCode.PASSED
    path = _write(Path(output), {**plan.files, PLAN_FILE: plan.text.encode()}, force=force)
    needs = f"set {', '.join(plan.variables)}, then " if plan.variables else ""
    print(f"{path} was written; {needs}see what it does: ws-load-test --plan {path} --explain")
    return ExitCode.PASSED


def _speed(written: str) -> float:
    try:
        factor = float(written) if re.fullmatch(r"\d*\.?\d+", written, re.ASCII) else 0.0
    except ValueError:
        factor = 0.0
    if not SLOWEST <= factor <= FASTEST:
        raise UsageError(f"--speed: {quoted(written)} is no factor from 0.001 to 1000000; write for example 2")
    return factor


def _folder(output: str) -> str:
    """Returns the beginning of the paths of files in a folder, as the plan file names them."""
    if not output or output.startswith("-") or "\0" in output:
        # Not repeated: it may be an option with a secret in it.
        raise UsageError("--output: names no folder; write for example -o scenario")
    return output.rstrip("/") + "/"


def _write(folder: Path, files: Mapping[str, bytes], *, force: bool) -> Path:
    """Writes files into a folder; returns the path of the last."""
    path = folder
    try:
        there = [name for name in files if (folder / name).exists()]
        if there and not force:
            raise UsageError(
                f"--output: {quoted_path(folder / there[0])} is there already; name another folder, or add --force to"
                " lose what it holds"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            path = folder / name
            path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"import: cannot write {quoted_path(path)}: {cause_of(error)}") from None
    return path
