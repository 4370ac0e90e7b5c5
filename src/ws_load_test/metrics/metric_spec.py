"""Rows of the metric catalogue: what is known of a count or a time besides its value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from ws_load_test.metrics.histogram import Histogram

Kind = Literal["count", "size", "labeled", "time", "amount", "rate", "ratio", "duration"]
"""``count``: an integer. ``size``: an integer of bytes. ``labeled``: a count by label. ``time``: a histogram in ns.
``amount``: a histogram of whole numbers that are no times, such as bytes of each answer.
``rate``: events per second, derived from a count and the measured time. ``ratio``: a number without unit.
``duration``: one time in ns. The last three are derived."""
SPEC = "spec"
"""Key under which the metadata of a dataclass field hold its row."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row of the catalogue; conditions, reports and exports are derived from the rows."""

    help: str
    """One sentence: the description in OpenMetrics and OTLP."""
    name: str = ""
    """Field of a tally; ends in its unit where it has one. The catalogue fills it in."""
    kind: Kind = "count"
    percent_of: tuple[str, ...] = ()
    """Counts whose sum is 100 % in a condition such as ``unanswered > 1%``; empty: it is no share of anything."""
    condition: str | None = None
    """Name in ``--fail-if`` and ``--abort-if``; None: no condition can use it."""
    no_value: str = ""
    """Reason to give where a time is empty, a count that others are a share of is 0, or a rate has no duration."""
    needs_replies: bool = False
    """True where it has no value if no reply is awaited (``--match none``)."""
    needs_ids: bool = False
    """True where it is only known if replies are matched by an id."""
    needs_stream: bool = False
    """True where it is only known of answers that are many messages (``--until``), or of those and of fan-outs."""
    needs_fan_out: bool = False
    """True where it is only known of fan-outs (``--subscribers``), or of those and of streams."""
    needs_scenario: bool = False
    """True where it is only known of scenarios."""
    in_warmup: bool = True
    """False: reset when a warm-up interval is reported. True: it counts then as well (connections), or the engine
    leaves out the warm-up message by message (sent, answered)."""
    per_host: bool = False
    """True where it is also kept for each machine of a run on several."""
    family: str = ""
    """Name of its metric family in OpenMetrics and OTLP, without the prefix of the tool; empty: not exported."""
    label: str = ""
    """Name of the label by which a family is divided, where it is."""
    unit_name: str = ""
    """Noun for one of what is counted (``message``): the unit in OTLP, and the group in which a metric is listed."""
    csv: tuple[str, ...] = ()
    """Columns of ``--csv``: of a count its name, of a time its percentiles and ``max``; empty: none."""
    report_label: str = ""
    """Name in reports; empty: not in the table of messages."""
    report_if_zero: bool = False
    """True where reports list it even if it is 0."""
    is_failure: bool = False
    """True where reports highlight any value but 0."""

    @property
    def is_histogram(self) -> bool:
        """True for times and amounts."""
        return self.kind in ("time", "amount")

    def is_of(self, *, streams: bool, fan_out: bool, scenario: bool = False) -> bool:
        """Returns False for what a run without streams, without a fan-out, or without a scenario, cannot have."""
        if self.needs_scenario and not scenario:
            return False
        if not self.needs_stream and not self.needs_fan_out:
            return True
        return (self.needs_stream and streams) or (self.needs_fan_out and fan_out)


def count(spec: MetricSpec) -> int:
    """Returns the dataclass field of a count, which is 0 at first."""
    return field(default=0, metadata={SPEC: replace(spec, kind="count")})


def size(spec: MetricSpec) -> int:
    """Returns the dataclass field of a number of bytes, which is 0 at first."""
    return field(default=0, metadata={SPEC: replace(spec, kind="size")})


def labeled(spec: MetricSpec) -> Counter[str]:
    """Returns the dataclass field of a count by label, which is empty at first."""
    return cast("Counter[str]", field(default_factory=Counter, metadata={SPEC: replace(spec, kind="labeled")}))


def amounts(spec: MetricSpec) -> Histogram:
    """Returns the dataclass field of a histogram of whole numbers, which is empty at first."""
    return field(default_factory=Histogram, metadata={SPEC: replace(spec, kind="amount")})


def times(spec: MetricSpec) -> Histogram:
    """Returns the dataclass field of a histogram in ns, which is empty at first."""
    return field(default_factory=Histogram, metadata={SPEC: replace(spec, kind="time")})
