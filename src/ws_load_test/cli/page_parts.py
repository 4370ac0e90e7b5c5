"""Parts of help pages: sections, options in the words of a command, and remarks on them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

from ws_load_test.messages.fields import FIELD_KINDS
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.catalog import BY_NAME, RUN_OPTIONS
from ws_load_test.plan.options.spec import Group, OptionSpec, Owner


@dataclass(frozen=True, slots=True)
class Section:
    """Options under a heading; without a heading they follow the introduction."""

    heading: str
    options: tuple[OptionSpec, ...]
    note: str = ""
    """Remark on all of the options, as it stands on the page."""


@dataclass(frozen=True, slots=True)
class CommandPage:
    """Help of one command."""

    command: str
    """Word on the command line; empty for a run."""
    title: str
    usage: tuple[str, ...]
    introduction: str
    sections: tuple[Section, ...]
    remarks: str = ""
    """Text after the options."""
    examples: str = ""
    exit_codes: str = ""


def with_words(name: str, **changes: str) -> OptionSpec:
    """Returns an option with other words for a command in which it means something special."""
    row = BY_NAME[name]
    return replace(
        row,
        help=changes.get("help", row.help),
        default=changes.get("default", row.default),
        metavar=changes.get("metavar", row.metavar),
    )


def own_option(name: str, metavar: str, help: str, default: str = "") -> OptionSpec:  # noqa: A002 - the field of that name
    """Returns an option of one command alone, whose value its code checks."""
    return OptionSpec(
        name=name,
        metavar=metavar,
        help=help,
        group=Group.PLAN,
        parse=option_values.unchecked,
        owner=Owner.OUTPUT,
        default=default,
    )


_FIELD_EXAMPLES = textwrap.fill(
    "  ".join(kind.example for kind in FIELD_KINDS), 72, initial_indent="      ", subsequent_indent="      "
)
MESSAGE_NOTE = f"""\
  Fields in braces are filled in anew for each message; all other braces stay
  as they are:
{_FIELD_EXAMPLES}
  In URL, --header, --cookie, --user, --bearer and --subprotocol they are
  filled in for each connection."""
CHECK_NOTE = """\
  A CHECK is contains:TEXT, regex:PATTERN, json:PATH=VALUE, or json:PATH (it is
  there). A PATH is made of names and places: id, data.items[0].id.
  msgpack:PATH and protobuf:1.3 (field numbers) look into binary messages."""
CONDITION_NOTE = """\
  A CONDITION compares a metric with a limit: "p99 > 50ms", "connect.p95 > 1s",
  "errors > 0.1%", "unanswered > 0", "faults.reset > 0", "rate < 9500";
  "any p99 > 80ms" is checked on each second by itself. An OBJECTIVE is the
  contrary: "p99 < 50ms".
  `ws-load-test help conditions` lists every metric."""
NOTES = {Group.MESSAGE: MESSAGE_NOTE, Group.REPLIES: CHECK_NOTE, Group.VERDICT: CONDITION_NOTE}
RUN_GROUPS = tuple(group for group in Group if any(option.group is group for option in RUN_OPTIONS))
