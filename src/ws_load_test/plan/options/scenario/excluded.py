"""Options that a scenario does not take: its roles say the same for themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name

_SENDS = "a scenario sends what the steps of its roles say; write send there"
_AWAITS = "a step says itself what completes it; write await there"
_CHECKS = "a step says itself what its answer must satisfy; write expect there"
_REACTS = "a role says itself what it makes of such a message; write an on of it"
_OPENS = "a role says itself what its sessions send first; write open steps of it"
_STREAMS = "a step says itself how its answer ends; write first, until and count there"
_PACE = "a role says itself how often its sessions go through their steps; write rate or wait there"
_ARRIVALS = "a role says itself when its sessions arrive; write it there"
_AUDIENCE = "a scenario's audience is a role; write deliver-to in the step that sends {marker}"
_COUNT = "a scenario runs for a time; write duration"
_MEASURED = "every session of a scenario has a role, and is measured"
EXCLUDED: Mapping[str, str] = {
    "message": _SENDS,
    "weights": "steps have a weight each; write it there",
    "size": _SENDS,
    "binary": "a step says itself whether it is binary; write it there",
    "ping": _SENDS,
    "first_message": _OPENS,
    "first_wait": _OPENS,
    "expect_first": _CHECKS,
    "match": _AWAITS,
    "skip_first": "what the target sends first completes an open step, or is a push; write await there",
    "ignore": "a message that completes no step is a push by itself; leave it out",
    "auto_reply": _REACTS,
    "expect": _CHECKS,
    "until": _STREAMS,
    "first": _STREAMS,
    "count": _STREAMS,
    "in_flight": _PACE,
    "rate": _PACE,
    "rate_per_connection": _PACE,
    "stages": _PACE,
    "max_in_flight": _PACE,
    "arrivals": _ARRIVALS,
    "seed": _ARRIVALS,
    "messages": _COUNT,
    "connection_stages": "a role says itself how many sessions it has, and when they come; write share or arrive there",
    "subscribers": _AUDIENCE,
    "publishers": _AUDIENCE,
    "everyone": _AUDIENCE,
    "marker": "a scenario recognizes deliveries by {marker}; leave it out",
    "self_delivery": "a step says itself whether its sender receives it; write it there",
    "publish_url": _AUDIENCE,
    "publish_header": _AUDIENCE,
    "slow_readers": _MEASURED,
    "stalled_readers": _MEASURED,
    "no_pong_clients": _MEASURED,
}
"""Option -> why no scenario has it, and what to write instead."""


_PORTABLE = "a scenario runs in the portable engine"
_EXCLUDED_VALUES: Mapping[tuple[str, str], str] = {
    ("engine", "native"): f"{_PORTABLE}; leave it out",
    ("engine", "native-epoll"): f"{_PORTABLE}; leave it out",
    ("reply_instant", "kernel"): f"{_PORTABLE}, which takes the instant at which a message was read; leave it out",
}
"""Option and value -> the same, where another value is no problem."""


def excluded(given: Mapping[str, Any]) -> Iterator[OptionProblem]:
    """Yields a problem for each option that a scenario does not take; a flag that is off counts as not given."""
    for name in given:
        if name in EXCLUDED and given[name] is not False:
            yield OptionProblem(option_name(name), f"is not of a plan with roles: {EXCLUDED[name]}")
    for (name, value), why in _EXCLUDED_VALUES.items():
        if given.get(name) == value:
            yield OptionProblem(option_name(name), f"{value} is not of a plan with roles: {why}")
