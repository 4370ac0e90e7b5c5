"""Values of ``{env.NAME}``: read from the environment of the machine that reads the plan, and sent along to workers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ws_load_test.messages import Template
from ws_load_test.messages.named_values import EnvironmentVariable


def variables_in(templates: Iterable[Template]) -> Iterator[str]:
    """Yields the names of the variables that templates have, each once."""
    fields = (field for template in templates for field in template.fields)
    yield from dict.fromkeys(field.variable for field in fields if isinstance(field, EnvironmentVariable))


def values_of(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the values of variables by their names, and a sentence for each that is missing or no text."""
    values: dict[str, str] = {}
    problems = []
    for name in names:
        value = os.environ.get(name)
        if value is None:
            problems.append(f"{{env.{name}}}: the environment has no variable {name}; set it before the run")
        elif not value.isascii() and any("\udc80" <= character <= "\udcff" for character in value):
            problems.append(f"{{env.{name}}}: the value of {name} is not UTF-8 text")
        else:
            values[name] = value
    return values, tuple(problems)
