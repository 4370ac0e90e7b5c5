"""The options of each command, from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from ws_load_test.plan.options.catalog import BY_NAME, EXPORTS, RUN_OPTIONS, owned_by
from ws_load_test.plan.options.spec import OptionSpec, Owner

COMMAND_OPTIONS: Mapping[str, tuple[OptionSpec, ...]] = {
    "": RUN_OPTIONS,
    "demo": RUN_OPTIONS,
    "capacity": (*owned_by(Owner.CAPACITY), *RUN_OPTIONS),
    "ab": (*owned_by(Owner.AB, Owner.COMPARISON), *RUN_OPTIONS),
    "report": tuple(BY_NAME[name] for name in ("summary", "json", "fail_if_saturated", "fail_if", "slo", *EXPORTS)),
    "compare": (*owned_by(Owner.COMPARISON), BY_NAME["json"], BY_NAME["markdown"], BY_NAME["html"]),
}
"""Command -> options that its command line knows, refused ones included: their refusal names the alternative."""


def comparison_exports() -> tuple[str, ...]:
    """Returns the formats in which a comparison or a search is written."""
    return tuple(name for name in EXPORTS if "ab" not in BY_NAME[name].refused_by)
