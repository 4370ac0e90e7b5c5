"""Types of a capacity search's result: the object that ``capacity --json`` prints and that ``capacity.json`` keeps.

The order of the fields is the order of the keys, as in `summary_types`. Durations are integers of ns; None (``null``)
stands for "no value". Loads are messages per second, or connections, by `CapacitySummary.find`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from ws_load_test.analysis.summary_times import Statistics, TimeStats

StepOutcome = Literal[
    "met", "missed", "generator-bound", "nothing-opened", "nothing-measured", "not-judged", "interrupted"
]
StepPurpose = Literal["grow", "narrow", "confirm"]
Ending = Literal[
    "found",
    "all-met",
    "none-met",
    "generator-bound",
    "nothing-opened",
    "nothing-measured",
    "not-judged",
    "target-gone",
    "unsettled",
    "interrupted",
    "broken-off",
]


class LoadRange(msgspec.Struct, frozen=True, kw_only=True):
    """Loads that a search may try."""

    first: Annotated[float, Meta(description="Load of the first step, the lowest of interest.")] = field(name="from")
    max: Annotated[float | None, Meta(description="Highest load to try; null for no limit.")]
    precision: Annotated[
        float, Meta(description="Largest distance between the ends of the answer, as a share of the lower one.")
    ]


class CapacityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Limit of the target, as far as the search came."""

    ending: Annotated[Ending, Meta(description="Reason for the end of the search.")]
    lower: Annotated[float | None, Meta(description="Highest load that met the objectives each time.")]
    lower_times: Annotated[int, Meta(description="Steps that met them at this load.")]
    upper: Annotated[float | None, Meta(description="Lowest load above it that missed them because of the target.")]
    upper_times: Annotated[int, Meta(description="Steps that missed them at this load.")]
    generator_saturated_at: Annotated[
        float | None, Meta(description="Lowest load that saturated the generator, if the target missed no lower one.")
    ]
    unsure: Annotated[
        list[float], Meta(description="Loads between the ends with contradictory outcomes, or a saturated generator.")
    ]
    contradicted: Annotated[list[float], Meta(description="All loads with contradictory outcomes.")]
    error: Annotated[str | None, Meta(description="Error that broke the search off; null without one.")]
    sentence: Annotated[str, Meta(description="The answer and its certainty, as a sentence without a full stop.")]


