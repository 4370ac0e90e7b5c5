"""Summaries as programs get them: the object that `--json` prints, read back."""

import msgspec

from ws_load_test.analysis import summary as typed
from ws_load_test.analysis.summary_types import Summary


def summarize(*arguments, **options):
    """The summary of recordings as an object of JSON."""
    return msgspec.to_builtins(typed.summarize(*arguments, **options))


def exit_code(summary, *arguments, **options):
    """The exit code for such an object."""
    return typed.exit_code(msgspec.convert(summary, Summary), *arguments, **options)
