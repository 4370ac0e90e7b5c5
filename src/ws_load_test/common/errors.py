"""Exceptions of the package, and the exit codes of its program.

Failures of the target are *faults* (`common.faults`): data, counted, never raised out of a run. Failures of the
generator and mistakes of the user are *errors*::

    LoadTestError
    ├── UsageError         an argument, a file or an address cannot be used
    │   └── PlanError      the plan has problems: all of them, each with the option that caused it
    ├── HostError          this machine cannot carry the plan: too few descriptors, ports, memory
    ├── LostHostError      machines of a cluster were lost, and an experiment of several runs cannot go on
    ├── RecordingError     a file is not a readable recording
    ├── OutputError        an output file cannot be written
    └── WorkerError        a worker violated its protocol, which only a bug explains
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the process. 70 and 74 are EX_SOFTWARE and EX_IOERR of BSD's sysexits."""

    PASSED = 0
    THRESHOLD_FAILED = 1
    USAGE = 2
    NOTHING_OPENED = 3
    WORKER_LOST = 4
    GENERATOR_BOUND = 5
    BUG = 70
    OUTPUT_FAILED = 74
    INTERRUPTED = 130


class LoadTestError(Exception):
    """Base of all errors of this package; its text is one sentence for the user."""

    exit_code = ExitCode.BUG


class UsageError(LoadTestError):
    """An argument, a file or an address cannot be used."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """One problem of a plan."""

    option: str
    """The option that caused it, as the user writes it (``--duration``, ``URL``)."""
    text: str
    """The problem and its remedy, as the rest of a sentence."""

    def __str__(self) -> str:
        return f"{self.option}: {self.text}"


def option_name(name: str) -> str:
    """Returns an option as the user writes it on the command line."""
    return "URL" if name == "url" else "--" + name.replace("_", "-")


class PlanError(UsageError):
    """The plan cannot be carried out as written; holds every problem of it."""

    def __init__(self, problems: tuple[OptionProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class HostError(LoadTestError):
    """This machine cannot carry the plan as it is configured."""

    exit_code = ExitCode.USAGE


class LostHostError(LoadTestError):
    """Machines of a cluster, or workers there, were lost in an experiment of several runs, which ends with it."""

    exit_code = ExitCode.WORKER_LOST


class RecordingError(LoadTestError):
    """A file is not a recording that can be read."""

    exit_code = ExitCode.USAGE


class OutputError(LoadTestError):
    """An output file cannot be written."""

    exit_code = ExitCode.OUTPUT_FAILED


class WorkerError(LoadTestError):
    """A worker violated the protocol between worker and fleet."""


def cause_of(error: BaseException) -> str:
    """Returns an error's message for use after a colon: on one line, its first letter in lower case."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    text = " ".join(text.split())
    return text[:1].lower() + text[1:] or type(error).__name__
