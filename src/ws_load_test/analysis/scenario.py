"""Results of a scenario: the keys ``steps``, ``on``, ``roles`` and ``sessions`` of a run's summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

import msgspec
from msgspec import Meta

from ws_load_test.analysis.ages import AgeStats
from ws_load_test.analysis.number_stats import NumberStats
from ws_load_test.analysis.summary_times import TimeStats
from ws_load_test.metrics.scenario_metrics import ReactionTally, RoleTally, part_key, split_key
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.scenario.condition_parts import steps_of
from ws_load_test.plan.scenario.model import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ws_load_test.metrics.recording import Recording
    from ws_load_test.plan.scenario.model import Reaction, Role, Step

Place = Literal["open", "steps", "leave", "timer", "unknown"]
"""Part of a role that a step is in."""


class StepStream(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of a step that are many messages (``until``)."""

    streamed: Annotated[int, Meta(description="Messages of answers, their last ones included.")]
    broken_off: Annotated[int, Meta(description="Of the unanswered times, those whose answer had begun.")]
    stalls: Annotated[int, Meta(description="Gaps longer than --stall.")]
    without_first: Annotated[int, Meta(description="Answers that ended without a message that counts as the first.")]
    first_time_ns: Annotated[TimeStats | None, Meta(description="From when the step was due to its answer's first.")]
    gap_ns: Annotated[TimeStats | None, Meta(description="Between two messages of an answer, from its first one on.")]
    answer_messages: Annotated[NumberStats | None, Meta(description="Messages of each answer that ended.")]
    answer_count: Annotated[NumberStats | None, Meta(description="Number in each answer's last message (count).")]


class StepSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a role. due = sent + dropped, sent = answered + unanswered + unawaited."""

    role: Annotated[str, Meta(description="Role whose sessions take the step.")]
    name: Annotated[str, Meta(description="Name of the step.")]
    place: Annotated[Place, Meta(description="Part of the role it is in: open, steps, leave or timer.")]
    due: Annotated[int, Meta(description="Times that it fell due.")]
    sent: Annotated[int, Meta(description="Times that its message left, or that it began to wait for one.")]
    answered: Annotated[int, Meta(description="Times that the message came which completes it.")]
    unanswered: Annotated[int, Meta(description="Times that it did not, by the time-out or before the session ended.")]
    unawaited: Annotated[int, Meta(description="Times that it was complete once it had sent.")]
    dropped: Annotated[int, Meta(description="Times that it was due and not taken.")]
    failed: Annotated[int, Meta(description="Times that it went wrong: unanswered, dropped, or with a failed check.")]
    sessions_failed: Annotated[int, Meta(description="Sessions of the role that failed at it.")]
    faults: Annotated[dict[str, int], Meta(description="Faults of the target at it, by kind.")]
    response_time_ns: Annotated[TimeStats | None, Meta(description="From when it was due until it was complete.")]
    service_time_ns: Annotated[TimeStats | None, Meta(description="From when it had sent until it was complete.")]
    stream: Annotated[StepStream | None, Meta(description="Answers of many messages; null where an answer is one.")]

    @property
    def key(self) -> str:
        """Role and name, as conditions have them."""
        return part_key(self.role, self.name)


class ReactionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that one reaction (``on``) of a role took, warm-up excluded."""

    role: Annotated[str, Meta(description="Role whose sessions react.")]
    name: Annotated[str, Meta(description="Name of the reaction.")]
    seen: Annotated[int, Meta(description="Messages that it took.")]
    rate_per_s: Annotated[float | None, Meta(description="Messages taken within the measured time, per second.")]
    sent: Annotated[int, Meta(description="Answers that it sent.")]
    gaps: Annotated[int | None, Meta(description="Numbers that jumped ahead; null, as the next five, without numbers.")]
    missed: Annotated[
        int | None, Meta(description="Numbers left out by gaps, less those that came out of order later.")
    ]
    repeats: Annotated[int | None, Meta(description="Messages whose number had come before.")]
    out_of_order: Annotated[
        int | None, Meta(description="Messages with a lower number than one before, that had not come.")
    ]
    restarts: Annotated[int | None, Meta(description="Times that its numbers began anew.")]
    unnumbered: Annotated[int | None, Meta(description="Messages without a number where one is looked for.")]
    undated: Annotated[
        int | None, Meta(description="Messages without a time stamp where one is looked for; null where none is.")
    ]
    stalls: Annotated[
        int | None, Meta(description="Times without such a message that were longer than `silence`; null without it.")
    ]
    silence_ns: Annotated[TimeStats | None, Meta(description="Length of each of these.")]
    longest_silence_ns: Annotated[
        int | None, Meta(description="Longest time that a session was without one; null without numbers and `silence`.")
    ]
    age_ns: Annotated[
        AgeStats | None,
        Meta(description="From the target's time stamp to the reading; by two clocks, whose offset is not known."),
    ]

    @property
    def key(self) -> str:
        """Role and name, as conditions have them."""
        return part_key(self.role, self.name)


class SessionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions. due = begun + dropped, begun = completed + failed + unfinished."""

    due: Annotated[int, Meta(description="Sessions that should have begun.")]
    begun: Annotated[int, Meta(description="Sessions that were dialed.")]
    completed: Annotated[int, Meta(description="Sessions that ended as the plan says, or with the run.")]
    failed: Annotated[int, Meta(description="Sessions that failed.")]
    failed_at: Annotated[
        dict[str, int],
        Meta(description="The same by step, the most frequent first; (dial): never opened; (no step): between steps."),
    ]
    dropped: Annotated[int, Meta(description="Sessions that were due and never began.")]
    unfinished: Annotated[int, Meta(description="Sessions of which no end is known: that of a killed run or worker.")]

    @classmethod
    def of(cls, roles: Mapping[str, RoleTally]) -> Self:
        """Returns the sessions of roles, the steps at which they failed with the role's name where there are many."""
        failed: Counter[str] = Counter()
        for name, role in roles.items():
            for step, count in role.failed_at.items():
                failed[part_key(name, step) if len(roles) > 1 else step] += count
        begun = sum(role.sessions_begun for role in roles.values())
        completed = sum(role.sessions_completed for role in roles.values())
        return cls(
            due=sum(role.sessions_due for role in roles.values()),
            begun=begun,
            completed=completed,
            failed=failed.total(),
            failed_at=_ranked(failed),
            dropped=sum(role.sessions_dropped for role in roles.values()),
            unfinished=max(0, begun - completed - failed.total()),
        )


class IterationCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Iterations: times through the steps of a role. due = begun + dropped."""

    due: Annotated[int, Meta(description="Iterations that should have begun.")]
    begun: Annotated[int, Meta(description="Iterations that a session took up.")]
    completed: Annotated[int, Meta(description="Iterations whose last step was complete.")]
    dropped: Annotated[int, Meta(description="Iterations that were due and that no session took up.")]
    time_ns: Annotated[TimeStats | None, Meta(description="From when an iteration was due until it was complete.")]
    waited: Annotated[int, Meta(description="Iterations that were due while no session was free, and begun later.")]
    wait_ns: Annotated[TimeStats | None, Meta(description="Time for which these waited for a session.")]


class RoleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions and iterations of one role."""

    name: Annotated[str, Meta(description="Name of the role.")]
    sessions: Annotated[SessionCounts, Meta(description="Its sessions.")]
    iterations: Annotated[IterationCounts | None, Meta(description="Its iterations; null for a role without steps.")]

    @classmethod
    def of(cls, name: str, role: RoleTally) -> Self:
        """Returns the summary of a role."""
        iterations = None
        if role.iterations_due or role.iterations_begun:
            iterations = IterationCounts(
                due=role.iterations_due,
                begun=role.iterations_begun,
                completed=role.iterations_completed,
                dropped=role.iterations_dropped,
                waited=role.iteration_wait_ns.count,
                wait_ns=TimeStats.of(role.iteration_wait_ns),
                time_ns=TimeStats.of(role.iteration_time_ns),
            )
        return cls(name=name, sessions=SessionCounts.of({name: role}), iterations=iterations)


