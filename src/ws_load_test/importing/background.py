"""Messages beside the conversation: answers to pings, and heartbeats of the client at even intervals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from ws_load_test.importing.captured_values import is_telling
from ws_load_test.importing.kinds import is_heartbeat

if TYPE_CHECKING:
    from ws_load_test.importing.events import Event

LONGEST_ANSWER_NS = 500_000_000
"""Time in which a ping of the target is answered (0.5 s)."""
SHORTEST_INTERVAL_NS = 500_000_000
"""Interval of heartbeats (0.5 s): what comes more often is the conversation itself."""
MOST_UNEVEN = 0.25
"""Share of the interval by which that of heartbeats varies: browsers slow the timers of pages in the background."""


@dataclass(eq=False)
class AutoAnswer:
    """A kind of message of the target that the client answers at once."""

    questions: list[Event]
    answers: list[Event]


@dataclass(eq=False)
class Heartbeat:
    """A message that the client sends at even intervals."""

    sent: list[Event]
    every_ns: int


def find_auto_answers(events: list[Event]) -> list[AutoAnswer]:
    """Returns what the client answers each time, and sends at no other occasion."""
    followed = defaultdict(list)
    totals: dict[tuple[bool, tuple[str, ...]], int] = defaultdict(int)
    for event in events:
        totals[event.is_sent, event.kind.key] += 1
    for event, answer in pairwise(events):
        close = answer.at_ns - event.at_ns <= LONGEST_ANSWER_NS
        if answer.is_sent and not event.is_sent and close:
            followed[event.kind.key, answer.kind.key].append((event, answer))
    found = []
    for (asked, answered), pairs in followed.items():
        answers = {one.index for _, one in pairs}
        always = len(pairs) == totals[False, asked] == totals[True, answered] == len(answers)
        # The client sends back what came, or its words show what it is.
        echoes = all(one.content.payload == other.content.payload for one, other in pairs)
        same = len({_without_repeated(one, other) for one, other in pairs}) == 1
        if always and (echoes or same) and (echoes or any(is_heartbeat(event.content) for event in pairs[0])):
            found.append(AutoAnswer([one for one, _ in pairs], [one for _, one in pairs]))
    return found


def _without_repeated(question: Event, answer: Event) -> str | bytes:
    """Returns an answer without the values that it repeats of its question, which are captured."""
    text = answer.content.text
    if text is None:
        return answer.content.payload
    asked = {one.text for one in question.content.values}
    for value in reversed(answer.content.values):
        if value.text in asked and is_telling(value):
            text = f"{text[: value.start]}\0{text[value.end :]}"
    return text


def find_heartbeats(sent: list[Event]) -> list[Heartbeat]:
    """Returns the heartbeats among the messages of the client."""
    kinds = defaultdict(list)
    for event in sent:
        if is_heartbeat(event.content):
            kinds[event.kind.key].append(event)
    found = []
    for group in kinds.values():
        gaps = [later.at_ns - earlier.at_ns for earlier, later in pairwise(group)]
        if not gaps or len(group) == len(sent):
            # All that the client sends is no heartbeat beside something else.
            continue
        usual = int(median(gaps))
        even = all(abs(gap - usual) <= MOST_UNEVEN * usual for gap in gaps)
        if even and usual >= SHORTEST_INTERVAL_NS:
            found.append(Heartbeat(group, usual))
    return found
