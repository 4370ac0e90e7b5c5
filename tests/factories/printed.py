"""Summaries as programs get them: the object that `--json` prints, read back."""

import msgspec

from ws_load_test.analysis import summary as typed
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.analysis.thresholds import RequestedCondition


def summarize(recordings, *arguments, fail_if=(), slo=(), **options):
    """The summary of recordings as an object of JSON; judged by conditions in place of their own, if there are any."""
    given = {"fail-if": fail_if, "slo": slo}
    conditions = [RequestedCondition(option, text) for option, texts in given.items() for text in texts]
    return msgspec.to_builtins(typed.summarize(recordings, *arguments, conditions=conditions or None, **options))


def exit_code(summary, *arguments, **options):
    """The exit code for such an object."""
    return typed.exit_code(msgspec.convert(summary, Summary), *arguments, **options)
