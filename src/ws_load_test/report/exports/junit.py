"""``--junit``: a test suite for continuous integration: the run is a test case, and so is each threshold.

There is no standard, but two schemas that consumers hold on to: that of Ant's JUnit task, which asks for a name, a
package, an id, a host name, a time without a zone and both outputs, and that of Jenkins' xUnit plug-in, which allows
them. What is written here satisfies both.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.report.results import Results


from typing import TYPE_CHECKING

from ws_load_test.report.terminal.tables import threshold_lines

PACKAGE = "ws-load-test"
RUN = "run"
"""The name of the test case that is the run itself."""


def lines(results: Results) -> Iterator[str]:
    """Yields the suite as XML."""
    summary, failing = results.summary, results.failure
    checks: list[dict[str, Any]] = summary.verdict.checks
    # The target's failing is a failure; what kept the run from its end is an error, as a test's own would be.
    is_error = failing is not None and (summary.interrupted or results.lost_workers > 0)
    failed = sum(not check["passed"] for check in checks) + (failing is not None and not is_error)
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
    for name, value in _facts(results).items():
        _add(properties, "property", name=name, value=value)
    run = _add(suite, "testcase", name=RUN, classname=PACKAGE, time=duration_s)
    if failing is not None:
        _add(run, "error" if is_error else "failure", failing, message=failing, type=RUN)
    for check in checks:
        case = _add(suite, "testcase", name=name_of(check), classname=f"{PACKAGE}.threshold", time="0.000")
        if not check["passed"]:
            _add(case, "failure", said_of(check), message=said_of(check), type="threshold")
    faults = [f"{format_count(count)} {kind}: {results.example_of(kind)}" for kind, count in summary.faults.items()]
    _add(suite, "system-out", "\n".join(map(sanitize, faults)))
    _add(suite, "system-err", "\n".join(map(sanitize, results.warnings)))
    ET.indent(root)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _facts(results: Results) -> dict[str, str]:
    summary = results.summary
    times = summary.response_time_ns or {}
    return {
        "tool": summary.tool,
        "target": summary.target,
        **{word: str(summary.messages[word]) for word in ("due", "sent", "answered", "unanswered", "dropped")},
        "throughput": format_rate(summary.throughput_per_s),
        **{f"response_{name}": format_duration(times.get(name)) for name in ("p50", "p99", "max")},
    }


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """Adds an element; no letter of a text or of an attribute is one that XML 1.0, section 2.2, forbids."""
    element = ET.SubElement(parent, tag, {name: sanitize(value) for name, value in attributes.items()})
    if text:
        # Lines were cleaned one by one.
        element.text = text if tag.startswith("system-") else sanitize(text)
    return element


def name_of(check: dict[str, Any]) -> str:
    """Returns what was asked: ``fail if p99 > 50ms``."""
    option = str(check.get("option", "")).replace("-", " ")
    return sanitize(f"{option} {check['check']}".strip())


def said_of(check: dict[str, Any]) -> str:
    """Returns what was asked and what was found, in the words of the report at a terminal."""
    lines = threshold_lines({"verdict": {"checks": [check]}})
    verdict = "passed" if check["passed"] else "failed"
    return " ".join(line.plain.strip() for line in lines).removeprefix(verdict).strip()
