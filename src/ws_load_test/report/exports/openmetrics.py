"""``--openmetrics``: counters and histograms as OpenMetrics text, version 1.0, for Prometheus and its relatives.

A family's name ends in its unit, times are seconds, and a counter's sample ends in ``_total``. Nothing has a time
stamp, and what Prometheus' older text format does not know is left out, so that a text file collector takes the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.metric_families import (
    PREFIX,
    Family,
    Sample,
    counter_families,
    duration,
    gauge,
    histogram_families,
    throughput,
    workers,
)
from ws_load_test.metrics.scenario_families import scenario_families
from ws_load_test.report.content.thresholds import describe_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.report.results import Results


def lines(results: Results) -> Iterator[str]:
    """Yields all families, and the end mark without which a reader takes the text for a torn one."""
    for family in _families(results):
        yield from _written(family)
    yield "# EOF\n"


def _families(results: Results) -> Iterator[Family]:
    summary, tally = results.summary, results.aggregate.tally
    about = {"tool": summary.tool, "target": summary.target, "started_at": summary.started_at}
    # Not of the type info, which readers of Prometheus' older text format would refuse the whole file for.
    yield Family("run_info", "gauge", "What was run, and when.", (Sample(about, 1),))
    yield duration(summary.duration_s)
    yield gauge("passed", "Whether the run passed, and its thresholds with it.", int(results.passed))
    thresholds: dict[str, bool] = {}
    for check in summary.verdict.checks:
        name = describe_condition(check)
        thresholds[name] = check.passed and thresholds.get(name, True)
    if thresholds:
        kept = tuple(Sample({"check": name}, int(passed)) for name, passed in thresholds.items())
        yield Family("threshold_passed", "gauge", "Whether a threshold was kept.", kept)
    yield from counter_families(tally)
    yield from throughput(summary.throughput_per_s)
    yield from histogram_families(tally)
    yield from scenario_families(tally)
    if summary.waves:
        yield gauge("disconnect_waves", "Waves of sessions that the target ended together.", len(summary.waves))
        yield Family("disconnect_wave_sessions", "gauge", "Sessions that a wave ended.", _of_waves(summary, "sessions"))
        yield Family(
            "disconnect_wave_back_seconds",
            "gauge",
            "From the first end of a wave until as many sessions were open as before; absent where they were not.",
            _of_waves(summary, "back_after_ns", 1e9),
            unit="seconds",
        )
    if summary.nodes is not None:
        sessions = tuple(Sample({"node": node.name}, node.sessions_at_end) for node in summary.nodes.rows)
        yield Family("node_sessions", "gauge", "Sessions open on a node at the end of the load.", sessions)
    generator = summary.generator
    yield workers(generator.workers)
    if generator.cpu_share is not None:
        text = "The part of a core that the busiest worker used."
        yield gauge("generator_cpu_ratio", text, generator.cpu_share, "ratio")
    yield gauge("generator_saturated", "Whether the generator itself was the bottleneck.", int(generator.saturated))


def _of_waves(summary: Summary, name: str, unit: float = 1) -> tuple[Sample, ...]:
    """Returns a value of each wave that has it, labeled with the number of the wave."""
    values = ((number, getattr(wave, name)) for number, wave in enumerate(summary.waves, 1))
    return tuple(Sample({"wave": str(number)}, value / unit) for number, value in values if value is not None)


def _written(family: Family) -> Iterator[str]:
    """Yields a family's descriptors and its samples."""
    name = PREFIX + family.name
    yield f"# TYPE {name} {family.kind}\n"
    if family.unit:
        yield f"# UNIT {name} {family.unit}\n"
    yield f"# HELP {name} {family.text}\n"
    for suffix, labels, value in family.samples():
        inner = ",".join(f'{label}="{_escaped(said)}"' for label, said in labels.items())
        yield f"{name}{suffix}{f'{{{inner}}}' if inner else ''} {value!r}\n"


def _escaped(text: str) -> str:
    """Returns a label's value with its backslashes and quotes escaped; line feeds are none of its letters."""
    return sanitize(text).replace("\\", r"\\").replace('"', r"\"")
