"""One row of the option catalogue, and the vocabulary of the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

Text = str | None
Texts = str | Sequence[str] | None
Flag = bool | None
Count = int | str | None
"""A whole number, or its text: ``"10_000"``."""
Number = float | str | None
"""A number, or its text: ``"2k/s"``, ``"5%"``."""
Duration = float | str | None
"""Seconds, or a text with a unit: ``"500ms"``."""
Requirements = Mapping[tuple[str, ...], str]
"""Options of which one must be given -> what to add."""


class Group(StrEnum):
    """Headings of the help page, in its order."""

    TARGET = "Target"
    TLS = "TLS"
    LOAD = "Load"
    MESSAGE = "Message"
    REPLIES = "Replies"
    FAN_OUT = "Fan-out"
    SESSIONS = "Sessions"
    VERDICT = "Verdict"
    LIMITS = "Limits"
    GENERATOR = "Generator"
    MACHINES = "Other machines"
    RESULTS = "Results"
    WHILE_IT_RUNS = "While it runs"
    PLAN = "Plan"
    SEARCH = "Search"
    COMPARISON = "Comparison"


class Owner(StrEnum):
    """The part of the program that uses an option's value."""

    PLAN = "plan"
    """The plan of a run, and so plan files and `make_plan`."""
    OUTPUT = "output"
    """The command line: what happens to a run's results."""
    METRICS = "metrics"
    """The command line: what is published while the run goes on."""
    CLUSTER = "cluster"
    """The command line: the machines that carry out the run."""
    CAPACITY = "capacity"
    """The command `capacity` alone."""
    COMPARISON = "comparison"
    """The commands `ab` and `compare` alone."""
    AB = "ab"
    """The command `ab` alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One option: its parser, help page, plan file name, Python keyword and refusals are derived from this row."""

    name: str
    """Python keyword; the command line and plan files write dashes for its underscores."""
    metavar: str
    """Placeholder of the value on the help page; empty for a flag."""
    help: str
    """One or two sentences without a full stop at the end."""
    group: Group
    parse: Callable[[Any], Any]
    """Function of text, TOML or Python that returns the value used. Raises ValueError with what to write instead."""
    owner: Owner = Owner.PLAN
    default: str = ""
    """Value in effect without the option, as the help page shows it; empty where there is none."""
    field: str = ""
    """Field of the plan that takes the value as it is (``warmup_ns``, ``target.cacert``); empty where code reads it."""
    short: str = ""
    """One letter."""
    aliases: tuple[str, ...] = ()
    """Other names without dashes, accepted wherever the name is."""
    former_names: tuple[str, ...] = ()
    """Names that the option had once; using one is an error with the present name."""
    repeatable: bool = False
    may_begin_with_hyphen: bool = False
    """True if a value such as ``-`` or ``-x`` is no option."""
    export_module: str = ""
    """Module of `report` whose function `lines` makes the text of the file that the option names; empty: none."""
    excludes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Option that cannot be given as well -> why."""
    requires: Requirements = dataclasses.field(default_factory=dict)
    """Other options without which this one has no effect."""
    refused_by: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Command or mode that does not take the option -> what to do instead."""

    @property
    def is_flag(self) -> bool:
        """True if the option takes no value on the command line."""
        return not self.metavar

    @property
    def flag(self) -> str:
        """Long name on the command line: ``--in-flight``."""
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        """Every name on the command line, the long one first."""
        others = tuple(f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}" for name in self.aliases)
        return (self.flag, *((f"-{self.short}",) if self.short else ()), *others)
