"""Problems of a scenario: each at its place in the plan file, with the line if the file is known."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.common.units import one_line
from ws_load_test.plan.options.scenario.toml_lines import Path, lines_of
from ws_load_test.plan.scenario.model import split_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


FILE_KEYS = ("role",)
"""Keys of a plan file that are no options of the command line."""
LONGEST_PROBLEM = 600
"""Characters of a problem, which may repeat a value: a sentence is to be read at once."""


class PlanSource:
    """A plan file: its name, its text, and the line of each key."""

    def __init__(self, file: str, text: str, options: Mapping[str, Any]) -> None:
        """Takes a file that was read, and its options by the names of the catalogue."""
        self.file = one_line(file)
        self._text = text
        self._options = options
        self._lines: dict[Path, int] | None = None

    def line(self, place: Path) -> int:
        """Returns the line of a key, or of what it would stand in if it is missing; 0 if no line is known."""
        if self._lines is None:
            self._lines = lines_of(self._text)
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 0)

    def line_of_option(self, option: str, given: Mapping[str, Any]) -> int:
        """Returns the line of an option as an error names it (``--duration``); 0 where the file does not set it."""
        for name, value in self._options.items():
            if option_name(name) == option or name.replace("_", "-") == option:
                # One of the command line wins over that of the file.
                written = given.get(name) is value
                return (self.line((name.replace("_", "-"),)) or self.line((name,))) if written else 0
        return 0


@dataclass(frozen=True, slots=True)
class LocatedProblem(OptionProblem):
    """A problem at a line of a plan file."""

    line: int = 0


class WrittenRoles:
    """The value of `role` as it was written, and the plan file in which it stands."""

    def __init__(self, value: object, source: PlanSource) -> None:
        self.value = value
        self.source = source


def source_of(given: Mapping[str, Any]) -> PlanSource | None:
    """Returns the plan file that has the roles among options; None without roles, or where they are of Python."""
    role = given.get("role")
    return role.source if isinstance(role, WrittenRoles) else None


def files_of(role: Any) -> Iterator[str]:
    """Yields the files of messages and coroutines that roles name, as far as these can be read."""
    value = role.value if isinstance(role, WrittenRoles) else role
    if isinstance(value, Mapping):
        send = value.get("send")
        if isinstance(send, str) and send.startswith("@"):
            yield send[1:]
        code = value.get("python")
        if isinstance(code, str):
            yield split_place(code)[0]
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from files_of(inner)


class Problems:
    """Collects the problems of a scenario."""

    def __init__(self, source: PlanSource | None = None) -> None:
        """Takes the plan file, if there is one."""
        self._source = source
        self.found: list[OptionProblem] = []
        self._places: set[Path] = set()
        self.warnings: list[str] = []
        """Sentences about what is allowed and perhaps a mistake."""

    def add(self, place: Path, text: str) -> None:
        """Adds a problem at a place; `text` is the rest of the sentence."""
        problem = self._located(place, text)
        if problem not in self.found:
            self.found.append(problem)
            self._places.add(place)

    def warn(self, place: Path, text: str) -> None:
        """Adds a warning at a place."""
        warning = str(self._located(place, text))
        if warning not in self.warnings:
            self.warnings.append(warning)

    @property
    def folder(self) -> str:
        """Directory of the plan file; empty without one."""
        return "" if self._source is None else os.path.dirname(self._source.file)  # noqa: PTH120 - "" has none

    def has(self, place: Path) -> bool:
        """Returns True if something at a place, or in what stands there, is wrong."""
        return any(one[: len(place)] == place for one in self._places)

    def _located(self, place: Path, text: str) -> OptionProblem:
        text = one_line(text, LONGEST_PROBLEM)
        shown, line = place_text(place), 0 if self._source is None else self._source.line(place)
        if self._source is None:
            return LocatedProblem(shown, text)
        return LocatedProblem(f"{self._source.file}:{line}: {shown}", text, line)


def place_text(place: Path) -> str:
    """Returns a place as errors name it: ``role.writer.steps[2].await``."""
    parts = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in place)
    return one_line("".join(parts).removeprefix("."))


def located(
    problems: Iterable[OptionProblem], source: PlanSource | None, given: Mapping[str, Any]
) -> tuple[OptionProblem, ...]:
    """Returns problems in the order of the plan file, those of its top-level options with their lines as well."""
    if source is None:
        return tuple(problems)
    placed: list[tuple[int, OptionProblem]] = []
    for problem in problems:
        line = problem.line if isinstance(problem, LocatedProblem) else source.line_of_option(problem.option, given)
        if line and not isinstance(problem, LocatedProblem):
            name = problem.option.removeprefix("--").replace("URL", "url")
            placed.append((line, LocatedProblem(f"{source.file}:{line}: {name}", one_line(problem.text), line)))
        else:
            placed.append((line, problem))
    return tuple(problem for _, problem in sorted(placed, key=lambda one: one[0]))
