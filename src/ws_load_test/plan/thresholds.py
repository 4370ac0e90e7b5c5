"""Conditions of ``--fail-if``, ``--abort-if`` and ``--slo``: their grammar, their parser and their sense.

    [any] METRIC OPERATOR LIMIT

    p99 > 50ms        errors > 0.1%        rate < 9500        any connect.p95 > 1s        steps.join.p99 > 1s

A plan keeps conditions as text, in one spelling, so that a recording has them as users write them; `parse_condition`
reads both. A condition of ``--fail-if`` and ``--abort-if`` is what must not be, one of ``--slo`` what must hold. Other
tools have one or the other, so a condition that looks like the other notation is an error that shows both.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from ws_load_test.common.faults import FaultKind
from ws_load_test.common.units import (
    parse_bytes,
    parse_duration_ns,
    parse_rate_per_s,
    quoted,
)
from ws_load_test.metrics.catalog import CONDITION_METRICS, WHOLE_RUN
from ws_load_test.metrics.fan_out_metrics import DELIVERY, PUBLISH, SUBSCRIBER
from ws_load_test.metrics.scenario_metrics import ITERATION, REACTION, SESSION, STEP
from ws_load_test.plan import values as option_values
from ws_load_test.plan.other_tools import METRICS

Kind = Literal["time", "count", "rate", "size", "ratio", "duration"]
Unit = Literal["ns", "count", "share", "per_s", "bytes", "number"]

TIME_METRICS = tuple(name for name, spec in CONDITION_METRICS.items() if spec.kind == "time")
"""Times that have percentiles; the first is meant where none is named."""
STATISTICS = ("mean", "min", "max", "stdev")
DENOMINATORS: dict[str, tuple[str, ...]] = {
    name: spec.percent_of for name, spec in CONDITION_METRICS.items() if spec.kind in ("count", "labeled")
}
"""Every count, and the counts whose sum it is a share of; none where it is no share of anything."""
FORMER_METRICS = {
    "duplicates": "duplicate_replies",
    "mismatched": "unknown_id",
    "skipped": "greetings",
    "reopened": "reconnected",
    "renewed": "recycled",
    "reopen": "reconnect",
    "gap.longest": "gaps.longest",
}
"""Names that metrics had once, and their present ones."""
FORMER_FAULTS = {"mismatch": "check-failed"}
"""The same of faults."""
RATES = tuple(name for name, spec in CONDITION_METRICS.items() if spec.kind == "rate")
SIZES = tuple(name for name, spec in CONDITION_METRICS.items() if spec.kind == "size")
RATIOS = tuple(name for name, spec in CONDITION_METRICS.items() if spec.kind == "ratio")
LONGEST_SILENCE = "on.NAME.max_silence"
"""Metric that ``on.NAME.silence`` is where its limit is a time."""
DURATIONS = tuple(
    name for name, spec in CONDITION_METRICS.items() if spec.kind == "duration" and name != LONGEST_SILENCE
)
OF_FAN_OUT = frozenset(
    name for name, spec in CONDITION_METRICS.items() if spec.unit_name in (DELIVERY, PUBLISH, SUBSCRIBER)
) - {"first"}
"""Metrics that only a fan-out has; a first message has an answer of many as well."""
OF_REPLIES = {
    "late": "late_replies",
    "duplicate": "duplicate_replies",
    "missing": "unanswered",
    "delivered": "answered",
    "delivery": "response",
}
"""Metrics of deliveries, and what replies have instead."""
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
"""Contrary of each operator."""
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
LONGEST_CONDITION = 200
"""Characters of a condition: its metric, operator and limit have some 50 at most."""
EXAMPLES = '"p99 > 50ms", "errors > 0.1%" or "rate < 9500"'
_CONDITION = re.compile(r"(?P<metric>[^<>=!]*)(?P<operator><=|>=|==|!=|<|>)(?P<limit>[^<>=!]*)", re.DOTALL)
_SPACE = re.compile(r"(?<![\d.])\s+|\s+(?![\d.])")
"""Between a number and its unit, or a unit and the next number, but not within a number."""
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,9})?)", re.ASCII)
_DECIMAL = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_PART = re.compile(r"(?P<kind>steps|on)\.(?P<name>[^.]+)\.(?P<metric>.+)", re.IGNORECASE)
PART_NOUNS = {"steps": "a step", "on": "a reaction"}
"""Parts of a scenario that conditions name, by the word before the name."""
_KINDS: dict[str, Kind] = {"count": "count", "labeled": "count", "rate": "rate"}
_DETAIL = re.compile(r"[a-z0-9.-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConditionMetric:
    """Metric that a condition compares."""

    kind: Kind
    name: str
    """One of `CONDITION_METRICS`."""
    statistic: str = ""
    """Statistic or percentile of a time (``mean``, ``99.9``); kind of faults (``closed``, ``closed:1011``)."""
    part: str = ""
    """Step or reaction that it is of, or ROLE/NAME; empty where `name` has no NAME."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Comparison of a metric with a limit."""

    text: str
    """The condition in its one spelling."""
    metric: ConditionMetric
    label: str
    """The metric as it was written."""
    operator: str
    limit: Fraction
    """In `unit`."""
    unit: Unit
    per_interval: bool = False
    """True if it is judged on each measured interval by itself (``any``), and not on the whole run."""

    def holds(self, value: Fraction) -> bool:
        """Returns True if the value compares with the limit in the way of the condition; exact."""
        return OPERATORS[self.operator](value, self.limit)


