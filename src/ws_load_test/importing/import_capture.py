"""Sessions of a capture as a plan file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.importing.build_role import FileNames, RoleBuilder
from ws_load_test.importing.deliveries import find_broadcasts, is_evident
from ws_load_test.importing.events import read_events
from ws_load_test.importing.merge_roles import merge_roles
from ws_load_test.importing.plan_file import PlanFile
from ws_load_test.importing.publishing import find_audience, presence_of, remark_on
from ws_load_test.importing.rooms import find_rooms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.deliveries import Broadcast, Presence
    from ws_load_test.importing.draft import DraftRole
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.merge_roles import Group
    from ws_load_test.importing.rooms import Rooms
    from ws_load_test.importing.secret_values import Secrets


@dataclass(frozen=True, slots=True)
class ImportedPlan:
    """A plan file, and what it needs."""

    text: str
    files: dict[str, bytes]
    """Contents of binary messages, by the names of their files."""
    variables: list[str]
    """Variables of the environment that hold the secrets."""


def import_captures(captures: Sequence[Capture], *, speed: float = 1.0, folder: str = "") -> ImportedPlan:
    """Returns the plan file of sessions with one target.

    Args:
        captures: The sessions.
        speed: Factor by which waits are shorter.
        folder: Path, with a slash at its end, under which the plan file names the files of binary messages.
    """
    sessions, secrets = read_events(captures)
    rooms = find_rooms(sessions, secrets)
    starts_ns = [one.started_ns for one in captures]
    broadcasts = find_broadcasts(sessions, starts_ns, rooms, secrets)
    evident = [one for one in broadcasts if is_evident(one)]
    builder = _Builder(captures, sessions, secrets, rooms, evident)
    groups = builder.build(evident)
    audience = find_audience(evident, groups, builder.present, rooms)
    while len(audience.broadcasts) < len(evident):
        # What does not come to all of a role stays as it is, which may tell roles apart that were one.
        evident = audience.broadcasts
        groups = builder.build(evident)
        audience = find_audience(evident, groups, builder.present, rooms)
    audience.mark(groups)
    for one in broadcasts:
        if not any(one is known for known in audience.broadcasts):
            remark_on(one, groups)
    file = PlanFile(captures, groups, secrets, rooms, speed=speed, folder=folder)
    text = file.text()
    variables = file.variables(text)
    for contents in builder.files.contents.values():
        variables += file.variables(contents.decode("latin-1"))
    return ImportedPlan(text, builder.files.contents, list(dict.fromkeys(variables)))


def import_capture(capture: Capture, *, speed: float = 1.0, folder: str = "") -> ImportedPlan:
    """Returns the plan file of a single session; takes what `import_captures` takes."""
    return import_captures([capture], speed=speed, folder=folder)


class _Builder:
    """Makes the roles, with markers in the place of some values or others."""

    def __init__(
        self,
        captures: Sequence[Capture],
        sessions: Sequence[list[Event]],
        secrets: Secrets,
        rooms: Rooms,
        evident: Sequence[Broadcast],
    ) -> None:
        """Takes the sessions, and what comes from one to the others, be it to all of a role or not."""
        self._evident = evident
        self._captures = captures
        self._sessions = sessions
        self._secrets = secrets
        self._rooms = rooms
        self.files = FileNames()
        self.present: dict[int, Presence] = {}
        """Time in which each session received what others sent."""

    def build(self, broadcasts: Sequence[Broadcast]) -> list[Group]:
        """Returns the roles of the sessions; values of broadcasts are markers."""
        self.files = FileNames()
        drafts = [self._role(number, broadcasts) for number in range(len(self._captures))]
        self.present = {
            number: presence_of(draft, self._sessions[number], self._captures[number].started_ns or 0)
            for number, draft in enumerate(drafts)
        }
        return merge_roles(drafts, [one.label for one in self._captures])

    def _role(self, number: int, broadcasts: Sequence[Broadcast]) -> DraftRole:
        shared = {index: list(found) for index, found in self._rooms.values.get(number, {}).items()}
        for broadcast in broadcasts:
            for session, index, own in broadcast.values():
                if session == number:
                    shared.setdefault(index, []).append(own)
        deliveries = [place for one in self._evident for place in one.deliveries_to(number)]
        capture, events = self._captures[number], self._sessions[number]
        builder = RoleBuilder(capture, events, self._secrets, self.files, shared=shared, deliveries=deliveries)
        return builder.build()
