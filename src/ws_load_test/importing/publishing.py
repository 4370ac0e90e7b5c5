"""Audience of a capture's broadcasts: the role to all of whose sessions they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ws_load_test.importing.deliveries import MARKER, Presence, receivers, to_itself

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.importing.deliveries import Broadcast
    from ws_load_test.importing.draft import DraftRole, DraftStep
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.merge_roles import Group
    from ws_load_test.importing.rooms import Rooms


@dataclass
class Audience:
    """A role that receives what others publish."""

    name: str = ""
    """Name of the role; empty: there is none."""
    broadcasts: list[Broadcast] = field(default_factory=list)
    """Messages that came to all of its sessions."""
    others: list[str] = field(default_factory=list)
    """Roles to whose sessions they came as well."""

    def mark(self, groups: Sequence[Group]) -> None:
        """Sets the role that receives the message of each step with a marker."""
        came = [to_itself(one) for one in self.broadcasts]
        back, sent = sum(one for one, _ in came), sum(count for _, count in came)
        for group in groups:
            for step in group.role.steps:
                if not _has_marker(step):
                    continue
                step.deliver_to = self.name
                step.remarks.append(f"{MARKER}: the text that came to the sessions of {self.name}")
                if self.others:
                    text = f"it came to those of {', '.join(self.others)} as well; a scenario has one audience"
                    step.remarks.append(text)
                if group.name == self.name and back in {0, sent}:
                    step.self_delivery = "expected" if back else "excluded"


def find_audience(
    broadcasts: Sequence[Broadcast],
    groups: Sequence[Group],
    present: Mapping[int, Presence],
    rooms: Rooms,
) -> Audience:
    """Returns the role to whose sessions most of the messages came; it has a session in each room.

    Args:
        broadcasts: Messages that came to other sessions.
        groups: Roles that the sessions have.
        present: Time in which each session received what others sent.
        rooms: Rooms of the sessions.
    """
    best = Audience()
    for group in groups:
        if len(group.sessions) < len(rooms.names):
            continue
        members = {number: present[number] for number in group.sessions}
        complete = [one for one in broadcasts if _is_complete(one, members, rooms) and _is_in_steps(one, groups)]
        if len(complete) > len(best.broadcasts):
            others = [
                other.name
                for other in groups
                if other is not group
                and any(
                    receivers(one, {number: present[number] for number in other.sessions}, rooms)[0] for one in complete
                )
            ]
            best = Audience(group.name, complete, others)
    return best


def remark_on(found: Broadcast, groups: Sequence[Group]) -> None:
    """Notes in their steps that messages came to some of the sessions, and the keys for those that must come."""
    sessions = {number for numbers in found.received.values() for number in numbers}
    count = f"{len(sessions)} session{'' if len(sessions) == 1 else 's'} of the capture"
    text = (
        f'"{found.slot}" of it came to {count}; if others must receive it, write {MARKER} in its place and deliver-to,'
        " with the name of their role"
    )
    senders = {one.session for one in found.publishes}
    for group in groups:
        if senders & set(group.sessions):
            for step in group.role.every_step:
                sent = step.exchange.sent
                if sent is not None and sent.kind.key == found.kind and text not in step.remarks:
                    step.remarks.append(text)


def _has_marker(step: DraftStep) -> bool:
    return step.send is not None and MARKER in step.send


def _is_complete(found: Broadcast, members: Mapping[int, Presence], rooms: Rooms) -> bool:
    came, due = receivers(found, members, rooms)
    return 0 < came == due


def _is_in_steps(found: Broadcast, groups: Sequence[Group]) -> bool:
    """Returns True if each step that sends such messages is one of iterations, which alone can publish."""
    elsewhere = [
        step
        for group in groups
        for step in (*group.role.open, *group.role.leave, *(timer.step for timer in group.role.timers))
    ]
    return not any(one.exchange.sent is not None and one.exchange.sent.kind.key == found.kind for one in elsewhere)


def presence_of(draft: DraftRole, events: Sequence[Event], start_ns: int) -> Presence:
    """Returns when a session receives what others send: from the end of its opening to its last message."""
    opening = [step.exchange for step in draft.open]
    if not any(one.sent for one in opening):
        # A session that went through its steps once has its opening among them.
        opening += [step.exchange for step in draft.steps if step.send is not None and not _has_marker(step)][:1]
    from_ns = max((one.done_ns for one in opening), default=events[0].at_ns)
    return Presence(start_ns + from_ns, start_ns + events[-1].at_ns)
