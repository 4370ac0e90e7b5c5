"""A session of a capture as a plan file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.importing.build_role import RoleBuilder
from ws_load_test.importing.events import read_events
from ws_load_test.importing.plan_file import PlanFile

if TYPE_CHECKING:
    from ws_load_test.importing.capture import Capture


@dataclass(frozen=True, slots=True)
class ImportedPlan:
    """A plan file, and what it needs."""

    text: str
    files: dict[str, bytes]
    """Contents of binary messages, by the names of their files."""
    variables: list[str]
    """Variables of the environment that hold the secrets."""


def import_capture(capture: Capture, *, speed: float = 1.0, folder: str = "") -> ImportedPlan:
    """Returns the plan file of a session.

    Args:
        capture: The session.
        speed: Factor by which waits are shorter.
        folder: Path, with a slash at its end, under which the plan file names the files of binary messages.
    """
    events, secrets = read_events(capture)
    builder = RoleBuilder(capture, events, secrets)
    role = builder.build()
    file = PlanFile(capture, role, secrets, speed=speed, folder=folder)
    text = file.text()
    variables = file.variables(text)
    for contents in builder.files.values():
        variables += file.variables(contents.decode("latin-1"))
    return ImportedPlan(text, builder.files, list(dict.fromkeys(variables)))
