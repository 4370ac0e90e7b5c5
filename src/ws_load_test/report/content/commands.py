"""Commands that a run carried out (``--run-at``), in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.aggregate import commands_of, load_start_ns
from ws_load_test.analysis.data_quality import exit_words
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_duration
from ws_load_test.report.content.labeled import LabeledText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import CommandRun, Recording

LONGEST_SHOWN = 60
"""Characters of a command that reports show."""


def command_lines(recordings: Sequence[Recording]) -> list[LabeledText]:
    """Returns a line for each command: when, how long, and how it ended."""
    runs = [(run, load_start_ns(recording)) for recording in recordings for run in commands_of(recording)]
    return [
        LabeledText("" if number else "ran", describe_command(run, start_ns), "yellow" if run.failed else "")
        for number, (run, start_ns) in enumerate(runs)
    ]


def describe_command(run: CommandRun, start_ns: int | None = None) -> str:
    """Returns a command in a sentence.

    Reports count from the start of the run, and ``--run-at`` from that of the load, `start_ns`: where it is given, the
    sentence has both.
    """
    words = f"{short(run.command, LONGEST_SHOWN)} at {format_duration(run.at_ns)}"
    if start_ns is not None:
        words += f", {format_duration(run.at_ns - start_ns)} into the load"
    if run.ended_ns is None:
        return f"{words}, still running"
    how = run.problem or exit_words(run.status)
    return f"{words}, {how}" + (f" after {format_duration(run.ended_ns - run.at_ns)}" if run.status is not None else "")


def short(command: str, longest: int) -> str:
    """Returns a command on one line of so many characters at most."""
    line = sanitize(" ".join(command.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
