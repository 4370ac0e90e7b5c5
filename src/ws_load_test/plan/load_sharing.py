"""Sharing of one load among workers: which message is whose, and what workers and their fleet say about it.

The load is that of the whole run; workers carry it in proportion to their sessions. Messages of a schedule are numbered
from 0, and dealt in *turns*: from some number on each worker takes as many of them as it has sessions, evenly mixed.
When sessions come and go, the fleet changes the turns in two steps, so that no message is sent twice or missed,
however late a command arrives:

1. ``hold``: each worker settles the first of its messages that it leaves to what comes, and answers with its number. It
   may send what is due before an instant that lies ahead; one without sessions leaves all that it has not sent.
2. ``assign``: the new turns begin at the largest of these numbers. What workers without sessions have left before it is
   dealt among the others, and leaves as late as it is.

Of a closed loop with a number of messages, the same two steps collect what workers have not sent and deal it anew.
"""

from __future__ import annotations

from collections import Counter
from math import gcd
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray


class LoadState(msgspec.Struct, frozen=True, omit_defaults=True, tag="load"):
    """State of one worker's part of the load: reported whenever it changes, and as the answer to a ``hold``."""

    sessions: int = 0
    """Sessions that carry the load."""
    open: int = 0
    """Sessions that are open, those included that are still being set up."""
    number: int = 0
    """Number of the ``hold`` that this answers; 0: none."""
    after: int = 0
    """Number of the latest ``switch`` that it knows."""
    next: int = 0
    """Number of the first message of its turns that it leaves to what comes; all before it are its own."""
    left: tuple[int, ...] = ()
    """Numbers of further messages that it leaves: what others had left to it, and it has no session to send."""
    unsent: int = 0
    """Messages of a closed loop that it may still send."""
    waiting: int = 0
    """Messages of a closed loop that its sessions could send now, and it may not."""
    ended: bool = False
    """Its load is over."""


class Leftover(msgspec.Struct, frozen=True):
    """The messages that one worker without sessions leaves to others."""

    worker: int
    next: int
    left: tuple[int, ...] = ()


class LoadSwitch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new distribution of the load: the same for every worker."""

    number: int = 0
    """Number of the ``hold`` that it concludes; 0: the first distribution, with the start."""
    withdrawn: bool = False
    """All stays as it was before the ``hold``: a worker has not answered in time."""
    first: int = 0
    """Number of the first message of the new turns."""
    sessions: tuple[int, ...] = ()
    """Sessions of each worker, by which the messages are dealt."""
    leftovers: tuple[Leftover, ...] = ()
    messages: tuple[int, ...] = ()
    """Messages of a closed loop that each worker may send, beside those that it may already."""
    exhausted: bool = False
    """True if no worker of a closed loop may send any more."""


class Turns:
    """Order in which workers take messages: each takes as many of a round as it has sessions, evenly mixed.

    The p-th message of a worker with w turns a round has the place (p + 1/2) / w; messages are dealt in the order of
    their places, and where two are the same, in that of the workers. So the number of a worker's p-th message has a
    closed form: p, and for each other worker the number of its places before this one.
    """

    def __init__(self, sessions: Sequence[int], first: int = 0) -> None:
        """Takes the sessions of each worker, and the number of the first message that is dealt by them.

        Without any session, all workers have one turn each.
        """
        divisor = gcd(*sessions)
        self.first = first
        self.weights = tuple(count // divisor for count in sessions) if divisor else (1,) * len(sessions)
        self._others: dict[int, list[tuple[int, bool, int]]] = {}

    def numbers(self, worker: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the numbers of a worker's messages at these positions, counted from 0; it must have turns."""
        own = self.weights[worker]
        twice = 2 * positions + 1
        numbers = positions + self.first
        for weight, is_before, count in self._others_of(worker):
            numbers += count * ((twice * weight + own - (not is_before)) // (2 * own))
        return numbers

    def position(self, worker: int, number: int) -> int:
        """Returns how many messages before `number` are a worker's."""
        import numpy as np  # noqa: PLC0415 - plans are read without it

        if not self.weights[worker]:
            return 0
        low, high = 0, max(0, number - self.first)
        while low < high:
            middle = (low + high) // 2
            if int(self.numbers(worker, np.array([middle]))[0]) < number:
                low = middle + 1
            else:
                high = middle
        return low

    def between(self, worker: int, first: int, behind: int) -> NDArray[np.int64]:
        """Returns a worker's numbers from `first` to before `behind`, in order."""
        import numpy as np  # noqa: PLC0415

        positions = np.arange(self.position(worker, first), self.position(worker, behind))
        return self.numbers(worker, positions) if len(positions) else positions

    def left_to(self, worker: int, leftovers: Iterable[Leftover], following: Turns) -> NDArray[np.int64]:
        """Returns a worker's share of what others leave before the first number of the turns that follow these."""
        import numpy as np  # noqa: PLC0415

        parts = [np.zeros(0, np.int64)]
        for leftover in leftovers:
            parts.append(np.array(leftover.left, np.int64))
            parts.append(self.between(leftover.worker, leftover.next, following.first))
        numbers = np.sort(np.concatenate(parts))
        dealt = Turns(following.weights)
        return numbers[dealt.between(worker, 0, len(numbers))]

    def _others_of(self, worker: int) -> list[tuple[int, bool, int]]:
        """Returns the weights of the other workers, whether they come first where places are the same, how often."""
        if worker not in self._others:
            weights = ((weight, place < worker) for place, weight in enumerate(self.weights) if place != worker)
            self._others[worker] = [(*kind, count) for kind, count in Counter(weights).items() if kind[0]]
        return self._others[worker]


def split(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Splits a number in proportion to weights, not all 0, to within one, so that the parts add up."""
    whole, reached, parts = sum(weights), 0, []
    for weight in weights:
        before = reached * total // whole
        reached += weight
        parts.append(reached * total // whole - before)
    return tuple(parts)
