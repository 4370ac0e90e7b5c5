"""Rows of the metric catalogue for scenarios: reactions and roles. Steps have those of messages (`PER_STEP_FIELDS`).

``--fail-if`` offers those of reactions as ``on.NAME.METRIC``, and those of roles, summed over all of them, as
``sessions.METRIC`` and ``iterations.METRIC``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.metric_set import MetricSet, rows_of
from ws_load_test.metrics.metric_spec import MetricSpec, count, labeled, times
from ws_load_test.metrics.session_excerpts import RoleExcerpts

if TYPE_CHECKING:
    from ws_load_test.metrics.metric_set import ReadHistogram, WriteHistogram

STEP, REACTION, SESSION, ITERATION = "step", "reaction", "session", "iteration"
"""Nouns of what is counted."""
AT_DIAL = "(dial)"
"""Place in `RoleTally.failed_at` of sessions that never opened; no step has such a name."""
AT_NO_STEP = "(no step)"
"""Place in `RoleTally.failed_at` of open sessions that were lost while they were at no step: in a role without any, or
between the last one and the close handshake."""
IN_REACTION = "(on) "
"""Begins the place in `Tally.held_up_at` of the function of a reaction, whose name follows; no step has such a name."""
PART_SEPARATOR = "/"
"""Stands between the role and the name of a step or reaction in the keys of `Tally.steps` and `Tally.reactions`."""


def part_key(role: str, name: str) -> str:
    """Returns the key of a role's step or reaction."""
    return f"{role}{PART_SEPARATOR}{name}"


def split_key(key: str) -> tuple[str, str]:
    """Returns the role and the name of the step or reaction that have a key."""
    role, _, name = key.partition(PART_SEPARATOR)
    return role, name


def names_part(name: str, key: str) -> bool:
    """Returns True where a name is that of the step or reaction with a key, or the key itself."""
    return name in (key, split_key(key)[1])


class PartTally(MetricSet):
    """A set without parts of its own."""

    __slots__ = ()

    def merge(self, other: Self) -> None:
        """Adds another set to this one, exactly."""
        self.merge_rows(other)


