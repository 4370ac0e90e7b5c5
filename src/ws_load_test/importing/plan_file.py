"""Text of the plan file: the roles as TOML, with comments that give the reasons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.importing.head import head_lines
from ws_load_test.importing.toml_text import comment, key, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.draft import DraftReaction, DraftRole, DraftStep, DraftTimer
    from ws_load_test.importing.merge_roles import Group
    from ws_load_test.importing.rooms import Rooms
    from ws_load_test.importing.secret_values import Secrets

EVEN = 0.1
"""Share of a wait by which those of several iterations differ and are still the same."""
EVEN_NS = 50_000_000
"""The same for short waits (50 ms)."""
SHORTEST_DURATION_S = 10
ENDING_S = 5
"""Time for opening and ending the session, beside what the capture took."""
_VARIABLE = re.compile(r"\{env\.([A-Za-z_][A-Za-z0-9_]*)(?::json)?\}")
_MINE = re.compile(r"\{my\.([A-Za-z_][A-Za-z0-9_]*)\}")


class PlanFile:
    """Writes the plan file of the sessions of a capture."""

    def __init__(
        self,
        captures: Sequence[Capture],
        groups: Sequence[Group],
        secrets: Secrets,
        rooms: Rooms,
        *,
        speed: float,
        folder: str,
    ) -> None:
        """Takes the sessions and their roles.

        Args:
            captures: The sessions.
            groups: Their roles.
            secrets: Secrets, which are not in the file.
            rooms: Rooms of the sessions.
            speed: Factor by which waits are shorter.
            folder: Folder of the files of binary messages, with a slash at its end.
        """
        self._recorded = captures
        self._groups = groups
        self._secrets = secrets
        self._rooms = rooms
        self._speed = speed
        self._folder = folder
        self._lines: list[str] = []
        self._name = ""
        """Role that is written."""
        self._receivers: dict[str, list[str]] = {}
        """Steps and reactions of this role that capture a value, by its name."""

    def text(self) -> str:
        """Returns the file."""
        self._head()
        for group in self._groups:
            self._role(group)
        body = self._secrets.scrubbed("\n".join(self._lines) + "\n")
        return self._introduction(body) + body

    def variables(self, text: str) -> list[str]:
        """Returns the variables of the environment that a text needs, in their order."""
        return list(dict.fromkeys(_VARIABLE.findall(text)))

    # --- Head --------------------------------------------------------------------------------------------------------

    def _introduction(self, body: str) -> str:
        sent = sum(one.sent for one in self._recorded)
        received = sum(len(one.messages) for one in self._recorded) - sent
        faster = f"; waits are those of the capture divided by {self._speed:g}" if self._speed != 1 else ""
        counts = f"{_count(sent, 'message')} sent, {received} received"
        sessions = "a session" if len(self._recorded) == 1 else f"{len(self._recorded)} sessions"
        lines = [f"Imported from {sessions} of {self._length_s:.1f} s: {counts}{faster}."]
        variables = self.variables(body)
        if variables:
            lines.append("Secrets come from the environment:")
            lines += [f"  {name}: {self._secrets.origins.get(name, 'a secret')}" for name in variables]
        return "".join(f"# {self._secrets.scrubbed(line)}\n" for line in lines)

    def _head(self) -> None:
        first, *others = ([*head_lines(one, self._secrets)] for one in self._recorded)
        varied = {name for head in others for name, given in head if (name, given) not in first}
        for name, given in first:
            remark = "other sessions had another one; {feed.COLUMN} gives each its own" if name in varied else ""
            self._add(name, given, remark)
        self._add("connections", len(self._recorded))
        if self._rooms.names:
            self._add("rooms", list(self._rooms.names), "names that several sessions of the capture sent")
        self._add("duration", f"{max(SHORTEST_DURATION_S, round(self._length_s / self._speed) + ENDING_S)}s")

    @property
    def _length_s(self) -> float:
        """Time of the longest session."""
        return max((one.messages[-1].at_ns for one in self._recorded if one.messages), default=0) / NS_PER_S

    def _role(self, group: Group) -> None:
        role, self._name = group.role, group.name
        self._receivers = _captured_by(role)
        self._lines.append("")
        if len(self._recorded) > 1:
            self._lines.append(comment(f"{_sessions(group.sessions)} of the capture"))
        self._lines.append(f"[role.{key(group.name)}]")
        if len(self._groups) > 1:
            self._add("share", len(group.sessions))
        if role.steps:
            fewest, most = role.iterations, role.most_iterations
            self._add("iterations", fewest if most <= fewest else f"{fewest}..{most}", role.remark)
        for part in ("open", "steps", "leave"):
            for step in getattr(role, part):
                self._step(part, step)
        for reaction in role.reactions:
            self._reaction(reaction)
        for timer in role.timers:
            self._timer(timer)

    # --- Tables ------------------------------------------------------------------------------------------------------

    def _step(self, part: str, step: DraftStep) -> None:
        self._table(part, self._remarks(step))
        self._fields(step)

    def _fields(self, step: DraftStep) -> None:
        self._add("name", step.name)
        wait = wait_text([round(one / self._speed) for one in step.waits_ns])
        if wait:
            self._add("wait", wait)
        if step.weight is not None:
            self._add("weight", step.weight)
        self._message(step)
        if step.deliver_to:
            self._add("deliver-to", step.deliver_to)
        if step.self_delivery:
            self._add("self-delivery", step.self_delivery)
        if step.awaits:
            self._add("await", _one_or_list(step.awaits))
        if step.first:
            self._add("first", step.first)
        if step.until:
            self._add("until", step.until, "the answer is everything up to this message")
        if step.expect:
            self._add("expect", list(step.expect))
        self._captures(step.captures)

    def _message(self, one: DraftStep | DraftReaction) -> None:
        if one.send is None:
            return
        send = f"@{self._folder}{one.send[1:]}" if one.file is not None else one.send
        self._add("send", send)
        if one.binary:
            self._add("binary", True)

    def _captures(self, captures: dict[str, str]) -> None:
        if captures:
            self._add("capture", captures)

    def _reaction(self, reaction: DraftReaction) -> None:
        answered = "answered each time" if reaction.send is not None else "no step awaits them"
        self._table("on", [f"{_count(reaction.count, 'message')} of the capture; {answered}", *reaction.remarks])
        self._add("when", _one_or_list(reaction.when))
        self._add("name", reaction.name)
        self._message(reaction)
        if reaction.sequence:
            self._add("sequence", reaction.sequence, "it grew by one from each to the next")
        self._captures(reaction.captures)

    def _timer(self, timer: DraftTimer) -> None:
        self._table("timer", ["sent at even intervals", *self._remarks(timer.step)])
        self._add("every", format_time(timer.every_ns))
        timer.step.waits_ns = []
        self._fields(timer.step)

    def _remarks(self, step: DraftStep) -> list[str]:
        found = list(step.remarks)
        for name in dict.fromkeys(_MINE.findall(step.send or "")):
            receivers = " or ".join(f'"{one}"' for one in self._receivers.get(name, ()))
            found.append(f"{{my.{name}}}: the value that {receivers} received")
        return found

    def _table(self, part: str, remarks: Sequence[str]) -> None:
        self._lines += ["", *(comment(one) for one in dict.fromkeys(remarks)), f"[[role.{key(self._name)}.{part}]]"]

    def _add(self, name: str, given: str | float | Sequence[str] | dict[str, str], remark: str = "") -> None:
        line = f"{key(name)} = {value(given)}"
        self._lines.append(f"{line}  {comment(remark)}" if remark else line)


def _one_or_list(checks: tuple[str, ...]) -> str | list[str]:
    return checks[0] if len(checks) == 1 else list(checks)


def wait_text(waits_ns: Iterable[int]) -> str:
    """Returns a wait as a plan file has it: one time, or the shortest and the longest; empty for none."""
    waits = sorted(waits_ns)
    if not waits or not waits[-1]:
        return ""
    shortest, longest = waits[0], waits[-1]
    if longest - shortest <= max(EVEN * longest, EVEN_NS):
        return format_time(sum(waits) // len(waits))
    return f"{format_time(shortest)}..{format_time(longest)}"


def format_time(ns: int) -> str:
    """Returns a time in seconds or milliseconds, with as many digits as matter."""
    if ns < NS_PER_S:
        return f"{max(ns / 1e6, 0):.0f}ms"
    return f"{ns / NS_PER_S:.3g}s" if ns < 1000 * NS_PER_S else f"{ns / NS_PER_S:.0f}s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _captured_by(role: DraftRole) -> dict[str, list[str]]:
    """Returns the names of the steps and reactions that capture each value."""
    found: dict[str, list[str]] = {}
    pairs = [(step.name, step.captures) for step in role.every_step]
    pairs += [(reaction.name, reaction.captures) for reaction in role.reactions]
    for receiver, captures in pairs:
        for name in captures:
            if receiver not in found.setdefault(name, []):
                found[name].append(receiver)
    return found


def _sessions(numbers: Sequence[int]) -> str:
    """Returns the sessions in words: sessions 1, 3 and 4."""
    words = [str(number + 1) for number in numbers]
    if len(words) == 1:
        return f"session {words[0]}"
    return f"sessions {', '.join(words[:-1])} and {words[-1]}"
