"""What a search for a capacity is to find, from options: objectives, where to look, how long each step takes.

The options of a run that say what is tested, and how it is talked to, are those of its plan; those that say how much
and for how long are the search's own, and refused.
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
from ws_load_test.plan import values as option_values
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.plan.options.catalog import owned_by, parse_options, refused_by
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.plan.options.spec import Owner
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.plan_warnings import why_unavailable
from ws_load_test.plan.thresholds import DENOMINATORS, Condition, parse_condition

Finds = Literal["rate", "connections"]

DEFAULT_SLO = ("errors < 0.1%",)
EXAMPLES = '"p99 < 50ms", "errors < 0.1%" or "rate > 9500"'
FIRST = {"rate": "100", "connections": "100"}
CONNECTIONS = 100
"""Over which a rate is searched for, where nobody says otherwise."""
WARMUP = "1s"
PER_CONNECTION = "1"
"""Messages a second on each connection, where nobody says otherwise."""
STEP_NS = 5 * 10**9
LONGEST_NS = 60 * 10**9
REST_NS = 10**9
PRECISION = 0.05
FINEST, COARSEST = 0.01, 0.5
MIN_TAIL_SAMPLES = 20
"""Values on the far side of a percentile, so that it says more about the target than about chance."""
MIN_ERRORS = 2
"""Messages of a share: one alone must not decide."""
QUEUE = 40
"""Over the precision e, the messages n after which a queue shows that grows by no more than that: over the two thirds
of a step that are compared it gains 2/3 e n, which is well above the 10 messages that may be chance."""
OF_MESSAGES = ("response", "service", "send_lag")
"""Times of which each message has one."""
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """What to find, and how."""

    dimension: Finds
    objectives: tuple[Condition, ...]
    """What must hold; read as conditions are."""
    range: SearchRange
    options: Mapping[str, Any]
    """The plan's, as they were given."""
    step_ns: int = STEP_NS
    longest_ns: int = LONGEST_NS
    rest_ns: int = REST_NS

    def plan(self, amount: float) -> Plan:
        """Returns the plan of a step."""
        plan = self._plan(amount, self.step_ns)
        length_ns = self.length_ns(amount, plan)
        return plan if length_ns == self.step_ns else self._plan(amount, length_ns)

    def length_ns(self, amount: float, plan: Plan) -> int:
        """Returns how long a step measures: as long as the objectives need, within what was asked."""
        per_s = amount if self.dimension == "rate" else _rate_per_s(plan)
        needed_ns = int(self.messages_needed() * 10**9 / per_s) if per_s else 0
        return min(max(self.step_ns, needed_ns), self.longest_ns)

    def messages_needed(self) -> int:
        """Returns how many messages a step should have."""
        shares = [far for one in self.objectives if (far := _far_side(one))]
        return math.ceil(max([QUEUE / Fraction(str(self.range.precision)), *shares]))

    def show(self, amount: float) -> str:
        """Returns an amount in words."""
        return format_rate(amount) if self.dimension == "rate" else f"{format_count(amount)} connections"

    def describe(self) -> list[tuple[str, str]]:
        """The search in words, beside the plan's own: a label and a sentence part for each line."""
        where = self.range
        most = "" if where.most is None else f", up to {self.show(where.most)}"
        lengths = (
            f"{format_duration(self.step_ns)}, at most {format_duration(self.longest_ns)} where objectives need it"
        )
        precision = format_share(where.precision)
        return [
            ("finds", f"the highest {self.dimension} from {self.show(where.first)} on{most}, to {precision}"),
            ("objectives", " and ".join(one.text for one in self.objectives)),
            ("steps", f"{lengths}, {format_duration(self.rest_ns)} of rest between them"),
        ]

    def _plan(self, amount: float, length_ns: int) -> Plan:
        varied = {"rate": amount} if self.dimension == "rate" else {"connections": int(amount)}
        conditions = [negate(one) for one in self.objectives]
        return read_plan({**self.options, **varied, "duration": f"{length_ns}ns", "fail_if": conditions})


def negate(objective: Condition) -> str:
    """Returns the condition that must not hold, where this one must."""
    label, _, limit = objective.text.rpartition(f" {objective.operator} ")
    return f"{label} {NEGATED[objective.operator]} {limit}"


def _far_side(objective: Condition) -> Fraction:
    """Returns how many messages it takes until an objective is no matter of chance; 0 where no number of them helps."""
    metric = objective.metric
    if metric.kind == "time":
        if metric.name not in OF_MESSAGES or not metric.statistic[0].isdigit():
            return Fraction(0)
        part = Fraction(metric.statistic) / 100
        values = MIN_TAIL_SAMPLES
    else:
        if objective.unit != "share" or not {"due", "sent", "answered"} & set(DENOMINATORS[metric.name]):
            return Fraction(0)
        part, values = objective.limit, MIN_ERRORS
    far = min(part, 1 - part)
    return values / far if far > 0 else Fraction(0)


def _rate_per_s(plan: Plan) -> float:
    return 0.0 if isinstance(plan.load, ClosedLoop) else plan.load.rate.peak