@dataclass(slots=True)
class ReactionTally(PartTally):
    """Messages that one reaction of a role took; those of the warm-up are left out."""

    seen: int = count(
        MetricSpec(
            "Messages that it took.",
            condition="seen",
            no_value="no such message came",
            unit_name=REACTION,
            in_warmup=False,
            csv=("seen",),
        )
    )
    # The numerator of its rate.
    seen_in_window: int = count(MetricSpec("Messages that it took within the measured time.", unit_name=REACTION))
    sent: int = count(
        MetricSpec("Answers that it sent.", condition="sent", unit_name=REACTION, in_warmup=False, csv=("sent",))
    )
    gaps: int = count(
        MetricSpec(
            "Numbers that jumped ahead: one or more messages between are missing.",
            percent_of=("seen",),
            condition="gaps",
            unit_name=REACTION,
            in_warmup=False,
            csv=("gaps",),
            is_failure=True,
        )
    )
    missed: int = count(
        MetricSpec(
            "Numbers that gaps left out, less those that came out of order later.",
            condition="missed",
            unit_name=REACTION,
            in_warmup=False,
            csv=("missed",),
            is_failure=True,
        )
    )
    repeats: int = count(
        MetricSpec(
            "Messages whose number had come before.",
            percent_of=("seen",),
            condition="repeats",
            unit_name=REACTION,
            in_warmup=False,
            csv=("repeats",),
            is_failure=True,
        )
    )
    out_of_order: int = count(
        MetricSpec(
            "Messages whose number is lower than one before, and had not come.",
            percent_of=("seen",),
            condition="out_of_order",
            unit_name=REACTION,
            in_warmup=False,
            csv=("out_of_order",),
            is_failure=True,
        )
    )
    restarts: int = count(
        MetricSpec(
            "Times that its numbers began anew, as another reaction says.",
            condition="restarts",
            unit_name=REACTION,
            in_warmup=False,
            csv=("restarts",),
        )
    )
    unnumbered: int = count(
        MetricSpec(
            "Messages without a number where one is looked for.",
            percent_of=("seen",),
            condition="unnumbered",
            unit_name=REACTION,
            in_warmup=False,
        )
    )
    undated: int = count(
        MetricSpec(
            "Messages without a time stamp where one is looked for.",
            percent_of=("seen",),
            condition="undated",
            unit_name=REACTION,
            in_warmup=False,
        )
    )
    stalls: int = count(
        MetricSpec(
            "Times without such a message that were longer than `silence`, one still going at the end included.",
            condition="silence",
            unit_name=REACTION,
            in_warmup=False,
            csv=("stalls",),
            is_failure=True,
        )
    )
    silence_ns: Histogram = times(
        MetricSpec(
            "Length of each of these.",
            condition="silence_time",
            no_value="no such message was late",
            unit_name=REACTION,
            in_warmup=False,
            csv=("max",),
        )
    )
    longest_silence_ns: Histogram = times(
        MetricSpec(
            "Longest time of each session without such a message, and of each stall as soon as it is one.",
            unit_name=REACTION,
            in_warmup=False,
        )
    )
    age_ns: Histogram = times(
        MetricSpec(
            "From the target's time stamp to the reading, by two clocks; ages below 0 are apart.",
            condition="age",
            no_value="no such message had a time stamp",
            unit_name=REACTION,
            in_warmup=False,
            csv=("50", "99", "max"),
        )
    )
    # Ages below 0: the target's clock is ahead. Histograms hold no negative numbers, and nothing is to be lost.
    age_ahead_ns: Histogram = times(
        MetricSpec(
            "Time by which stamps were ahead of our clock: each is an age below 0.",
            unit_name=REACTION,
            in_warmup=False,
        )
    )

    @property
    def ages(self) -> int:
        """Messages whose age is known, below 0 included."""
        return self.age_ns.count + self.age_ahead_ns.count

    def record_age(self, age_ns: int) -> None:
        """Records an age in ns, which is below 0 where the target's clock is ahead of ours; takes about 1 µs."""
        if age_ns >= 0:
            self.age_ns.record(age_ns)
        else:
            self.age_ahead_ns.record(-age_ns)


