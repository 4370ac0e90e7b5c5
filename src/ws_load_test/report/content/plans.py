"""Plans of recordings, read once for all of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.sanitize import sanitize
from ws_load_test.plan.load import Load
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


@dataclass(frozen=True, slots=True)
class RecordedPlans:
    """Plans of a report's recordings, as far as this version of the tool can read them."""

    plans: tuple[Plan, ...]
    """One for each recording, in their order; empty where one of them cannot be read."""
    notes: tuple[str, ...]
    """Sentences about what could not be read, without a full stop."""

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> RecordedPlans:
        """Reads the plans of recordings. Options of another version that are unknown here are left out and noted."""
        plans: list[Plan] = []
        notes: dict[str, None] = {}
        readable = True
        for recording in recordings:
            known, unknown = _split(recording.header.plan)
            try:
                plans.append(msgspec.convert(known, Plan))
            except (msgspec.ValidationError, ValueError) as error:
                readable = False
                why = str(error).replace("`", '"')
                notes[f"this version of the tool cannot read the plan ({why}), so no row shows what was requested"] = (
                    None
                )
            if unknown:
                names = ", ".join(sorted(unknown))
                notes[f"the plan has options that this version of the tool does not know, so no row shows {names}"] = (
                    None
                )
        return cls(tuple(plans) if readable else (), tuple(map(sanitize, notes)))

    @property
    def only(self) -> Plan | None:
        """The plan of the only recording; None for several, and for one that cannot be read."""
        return self.plans[0] if len(self.plans) == 1 else None


def load_of(recording: Recording) -> Load | None:
    """Returns the load of a recording's plan, which can be readable where the whole plan is not; None if it is not."""
    try:
        load: Load = msgspec.convert(recording.header.plan.get("load"), Load)
    except (msgspec.ValidationError, ValueError):
        return None
    return load


def _split(plan: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns the fields of a plan that this version knows, and the names of the others."""
    known = {field.encode_name for field in msgspec.structs.fields(Plan)}
    return {name: value for name, value in plan.items() if name in known}, [name for name in plan if name not in known]
