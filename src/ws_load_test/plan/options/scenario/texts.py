"""Texts of a scenario: messages that are sent, and checks, with the fields in them."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ws_load_test.common.errors import cause_of
from ws_load_test.common.units import quoted_path
from ws_load_test.messages import Template
from ws_load_test.messages.fields import (
    MessageNumber,
    PublishMarker,
    RandomInt,
    RandomText,
    RandomUuid,
    RoomName,
    WallClockMs,
)
from ws_load_test.messages.named_values import CapturedValue
from ws_load_test.messages.template import template_text
from ws_load_test.messages.wall_clock import WallClockIso, WallClockS
from ws_load_test.plan.options.contents import ContentFiles, why_no_text
from ws_load_test.plan.options.environment import values_of, variables_in
from ws_load_test.plan.scenario.model import Text

if TYPE_CHECKING:
    from ws_load_test.messages.template_field import TemplateField
    from ws_load_test.plan.correlation import Check
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.toml_lines import Path

_DRAWN = (RandomUuid, WallClockMs, WallClockS, WallClockIso, RandomText, RandomInt)
"""Fields with another value in each text."""


class Texts:
    """Reads the texts of one scenario, and keeps them for what is known of all together: the feed, the environment."""

    def __init__(self, problems: Problems, *, columns: Collection[str] | None, has_feed: bool, has_rooms: bool) -> None:
        """Takes the columns of the feed; `has_feed` is True even for one that cannot be read."""
        self._problems = problems
        self._columns = columns
        self._has_feed = has_feed
        self._has_rooms = has_rooms
        self._files = ContentFiles()
        self.templates: list[Template] = []
        self.environment: dict[str, str] = {}
        """Variables that fields name, and their values."""
        self.files: list[str] = []
        """Files with messages."""

    def message(self, written: str, place: Path, *, binary: bool) -> Text | None:
        """Returns the content of a message; None where it has a problem."""
        payload = self._payload(written, place, binary=binary)
        if payload is None:
            return None
        template = self._template(template_text(payload), place)
        for suspect in template.suspicious:
            self._problems.warn(place, str(suspect))
        return Text(payload, binary, is_template=template.varies)

    def _payload(self, written: str, place: Path, *, binary: bool) -> bytes | None:
        if not written.startswith("@"):
            try:
                return written.encode()
            except UnicodeEncodeError:
                self._problems.add(place, "is not UTF-8 text; put it into a file, and write @FILE and binary = true")
                return None
        path = written[1:]
        try:
            payload = self._files.read(path)
        except ValueError as error:
            self._problems.add(place, f"cannot read {quoted_path(path)}: {cause_of(error)}")
            return None
        self.files.append(path)
        if binary:
            return payload
        if (lack := why_no_text(payload, "binary = true")) is not None:
            self._problems.add(place, f"{quoted_path(path)} {lack}")
            return None
        return payload.removeprefix(BOM_UTF8)

    def keep_fields(self, written: str, place: Path) -> None:
        """Keeps the fields of a text that may be a message: columns of a feed, variables of the environment, traces."""
        template = Template(written, self._columns)
        if template.fields:
            self._keep(template, place)

    def check_fields(self, checks: Iterable[Check], place: Path) -> None:
        """Finds fields of checks that no message of the target can have the value of."""
        for check in checks:
            for field in self._template(str(check), place).fields:
                if isinstance(field, _DRAWN):
                    text = f"{field.example} has another value in each text, so that no message has that of the check"
                    self._problems.add(place, f"{text}; write {{seq}}, or capture what comes")
                elif isinstance(field, PublishMarker):
                    text = "{marker} is looked for in every message by itself; check another part of it"
                    self._problems.add(place, text)

    def _template(self, text: str, place: Path) -> Template:
        template = Template(text, self._columns)
        for problem in template.problems:
            if not (self._has_feed and "needs a feed" in problem):
                self._problems.add(place, problem.replace("--feed FILE", 'feed = "FILE"'))
        if not self._has_rooms and any(isinstance(field, RoomName) for field in template.fields):
            self._problems.add(place, "{room} has no name without rooms; add rooms = 10, or their names")
        self._keep(template, place)
        return template

    def _keep(self, template: Template, place: Path) -> None:
        values, missing = values_of(variables_in((template,)))
        self.environment |= values
        for sentence in missing:
            self._problems.add(place, sentence)
        self.templates.append(template)


def fields_of_text(text: Text | None) -> tuple[TemplateField, ...]:
    """Returns the fields of a message; those of feeds are left out."""
    return () if text is None or not text.is_template else Template(template_text(text.payload)).fields


def fields_of_checks(checks: Iterable[Check]) -> tuple[TemplateField, ...]:
    """Returns the fields of checks; those of feeds are left out."""
    return tuple(field for check in checks for field in Template(str(check)).fields)


def captures_in(fields: Iterable[TemplateField]) -> tuple[str, ...]:
    """Returns the names of the captured values that fields need, each once."""
    return tuple(dict.fromkeys(field.capture for field in fields if isinstance(field, CapturedValue)))


def has_number(fields: Iterable[TemplateField]) -> bool:
    """Returns True if one of the fields is ``{seq}``."""
    return any(isinstance(field, MessageNumber) for field in fields)


def has_marker(fields: Iterable[TemplateField]) -> bool:
    """Returns True if one of the fields is ``{marker}``."""
    return any(isinstance(field, PublishMarker) for field in fields)
