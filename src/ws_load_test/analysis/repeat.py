"""Command line that repeats the run of recordings, without the secrets and contents that no recording has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


def repeat_command(recordings: Sequence[Recording]) -> str:
    """Returns the command line of the plan that all recordings share; empty where they differ, or it is unknown."""
    try:
        lines = {_line(recording) for recording in recordings}
    except (msgspec.ValidationError, ValueError, ArithmeticError):
        # Of another version of the tool, whose options this one cannot name, or with numbers that no option takes.
        return ""
    return lines.pop() if len(lines) == 1 else ""


def _line(recording: Recording) -> str:
    plan = msgspec.convert(recording.header.plan, Plan)
    return command_line(plan, with_workers=not recording.header.hosts)