def parse_condition(text: str, examples: str = EXAMPLES) -> Condition:
    """Parses a condition; an error about a text that is none shows `examples`.

    Raises:
        ValueError: What is wrong with it, and what to write instead.
    """
    text = " ".join(text.split())
    if len(text) > LONGEST_CONDITION or not text.isprintable():
        raise ValueError(f"{quoted(text)} is too long for a condition, or holds no text; write for example {examples}")
    found = _CONDITION.fullmatch(text)
    if found is None:
        wrong = "one = compares nothing here; write ==" if re.fullmatch(r"[^<>=!]+=[^<>=!]+", text) else ""
        raise ValueError(f'"{text}" is not a condition; ' + (wrong or f"write for example {examples}"))
    written, sign, amount = found["metric"].split(), found["operator"], _SPACE.sub("", found["limit"].strip())
    anywhere = [word.lower() for word in written[:1]] == ["any"]
    label = " ".join(written[anywhere:])
    if not label:
        raise ValueError(f'"{text}" names nothing to compare; write for example {examples}')
    if not amount:
        raise ValueError(f'"{text}" has no limit; write for example {examples}')
    try:
        metric, label = _read_metric(label)
        if metric.name == "on.NAME.silence" and _is_time(amount):
            # The count is of those that are longer than the plan allows; a time is one of the longest.
            metric = ConditionMetric("duration", LONGEST_SILENCE, part=metric.part)
        if anywhere and (metric.name in WHOLE_RUN or metric.name == LONGEST_SILENCE):
            raise ValueError(f"{label} is of the whole run; leave out any")  # noqa: TRY301 - as of the others
        limit, unit = _read_limit(metric, label, amount)
    except ValueError as error:
        raise ValueError(f'"{text}": {error}') from None
    return Condition(
        f"{'any ' * anywhere}{label} {sign} {amount}", metric, label, sign, limit, unit, per_interval=anywhere
    )


# --- Metrics --------------------------------------------------------------------------------------------------------


def _read_metric(label: str) -> tuple[ConditionMetric, str]:
    """Returns the metric and its one spelling."""
    if found := _PART.fullmatch(label):
        return _read_part_metric(found["kind"].lower(), found["name"].strip(), found["metric"].lower())
    label = label.lower()
    if statistic := _statistic(label):
        return ConditionMetric("time", TIME_METRICS[0], statistic), label
    name, dot, part = _split(label)
    if label.lower().replace("-", "_") in METRICS:
        raise ValueError(f'there is no metric "{label}"; write {METRICS[label.lower().replace("-", "_")]}')
    if found := re.fullmatch(r"p\((\d{1,3}(?:\.\d+)?)\)", label, re.ASCII):
        raise ValueError(f'there is no metric "{label}"; write p{found[1]}')
    present = FORMER_METRICS.get(label) or (f"{FORMER_METRICS[name]}{dot}{part}" if name in FORMER_METRICS else "")
    if present:
        raise ValueError(f"{label} was renamed; write {present}")
    if name == "faults" and dot:
        part = _read_fault(part)
        return ConditionMetric("count", name, part), f"{name}.{part}"
    if name in TIME_METRICS:
        return ConditionMetric("time", name, _read_statistic(name, part)), f"{name}.{part}"
    kinds: dict[Kind, tuple[str, ...]] = {"count": tuple(DENOMINATORS), "rate": RATES, "size": SIZES, "ratio": RATIOS}
    kinds["duration"] = DURATIONS
    for kind, names in kinds.items():
        if name in names and not dot:
            return ConditionMetric(kind, name), name
    raise ValueError(_unknown(label, name, part))


