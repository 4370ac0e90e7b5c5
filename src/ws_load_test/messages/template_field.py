"""Base classes of message fields, and what their expressions can use."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol, TypeAlias

Row: TypeAlias = Sequence[str]
"""A row of a feed: one text for each of its columns."""


class FieldScope(Protocol):
    """The names that an expression may use besides ``number``, ``connection`` and ``row``."""

    @property
    def random(self) -> Random:
        """The worker's generator; it decides about everything random but UUIDs."""
        ...

    def bind(self, name: str, make: Callable[[], object]) -> str:
        """Makes the object unless `name` is bound already, and returns `name` for use in an expression."""
        ...

    def column_index(self, column: str) -> int:
        """Index of a feed's column in ``row``."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that the plan names, and their values."""
        ...


@dataclass(frozen=True, slots=True)
class FieldText:
    """A field as the user wrote it."""

    written: str
    """With its braces: ``{random:8}``."""
    argument: str | None
    """The part after the colon, or after the prefix: a feed's column, a variable; None without either."""
    columns: Collection[str] | None
    """Columns of the feed; None without a feed."""


class TemplateField(ABC):
    """A place in a template that gets a new value each time; the class is the kind of field."""

    __slots__ = ()

    name: ClassVar[str]
    """The word after the brace: ``seq``."""
    prefix: ClassVar[str] = ""
    """Beginning of the word where a name of the user's follows: ``env.``; empty where none does."""
    example: ClassVar[str]
    """The field as users write it: ``{random:8}``."""
    help: ClassVar[str]
    """The value, in a few words."""
    needs_argument: ClassVar[bool] = False
    """Without an argument, such as ``{random}``, the word in braces is text."""
    argument_pattern: ClassVar[str] = ""
    """Regular expression of what follows the name, its colon included."""
    per_connection: ClassVar[bool] = False
    """The value differs between connections, so they cannot share one stream of payloads."""

    @classmethod
    def pattern(cls) -> str:
        """Returns a regular expression of the field without its braces; other text may be a secret."""
        return re.escape(cls.name) + cls.argument_pattern

    @classmethod
    @abstractmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Reads a field. Raises ValueError with a sentence on what to write instead."""

    @property
    def label(self) -> str:
        """The field's name in a plan: ``seq``, ``feed.token``."""
        return self.name

    @property
    def column(self) -> str:
        """The feed's column that the value comes from; empty if no feed is needed."""
        return ""

    @property
    @abstractmethod
    def max_bytes(self) -> int | None:
        """Bytes of the longest value in UTF-8; None if a feed decides."""

    @abstractmethod
    def expression(self, scope: FieldScope) -> str:
        """A Python expression of the value, over ``number``, ``connection``, ``row`` and names bound in `scope`."""


class PlainField(TemplateField):
    """A field without an argument."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Returns the field. Raises ValueError if it has an argument."""
        if text.argument is not None:
            raise ValueError(f"{text.written}: {cls.name} takes nothing behind a colon; write {cls.example}")
        return cls()
