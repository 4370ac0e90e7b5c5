"""Fields of values that have a name of the user's: variables of the environment, and what a session has captured."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ws_load_test.messages.captured import CAPTURED, Captured
from ws_load_test.messages.template_field import FieldScope, FieldText, TemplateField

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""Name of an environment variable (POSIX.1-2017, chapter 8), which is also one of Python."""
CAPTURE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}")
"""Name under which a session keeps a value."""


@dataclass(frozen=True, slots=True)
class EnvironmentVariable(TemplateField):
    """``{env.NAME}``."""

    variable: str

    name = "env.NAME"
    prefix = "env."
    example = "{env.NAME}"
    help = "value of the environment variable NAME where the plan is read; a secret, hidden wherever the plan is shown"
    needs_argument = True

    @classmethod
    def pattern(cls) -> str:
        """Returns a regular expression of any variable's field."""
        return rf"env\.{_VARIABLE.pattern}(?::json)?"

    @classmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Reads the variable's name; ``:json`` behind it makes a `JsonEnvironmentVariable`.

        Raises ValueError if it is no name.
        """
        variable, colon, form = (text.argument or "").partition(":")
        if not _VARIABLE.fullmatch(variable) or (colon and form != "json"):
            raise ValueError(f"{text.written}: write a variable of the environment, for example {{env.TOKEN}}")
        return (JsonEnvironmentVariable if colon else EnvironmentVariable)(variable)

    @property
    def label(self) -> str:
        """``env.TOKEN``."""
        return f"env.{self.variable}"

    @property
    def max_bytes(self) -> None:
        """The environment decides."""
        return

    def expression(self, scope: FieldScope) -> str:
        """The variable's value."""
        return scope.bind(f"env_{self.variable}", lambda: scope.environment.get(self.variable, ""))


class JsonEnvironmentVariable(EnvironmentVariable):
    """``{env.NAME:json}``."""

    __slots__ = ()

    name = "env.NAME:json"
    example = "{env.NAME:json}"
    help = "the same as a JSON string, quotes included"

    def expression(self, scope: FieldScope) -> str:
        """The variable's value, quoted and escaped."""
        return scope.bind(f"json_env_{self.variable}", lambda: json.dumps(scope.environment.get(self.variable, "")))


@dataclass(frozen=True, slots=True)
class CapturedValue(TemplateField):
    """``{my.NAME}``."""

    capture: str

    name = "my.NAME"
    prefix = "my."
    example = "{my.NAME}"
    help = "value that the session has captured under NAME; of a scenario alone"
    needs_argument = True
    per_connection = True

    @classmethod
    def pattern(cls) -> str:
        """Returns a regular expression of any capture's field."""
        return rf"my\.{CAPTURE_NAME.pattern}(?::json)?"

    @classmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Reads the capture's name; ``:json`` behind it makes a `JsonCapturedValue`.

        Raises ValueError if it is no name.
        """
        capture, colon, form = (text.argument or "").partition(":")
        if not CAPTURE_NAME.fullmatch(capture) or (colon and form != "json"):
            raise ValueError(f"{text.written}: write the name of a capture, for example {{my.session}}")
        return (JsonCapturedValue if colon else CapturedValue)(capture)

    @property
    def label(self) -> str:
        """``my.session``."""
        return f"my.{self.capture}"

    @property
    def max_bytes(self) -> None:
        """The target decides."""
        return

    def expression(self, scope: FieldScope) -> str:
        """The value in the session's captures; the name is plain letters, and so no code."""
        return f"{scope.bind(CAPTURED, Captured)}.values.get({self.capture!r}, '')"


class JsonCapturedValue(CapturedValue):
    """``{my.NAME:json}``."""

    __slots__ = ()

    name = "my.NAME:json"
    example = "{my.NAME:json}"
    help = "the same as a JSON string, quotes included"

    def expression(self, scope: FieldScope) -> str:
        """The value, quoted and escaped."""
        return f"{scope.bind('to_json', lambda: json.dumps)}({CapturedValue.expression(self, scope)})"