def _read_part_metric(kind: str, name: str, rest: str) -> tuple[ConditionMetric, str]:
    """Returns the metric of a step or a reaction, and its one spelling: ``steps.join.p99``."""
    head, _, part = rest.replace("-", "_").partition(".")
    label = f"{kind}.{name}.{rest}"
    if kind == "steps" and (statistic := _statistic(rest)):
        return ConditionMetric("time", "steps.NAME.response", statistic, name), label
    known = f"{kind}.NAME.{head}"
    spec = CONDITION_METRICS.get(known)
    if spec is None or (part and spec.kind != "time"):
        if kind == "steps" and re.fullmatch(r"p\d+", rest, re.ASCII):
            raise ValueError(_no_statistic(rest, f"{kind}.{name}."))
        heads = [one.split(".")[2] for one in CONDITION_METRICS if one.startswith(f"{kind}.NAME.")]
        near = difflib.get_close_matches(head, heads, n=1)
        meant = f"did you mean {kind}.{name}.{near[0]}?" if near else f"there are {', '.join(heads)}"
        raise ValueError(f'there is no metric "{rest}" of {PART_NOUNS[kind]}; {meant}')
    if spec.kind == "duration":
        return ConditionMetric("duration", known, part=name), f"{kind}.{name}.{head}"
    if spec.kind == "time":
        statistic = _read_statistic(f"{kind}.{name}.{head}", part)
        return ConditionMetric("time", known, statistic, name), f"{kind}.{name}.{head}.{part}"
    return ConditionMetric(_KINDS[spec.kind], known, part=name), f"{kind}.{name}.{head}"


def _split(label: str) -> tuple[str, str, str]:
    """Returns a metric's name, a dot, and the statistic or kind of faults behind it; some names have a dot."""
    for name in CONDITION_METRICS:
        if "." in name and f"{label}.".replace("-", "_").startswith(f"{name}."):
            return name, *label[len(name) :].partition(".")[1:]
    head, dot, part = label.partition(".")
    return head.replace("-", "_"), dot, part


def _statistic(text: str) -> str:
    """Returns ``mean``, or ``99.9`` for ``p99.9``; nothing where the text is neither."""
    if text in STATISTICS:
        return text
    found = _PERCENTILE.fullmatch(text)
    return found[1] if found is not None and Decimal(found[1]) <= 100 else ""


def _read_statistic(name: str, part: str) -> str:
    if statistic := _statistic(part):
        return statistic
    if not part:
        raise ValueError(f"{name} is a time with a whole histogram; say what of it, for example {name}.p99")
    raise ValueError(_no_statistic(part, f"{name}."))


def _no_statistic(part: str, before: str) -> str:
    if re.fullmatch(r"p\d+", part, re.ASCII):
        # p999 is how some write p99.9.
        meant = f"p{part[1:3]}.{part[3:]}"
        return f"percentiles lie within p0 and p100; did you mean {before}{meant}?"
    near = difflib.get_close_matches(part, [*STATISTICS, "p50", "p90", "p95", "p99", "p99.9"], n=1)
    return f'there is no statistic "{part}"; ' + (
        f"did you mean {before}{near[0]}?" if near else f"write for example {before}p99 or {before}max"
    )


def _read_fault(part: str) -> str:
    kind, colon, detail = part.replace("_", "-").partition(":")
    kinds = [str(one) for one in FaultKind]
    if kind in FORMER_FAULTS:
        raise ValueError(f"faults.{part} was renamed; write faults.{FORMER_FAULTS[kind]}{colon}{detail}")
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1)
        meant = f"did you mean faults.{near[0]}?" if near else f"there are {', '.join(kinds)}"
        raise ValueError(f'there is no fault "{kind}"; {meant}')
    if colon and not _DETAIL.fullmatch(detail):
        raise ValueError(f'"{detail}" is no detail of a fault; write for example faults.closed:1011')
    return f"{kind}{colon}{detail}"


