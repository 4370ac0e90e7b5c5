"""Text of the plan file: the role as TOML, with comments that give the reasons."""

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
    from ws_load_test.importing.secret_values import Secrets

ROLE = "user"
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
    """Writes the plan file of one role."""

    def __init__(self, capture: Capture, role: DraftRole, secrets: Secrets, *, speed: float, folder: str) -> None:
        """Takes the role, the factor by which waits are shorter, and the folder of the files of binary messages."""
        self._capture = capture
        self._role = role
        self._secrets = secrets
        self._speed = speed
        self._folder = folder
        self._lines: list[str] = []
        self._receivers = self._captured_by()

    def text(self) -> str:
        """Returns the file."""
        self._head()
        for part in ("open", "steps", "leave"):
            for step in getattr(self._role, part):
                self._step(part, step)
        for reaction in self._role.reactions:
            self._reaction(reaction)
        for timer in self._role.timers:
            self._timer(timer)
        body = self._secrets.scrubbed("\n".join(self._lines) + "\n")
        return self._introduction(body) + body

    def variables(self, text: str) -> list[str]:
        """Returns the variables of the environment that a text needs, in their order."""
        return list(dict.fromkeys(_VARIABLE.findall(text)))

    # --- Head --------------------------------------------------------------------------------------------------------

    def _introduction(self, body: str) -> str:
        sent = self._capture.sent
        received = len(self._capture.messages) - sent
        length_s = self._capture.messages[-1].at_ns / NS_PER_S if self._capture.messages else 0.0
        faster = f"; waits are those of the capture divided by {self._speed:g}" if self._speed != 1 else ""
        counts = f"{_count(sent, 'message')} sent, {received} received"
        lines = [f"Imported from a session of {length_s:.1f} s: {counts}{faster}."]
        variables = self.variables(body)
        if variables:
            lines.append("Secrets come from the environment:")
            lines += [f"  {name}: {self._secrets.origins.get(name, 'a secret')}" for name in variables]
        return "".join(f"# {self._secrets.scrubbed(line)}\n" for line in lines)

    def _head(self) -> None:
        for name, given in head_lines(self._capture, self._secrets):
            self._add(name, given)
        self._add("connections", 1)
        length_s = self._capture.messages[-1].at_ns / NS_PER_S / self._speed if self._capture.messages else 0
        self._add("duration", f"{max(SHORTEST_DURATION_S, round(length_s) + ENDING_S)}s")
        self._lines += ["", f"[role.{ROLE}]"]
        if self._role.steps:
            self._add("iterations", self._role.iterations, self._role.remark)

    def _captured_by(self) -> dict[str, list[str]]:
        """Returns the names of the steps and reactions that capture each value."""
        found: dict[str, list[str]] = {}
        pairs = [(step.name, step.captures) for step in self._role.every_step]
        pairs += [(reaction.name, reaction.captures) for reaction in self._role.reactions]
        for receiver, captures in pairs:
            for name in captures:
                if receiver not in found.setdefault(name, []):
                    found[name].append(receiver)
        return found

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
        self._lines += ["", *(comment(one) for one in dict.fromkeys(remarks)), f"[[role.{ROLE}.{part}]]"]

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