@dataclass(slots=True)
class RoleTally(PartTally):
    """Sessions and iterations of one role.

    Every session that was due is in ``sessions_begun`` or ``sessions_dropped``, and every one that began is, once it is
    over, in ``sessions_completed`` or ``failed_at``. Iterations likewise, where those that failed are begun and not
    completed.
    """

    sessions_due: int = count(
        MetricSpec(
            "Sessions that should have begun.",
            condition="due",
            no_value="no session was due",
            unit_name=SESSION,
            csv=("sessions_due",),
        )
    )
    sessions_begun: int = count(
        MetricSpec(
            "Sessions that were dialed.",
            percent_of=("sessions_due",),
            condition="begun",
            no_value="no session began",
            unit_name=SESSION,
            csv=("sessions_begun",),
        )
    )
    # Left by their plan (stay, iterations, close), or at the end of the run.
    sessions_completed: int = count(
        MetricSpec(
            "Sessions that ended as the plan says, or with the run.",
            percent_of=("sessions_begun",),
            condition="completed",
            unit_name=SESSION,
            csv=("sessions_completed",),
        )
    )
    failed_at: Counter[str] = labeled(
        MetricSpec(
            "Sessions that failed, by the step at which they did.",
            percent_of=("sessions_begun",),
            condition="failed",
            unit_name=SESSION,
            label="step",
            csv=("sessions_failed",),
            is_failure=True,
        )
    )
    sessions_dropped: int = count(
        MetricSpec(
            "Sessions that were due and never began: as many as the role has places for were there.",
            percent_of=("sessions_due",),
            condition="dropped",
            unit_name=SESSION,
            csv=("sessions_dropped",),
            is_failure=True,
        )
    )
    iterations_due: int = count(
        MetricSpec(
            "Iterations that should have begun.",
            condition="due",
            no_value="no iteration was due",
            unit_name=ITERATION,
            csv=("iterations_due",),
        )
    )
    iterations_begun: int = count(
        MetricSpec(
            "Iterations that a session took up.",
            percent_of=("iterations_due",),
            condition="begun",
            no_value="no iteration began",
            unit_name=ITERATION,
        )
    )
    iterations_completed: int = count(
        MetricSpec(
            "Iterations whose last step was complete.",
            percent_of=("iterations_begun",),
            condition="completed",
            unit_name=ITERATION,
            csv=("iterations_completed",),
        )
    )
    iterations_dropped: int = count(
        MetricSpec(
            "Iterations that were due and that no session took up.",
            percent_of=("iterations_due",),
            condition="dropped",
            unit_name=ITERATION,
            csv=("iterations_dropped",),
            is_failure=True,
        )
    )
    iteration_time_ns: Histogram = times(
        MetricSpec(
            "From when an iteration was due until its last step was complete.",
            condition="time",
            no_value="no iteration was completed",
            unit_name=ITERATION,
            csv=("50", "99", "max"),
        )
    )

    iteration_wait_ns: Histogram = times(
        MetricSpec(
            "From when an iteration was due until a session took it up, where none was free.",
            condition="wait",
            no_value="no iteration waited for a session",
            unit_name=ITERATION,
        )
    )
    excerpts: RoleExcerpts | None = None
    """Excerpts of sessions that were followed; None where there are none."""

    @property
    def sessions_failed(self) -> int:
        """Sessions that failed, at any step."""
        return self.failed_at.total()

    def add_excerpts(self, found: RoleExcerpts) -> None:
        """Keeps the excerpts that show more than those there are."""
        if self.excerpts is None:
            self.excerpts = RoleExcerpts()
        self.excerpts.merge(found)

    def merge_rows(self, other: MetricSet) -> None:
        """Adds the counts and histograms of another set; of excerpts, those that show most are kept."""
        MetricSet.merge_rows(self, other)
        if isinstance(other, RoleTally) and other.excerpts is not None:
            self.add_excerpts(other.excerpts)

    def encode(self, write: WriteHistogram) -> dict[str, Any]:
        """Returns the fields that are not empty, histograms as they are to be written."""
        data = self._row_fields(write)
        if self.excerpts is not None:
            data["excerpts"] = self.excerpts.encode()
        return data

    @classmethod
    def _read_other(cls, name: str, value: Any, read: ReadHistogram) -> object:  # noqa: ARG003 - there is one
        return RoleExcerpts.read(value)


def condition_of_part(prefix: str, spec: MetricSpec, unit_name: str) -> MetricSpec:
    """Returns the row of a condition on a part of a scenario: ``on.NAME.gaps``, ``sessions.failed``."""
    return replace(
        spec,
        condition=f"{prefix}.{spec.condition}",
        unit_name=unit_name,
        needs_scenario=True,
        needs_replies=False,
        needs_stream=False,
        needs_fan_out=False,
        needs_ids=False,
    )


def part_conditions() -> Iterator[MetricSpec]:
    """Yields the rows of conditions on reactions, sessions and iterations."""
    for spec in (*rows_of(ReactionTally).values(), _REACTION_RATE, _LONGEST_SILENCE):
        if spec.condition is not None:
            yield condition_of_part("on.NAME", spec, REACTION)
    for spec in rows_of(RoleTally).values():
        yield condition_of_part(f"{spec.unit_name}s", spec, spec.unit_name)


_REACTION_RATE = MetricSpec(
    "Messages that it took within the measured time, for each second of it.",
    name="seen_in_window",
    kind="rate",
    condition="rate",
    no_value="nothing was measured",
)
_LONGEST_SILENCE = MetricSpec(
    "Longest time that a session was without such a message; `on.NAME.silence > 30s` is the same.",
    name="longest_silence_ns",
    kind="duration",
    condition="max_silence",
    no_value="no session was there to receive one",
)
