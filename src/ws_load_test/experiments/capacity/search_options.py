"""Options of a capacity search: objectives, range of loads, durations of the steps.

The options of a run that define the target and the session are passed on to the plan of each step. Those that define
load and duration are refused, since the search sets them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from ws_load_test.common.errors import OptionProblem, PlanError, option_name
from ws_load_test.common.units import (
    format_count,
    format_duration,
    format_rate,
    format_share,
)
from ws_load_test.experiments.capacity.bracketing import SearchRange
from ws_load_test.experiments.capacity.scenario_sessions import (
    arriving_roles,
    has_roles,
    shares_connections,
    with_sessions,
)
from ws_load_test.plan import values as option_values
from ws_load_test.plan.condition_sense import check_objective
from ws_load_test.plan.options.catalog import BY_NAME, owned_by, parse_options, refused_by
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.plan.options.rows.fan_out import is_fan_out
from ws_load_test.plan.options.spec import Owner
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.plan_warnings import PER_MESSAGE_TIMES, why_unavailable
from ws_load_test.plan.thresholds import DENOMINATORS, Condition, parse_condition

Dimension = Literal["rate", "connections", "subscribers", "sessions"]
"""The quantity that a search varies."""

DEFAULT_SLO = ("errors < 0.1%",)
FAN_OUT_SLO = ("reach > 99.9%",)
"""Default objectives of a fan-out: a message that is sent can be lost on its way to every subscriber."""
SCENARIO_SLO = ("errors < 0.1%", "sessions.failed < 0.1%")
"""Default objectives of a scenario: a session that fails takes all of its later steps with it."""
EXAMPLES = '"p99 < 50ms", "errors < 0.1%" or "rate > 9500"'
FIRST = {"rate": "100", "connections": "100", "subscribers": "100", "sessions": "100"}
"""Default load of the first step."""
CONNECTIONS = 100
"""Default connections of a search for a rate."""
WARMUP = "1s"
"""Default warm-up of each step."""
PER_CONNECTION = "1"
"""Default messages per second on each connection, of a search for connections."""
STEP_NS = 5 * 10**9
"""Default for the shortest step in ns."""
MAX_STEP_NS = 60 * 10**9
"""Default for the longest step in ns."""
COOLDOWN_NS = 10**9
"""Default pause between steps in ns, in which the target empties its queues."""
PER_DELIVERY_TIMES = ("delivery", "delivery.all", "transit", "read_lag")
"""Times that are measured once for each delivery of a fan-out."""
PER_PUBLISH_TIMES = ("last", "spread")
"""Times that are measured once for each message of a fan-out."""
PRECISION = 0.05
"""Default precision, as a share of the load."""
FINEST, COARSEST = 0.01, 0.5
"""Bounds of the precision, as a share of the load: repeated runs differ by 1 %, and steps grow by 100 %."""
MIN_TAIL_SAMPLES = 20
"""Values beyond a percentile that a step needs, so that its estimate depends on the target rather than on chance."""
MIN_ERRORS = 2
"""Failed messages that a limit on a share must allow: a single one must not decide."""
QUEUE_MESSAGES = 40
"""Messages n of a step, times the precision e, from which on a queue is noticed that grows by a share e of the load.

