"""Sets of counts and histograms that add up exactly, and their forms on the wire and in recordings.

A set is a dataclass whose fields have rows of the catalogue. Merging, reading, writing and the warm-up follow from the
rows, so a new set is its rows and nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ws_load_test.common.units import quoted
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.metric_spec import SPEC
from ws_load_test.metrics.session_events import is_key

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from dataclasses import Field

    from ws_load_test.metrics.decoding_budget import DecodingBudget
    from ws_load_test.metrics.metric_spec import MetricSpec

    ReadHistogram = Callable[[dict[str, Any]], Histogram]
    WriteHistogram = Callable[[Histogram], dict[str, Any]]

LARGEST_COUNT = 1 << 53
"""Largest count that is read: what a run counts in a thousand years, and what doubles have exactly."""


class MetricSet:
    """Counts and histograms, each with its row."""

    __slots__ = ()

    def merge_rows(self, other: MetricSet) -> None:
        """Adds the counts and histograms of another set of the same kind, exactly."""
        for name, spec in rows_of(type(self)).items():
            value = getattr(other, name)
            if spec.is_histogram:
                getattr(self, name).merge(value)
            elif spec.kind == "labeled":
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def total(self) -> int:
        """Returns the sum of all counts and of the sizes of all histograms: no number of it is larger."""
        return self.total_of_rows()

    def total_of_rows(self) -> int:
        """Returns that of what has a row."""
        total = 0
        for name, spec in rows_of(type(self)).items():
            value = getattr(self, name)
            total += value.count if spec.is_histogram else value.total() if spec.kind == "labeled" else value
        return total

    def leave_out_warmup(self) -> None:
        """Resets what a warm-up interval leaves out."""
        for name, spec in rows_of(type(self)).items():
            if spec.in_warmup:
                continue
            if spec.is_histogram or spec.kind == "labeled":
                getattr(self, name).clear()
            else:
                setattr(self, name, 0)

    def to_wire(self) -> dict[str, Any]:
        """Returns the form that a worker sends: as little work as possible, histograms as raw buckets."""
        return self.encode(Histogram.to_wire)

    def to_wire_in_steps(self) -> Generator[None, None, dict[str, Any]]:
        """Returns the form of `to_wire` at last; yields behind each histogram, so that other work can go between."""
        written: dict[int, dict[str, Any]] = {}
        for name, spec in rows_of(type(self)).items():
            if spec.is_histogram and getattr(self, name).count:
                written[id(getattr(self, name))] = getattr(self, name).to_wire()
                yield
        return self.encode(lambda one: written.get(id(one)) or one.to_wire())

    def to_record(self) -> dict[str, Any]:
        """Returns the form that a recording keeps: histograms in the standard HdrHistogram encoding."""
        return self.encode(Histogram.to_record)

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Self:
        """Reads the form of `to_wire`.

        Raises:
            ValueError: The data are not such a set's.
        """
        return cls.read(data, Histogram.from_wire)

    @classmethod
    def from_record(cls, data: dict[str, Any], budget: DecodingBudget | None = None) -> Self:
        """Reads the form of `to_record`; with a budget, what its histograms decompress to counts there.

        Raises:
            ValueError: The data are not such a set's, or decompress to more than the budget has.
        """
        return cls.read(data, partial(Histogram.from_record, budget=budget))

    def encode(self, write: WriteHistogram) -> dict[str, Any]:
        """Returns the fields that are not empty, histograms as they are to be written."""
        return self._row_fields(write)

    def _row_fields(self, write: WriteHistogram) -> dict[str, Any]:
        """Returns those that have a row."""
        data: dict[str, Any] = {}
        for name, spec in rows_of(type(self)).items():
            value = getattr(self, name)
            if spec.is_histogram:
                if value.count:
                    data[name] = write(value)
            elif value:
                data[name] = dict(value) if spec.kind == "labeled" else value
        return data

    @classmethod
    def read(cls, data: dict[str, Any], read: ReadHistogram) -> Self:
        """Reads the form of `encode`.

        Raises:
            ValueError: The data are not such a set's.
        """
        if not isinstance(data, dict):
            raise ValueError("a tally is an object of counts and histograms")  # noqa: TRY004 - data, not a type
        unknown = data.keys() - {one.name for one in _fields(cls)}
        if unknown:
            # A count that is not added up would be lost silently.
            raise ValueError(f"a tally has no {min(map(str, unknown))!r}")
        one = cls()
        for name, value in data.items():
            setattr(one, name, cls._read_field(name, value, read))
        one._check()
        return one

    def _check(self) -> None:
        """Does nothing: any counts and histograms go together.

        Raises:
            ValueError: What was read contradicts itself.
        """

    @classmethod
    def _read_other(cls, name: str, value: Any, read: ReadHistogram) -> object:
        """Reads a field that has no row.

        Raises:
            ValueError: It is not of its kind.
        """
        raise NotImplementedError

    @classmethod
    def _read_field(cls, name: str, value: Any, read: ReadHistogram) -> object:
        spec = rows_of(cls).get(name)
        if spec is None:
            return cls._read_other(name, value, read)
        if spec.is_histogram:
            return read(value)
        if spec.kind != "labeled":
            return read_count(name, value)
        if not isinstance(value, dict):
            raise ValueError(f"a tally's {name!r} is an object of counts")  # noqa: TRY004 - data, not a type
        if name == "session_events" and not all(map(is_key, value)):
            raise ValueError("a tally's 'session_events' holds a key that is no slot and event")
        return Counter({kind: read_count(name, count) for kind, count in value.items()})


_ROWS: dict[type[MetricSet], dict[str, MetricSpec]] = {}


def rows_of(kind: type[MetricSet]) -> dict[str, MetricSpec]:
    """Returns the rows of a set by the names of its fields, in the order in which recordings have them."""
    rows = _ROWS.get(kind)
    if rows is None:
        rows = _ROWS[kind] = {
            one.name: replace(one.metadata[SPEC], name=one.name) for one in _fields(kind) if SPEC in one.metadata
        }
    return rows


def _fields(kind: type[MetricSet]) -> tuple[Field[Any], ...]:
    return fields(kind)  # type: ignore[arg-type]  # every set is a dataclass


def read_count(name: str, value: object) -> int:
    """Returns a count that was read.

    Raises:
        ValueError: It is no whole number from 0 to `LARGEST_COUNT`.
    """
    # Not isinstance: True is an int there.
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        shown = value if isinstance(value, (int, float, str)) else type(value).__name__
        raise ValueError(f"a tally's {name!r} holds {quoted(shown)}, which is no count up to 2^53")
    return value