def _unknown(label: str, name: str, part: str) -> str:
    if not part and re.fullmatch(r"p\d+", name, re.ASCII):
        return _no_statistic(name, "")
    plain = [*DENOMINATORS, *RATES, *SIZES, *RATIOS, *DURATIONS]
    if part:
        # The name of a time may be wrong, or what stands behind it does not belong there.
        if name in plain:
            return f"{name} is one number, of which there is no {part}; did you mean {name}?"
        dotted = difflib.get_close_matches(label, [one for one in plain if "." in one], n=1)
        near = difflib.get_close_matches(name, [*TIME_METRICS, "faults"], n=1)
        meant = dotted[0] if dotted else f"{near[0]}.{part}" if near else ""
    else:
        near = difflib.get_close_matches(name, [*plain, *TIME_METRICS, *STATISTICS], n=1)
        meant = f"{near[0]}.p99" if near and near[0] in TIME_METRICS else near[0] if near else ""
    known = f"there are {', '.join([*TIME_METRICS, *plain])}; of times p50, max, mean and the like"
    return f'there is no metric "{label}"; ' + (f"did you mean {meant}?" if meant else known)


# --- Limits ---------------------------------------------------------------------------------------------------------


def _is_time(amount: str) -> bool:
    """True for an amount with a unit of time."""
    try:
        parse_duration_ns(amount)
    except ValueError:
        return False
    return _DECIMAL.fullmatch(amount) is None


def _read_limit(metric: ConditionMetric, label: str, amount: str) -> tuple[Fraction, Unit]:
    bare = _DECIMAL.fullmatch(amount) is not None
    if metric.kind in ("time", "duration"):
        if bare or amount.endswith("%"):
            why = "and its limit has no unit" if bare else "and no share of anything"
            raise ValueError(f"{label} is a time, {why}; write for example {amount.rstrip('%')}ms")
        return Fraction(parse_duration_ns(amount)), "ns"
    if metric.kind == "rate":
        return Fraction(str(parse_rate_per_s(amount))), "per_s"
    if metric.kind == "size":
        if bare or amount[-1:] not in {"b", "B"}:
            raise ValueError(f"{label} is a size, and its limit has no unit; write for example 512B, 64kB or 1MiB")
        return Fraction(parse_bytes(amount)), "bytes"
    if metric.kind == "ratio":
        if not bare:
            raise ValueError(f'{label} is a number without a unit, and "{amount}" is none; write for example 1.5')
        return Fraction(amount), "number"
    return _read_count(metric, label, amount, bare=bare)


def _read_count(metric: ConditionMetric, label: str, amount: str, *, bare: bool) -> tuple[Fraction, Unit]:
    whole = " and ".join(DENOMINATORS[metric.name])
    if amount.endswith("%"):
        if not whole:
            raise ValueError(f"{label} is a count and no share of anything; write a whole number")
        if not _DECIMAL.fullmatch(amount[:-1]):
            raise ValueError(f'"{amount}" is not a share; write for example 0.1%')
        return Fraction(amount[:-1]) / 100, "share"
    if metric.name == "reach":
        share = f"{100 * float(amount):g}" if bare and float(amount) <= 1 else "99.9"
        raise ValueError(f"{label} is a share; write for example {share}%")
    try:
        return Fraction(option_values.non_negative_int(amount)), "count"
    except ValueError:
        share = f", or a share such as {amount if bare else '0.1'}%" if whole else ""
        raise ValueError(f'{label} is a count, and "{amount}" is none; write a whole number{share}') from None


# --- Options --------------------------------------------------------------------------------------------------------


def why_not_of_plan(metric: ConditionMetric, *, fan_out: bool) -> str:
    """Returns the reason why a plan has no such metric, and what to write instead; empty where it has."""
    if fan_out or metric.name not in OF_FAN_OUT:
        return ""
    other = OF_REPLIES.get(metric.name, "")
    instead = f"; of replies there is {other}" if other else ""
    return f"{metric.name} is of deliveries, and there is no fan-out without --subscribers or --everyone{instead}"


def is_of_scenario(metric: ConditionMetric) -> bool:
    """True for a metric of steps, reactions, sessions or iterations, which only a scenario has."""
    return CONDITION_METRICS[metric.name].unit_name in (STEP, REACTION, SESSION, ITERATION)


def needs_replies(metric: ConditionMetric) -> bool:
    """True where a metric has no value if no reply is awaited."""
    return CONDITION_METRICS[metric.name].needs_replies