class ScenarioResults(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a scenario, in the order of its plan."""

    steps: list[StepSummary] = []
    on: list[ReactionSummary] = []
    roles: list[RoleSummary] = []
    sessions: SessionCounts | None = None

    @classmethod
    def of(cls, recordings: Sequence[Recording], tally: Tally, measured_ns: int) -> Self:
        """Returns the results; empty ones without a scenario.

        Args:
            recordings: Recordings of the runs.
            tally: Their sum.
            measured_ns: Measured time.
        """
        scenario = scenario_of(recordings)
        if scenario is None and not tally.roles:
            return cls()
        places = step_places(scenario)
        keys = _in_order(places, tally.steps)
        planned = _reactions(scenario)
        reactions = _in_order(planned, tally.reactions)
        names = _in_order([role.name for role in scenario.roles] if scenario else (), tally.roles)
        roles = {name: tally.roles.get(name, RoleTally()) for name in names}
        return cls(
            steps=[_step(key, tally.steps.get(key, Tally()), places.get(key, "unknown"), roles) for key in keys],
            on=[
                _reaction(key, tally.reactions.get(key, ReactionTally()), planned.get(key), measured_ns)
                for key in reactions
            ],
            roles=[RoleSummary.of(name, role) for name, role in roles.items()],
            sessions=SessionCounts.of(roles),
        )


def scenario_of(recordings: Iterable[Recording]) -> Scenario | None:
    """Returns the scenario of the first recording whose plan has one that this version can read."""
    for recording in recordings:
        found = recording.header.plan.get("scenario")
        if found is None:
            continue
        try:
            return msgspec.convert(found, Scenario)
        except (msgspec.ValidationError, ValueError):
            continue
    return None


def sends_load(scenario: Scenario) -> bool:
    """Returns False where no session sends anything but once, at its opening and when it leaves, or in answer."""
    load = [step for role in scenario.roles for step in (*role.steps, *(timer.step for timer in role.timers))]
    return any(step.send is not None for step in load) or any(role.python for role in scenario.roles)


def step_places(scenario: Scenario | None) -> dict[str, Place]:
    """Returns the keys of all steps that are counted, in the order of the plan, and their places."""
    found: dict[str, Place] = {}
    for role in scenario.roles if scenario is not None else ():
        for step in steps_of(role):
            found.setdefault(part_key(role.name, step.name), _place(role, step))
    return found


def _place(role: Role, step: Step) -> Place:
    if step in role.open:
        return "open"
    if step in role.steps:
        return "steps"
    return "leave" if step in role.leave else "timer"


def _reactions(scenario: Scenario | None) -> dict[str, Reaction]:
    roles = scenario.roles if scenario is not None else ()
    return {part_key(role.name, one.name): one for role in roles for one in role.reactions}


def _in_order(planned: Iterable[str], counted: Iterable[str]) -> list[str]:
    """Returns the keys of a plan in its order, each once, and behind them the others, as they were first counted."""
    return list(dict.fromkeys([*planned, *counted]))


def failures_of(step: Tally) -> int:
    """Returns the times that a step went wrong: unanswered, dropped, or answered by what failed a check."""
    return step.unanswered + step.dropped + step.faults["check-failed"]


def _step(key: str, step: Tally, place: Place, roles: Mapping[str, RoleTally]) -> StepSummary:
    role, name = split_key(key)
    return StepSummary(
        role=role,
        name=name,
        place=place,
        due=step.due,
        sent=step.sent,
        answered=step.answered,
        unanswered=step.unanswered,
        unawaited=step.unawaited,
        dropped=step.dropped,
        failed=failures_of(step),
        sessions_failed=roles[role].failed_at[name] if role in roles else 0,
        faults=_ranked(step.faults),
        response_time_ns=TimeStats.of(step.response_time_ns),
        service_time_ns=TimeStats.of(step.service_times_ns),
        stream=_stream(step),
    )


def _stream(step: Tally) -> StepStream | None:
    if not step.streamed:
        return None
    return StepStream(
        streamed=step.streamed,
        broken_off=step.broken_off,
        stalls=step.stalls,
        without_first=step.without_first,
        first_time_ns=TimeStats.of(step.first_time_ns),
        gap_ns=TimeStats.of(step.gap_ns),
        answer_messages=NumberStats.of(step.answer_messages),
        answer_count=NumberStats.of(step.answer_count),
    )


_OF_SEQUENCE = ("gaps", "missed", "repeats", "out_of_order", "restarts", "unnumbered")


def _reaction(key: str, counted: ReactionTally, planned: Reaction | None, measured_ns: int) -> ReactionSummary:
    role, name = split_key(key)
    places = dict.fromkeys(_OF_SEQUENCE, "sequence") | {"undated": "age", "stalls": "silence_ns"}
    # Where the plan does not look for something, its count is not 0 but unknown.
    looked_for = {one: planned is None or bool(getattr(planned, place)) for one, place in places.items()}
    return ReactionSummary(
        role=role,
        name=name,
        seen=counted.seen,
        sent=counted.sent,
        **{one: getattr(counted, one) if known else None for one, known in looked_for.items()},
        rate_per_s=counted.seen_in_window * 1e9 / measured_ns if measured_ns else None,
        silence_ns=TimeStats.of(counted.silence_ns),
        longest_silence_ns=counted.longest_silence_ns.max,
        age_ns=AgeStats.of(counted),
    )


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return {key: count for key, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count}
