"""Builds the scenario of a plan from the table `role`, and the parts of the plan that depend on it.

Only plans that have one import this, and what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.messages import Message, Template
from ws_load_test.messages.fields import PublishMarker, RoomName
from ws_load_test.messages.named_values import CapturedValue
from ws_load_test.plan.correlation import DEFAULT_STALL_NS
from ws_load_test.plan.options.messages import connection_texts, read_feed, read_openings
from ws_load_test.plan.options.scenario.audience import check_audience
from ws_load_test.plan.options.scenario.excluded import excluded
from ws_load_test.plan.options.scenario.problems import Problems, WrittenRoles, source_of
from ws_load_test.plan.options.scenario.roles import read_roles
from ws_load_test.plan.options.scenario.shares import sessions_of
from ws_load_test.plan.options.scenario.texts import Texts
from ws_load_test.plan.options.scenario.written_role import WrittenRole
from ws_load_test.plan.scenario.model import Role, Scenario
from ws_load_test.plan.values import kind_of

if TYPE_CHECKING:
    from ws_load_test.messages import Feed
    from ws_load_test.plan.presets import Preset

_EXAMPLE = "write for example [role.user] and [[role.user.steps]]"


@dataclass(frozen=True, slots=True)
class ReadScenario:
    """A scenario, and the parts of the plan that depend on it."""

    scenario: Scenario
    message: Message
    """Feed and environment; the messages themselves are those of the steps."""
    warnings: tuple[str, ...]


def read_scenario(
    given: Mapping[str, Any], values: Mapping[str, Any], problems: list[OptionProblem], preset: Preset | None = None
) -> ReadScenario:
    """Returns the scenario of the options, which have a `role`; adds to `problems` what is wrong with it.

    Args:
        given: Options as they were given.
        values: Parsed values of the options of the catalogue.
        problems: Problems found so far.
        preset: What every role does before its own; None: nothing.
    """
    problems.extend(excluded(given))
    found = Problems(source_of(given))
    roles = _written_roles(given["role"], found)
    feed = read_feed(values, problems)
    texts = Texts(
        found,
        columns=None if feed is None else feed.columns,
        has_feed="feed" in values,
        has_rooms="rooms" in given,
    )
    complete = read_roles(roles, texts, found, {} if preset is None else preset.every_role) if roles else {}
    scenario = _scenario(complete, values, found)
    message = _message(feed, values, texts, problems)
    problems.extend(found.found)
    return ReadScenario(scenario, message, tuple(found.warnings))


def _written_roles(value: Any, problems: Problems) -> Mapping[str, Any]:
    written = value.value if isinstance(value, WrittenRoles) else value
    if not isinstance(written, Mapping):
        problems.add(("role",), f"takes a table for each role, not {kind_of(written)}; {_EXAMPLE}")
        return {}
    if not written:
        problems.add(("role",), f"names no role; {_EXAMPLE}")
    return written


def _scenario(roles: Mapping[str, WrittenRole], values: Mapping[str, Any], problems: Problems) -> Scenario:
    """Returns the scenario; one that stands for it where there is no role to read."""
    rooms: tuple[str, ...] = values.get("rooms", ())
    if not roles:
        return Scenario(roles=(Role("none", 1),))
    sessions = sessions_of(roles, values, problems)
    models = tuple(role.model(sessions[name]) for name, role in roles.items())
    check_audience(roles, sessions, rooms, values, problems)
    return Scenario(
        roles=models,
        protocol=values.get("protocol", ""),
        rooms=rooms,
        stall_ns=values.get("stall", DEFAULT_STALL_NS),
        recovery=values.get("recovery", "none"),
        timed=values.get("timed"),
    )


def _message(feed: Feed | None, values: Mapping[str, Any], texts: Texts, problems: list[OptionProblem]) -> Message:
    """Returns the feed and the environment, which the steps and the texts that open sessions share."""
    for option, text in connection_texts(values):
        for field in Template(text).fields:
            if isinstance(field, CapturedValue):
                reason = "a session captures nothing before it is open; use it in a step"
            elif isinstance(field, PublishMarker):
                reason = "a marker stands in a step that has deliver-to"
            elif isinstance(field, RoomName) and "rooms" not in values:
                reason = "has no name without rooms; add --rooms"
            else:
                continue
            problems.append(OptionProblem(option_name(option), f"{{{field.label}}}: {reason}"))
    message = read_openings(values, feed, texts.templates, problems)
    return msgspec.structs.replace(message, environment=message.environment | texts.environment)