class StepConnections(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions of a step."""

    attempted: Annotated[int, Meta(description="Sessions dialed.")]
    opened: Annotated[int, Meta(description="Sessions that opened.")]
    failed: Annotated[int, Meta(description="Sessions that could not be opened.")]
    lost: Annotated[int, Meta(description="Sessions that the target or the network ended before the step did.")]


class StepMessages(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a step, warm-up excluded."""

    due: Annotated[int, Meta(description="Messages that fell due.")]
    sent: Annotated[int, Meta(description="Messages handed to the kernel.")]
    answered: Annotated[int, Meta(description="Messages whose reply came.")]
    unanswered: Annotated[int, Meta(description="Messages sent without a reply by the timeout or the end.")]
    dropped: Annotated[int, Meta(description="Messages that were due and never sent.")]


class StepTimes(Statistics, frozen=True, kw_only=True):
    """Response times of a step in ns."""

    count: Annotated[int, Meta(description="Number of values.")]
    p50: Annotated[int, Meta(description="Median in ns.")]
    p90: Annotated[int, Meta(description="90th percentile in ns.")]
    p95: Annotated[int, Meta(description="95th percentile in ns.")]
    p99: Annotated[int, Meta(description="99th percentile in ns.")]
    p99_9: Annotated[int, Meta(description="99.9th percentile in ns.")] = field(name="p99.9")
    max: Annotated[int, Meta(description="Highest value, exact, in ns.")]

    @classmethod
    def of(cls, stats: TimeStats | None) -> Self | None:
        """Returns those of a run's statistics that a step has; None where there is no value."""
        return (
            None
            if stats is None
            else cls(**{one.name: getattr(stats, one.name) for one in msgspec.structs.fields(cls)})
        )


class ObjectiveCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an objective in one step."""

    objective: Annotated[str, Meta(description="The objective.")]
    met: Annotated[bool, Meta(description="True where it was met.")]
    value: Annotated[int | float | None, Meta(description="Value found; null where there is none.")]
    limit: Annotated[int | float | UnsetType, Meta(description="Limit, in the unit of the value.")] = UNSET
    unit: Annotated[str | UnsetType, Meta(description="Unit of value and limit.")] = UNSET
    why: Annotated[str | UnsetType, Meta(description="Reason why there is no value, or none to rely on.")] = UNSET
    judged: Annotated[
        bool | UnsetType, Meta(description="False where the value is in doubt, so that it was not judged.")
    ] = UNSET
    few: Annotated[
        int | UnsetType, Meta(description="Number of values, where these are too few for the percentile.")
    ] = UNSET


class StepGenerator(msgspec.Struct, frozen=True, kw_only=True):
    """Health of the generator in a step."""

    cpu_share: Annotated[float | None, Meta(description="Share of a core that the busiest worker used.")]
    late_p99_ns: Annotated[int | None, Meta(description="Lateness to send and to read, at the 99th percentile.")]
    saturated: Annotated[bool, Meta(description="True where the step is no evidence about the target.")]
    reasons: Annotated[list[str], Meta(description="Reasons for that.")]
    workers: Annotated[int | None, Meta(description="Worker processes; null where nothing was run.")] = None
    hosts: Annotated[
        int | UnsetType, Meta(description="Machines of the cluster they were on; only there with a cluster.")
    ] = UNSET


class StepSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a search."""

    number: Annotated[int, Meta(description="Number of the step, from 1.")]
    amount: Annotated[float, Meta(description="Load of the step.")]
    purpose: Annotated[StepPurpose, Meta(description="Purpose: find an end, narrow the bracket, confirm an end.")]
    outcome: Annotated[StepOutcome, Meta(description="Outcome.")]
    duration_s: Annotated[float | None, Meta(description="Measured time in seconds; null where nothing was run.")] = (
        None
    )
    ended_early: Annotated[bool, Meta(description="True where it ended because its objectives were out of reach.")] = (
        False
    )
    sent_per_s: Annotated[float | None, Meta(description="Messages sent per second.")] = None
    achieved_per_s: Annotated[
        float | None, Meta(description="Replies read per second; of a fan-out, messages published.")
    ] = None
    connections: Annotated[StepConnections | None, Meta(description="Sessions.")] = None
    messages: Annotated[StepMessages | None, Meta(description="Messages.")] = None
    errors: Annotated[float | None, Meta(description="Share of errors, as conditions define it.")] = None
    response_time_ns: Annotated[StepTimes | None, Meta(description="Response times: done - due.")] = None
    delivery_time_ns: Annotated[
        StepTimes | UnsetType | None, Meta(description="Delivery times; only there of a fan-out.")
    ] = UNSET
    reach: Annotated[
        float | UnsetType | None, Meta(description="Delivered ÷ expected, from 0 to 1; only there of a fan-out.")
    ] = UNSET
    faults: Annotated[dict[str, int], Meta(description="Faults of the target by kind.")]
    objectives: Annotated[list[ObjectiveCheck], Meta(description="Result of each objective.")]
    behind: Annotated[list[str], Meta(description="Evidence that the target did not keep up, a phrase each.")]
    generator: Annotated[StepGenerator, Meta(description="Health of the generator.")]
    recording: Annotated[str | None, Meta(description="File of the step's recording; null where none is kept.")]

    @property
    def times(self) -> StepTimes | None:
        """Times that reports show: of deliveries in a fan-out, else of responses."""
        return self.response_time_ns if self.delivery_time_ns is UNSET else self.delivery_time_ns


class CapacitySummary(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a capacity search."""

    schema: Annotated[int, Meta(description="Version of this object's shape.")]
    tool: Annotated[str, Meta(description="Name and version of the program.")]
    target: Annotated[str, Meta(description="URL of the target, secrets hidden.")]
    started_at: Annotated[str, Meta(description="Start of the search, ISO 8601 with a time zone.")]
    ended_at: Annotated[str, Meta(description="End of the search.")]
    find: Annotated[
        Literal["rate", "connections", "subscribers", "sessions"], Meta(description="Quantity that the search varied.")
    ]
    objectives: Annotated[list[str], Meta(description="Conditions that had to hold.")]
    range: Annotated[LoadRange, Meta(description="Loads that could be tried.")]
    answer: Annotated[CapacityAnswer, Meta(description="The answer.")]
    steps: Annotated[list[StepSummary], Meta(description="Steps in their order.")]
    exit_code: Annotated[int, Meta(description="Exit code of the command.")]
