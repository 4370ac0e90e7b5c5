"""``--junit``: a test suite for continuous integration: the run is a test case, and so is each threshold.

There is no standard, but two schemas that consumers follow: that of Ant's JUnit task, which asks for a name, a
package, an id, a host name, a time without a zone and both outputs, and that of Jenkins' xUnit plug-in, which allows
them. What is written here satisfies both.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.thresholds import describe_check, describe_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.report.results import Results

PACKAGE = "ws-load-test"
"""Package of the suite, and class name of its test cases."""
RUN = "run"
"""Name of the test case that is the run itself."""


def lines(results: Results) -> Iterator[str]:
    """Yields the suite as XML."""
    summary, failure = results.summary, results.failure
    checks = summary.verdict.checks
    # A failing of the target is a failure; a reason that kept the run from its end is an error, as a test's own is.
    is_error = failure is not None and failure.is_error
    failed = len(summary.verdict.failed_checks) + (failure is not None and not is_error)
    duration_s = f"{summary.duration_s:.3f}"
    root = ET.Element("testsuites")
    suite = _add(
        root,
        "testsuite",
        id="0",
        name=summary.target,
        package=PACKAGE,
        hostname="localhost",
        timestamp=f"{datetime.fromtimestamp(results.started_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}",
        tests=str(1 + len(checks)),
        failures=str(failed),
        errors=str(int(is_error)),
        time=duration_s,
    )
    properties = _add(suite, "properties")
    for name, value in _properties(results).items():
        _add(properties, "property", name=name, value=value)
    run = _add(suite, "testcase", name=RUN, classname=PACKAGE, time=duration_s)
    if failure is not None:
        _add(run, "error" if is_error else "failure", failure.text, message=failure.text, type=RUN)
    for check in checks:
        case = _add(suite, "testcase", name=describe_condition(check), classname=f"{PACKAGE}.threshold", time="0.000")
        if not check.passed:
            words = describe_check(check)
            _add(case, "failure", words, message=words, type="threshold")
    faults = [f"{format_count(count)} {kind}: {results.example_of(kind)}" for kind, count in summary.faults.items()]
    _add(suite, "system-out", "\n".join(map(sanitize, faults)))
    _add(suite, "system-err", "\n".join(map(sanitize, results.warnings)))
    ET.indent(root)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _properties(results: Results) -> dict[str, str]:
    summary = results.summary
    messages, times = summary.messages, summary.response_time_ns
    return {
        "tool": summary.tool,
        "target": summary.target,
        "due": str(messages.due),
        "sent": str(messages.sent),
        "answered": str(messages.answered),
        "unanswered": str(messages.unanswered),
        "dropped": str(messages.dropped),
        "throughput": format_rate(summary.throughput_per_s),
        **{
            f"response_{key}": format_duration(None if times is None else times.value(key))
            for key in ("p50", "p99", "max")
        },
        **_scenario(summary),
    }


def _scenario(summary: Summary) -> dict[str, str]:
    """Returns the sessions of a scenario, and the p99 and the failures of each step; nothing without one."""
    counts = summary.sessions
    if counts is None:
        return {}
    found = {
        f"sessions.{name}": str(getattr(counts, name)) for name in ("due", "begun", "completed", "failed", "dropped")
    }
    for step in summary.steps:
        times = step.response_time_ns
        found[f"steps.{step.key}.p99"] = format_duration(None if times is None else times.p99)
        found[f"steps.{step.key}.failed"] = str(step.failed)
    return found


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """Adds an element; no letter of a text or of an attribute is one that XML 1.0, section 2.2, forbids."""
    element = ET.SubElement(parent, tag, {name: sanitize(value) for name, value in attributes.items()})
    if text:
        # Lines were cleaned one by one.
        element.text = text if tag.startswith("system-") else sanitize(text)
    return element
