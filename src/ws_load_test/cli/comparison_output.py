"""Output of a comparison, of recordings or of an A/B run: the report, data, files, and the exit code."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from ws_load_test.analysis.comparison.metrics import metrics_named
from ws_load_test.cli.output import console, export_problems, print_json
from ws_load_test.common.errors import ExitCode, OptionProblem, PlanError
from ws_load_test.common.units import quoted
from ws_load_test.plan import values as option_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.analysis.comparison.metrics import ComparedMetric
    from ws_load_test.common.errors import OutputError
    from ws_load_test.report.terminal.comparison import ComparisonReport

_LARGEST_REGRESSION = 1000.0
"""Share of 1 by which something can be worse and still be compared."""
_LEAST_CONFIDENCE, _MOST_CONFIDENCE = 0.5, 0.9999
_log = logging.getLogger(__name__)


def parse_terms(
    confidence: str | None,
    fail_on_regression: str | None,
    wanted: Mapping[str, str],
    *,
    as_json: bool,
    kept: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = (),
) -> tuple[float, float | None, tuple[ComparedMetric, ...]]:
    """Returns the confidence and the limit of regressions, both as shares (None without a limit), and the metrics.

    Raises:
        PlanError: with what is wrong with them, or with the files that are wanted.
    """
    problems: list[OptionProblem] = []
    sure, limit = 0.95, None
    if confidence is not None:
        try:
            sure = option_values.percent(confidence)
        except ValueError as error:
            problems.append(OptionProblem("--confidence", str(error)))
        if not _LEAST_CONFIDENCE <= sure <= _MOST_CONFIDENCE:
            problems.append(OptionProblem("--confidence", f"{quoted(confidence)} is not within 50% to 99.99%"))
    if fail_on_regression is not None:
        try:
            limit = option_values.percent(fail_on_regression)
        except ValueError as error:
            problems.append(OptionProblem("--fail-on-regression", str(error)))
    if limit is not None and limit > _LARGEST_REGRESSION:
        text = f"{quoted(fail_on_regression)} is more than the {_LARGEST_REGRESSION:.0%} that it takes"
        problems.append(OptionProblem("--fail-on-regression", text))
    compared: tuple[ComparedMetric, ...] = ()
    try:
        compared = metrics_named(metrics)
    except ValueError as error:
        problems.append(OptionProblem("--metric", str(error)))
    problems += export_problems(wanted, as_json=as_json, kept=kept)
    if problems:
        raise PlanError(tuple(problems))
    return sure, limit, compared


def report_outcome(
    outcome: ComparisonReport,
    wanted: Mapping[str, str],
    *,
    as_json: bool,
    quiet: bool = False,
    code: ExitCode = ExitCode.PASSED,
    lesser: ExitCode = ExitCode.PASSED,
) -> ExitCode:
    """Writes the files that are wanted, prints the report or the data.

    Returns:
        The exit code: `code` if that is an error, and `lesser` only where there is no regression.
    """
    from ws_load_test.report.exports.comparison import data
    from ws_load_test.report.terminal.comparison import print_outcome

    if code == ExitCode.PASSED and any(check.is_doubted for _, check in outcome.checks):
        code = ExitCode.NOTHING_OPENED
    if code == ExitCode.PASSED and (outcome.failing or not all(check.passed for _, check in outcome.checks)):
        code = ExitCode.THRESHOLD_FAILED
    if code == ExitCode.PASSED:
        code = lesser
    errors = _write(outcome, wanted)
    for error in errors:
        _log.error("%s", error)
    if errors and code == ExitCode.PASSED:
        code = ExitCode.OUTPUT_FAILED
    if as_json:
        print_json(data(outcome))
    elif not quiet and "-" not in wanted.values():
        print_outcome(outcome, console=console())
    return code


def _write(outcome: ComparisonReport, wanted: Mapping[str, str]) -> Sequence[OutputError]:
    if not wanted:
        return ()
    from ws_load_test.report.exports import write_texts
    from ws_load_test.report.exports.comparison import markdown
    from ws_load_test.report.html.comparison import page

    texts = {"markdown": partial(markdown, outcome), "html": partial(page, outcome)}
    return write_texts(texts, wanted, appended=os.environ.get("GITHUB_STEP_SUMMARY"))
