"""Counts of a scenario's steps, reactions and roles on one worker, since the last report."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.common.faults import Fault
from ws_load_test.metrics.catalog import PER_STEP_FIELDS
from ws_load_test.metrics.sample_buffer import CAPACITY, FAR_FUTURE_NS, SampleBuffer
from ws_load_test.metrics.scenario_metrics import ReactionTally, RoleTally, part_key
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ws_load_test.engine.conversations.streamed import Recorder
    from ws_load_test.engine.sessions.session import SessionListener


class StepSamples(SampleBuffer):
    """Completed steps of one row, each of them one: they are counted for the row, and for the run's totals as well."""

    __slots__ = ("totals",)

    def __init__(self, tally: Tally, totals: Recorder | None) -> None:
        """Takes the counts of the row, and the owner of the totals; None: the steps are in none."""
        super().__init__(tally, on_schedule=True)
        self.count = array("q", [1]) * CAPACITY
        self.totals = totals

    def count_rows(
        self,
        due: NDArray[np.int64],
        free: NDArray[np.int64],
        sent: NDArray[np.int64],
        done: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> None:
        """Counts rows into both."""
        super().count_rows(due, free, sent, done, count)
        if self.totals is not None:
            self.totals.samples.count_rows(due, free, sent, done, count)


class StepRow:
    """Counts and times of the steps of one name in a role."""

    __slots__ = ("always", "exchanges", "is_used", "key", "samples", "tally", "totals")

    def __init__(self, key: str, *, always: bool, totals: Recorder | None) -> None:
        """Makes a row without counts.

        Args:
            key: What the steps are counted under.
            always: They are counted whether or not the measured time has begun.
            totals: Owner of the totals in which they are as well, of whichever session they are; None: of none, or each
                session has its own.
        """
        self.key = key
        self.always = always
        self.totals = totals
        self.tally = Tally()
        self.samples = StepSamples(self.tally, totals)
        if always:
            self.samples.measured_from_ns = 0
        self.exchanges = 0
        """Messages sent since the last `flush` that await an answer, and are in the totals; the tallies lack them."""
        self.is_used = False
        """Something was counted since the last report."""

    def count_fault(self, fault: Fault, owner: SessionListener) -> None:
        """Counts a fault that happened at the step; it is in the run's faults as well."""
        self.is_used = True
        self.tally.faults[owner.kinds.fault_key(fault)] += 1

    def flush(self) -> None:
        """Adds to the tallies what they lack: that of the row, and the totals."""
        exchanges, self.exchanges = self.exchanges, 0
        self.is_used |= exchanges > 0
        for recorder in (self,) if self.totals is None else (self, self.totals):
            recorder.tally.due += exchanges
            recorder.tally.sent += exchanges
        self.samples.flush()

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call; `flush` comes first."""
        if not self.is_used:
            return
        part = self.tally.subset(PER_STEP_FIELDS)
        self.tally, self.is_used = Tally(), False
        self.samples.tally = self.tally
        if self.key in total.steps:
            total.steps[self.key].merge(part)
        else:
            total.steps[self.key] = part


class ScenarioRows:
    """All rows of one worker."""

    def __init__(self, totals: Recorder | None = None) -> None:
        """Takes the owner of the run's totals, where all sessions are its own."""
        self._totals = totals
        self._steps: dict[tuple[str, bool, bool], StepRow] = {}
        self.reactions: dict[str, ReactionTally] = {}
        """Counts of reactions by their key; a reaction looks its own up, for they are other ones after each report."""
        self.roles: dict[str, RoleTally] = {}
        """Counts of roles by their name, in the same way."""
        self._iteration_times_ns: dict[str, array[int]] = {}
        """Times of the iterations of each role since the last `flush`."""
        self.measured_from_ns = self.measured_until_ns = FAR_FUTURE_NS

    def step(self, role: str, name: str, *, always: bool = False, to_totals: bool = False) -> StepRow:
        """Returns the row of a step; those of one name share it, as far as they are all in the totals or all not."""
        key = part_key(role, name)
        row = self._steps.get((key, always, to_totals))
        if row is None:
            row = StepRow(key, always=always, totals=self._totals if to_totals else None)
            self._steps[key, always, to_totals] = row
            if not always:
                # A coroutine may take a step for the first time amid the load.
                row.samples.measured_from_ns = self.measured_from_ns
            row.samples.measured_until_ns = self.measured_until_ns
        return row

    def set_window(self, *, from_ns: int | None = None, until_ns: int | None = None) -> None:
        """Begins the measured time at one instant, or ends it at another."""
        for row in self._steps.values():
            if from_ns is not None and not row.always:
                row.samples.measured_from_ns = from_ns
            if until_ns is not None:
                row.samples.measured_until_ns = until_ns
        if from_ns is not None:
            self.measured_from_ns = from_ns
        if until_ns is not None:
            self.measured_until_ns = until_ns

    def is_in_window(self, at_ns: int) -> bool:
        """Returns True for an instant of the measured time."""
        return self.measured_from_ns <= at_ns <= self.measured_until_ns

    def reaction(self, key: str) -> ReactionTally:
        """Returns the counts of a reaction since the last report."""
        tally = self.reactions.get(key)
        if tally is None:
            tally = self.reactions[key] = ReactionTally()
        return tally

    def role(self, name: str) -> RoleTally:
        """Returns the counts of a role since the last report."""
        tally = self.roles.get(name)
        if tally is None:
            tally = self.roles[name] = RoleTally()
        return tally

    def count_iteration(self, role: str, took_ns: int) -> None:
        """Counts an iteration that was completed."""
        self.role(role).iterations_completed += 1
        times = self._iteration_times_ns.setdefault(role, array("q"))
        times.append(took_ns)
        if len(times) == CAPACITY:
            self._flush_iterations()

    def _flush_iterations(self) -> None:
        for role, times in self._iteration_times_ns.items():
            self.role(role).iteration_time_ns.record_block(np.frombuffer(times, np.int64))
        self._iteration_times_ns = {}

    def flush(self) -> None:
        """Adds to the tallies of the rows, and to the totals, what they lack."""
        for row in self._steps.values():
            row.flush()
        self._flush_iterations()

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call; what is in the totals as well is there since `flush`."""
        for row in self._steps.values():
            row.collect_into(total)
        # Those of other groups of sessions have none, so there is nothing to merge with.
        total.reactions, self.reactions = self.reactions, {}
        total.roles, self.roles = self.roles, {}
