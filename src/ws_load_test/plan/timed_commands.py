"""Commands that the machine which leads a run carries out at instants of its load (``--run-at``)."""

from __future__ import annotations

from typing import Any

import msgspec

from ws_load_test.common.units import format_duration, quoted
from ws_load_test.plan import values as option_values
from ws_load_test.plan.ranges import Duration
from ws_load_test.plan.redaction import public_payload

MOST_COMMANDS = 100
"""Commands of a run, at most: each is a process, and a mark in every chart."""


class TimedCommand(msgspec.Struct, frozen=True):
    """One shell command and its instant."""

    at_ns: Duration
    """Instant from the start of the load, warm-up included."""
    command: str
    """Text for the shell."""

    def redacted(self) -> TimedCommand:
        """The same without what looks like a secret: what may be written to a file or shown."""
        return TimedCommand(self.at_ns, public_payload(self.command))

    def describe(self) -> str:
        """The command in words."""
        return f"{public_payload(self.command)} after {format_duration(self.at_ns)}"


def run_at(value: Any) -> tuple[TimedCommand, ...]:
    """``60s: COMMAND``, once or several times; in the order of their instants.

    Raises:
        ValueError: No instant, or no command, with what to write instead.
    """
    commands = []
    for text in option_values.strings(value):
        moment, colon, command = text.partition(":")
        if not colon or not command.strip():
            raise ValueError(f"{quoted(text)} names no command; write for example 60s: ./deploy.sh")
        if "\0" in command:
            raise ValueError("a command cannot hold a null character")
        commands.append(TimedCommand(option_values.duration(moment.strip()), command.strip()))
    if len(commands) > MOST_COMMANDS:
        raise ValueError(f"{len(commands)} commands are more than the {MOST_COMMANDS} that a run carries out")
    return tuple(sorted(commands, key=lambda one: one.at_ns))
