"""Steps, reactions and sessions of a scenario in the words that every report uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.ages import AgeStats
    from ws_load_test.analysis.scenario import (
        IterationCounts,
        ReactionSummary,
        RoleSummary,
        SessionCounts,
        StepStream,
        StepSummary,
    )
    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.analysis.summary_types import Summary

STEP_HEADINGS = ("steps", "count", "p50", "p99", "max", "failed")
"""Columns of the table of steps."""
REACTION_HEADINGS = ("on", "count", "rate", "gaps", "repeats", "disorder", "silent", "age p50", "age p99")
"""Columns of the table of reactions."""
ALWAYS_SHOWN = 3
"""Columns of these that every reaction has values in."""
MOST_STEPS = 3
"""Steps that the first screen names, the slowest first."""
MOST_PLACES = 3
"""Steps at which sessions failed that one line names."""
PLACES = ("open", "leave", "timer")
"""Parts of a role besides its iterations, as plan files name them."""


def step_name(step: StepSummary, summary: Summary) -> str:
    """Returns the name of a step, with its role where another role has a step of the name."""
    shared = sum(one.name == step.name for one in summary.steps) > 1
    return sanitize(step.key if shared else step.name)


# --- First screen ---------------------------------------------------------------------------------------------------


def slowest_steps(summary: Summary) -> list[LabeledText]:
    """Returns the line of the slowest steps, by their p99; none where none was answered."""
    timed = [(step, step.response_time_ns) for step in summary.steps]
    known = sorted(((step, times) for step, times in timed if times is not None), key=lambda one: -one[1].p99)
    if not known:
        return []
    parts = [f"{step_name(step, summary)} p99 {format_duration(times.p99)}" for step, times in known[:MOST_STEPS]]
    more = len(known) - len(parts)
    rest = f", {format_count(more)} faster" if more else ""
    return [LabeledText("slowest step" if len(known) > 1 else "step", f"{', '.join(parts)}{rest}", "bold")]


def failed_steps(summary: Summary) -> list[LabeledText]:
    """Returns the line of the steps that went wrong, the most frequent first; none where none did."""
    failed = sorted((step for step in summary.steps if step.failed), key=lambda step: -step.failed)
    if not failed:
        return []
    parts = [
        f"{step_name(step, summary)} {format_count(step.failed)} of {format_count(step.due)}{_of_faults(step)}"
        for step in failed[:MOST_STEPS]
    ]
    more = len(failed) - len(parts)
    rest = f", and of {count_of(more, 'other step')}" if more else ""
    return [LabeledText("failed steps", f"{', '.join(parts)}{rest}", "yellow")]


def _of_faults(step: StepSummary) -> str:
    """Returns the most frequent fault of a step in brackets; nothing without any."""
    kind = next(iter(step.faults), "")
    return f" ({sanitize(kind)})" if kind else ""


def faults_by_step(kind: str, summary: Summary) -> str:
    """Returns the counts of a fault by step in brackets, after a blank; nothing where one step at most has had it."""
    found = sorted((step for step in summary.steps if step.faults.get(kind)), key=lambda step: -step.faults[kind])
    if len(found) < 2:
        return ""
    parts = [f"{format_count(step.faults[kind])} at {step_name(step, summary)}" for step in found[:MOST_STEPS]]
    more = sum(step.faults[kind] for step in found[MOST_STEPS:])
    rest = f", {format_count(more)} at others" if more else ""
    return f" ({', '.join(parts)}{rest})"


def session_line(summary: Summary) -> list[LabeledText]:
    """Returns the line of the sessions: due, begun, completed, failed and where, dropped; none without a scenario."""
    if summary.sessions is None:
        return []
    counts = summary.sessions
    return [LabeledText("sessions", sessions(counts), "yellow" if counts.failed or counts.dropped else "")]


def session_flaws(summary: Summary) -> list[str]:
    """Returns a phrase for the sessions of a scenario that failed, and one for those that were dropped."""
    counts = summary.sessions
    if counts is None:
        return []
    found = [(counts.failed, "failed"), (counts.dropped, "dropped")]
    return [f"{count_of(count, 'session')} {word}" for count, word in found if count]


def sessions(counts: SessionCounts) -> str:
    """Returns the counts of sessions in words."""
    parts = [f"{format_count(counts.due)} due", f"{format_count(counts.begun)} begun"]
    parts.append(f"{format_count(counts.completed)} completed")
    parts.append(f"{format_count(counts.failed)} failed{failed_places(counts)}")
    if counts.dropped:
        parts.append(f"{format_count(counts.dropped)} dropped")
    if counts.unfinished:
        parts.append(f"{format_count(counts.unfinished)} without a known end")
    return ", ".join(parts)


def failed_places(counts: SessionCounts) -> str:
    """Returns the steps at which sessions failed in brackets, after a blank; nothing where none did."""
    words = failed_at(counts)
    return f" ({words})" if words else ""


def failed_at(counts: SessionCounts) -> str:
    """Returns the steps at which sessions failed, the most frequent first; nothing where none did."""
    found = [(sanitize(place), count) for place, count in counts.failed_at.items()]
    words = [f"{format_count(count)} at {place}" for place, count in found[:MOST_PLACES]]
    more = sum(count for _, count in found[MOST_PLACES:])
    return ", ".join([*words, *([f"{format_count(more)} elsewhere"] if more else [])])


def iterations(counts: IterationCounts) -> str:
    """Returns the counts of iterations in words."""
    parts = [f"{format_count(counts.due)} due", f"{format_count(counts.completed)} completed"]
    if counts.dropped:
        parts.append(f"{format_count(counts.dropped)} dropped")
    if open_ := counts.begun - counts.completed:
        parts.append(f"{format_count(open_)} not completed")
    waited = ""
    if counts.waited and counts.wait_ns is not None:
        waited = f"; {format_count(counts.waited)} waited for a session (p99 {format_duration(counts.wait_ns.p99)})"
    return ", ".join(parts) + waited


def reaction_lines(summary: Summary) -> list[LabeledText]:
    """Returns a line for each reaction that has something to tell besides its count."""
    lines: list[LabeledText] = []
    for reaction in summary.on:
        troubles = reaction_troubles(reaction)
        if reaction.gaps is None and reaction.stalls is None and reaction.age_ns is None:
            continue
        fine = "nothing missing" if reaction.seen else "none came"
        parts = [f"{sanitize(reaction.name)} {format_rate(reaction.rate_per_s)}", *(troubles or [fine])]
        if reaction.age_ns is not None:
            parts.append(f"age p99 {format_age(reaction.age_ns.p99)}")
        lines.append(LabeledText("" if lines else "on", ", ".join(parts), "yellow" if troubles else ""))
    return lines


def reaction_troubles(reaction: ReactionSummary) -> list[str]:
    """Returns what went wrong with the messages of a reaction, a phrase each."""
    found = [
        (reaction.gaps, f"{count_of(reaction.gaps or 0, 'gap')} ({format_count(reaction.missed or 0)} missing)"),
        (reaction.repeats, count_of(reaction.repeats or 0, "repeat")),
        (reaction.out_of_order, f"{format_count(reaction.out_of_order or 0)} out of order"),
        (reaction.unnumbered, f"{format_count(reaction.unnumbered or 0)} without a number"),
        (reaction.undated, f"{format_count(reaction.undated or 0)} without a time stamp"),
    ]
    phrases = [words for count, words in found if count]
    if reaction.stalls:
        longest = "" if reaction.silence_ns is None else f", the longest {format_duration(reaction.silence_ns.max)}"
        phrases.append(f"{count_of(reaction.stalls, 'silence')}{longest}")
    return phrases


# --- Tables ---------------------------------------------------------------------------------------------------------


def step_rows(role: RoleSummary, steps: Sequence[StepSummary]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yields the rows of a role's steps under `STEP_HEADINGS`, and True for those with failures.

    A streamed answer has up to two rows more, and the role's iterations one.
    """
    for step in steps:
        named = step.place in PLACES and step.place != step.name
        name = sanitize(step.name) + f" ({step.place})" * named
        times, failed = _times(step.response_time_ns), format_count(step.failed)
        yield (name, format_count(step.sent), *times, failed), bool(step.failed)
        if step.stream is not None:
            parts = {"  first": step.stream.first_time_ns, "  gap": step.stream.gap_ns}
            yield from ((_more(label, stats), False) for label, stats in parts.items() if stats is not None)
    if role.iterations is not None:
        yield _more("an iteration", role.iterations.time_ns), False