# --- Options --------------------------------------------------------------------------------------------------------


def read_aim(options: Mapping[str, Any]) -> SearchSpec:
    """Returns what these options ask for; None stands for an option not given.

    Raises:
        PlanError: with every problem found.
    """
    given = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    problems: list[OptionProblem] = []
    own = owned_by(Owner.CAPACITY)
    values, wrong = parse_options(given, own)
    problems += wrong
    finds: Finds = values.get("find", "rate")
    where = _read_range(given, finds, _read_precision(given, values, problems), problems)
    refused = refused_options(finds)
    problems += [OptionProblem(option_name(name), why) for name, why in refused.items() if _is_given(given, name)]
    objectives = _read_objectives(values.get("slo", DEFAULT_SLO), problems)
    rest = {name: value for name, value in given.items() if name not in {*(option.name for option in own), *refused}}
    step_ns = values.get("step_duration", STEP_NS)
    longest_ns = values.get("max_step_duration", max(step_ns, LONGEST_NS))
    if longest_ns < step_ns:
        problems.append(
            OptionProblem(
                "--max-step-duration", "is shorter than --step-duration, which says how long a step takes at least"
            )
        )
    aim = SearchSpec(
        finds, objectives, where, _with_defaults(rest, finds), step_ns, longest_ns, values.get("cooldown", REST_NS)
    )
    problems += _problems_of_plan(aim)
    if problems:
        raise PlanError(tuple(problems))
    return aim


def refused_options(finds: Finds) -> dict[str, str]:
    """Returns the options of a run that a search does not take, and what to do instead."""
    return refused_by("capacity", f"capacity --find {finds}")


def _read_precision(given: Mapping[str, Any], values: Mapping[str, Any], problems: list[OptionProblem]) -> float:
    precision: float = values.get("precision", PRECISION)
    if FINEST <= precision <= COARSEST:
        return precision
    text = f'"{given["precision"]}" is not between {format_share(FINEST)} and {format_share(COARSEST)}'
    problems.append(OptionProblem("--precision", text))
    return PRECISION


def _is_given(given: Mapping[str, Any], name: str) -> bool:
    return name in given and given[name] is not False


def _read(name: str, given: Mapping[str, Any], reader: Callable[[Any], Any], problems: list[OptionProblem]) -> Any:
    try:
        return reader(given[name]) if name in given else None
    except ValueError as error:
        problems.append(OptionProblem(option_name(name), str(error)))
        return None


def _read_range(given: Mapping[str, Any], finds: Finds, precision: float, problems: list[OptionProblem]) -> SearchRange:
    reader = option_values.rate if finds == "rate" else option_values.positive_int
    first = _read("from", {"from": FIRST[finds], **given}, reader, problems)
    most = _read("max", given, reader, problems)
    if first is not None and most is not None and most < first:
        why = "" if "from" in given else f", which is {FIRST[finds]} where nobody says otherwise"
        problems.append(OptionProblem("--max", f"is less than --from{why}"))
    return SearchRange(first or 1.0, most, precision, whole=finds == "connections")


def _read_objectives(texts: tuple[str, ...], problems: list[OptionProblem]) -> tuple[Condition, ...]:
    found: dict[str, Condition] = {}
    for text in texts:
        try:
            condition = parse_condition(text, EXAMPLES)
        except ValueError as error:
            problems.append(OptionProblem("--slo", str(error)))
            continue
        if condition.per_interval:
            problems.append(
                OptionProblem("--slo", f'"{condition.text}": an objective is of the whole step; leave out any')
            )
        found[condition.text] = condition
    return tuple(found.values())


def _with_defaults(options: Mapping[str, Any], finds: Finds) -> dict[str, Any]:
    defaults: dict[str, Any] = {"warmup": WARMUP}
    if finds == "rate":
        defaults["connections"] = CONNECTIONS
    elif not {"rate", "rate_per_connection", "in_flight"} & options.keys():
        defaults["rate_per_connection"] = PER_CONNECTION
    if options.get("arrivals") == "poisson" and "in_flight" not in options:
        # Chosen once, so that the number that is told with the plan is that of every step.
        defaults["seed"] = secrets.randbelow(1 << 32)
    return {**defaults, **options}


def _problems_of_plan(aim: SearchSpec) -> list[OptionProblem]:
    """Returns what is wrong with the options of the plan, or with objectives that such a plan can never meet."""
    try:
        plan = aim.plan(aim.range.first)
    except PlanError as error:
        return list(error.problems)
    if plan.correlation.rule == "none":
        return [OptionProblem("--match", "a target is judged by its replies, and with none nothing is awaited")]
    lacks = [(one.text, why_unavailable(one.metric, plan)) for one in aim.objectives]
    problems = [OptionProblem("--slo", f'"{text}" can never be met, because {lack}') for text, lack in lacks if lack]
    if isinstance(plan.load, OpenLoop) and not plan.load.rate.peak:
        problems += [
            OptionProblem("--slo", f'"{one.text}" can never be met, because no message is sent at --rate 0')
            for one in aim.objectives
            if one.metric.kind == "time" and one.metric.name in OF_MESSAGES
        ]
    return problems
