"""Repetitions in the steps of a session: what comes again and again becomes the iterations of a role."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

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
    merged = _merged(rounds)
    left = steps[end:]
    # An iteration that the capture cuts short is no end of the session.
    is_cut = [step.shape for step in left] == [step.shape for step in steps[start : start + len(left)]]
    if merged is None or (len(left) > MOST_LEAVING and not is_cut):
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
    """Returns the steps of one iteration; None where too many steps have contents that vary."""
    merged: list[DraftStep] = []
    varied_before = False
    for place, variants in enumerate(zip(*rounds, strict=True)):
        counts = Counter(step.content for step in variants)
        varies = len(counts) > 1
        # Two choices that follow each other would be one.
        if len(counts) > MOST_VARIANTS or (varies and varied_before):
            return None
        waits = [wait for step in variants for wait in (step.waits_ns or [0])]
        if place == 0:
            # The first iteration begins when the session is ready, the others after the one before.
            waits = waits[1:] or waits
        captures = {name: there for step in variants for name, there in step.captures.items()}
        if len(set(captures.values())) < len(captures):
            # The values of two iterations are kept under two names: each is used later by itself.
            return None
        for content in dict.fromkeys(step.content for step in variants):
            same = [step for step in variants if step.content == content]
            step = same[0]
            # One iteration may need more checks than another to tell the answer from what came before it.
            step.awaits = max((one.awaits for one in same), key=len)
            step.waits_ns, step.captures = waits, captures
            step.expect = step.expect if all(one.expect == step.expect for one in variants) else ()
            if varies:
                step.weight = counts[content]
            merged.append(step)
        varied_before = varies
    return merged