def _more(label: str, times: TimeStats | None) -> tuple[str, ...]:
    """Returns a row of times that are no step's own."""
    return label, NO_VALUE if times is None else format_count(times.count), *_times(times), ""


def _times(times: TimeStats | None) -> tuple[str, str, str]:
    if times is None:
        return NO_VALUE, NO_VALUE, NO_VALUE
    return format_duration(times.p50), format_duration(times.p99), format_duration(times.max)


def role_notes(role: RoleSummary, steps: Sequence[StepSummary]) -> Iterator[tuple[str, bool]]:
    """Yields sentences about a role that its rows do not have, and True for those about failures."""
    counts = role.sessions
    yield f"sessions: {sessions(counts)}", bool(counts.failed or counts.dropped)
    if role.iterations is not None:
        yield f"iterations: {iterations(role.iterations)}", bool(role.iterations.dropped)
    for step in steps:
        if words := _step_words(step):
            yield f"{sanitize(step.name)}: {words}", bool(step.failed)
        if step.stream is not None:
            yield f"{sanitize(step.name)}: {_stream_words(step.stream)}", bool(step.stream.stalls)


def _step_words(step: StepSummary) -> str:
    """Returns the failures of a step by what they are; nothing without any."""
    found = [(step.unanswered, "unanswered"), (step.dropped, "dropped")]
    found.append((step.faults.get("check-failed", 0), "with a failed check"))
    parts = [f"{format_count(count)} {word}" for count, word in found if count]
    if step.sessions_failed:
        parts.append(f"{count_of(step.sessions_failed, 'session')} failed at it")
    kinds = [f"{sanitize(kind)} {format_count(count)}" for kind, count in step.faults.items()]
    return ", ".join(parts) + (f" (faults: {', '.join(kinds)})" if kinds else "")


