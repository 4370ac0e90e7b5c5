"""One worker's messages of a schedule, in the order of their due instants, while turns change (`plan.load_sharing`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ws_load_test.plan.load_sharing import LoadSwitch, Turns
from ws_load_test.plan.schedule import DueInstants

BLOCK_SIZE = 1024
"""Messages whose instants are computed together."""
Numbers = NDArray[np.int64]
NONE: Numbers = np.zeros(0, np.int64)


class DueQueue:
    """The messages that a worker has to send, by their numbers, in blocks; its user counts those taken of a block.

    Instants are in ns from the start of the schedule.
    """

    def __init__(self, instants: DueInstants, worker: int, workers: int) -> None:
        """Begins with as many turns for each worker."""
        self.held = False
        """True from a hold until its switch: there may be more than `next_block` has."""
        self._instants = instants
        self._worker = worker
        self._turns = Turns((1,) * workers)
        self._numbers = NONE
        """The messages of the latest block. Those before the first of the turns are no other worker's to count."""
        self._position = 0
        """Position in the turns of the message that follows the block."""
        self._barrier = 0
        """Position of the first message that it leaves to what comes, while it is held."""
        self._left = NONE

    @property
    def has_turns(self) -> bool:
        """False if all messages are those of other workers, until turns change."""
        return bool(self._turns.weights[self._worker])

    def next_block(self) -> Numbers | None:
        """Returns the due instants of the messages that follow; None if there are none, or none yet."""
        if self.held or not self.has_turns:
            return None
        due = self._generate()
        return due if len(due) else None

    def end_ns(self) -> int:
        """Returns the instant of the last message of the whole schedule, 0 without any."""
        count = self._instants.count()
        return int(self._instants.of(np.array([count - 1]))[0]) if count else 0

    def hold(self, taken: int, until_ns: int, *, leaves: bool) -> tuple[int, tuple[int, ...], Numbers]:
        """Settles what may be taken before turns change.

        Args:
            taken: Messages of the latest block that have been taken.
            until_ns: Messages due before this instant remain with this worker.
            leaves: It leaves all messages instead.

        Returns:
            The number of the first message that it leaves, further ones before it, and the due instants of those that
            may be taken: they are a new block.
        """
        if self.held:
            # The switch that was to follow will not come any more.
            self.cancel(taken)
            taken = 0
        pending = self._numbers[taken:]
        if leaves:
            kept = 0
        else:
            while self.has_turns and not (len(pending) and self._instants.of(pending[-1:])[0] >= until_ns):
                if not len(self._generate()):
                    break
                pending = np.concatenate((pending, self._numbers))
            kept = int(np.searchsorted(self._instants.of(pending), until_ns, side="left"))
        # Only messages of the latest turns can be left by their number.
        own = int(np.searchsorted(pending, self._turns.first, side="left"))
        kept, self._left = (0, pending[:own]) if leaves else (max(kept, own), NONE)
        self._barrier = self._position - (len(pending) - max(kept, own))
        self._numbers = pending[:kept]
        self.held = True
        return self._number_at(self._barrier), tuple(self._left.tolist()), self._instants.of(self._numbers)

    def cancel(self, taken: int) -> Numbers:
        """Goes on as before the hold. Returns the due instants of a new block."""
        return self._renew(self._numbers[taken:], self._left, self._from_barrier(self._position))

    def switch(self, taken: int, switch: LoadSwitch) -> Numbers:
        """Changes the turns. Returns the due instants of a new block, which holds what others have left as well."""
        following = Turns(switch.sessions, switch.first)
        kept = [self._turns.left_to(self._worker, switch.leftovers, following)]
        if all(leftover.worker != self._worker for leftover in switch.leftovers):
            own = self._from_barrier(self._turns.position(self._worker, switch.first))
            kept += [self._numbers[taken:], self._left, own]
        self._turns, self._position = following, 0
        return self._renew(*kept)

    def remaining(self, taken: int, from_ns: int) -> int:
        """Returns how many messages due from an instant on have not been taken; takes all of them."""
        if self.held:
            self.cancel(taken)
            taken = 0
        first, end = self._instants.before(from_ns), self._instants.count()
        in_block = int((self._numbers[taken:] >= first).sum())
        behind = self._turns.position(self._worker, end)
        following = max(self._position, self._turns.position(self._worker, first))
        self._numbers, self._position = NONE, max(self._position, behind)
        return in_block + max(0, behind - following)

    def skip_before(self, taken: int, before_ns: int, from_ns: int) -> tuple[int, Numbers]:
        """Takes all messages due before an instant, by arithmetic: there may be millions.

        Returns:
            How many of them are due from `from_ns` on, and the due instants of a new block.
        """
        if self.held:
            self.cancel(taken)
            taken = 0
        # The schedule goes on behind the last of a number of messages.
        first, end = self._instants.before(from_ns), min(self._instants.before(before_ns), self._instants.count())
        pending = self._numbers[taken:]
        in_block = int(((pending >= first) & (pending < end)).sum())
        behind = self._turns.position(self._worker, end)
        following = max(self._position, self._turns.position(self._worker, first))
        self._numbers, self._position = pending[pending >= end], max(self._position, behind)
        return in_block + max(0, behind - following), self._instants.of(self._numbers)

    def _generate(self) -> Numbers:
        """Makes the next messages of the turns the latest block; returns their due instants."""
        numbers = self._turns.numbers(self._worker, np.arange(self._position, self._position + BLOCK_SIZE))
        due = self._instants.of(numbers)
        self._numbers = numbers[: len(due)]
        self._position += len(due)
        return due

    def _number_at(self, position: int) -> int:
        if not self.has_turns:
            return self._turns.first
        return int(self._turns.numbers(self._worker, np.array([position]))[0])

    def _from_barrier(self, behind: int) -> Numbers:
        """Returns the messages that it was to leave, up to a position."""
        if not self.has_turns:
            return NONE
        return self._turns.numbers(self._worker, np.arange(self._barrier, max(behind, self._barrier)))

    def _renew(self, *numbers: Numbers) -> Numbers:
        together = np.sort(np.concatenate(numbers))
        due = self._instants.of(together)
        self._numbers = together[: len(due)]
        self._left, self.held = NONE, False
        return due
