"""Scope in which the expressions of a worker's fields are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from ws_load_test.messages.template_field import TemplateField


class FieldValues:
    """The names that expressions use, shared by all templates of a worker so that no random value repeats."""

    def __init__(
        self, random: Random, columns: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        """Takes the source of random values but UUIDs, the columns of the feed's rows, and the values of variables."""
        self.random = random
        self.environment: Mapping[str, str] = {} if environment is None else environment
        """Variables of the environment that the plan names, and their values."""
        self._columns = columns
        self.names: dict[str, object] = {}
        """The objects bound so far, by the name that expressions use."""

    def bind(self, name: str, make: Callable[[], object]) -> str:
        """Makes the object unless `name` is bound already, and returns `name` for use in an expression."""
        if name not in self.names:
            self.names[name] = make()
        return name

    def column_index(self, column: str) -> int:
        """Index of a feed's column in ``row``."""
        return self._columns.index(column)

    def expression(self, field: TemplateField) -> str:
        """The Python expression of a field's value, over ``number``, ``connection``, ``row`` and `names`."""
        return field.expression(self)
