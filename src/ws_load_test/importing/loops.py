"""Repetitions in the steps of a session: what comes again and again becomes the iterations of a role."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.importing.places import has_place

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ws_load_test.importing.draft import DraftRole, DraftStep

LONGEST_PERIOD = 40
"""Steps of the longest repetition that is looked for: longer ones are hardly plain."""
MOST_VARIANTS = 20
"""Variants of a step that become a choice."""
MOST_LEAVING = 5
"""Steps behind the repetition that are the end of a session; more are another part of it."""


def find_repetition(keys: Sequence[Hashable], counted: Sequence[bool]) -> tuple[int, int, int] | None:
    """Returns the start, the length and the number of the repetition that covers most of a sequence; None for none.

    Only elements that are `counted` are covered.
    """
    best: tuple[int, int, int, int] | None = None
    for period in range(1, min(LONGEST_PERIOD, len(keys) // 2) + 1):
        start = 0
        while start + 2 * period <= len(keys):
            end = start + period
            while end < len(keys) and keys[end] == keys[end - period]:
                end += 1
            times = (end - start) // period
            covered = sum(counted[start : start + period * times])
            if times >= 2 and covered:
                candidate = (covered, -period, start, times)
                # Of repetitions that cover as much, the one with the shortest period that begins first.
                if best is None or candidate[:2] > best[:2]:
                    best = candidate
            start = max(start + 1, end - period + 1)
    return None if best is None else (best[2], -best[1], best[3])


def arrange(steps: list[DraftStep], role: DraftRole) -> None:
    """Puts steps into the parts of a role: those that repeat into `steps`, those before into `open`."""
    found = find_repetition([step.shape for step in steps], [step.exchange.sent is not None for step in steps])
    if found is None:
        _unrolled(steps, role, "the capture shows no repetition: a session goes through these steps once")
        return
    start, period, times = found
    end = start + period * times
    rounds = [steps[at : at + period] for at in range(start, end, period)]
    left = steps[end:]
    # An iteration that the capture cuts short is no end of the session.
    is_cut = [step.shape for step in left] == [step.shape for step in steps[start : start + len(left)]]
    merged = None if len(left) > MOST_LEAVING and not is_cut else _merged(rounds)
    if merged is None:
        _unrolled(steps, role, "the capture shows no plain repetition: a session goes through these steps once")
        return
    role.open, role.steps, role.leave = steps[:start], merged, [] if is_cut else left
    role.iterations = times
    role.remark = "as often as in the capture; without this line a session goes on until the end of the run"
    if left and is_cut:
        role.remark += f"; the capture ends within one more, after {len(left)} of {period} steps"


def _unrolled(steps: list[DraftStep], role: DraftRole, remark: str) -> None:
    greetings = 0
    while greetings < len(steps) and steps[greetings].exchange.sent is None:
        greetings += 1
    role.open, role.steps, role.remark = steps[:greetings], steps[greetings:], remark


def _merged(rounds: list[list[DraftStep]]) -> list[DraftStep] | None:
    """Returns the steps of one iteration; None where they are too different to be one, and nothing is changed."""
    places = [list(variants) for variants in zip(*rounds, strict=True)]
    varied_before = False
    for variants in places:
        contents = {step.content for step in variants}
        # Two choices that follow each other would be one.
        if len(contents) > MOST_VARIANTS or (len(contents) > 1 and varied_before) or not can_be_one(variants):
            return None
        varied_before = len(contents) > 1
    return [
        step
        for place, variants in enumerate(places)
        for step in as_one(variants, [1] * len(variants), is_first=place == 0)
    ]


def can_be_one(variants: list[DraftStep]) -> bool:
    """Returns True if the values that a step of several iterations, or sessions, takes and uses are the same."""
    captures = _captures(variants)
    if len(set(captures.values())) < len(captures):
        # The values of two iterations are kept under two names: each is used later by itself.
        return False
    varies = len({step.content for step in variants}) > 1
    if varies and (captures or len({frozenset(name for name, _ in step.used) for step in variants}) > 1):
        # Values depend on the variant that was chosen before.
        return False
    return all(
        step.reply is not None and has_place(step.reply.content, place)
        for place in captures.values()
        for step in variants
    )


def _captures(variants: list[DraftStep]) -> dict[str, str]:
    return {name: place for step in variants for name, place in step.captures.items()}


def is_choice_of(steps: list[DraftStep]) -> bool:
    """Returns True for so few variants of a step that they are a choice, or for one."""
    return len(steps) <= MOST_VARIANTS


def as_one(variants: list[DraftStep], weights: Sequence[int], *, is_first: bool = False) -> list[DraftStep]:
    """Returns the step of several iterations, or sessions; one for each content, with its weight, where they vary.

    Args:
        variants: The steps.
        weights: How often each was taken.
        is_first: They are the first of their iterations.
    """
    counts: Counter[tuple[object, ...]] = Counter()
    for step, weight in zip(variants, weights, strict=True):
        counts[step.content] += weight
    waits = [wait for step in variants for wait in (step.waits_ns or [0])]
    if is_first:
        # The first iteration begins when the session is ready, the others after the one before.
        waits = waits[1:] or waits
    captures = _captures(variants)
    expect = variants[0].expect if len({step.expect for step in variants}) == 1 else ()
    merged = []
    for content, count in counts.items():
        same = [step for step in variants if step.content == content]
        step = same[0]
        # One iteration may need more checks than another to tell the answer from what came before it.
        step.awaits = max((one.awaits for one in same), key=len)
        step.waits_ns, step.captures, step.expect = waits, captures, expect
        step.weight = count if len(counts) > 1 else None
        merged.append(step)
    return merged