def _stream_words(stream: StepStream) -> str:
    parts = [f"{count_of(stream.streamed, 'message')} of answers"]
    if stream.answer_messages is not None:
        parts.append(f"{stream.answer_messages.p50:g} each in the median")
    rare = [(stream.stalls, "stall"), (stream.without_first, "answer without a first")]
    parts += [count_of(count, noun, _plural(noun)) for count, noun in rare if count]
    if stream.broken_off:
        parts.append(f"{format_count(stream.broken_off)} broken off")
    return ", ".join(parts)


def reaction_cells(reaction: ReactionSummary, summary: Summary) -> tuple[str, ...]:
    """Returns the cells of a reaction's row, under `REACTION_HEADINGS`; a dash where nothing is looked for."""
    shared = sum(one.name == reaction.name for one in summary.on) > 1
    ages = reaction.age_ns
    return (
        sanitize(reaction.key if shared else reaction.name),
        format_count(reaction.seen),
        format_rate(reaction.rate_per_s),
        _count(reaction.gaps) + (f" ({format_count(reaction.missed)})" if reaction.missed else ""),
        _count(reaction.repeats),
        _count(reaction.out_of_order),
        _count(reaction.stalls),
        NO_VALUE if ages is None else format_age(ages.p50),
        NO_VALUE if ages is None else format_age(ages.p99),
    )


def _count(count: int | None) -> str:
    return NO_VALUE if count is None else format_count(count)


def reaction_notes(summary: Summary) -> list[str]:
    """Returns sentences about the columns of reactions, and about the clock by which ages are counted."""
    notes = []
    if any(one.gaps is not None for one in summary.on):
        notes.append("gaps: numbers that jumped ahead, with the numbers left out in brackets; disorder: out of order")
    if any(one.stalls is not None for one in summary.on):
        notes.append("silent: times without such a message that were longer than the plan allows")
    for one in summary.on:
        rare = [(one.restarts, "restart"), (one.unnumbered, "message without a number")]
        rare.append((one.undated, "message without a time stamp"))
        words = [count_of(count, noun, _plural(noun)) for count, noun in rare if count]
        if one.sent:
            words.append(f"{count_of(one.sent, 'answer')} sent")
        if words:
            notes.append(f"{sanitize(one.name)}: {', '.join(words)}")
        if one.age_ns is not None:
            notes.append(f"{sanitize(one.name)}: {age_words(one.age_ns)}")
    return notes


def _plural(noun: str) -> str:
    first, _, rest = noun.partition(" ")
    return f"{first}s {rest}".strip()


def format_age(age_ns: int) -> str:
    """Formats an age, which is below 0 where the target's clock is ahead of ours: ``-20 ms``."""
    return f"{'-' * (age_ns < 0)}{format_duration(abs(age_ns))}"


def age_words(ages: AgeStats) -> str:
    """Returns a sentence part about ages: what is known of the target's clock, and what holds for any offset of it."""
    span = f"ages from {format_age(ages.min)} to {format_age(ages.max)}"
    if ages.negative:
        ahead = f"{format_count(ages.negative)} below 0, so the target's clock is at least {format_duration(-ages.min)}"
        clock = f"{ahead} ahead of ours"
    else:
        clock = "the offset of the target's clock is not known, and each age is off by it"
    return f"{span}; {clock}; by any offset, p99 is {format_duration(ages.p99 - ages.min)} above the lowest"


def roles_with_steps(summary: Summary) -> Iterator[tuple[RoleSummary, list[StepSummary]]]:
    """Yields each role with its steps, in the order of the plan."""
    for role in summary.roles:
        yield role, [step for step in summary.steps if step.role == role.name]