Over the two thirds of a step that are compared it grows by 2/3 e n, well above `backlog.MIN_GROWTH`.
"""


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """Specification of a search."""

    dimension: Dimension
    objectives: tuple[Condition, ...]
    """Conditions that must hold."""
    range: SearchRange
    options: Mapping[str, Any]
    """Options of the plan."""
    step_ns: int = STEP_NS
    """Shortest step."""
    max_step_ns: int = MAX_STEP_NS
    """Longest step."""
    cooldown_ns: int = COOLDOWN_NS
    """Pause between steps."""

    def plan(self, load_level: float) -> Plan:
        """Makes the plan of a step."""
        plan = self._plan(load_level, self.step_ns)
        duration_ns = self.duration_ns(load_level, plan)
        return plan if duration_ns == self.step_ns else self._plan(load_level, duration_ns)

    def duration_ns(self, load_level: float, plan: Plan) -> int:
        """Returns the measured time of a step: as long as the objectives need, within the bounds."""
        per_s = load_level if self.dimension == "rate" else plan.load.peak_per_s
        each = 1.0 if plan.fan_out is None else max(1.0, plan.fan_out.mean_audience)
        needed_ns = int(self.messages_needed(each) * 10**9 / per_s) if per_s else 0
        return min(max(self.step_ns, needed_ns), self.max_step_ns)

    def messages_needed(self, deliveries_each: float = 1.0) -> int:
        """Returns the number of messages that a step needs for its objectives, and to notice a growing queue.

        Args:
            deliveries_each: Deliveries of each message of a fan-out, whose queue is one of deliveries.
        """
        each = Fraction(deliveries_each)
        counts = [_messages_needed(objective, each) for objective in self.objectives]
        return math.ceil(max([QUEUE_MESSAGES / Fraction(str(self.range.precision)) / each, *counts]))

    def load_of(self, plan: Plan) -> float:
        """Returns the load of a step's plan."""
        if self.dimension == "rate":
            return plan.load.peak_per_s
        if self.dimension == "sessions":
            return plan.connections
        return plan.connections if plan.fan_out is None or plan.fan_out.everyone else plan.fan_out.subscribers

    def show(self, load_level: float) -> str:
        """Formats a load with its unit."""
        return format_rate(load_level) if self.dimension == "rate" else f"{format_count(load_level)} {self.dimension}"

    def describe(self) -> list[tuple[str, str]]:
        """Describes the search, besides its plan: a label and a phrase for each line."""
        limits = self.range
        maximum = "" if limits.maximum is None else f", up to {self.show(limits.maximum)}"
        durations = (
            f"{format_duration(self.step_ns)}, at most {format_duration(self.max_step_ns)} where objectives need it"
        )
        precision = format_share(limits.precision)
        return [
            ("finds", f"the highest {self.dimension} from {self.show(limits.first)} on{maximum}, to {precision}"),
            ("objectives", " and ".join(objective.text for objective in self.objectives)),
            ("steps", f"{durations}, {format_duration(self.cooldown_ns)} of rest between them"),
        ]

    def _plan(self, load_level: float, duration_ns: int) -> Plan:
        objectives = [objective.text for objective in self.objectives]
        fixed = {**self.options, "duration": f"{duration_ns}ns", "slo": objectives}
        if self.dimension != "sessions":
            varied: dict[str, float] = {self.dimension: load_level if self.dimension == "rate" else int(load_level)}
            return read_plan({**fixed, **varied})
        sessions = int(load_level)
        if shares_connections(self.options):
            return read_plan({**fixed, "connections": sessions})
        plan = read_plan(fixed)
        return with_sessions(plan, sessions, workers=plan.workers if self.options.get("workers") else None)


def _messages_needed(objective: Condition, deliveries_each: Fraction) -> Fraction:
    """Returns the messages that make an objective independent of chance; 0 if their number does not matter."""
    metric = objective.metric
    each = Fraction(1)
    if metric.kind == "time":
        if metric.name in PER_DELIVERY_TIMES:
            each = deliveries_each
        elif metric.name not in (*PER_MESSAGE_TIMES, *PER_PUBLISH_TIMES):
            return Fraction(0)
        if not metric.statistic[0].isdigit():
            return Fraction(0)
        share_below = Fraction(metric.statistic) / 100
        values = MIN_TAIL_SAMPLES
    else:
        if objective.unit != "share":
            return Fraction(0)
        whole = set(DENOMINATORS[metric.name])
        if "deliveries_expected" in whole:
            each = deliveries_each
        elif not {"due", "sent", "answered"} & whole:
            return Fraction(0)
        share_below, values = objective.limit, MIN_ERRORS
    tail = min(share_below, 1 - share_below)
    return values / tail / each if tail > 0 else Fraction(0)


# --- Options --------------------------------------------------------------------------------------------------------


def read_spec(options: Mapping[str, Any]) -> SearchSpec:
    """Parses the options of a search; a value of None stands for an absent option.

    Raises:
        PlanError: The options have problems; the error holds all of them.
    """
    present = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    problems: list[OptionProblem] = []
    own = (BY_NAME["slo"], *owned_by(Owner.CAPACITY))
    values, wrong = parse_options(present, own)
    problems += wrong
    dimension = dimension_of(present, values.get("find"))
    search_range = _read_range(present, dimension, _read_precision(present, values, problems), problems)
    refused = refused_options(dimension)
    problems += [OptionProblem(option_name(name), text) for name, text in refused.items() if _is_set(present, name)]
    if dimension == "subscribers" and present.get("everyone"):
        text = "subscribers are not a number of their own with --everyone; write --find connections"
        problems.append(OptionProblem("--find", text))
    problems += _problems_of_find(present, dimension)
    objectives = _read_objectives(values.get("slo", _usual_slo(present, dimension)), problems)
    not_of_plan = {*(option.name for option in own), *refused}
    plan_options = {name: value for name, value in present.items() if name not in not_of_plan}
    step_ns = values.get("step_duration", STEP_NS)
    max_step_ns = values.get("max_step_duration", max(step_ns, MAX_STEP_NS))
    if max_step_ns < step_ns:
        problems.append(
            OptionProblem("--max-step-duration", "is shorter than --step-duration, the least time of a step")
        )
    spec = SearchSpec(
        dimension,
        objectives,
        search_range,
        _with_defaults(plan_options, dimension),
        step_ns,
        max_step_ns,
        values.get("cooldown", COOLDOWN_NS),
    )
    problems += _problems_of_plan(spec)
    if problems:
        raise PlanError(tuple(problems))
    return spec


