"""Counts of a scenario's steps, reactions and roles on one worker, since the last report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.faults import Fault
from ws_load_test.metrics.catalog import PER_STEP_FIELDS
from ws_load_test.metrics.sample_buffer import FAR_FUTURE_NS, SampleBuffer
from ws_load_test.metrics.scenario_metrics import ReactionTally, RoleTally, part_key
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.session import SessionListener


class StepRow:
    """Counts and times of the steps of one name in a role."""

    def __init__(self, key: str, *, always: bool) -> None:
        """Takes what they are counted under; `always`: whether or not the measured time has begun."""
        self.key = key
        self.always = always
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=True)
        if always:
            self.samples.measured_from_ns = 0
        self.is_used = False
        """Something was counted since the last report."""

    def count_fault(self, fault: Fault, owner: SessionListener) -> None:
        """Counts a fault that happened at the step; it is in the run's faults as well."""
        self.is_used = True
        self.tally.faults[owner.kinds.fault_key(fault)] += 1

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call."""
        if not self.is_used:
            return
        self.samples.flush()
        part = self.tally.subset(PER_STEP_FIELDS)
        self.tally, self.is_used = Tally(), False
        self.samples.tally = self.tally
        if self.key in total.steps:
            total.steps[self.key].merge(part)
        else:
            total.steps[self.key] = part


class ScenarioRows:
    """All rows of one worker."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, bool], StepRow] = {}
        self.reactions: dict[str, ReactionTally] = {}
        """Counts of reactions by their key; a reaction looks its own up, for they are other ones after each report."""
        self.roles: dict[str, RoleTally] = {}
        """Counts of roles by their name, in the same way."""
        self.measured_from_ns = self.measured_until_ns = FAR_FUTURE_NS

    def step(self, role: str, name: str, *, always: bool = False) -> StepRow:
        """Returns the row of a step; those of one name share it."""
        key = part_key(role, name)
        row = self._steps.get((key, always))
        if row is None:
            row = self._steps[key, always] = StepRow(key, always=always)
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

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call."""
        for row in self._steps.values():
            row.collect_into(total)
        # Those of other groups of sessions have none, so there is nothing to merge with.
        total.reactions, self.reactions = self.reactions, {}
        total.roles, self.roles = self.roles, {}
