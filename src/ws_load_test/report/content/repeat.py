"""Words beside the command line that repeats a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.plan.command_line import PLAN_FILE, UNKNOWN_FILE
from ws_load_test.plan.redaction import REDACTED

if TYPE_CHECKING:
    from ws_load_test.report.results import Results


def repeat_note(results: Results) -> str:
    """Returns what a reader has to do before the command line runs, as a sentence; empty where it runs as it is."""
    line, notes = results.summary.command, []
    if REDACTED in line or UNKNOWN_FILE in line:
        notes.append(f"{REDACTED} stands for secrets and contents of messages, which recordings do not keep")
    if any(recording.header.plan.get("scenario") is not None for recording in results.recordings):
        notes.append(f"{PLAN_FILE} stands for the plan file with the roles")
    if any(recording.header.hosts for recording in results.recordings):
        notes.append("the run was one of a cluster, which --cluster names")
    note = "; ".join(notes)
    return note and f"{note[:1].upper()}{note[1:]}."