def dimension_of(options: Mapping[str, Any], find: Dimension | None) -> Dimension:
    """Returns the quantity that ``--find`` names; without it, the rate, or the sessions of a plan with roles."""
    return find or ("sessions" if has_roles(options) else "rate")


def _usual_slo(options: Mapping[str, Any], dimension: Dimension) -> tuple[str, ...]:
    if dimension == "sessions":
        return SCENARIO_SLO
    return FAN_OUT_SLO if dimension == "subscribers" or is_fan_out(options) else DEFAULT_SLO


def _problems_of_find(options: Mapping[str, Any], dimension: Dimension) -> list[OptionProblem]:
    """Returns the problem of a quantity that the plan does not have."""
    if dimension == "sessions" and not has_roles(options):
        text = "sessions are those of roles, and the plan has none; write --find connections"
        return [OptionProblem("--find", text)]
    if dimension != "sessions" and has_roles(options):
        return [OptionProblem("--find", f"a plan with roles has no {dimension} to vary; write --find sessions")]
    return []


def refused_options(dimension: Dimension) -> dict[str, str]:
    """Returns the options of a run that a search refuses, each with the rest of the error message."""
    return refused_by("capacity", f"capacity --find {dimension}")


def _read_precision(options: Mapping[str, Any], values: Mapping[str, Any], problems: list[OptionProblem]) -> float:
    precision: float = values.get("precision", PRECISION)
    if FINEST <= precision <= COARSEST:
        return precision
    text = f'"{options["precision"]}" is not between {format_share(FINEST)} and {format_share(COARSEST)}'
    problems.append(OptionProblem("--precision", text))
    return PRECISION


def _is_set(options: Mapping[str, Any], name: str) -> bool:
    return name in options and options[name] is not False


def _read(name: str, options: Mapping[str, Any], parser: Callable[[Any], Any], problems: list[OptionProblem]) -> Any:
    try:
        return parser(options[name]) if name in options else None
    except ValueError as error:
        problems.append(OptionProblem(option_name(name), str(error)))
        return None


def _read_range(
    options: Mapping[str, Any], dimension: Dimension, precision: float, problems: list[OptionProblem]
) -> SearchRange:
    parser = option_values.rate if dimension == "rate" else option_values.connections
    first = _read("from", {"from": FIRST[dimension], **options}, parser, problems)
    maximum = _read("max", options, parser, problems)
    if first is not None and maximum is not None and maximum < first:
        default = "" if "from" in options else f", which is {FIRST[dimension]} by default"
        problems.append(OptionProblem("--max", f"is less than --from{default}"))
    return SearchRange(first or 1.0, maximum, precision, whole=dimension != "rate")


def _read_objectives(texts: tuple[str, ...], problems: list[OptionProblem]) -> tuple[Condition, ...]:
    objectives: dict[str, Condition] = {}
    for text in texts:
        try:
            condition = parse_condition(text, EXAMPLES)
            check_objective(condition)
        except ValueError as error:
            problems.append(OptionProblem("--slo", str(error)))
            continue
        objectives[condition.text] = condition
    return tuple(objectives.values())


def _with_defaults(options: Mapping[str, Any], dimension: Dimension) -> dict[str, Any]:
    defaults: dict[str, Any] = {"warmup": WARMUP}
    if dimension == "sessions":
        return {**defaults, **options}
    if dimension == "subscribers":
        # Its rate is that of all publishers together, and has no default.
        defaults["subscribers"] = 1
    elif dimension == "rate":
        if not is_fan_out(options) or options.get("everyone"):
            defaults["connections"] = CONNECTIONS
    elif not {"rate", "rate_per_connection", "in_flight"} & options.keys():
        defaults["rate_per_connection"] = PER_CONNECTION
    if options.get("arrivals") == "poisson" and "in_flight" not in options:
        # Chosen once, so that the seed in the description of the plan is that of every step.
        defaults["seed"] = secrets.randbelow(1 << 32)
    return {**defaults, **options}


def _problems_of_plan(spec: SearchSpec) -> list[OptionProblem]:
    """Returns the problems of the plan's options, and the objectives that such a plan can never meet."""
    try:
        plan = spec.plan(spec.range.first)
        if spec.dimension != "rate" and spec.range.maximum is not None:
            # A feed may have a row of its own for each of few connections, and not for as many.
            spec.plan(spec.range.maximum)
    except PlanError as error:
        return list(error.problems)
    if plan.correlation.rule == "none" and plan.fan_out is None:
        return [OptionProblem("--match", "a search needs replies, and none awaits no replies; choose another rule")]
    if arriving := arriving_roles(plan):
        text = f"sessions of role {arriving[0]} arrive at a rate (arrive), so their number is no load to search for"
        return [OptionProblem("--find", text)]
    missing = [(objective.text, why_unavailable(objective.metric, plan)) for objective in spec.objectives]
    return [
        OptionProblem("--slo", f'"{text}" can never be met, because {reason}') for text, reason in missing if reason
    ]
