"""Counts of nanosecond values in buckets of three significant digits, after Gil Tene's HdrHistogram."""

from __future__ import annotations

import itertools
import math
from base64 import b64decode, b64encode
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ws_load_test.metrics.decoding_budget import decompressed_bytes
from ws_load_test.metrics.hdr_buckets import (
    LARGEST,
    LARGEST_COUNT,
    SIGNIFICANT_DIGITS,
    SLOTS,
    as_int64,
    bucket_of,
    exact_dot,
    exact_sum,
    highest_in,
    lowest_in,
    middles_of,
    offsets_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ws_load_test.metrics.decoding_budget import DecodingBudget

_GROWTH = 1024
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4"}
"""Types of counts on the wire by their bytes; others have eight, and a sign."""
_HOUR_NS = 3_600_000_000_000
PERCENTILES = ("5", "10", "50", "75", "90", "95", "99", "99.9", "99.99")


class Histogram:
    """Counts of values from 0 to 2**63 - 1, in nanoseconds, kept to three significant digits.

    The counts array grows with the largest value and never passes 55,296 slots (442 kB).

    Attributes:
        count: How many values were recorded.
        min: The exact smallest value in ns, None when empty.
        max: The exact largest value in ns, None when empty.
        sum: The exact sum of all values in ns.
    """

    __slots__ = ("_counts", "count", "max", "min", "sum")

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.count: int = 0
        self.min: int | None = None
        self.max: int | None = None
        self.sum: int = 0

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, min={self.min}, max={self.max}, sum={self.sum})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        if (self.count, self.min, self.max, self.sum) != (other.count, other.min, other.max, other.sum):
            return False
        used = self._used()
        return bool(np.array_equal(self._counts[used], other._counts[used]))

    def record(self, value_ns: int, count: int = 1) -> None:
        """Records one value, `count` times; costs about 1 µs, so not for the hot path.

        Raises:
            ValueError: The value is below 0 or above 2**63 - 1, or the count is negative.
            OverflowError: More than `LARGEST_COUNT` values in one histogram.
        """
        if not 0 <= value_ns <= LARGEST:
            raise ValueError(f"a histogram holds values from 0 to 2**63 - 1, not {value_ns}")
        if count <= 0:
            if count < 0:
                raise ValueError(f"a count cannot be negative, but {count} was given")
            return
        bucket = bucket_of(value_ns)
        self._make_room(bucket, count)
        self._counts[bucket] += count
        self._update_extremes(value_ns, value_ns, count, value_ns * count)

    def record_block(self, values: NDArray[np.int64], counts: NDArray[np.int64] | None = None) -> None:
        """Records a block of values in ns, each once or as often as in `counts`.

        Costs 4 to 7 ns a value in blocks of 4,096, and 6 to 10 ns with counts. Values whose count is zero are
        ignored. Nothing is recorded when an exception is raised.

        Raises:
            ValueError: A value or a count is negative, or the two arrays differ in length.
            OverflowError: More than `LARGEST_COUNT` values in one histogram.
            TypeError: The arrays hold no integers that fit 64 bits.
        """
        if len(values) == 0 and (counts is None or len(counts) == 0):
            return
        values = as_int64(values)
        if counts is not None:
            counts = as_int64(counts)
            if counts.shape != values.shape:
                raise ValueError(f"{len(values)} values came with {len(counts)} counts")
            if not counts.all():
                kept = counts != 0
                values, counts = values[kept], counts[kept]
                if len(values) == 0:
                    return
            if (fewest := int(counts.min())) < 0:
                raise ValueError(f"a count cannot be negative, but {fewest} was given")
        low, high = int(values.min()), int(values.max())
        if low < 0:
            raise ValueError(f"a histogram holds values from 0 to 2**63 - 1, not {low}")
        first, last = bucket_of(low), bucket_of(high)
        offsets = offsets_of(values, low, high, first)
        if counts is None:
            total = len(values)
            self._make_room(last, total)
            self._counts[first : last + 1] += np.bincount(offsets, minlength=last - first + 1)
            self._update_extremes(low, high, total, exact_sum(values, high))
        else:
            total = exact_sum(counts, int(counts.max()))
            self._make_room(last, total)
            # Not bincount with weights: those are doubles and lose counts beyond 2**53.
            np.add.at(self._counts[first : last + 1], offsets, counts)
            self._update_extremes(low, high, total, exact_dot(values, counts, high, total))

    def merge(self, other: Histogram) -> None:
        """Adds another histogram to this one: exact, and in any order.

        Raises:
            OverflowError: More than `LARGEST_COUNT` values in one histogram.
        """
        if other.min is None or other.max is None:
            return
        used = other._used()
        self._make_room(used.stop - 1, other.count)
        self._counts[used] += other._counts[used]
        self._update_extremes(other.min, other.max, other.count, other.sum)

    def add_buckets(self, first: int, counts: NDArray[np.int64], low_ns: int, high_ns: int, sum_ns: int) -> None:
        """Adds values that were counted elsewhere by the same buckets.

        Args:
            first: Bucket of the lowest value.
            counts: Number of values in that bucket and in each that follows, to the bucket of the highest.
            low_ns: The lowest value.
            high_ns: The highest value.
            sum_ns: Sum of all values.

        Raises:
            OverflowError: More than `LARGEST_COUNT` values in one histogram.
        """
        total = exact_sum(counts, int(counts.max()))
        last = first + len(counts)
        self._make_room(last - 1, total)
        self._counts[first:last] += counts
        self._update_extremes(low_ns, high_ns, total, sum_ns)

    def copy(self) -> Histogram:
        """Returns a histogram of its own with the same contents."""
        twin = Histogram()
        twin.merge(self)
        return twin

    def clear(self) -> None:
        """Forgets all values and keeps the memory for the next ones."""
        self._counts[self._used()] = 0
        self.count, self.min, self.max, self.sum = 0, None, None, 0

    def mean(self) -> float | None:
        """Returns the mean in ns, from the exact sum; None when empty."""
        return self.sum / self.count if self.count else None

    def stdev(self) -> float | None:
        """Returns the population's standard deviation in ns, from the buckets' middles; None when empty."""
        if not self.count:
            return None
        buckets, counts = self._nonzero()
        middles = middles_of(buckets)
        # Measured from the lowest middle, so that a narrow spread of large values keeps its digits.
        distances = (middles - middles[0]).astype(np.float64)
        weights = counts.astype(np.float64) / self.count
        distances -= float(np.dot(distances, weights))
        return math.sqrt(float(np.dot(distances * distances, weights)))

    def percentile(self, p: float) -> int | None:
        """Returns the value in ns that `p` per cent of the recorded ones do not pass; None when empty.

        It is the highest value of the bucket that holds the value of rank ``max(1, ceil(p / 100 * count))``,
        never above the exact maximum.

        Raises:
            ValueError: `p` is not within 0 to 100.
        """
        return self.percentiles((p,))[0]

    def percentiles(self, ps: Sequence[float | str]) -> list[int | None]:
        """Returns several percentiles (numbers, or decimals as text) in one pass; see `percentile`."""
        # By way of its decimal text 99.9 is 999/1000 exactly, where the double nearest to it is not.
        shares = [Fraction(str(p)) / 100 for p in ps]
        for share in shares:
            if not 0 <= share <= 1:
                raise ValueError(f"a percentile lies within 0 to 100, not at {float(share * 100):g}")
        if self.max is None:
            return [None] * len(shares)
        ranks = [max(1, math.ceil(share * self.count)) for share in shares]
        used = self._used()
        reached = np.searchsorted(self._counts[used].cumsum(), np.array(ranks, dtype=np.int64))
        return [min(highest_in(used.start + int(offset)), self.max) for offset in reached]

    def count_between(self, low_ns: int, high_ns: int) -> int:
        """Returns how many values lie in the buckets from `low_ns`'s to `high_ns`'s, both included."""
        if high_ns < max(low_ns, 0):
            return 0
        first, last = bucket_of(min(max(low_ns, 0), LARGEST)), bucket_of(min(high_ns, LARGEST))
        return int(self._counts[first : last + 1].sum())

    def buckets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the indices of the buckets that hold values, upwards, and their counts."""
        return self._nonzero()

    def iter_buckets(self) -> Iterator[tuple[int, int, int]]:
        """Yields (lowest ns, highest ns, count) of every bucket that holds values, upwards."""
        buckets, counts = self._nonzero()
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True):
            yield lowest_in(bucket), highest_in(bucket), count

    def merge_buckets(self, edges_ns: Sequence[int]) -> list[int]:
        """Returns the counts between neighbouring edges, for drawing: one fewer than there are edges.

        An edge inside a bucket counts as that bucket's lowest value; the last span includes its upper edge's
        bucket. So the counts add up to `count` when the edges reach from `min` to `max`.

        Raises:
            ValueError: Fewer than two edges, an edge out of range, or edges that do not rise.
        """
        edges = list(edges_ns)
        if len(edges) < 2 or edges[0] < 0 or edges[-1] > LARGEST:
            raise ValueError("a drawn histogram needs at least two edges from 0 to 2**63 - 1")
        if any(low >= high for low, high in itertools.pairwise(edges)):
            raise ValueError("the edges of a drawn histogram must rise")
        cuts = [bucket_of(edge) for edge in edges]
        cuts[-1] += 1
        return [int(self._counts[low:high].sum()) for low, high in itertools.pairwise(cuts)]

    def stats(self) -> dict[str, Any] | None:
        """Returns the statistics of a summary: integers, all but the count in ns; None when empty."""
        if not self.count:
            return None
        data: dict[str, Any] = {
            "count": self.count,
            "min": self.min,
            "mean": (self.sum + self.count // 2) // self.count,
            "stdev": round(self.stdev() or 0.0),
            "max": self.max,
        }
        values = self.percentiles(PERCENTILES)
        data.update((f"p{p}", value) for p, value in zip(PERCENTILES, values, strict=True))
        return data

    def to_wire(self) -> dict[str, Any]:
        """Returns the buckets in use as raw little-endian arrays in base64: tens of µs, for the worker.

        Counts have as few bytes as the largest needs: messages of a schedule wait until a report has left.
        """
        buckets, counts = self._nonzero()
        largest = int(counts.max()) if len(counts) else 0
        width = next((width for width in _WIDTHS if largest >> 8 * width == 0), 8)
        return {
            "i": b64encode(buckets.astype("<u2").tobytes()).decode("ascii"),
            "n": b64encode(counts.astype(_WIDTHS.get(width, "<i8"), copy=False).tobytes()).decode("ascii"),
            "min": self.min,
            "max": self.max,
            "sum": self.sum,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Self:
        """Reads what `to_wire` wrote.

        Raises:
            ValueError: The data are not a histogram's.
        """
        try:
            buckets = np.frombuffer(b64decode(data["i"], validate=True), dtype="<u2").astype(np.int64)
            raw = b64decode(data["n"], validate=True)
            width = len(raw) // max(1, len(buckets))
            counts = np.frombuffer(raw, dtype=_WIDTHS.get(width, "<i8")).astype(np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a histogram's buckets cannot be read: {error}") from error
        return cls._from_buckets(buckets, counts, data)

    def encode(self) -> str:
        """Returns the standard HdrHistogram V2 compressed encoding in base64 (``HISTF…``); 0.1 to 0.3 ms."""
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415  (a worker never encodes)

        # An hour is what most tools track, and readers allocate by this number.
        highest = _HOUR_NS if self.max is None or self.max <= _HOUR_NS else LARGEST
        standard = HdrHistogram(1, highest, SIGNIFICANT_DIGITS, word_size=8)
        used = self._used()
        np.frombuffer(standard.counts, dtype=np.int64)[used] = self._counts[used]
        standard.total_count = self.count
        standard.max_value = self.max or 0
        encoded: bytes = standard.encode()
        return encoded.decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Reads a standard HdrHistogram V2 compressed string.

        Such a string holds no exact extremes and no sum: min and max become the outer ends of the outermost
        buckets, and the sum takes every value as its bucket's middle.

        Raises:
            ValueError: No such string, or one of another precision.
        """
        buckets, counts = cls._decode_buckets(text)
        if len(buckets) == 0:
            return cls()
        middles = middles_of(buckets)
        total = exact_sum(counts, int(counts.max()))
        facts = {
            "min": lowest_in(int(buckets[0])),
            "max": highest_in(int(buckets[-1])),
            "sum": exact_dot(middles, counts, int(middles[-1]), total),
        }
        return cls._from_buckets(buckets, counts, facts)

    def to_record(self) -> dict[str, Any]:
        """Returns what a recording keeps: the standard encoding, and the min, max and sum it cannot hold."""
        return {"hdr": self.encode(), "min": self.min, "max": self.max, "sum": self.sum}

    @classmethod
    def from_record(cls, data: dict[str, Any], budget: DecodingBudget | None = None) -> Self:
        """Reads what `to_record` wrote, exactly; with a budget, what it decompresses to counts there.

        Raises:
            ValueError: The data are not a histogram's, or decompress to more than a histogram or the budget has.
        """
        if not isinstance(data, dict) or not isinstance(data.get("hdr"), str):
            raise ValueError("a recorded histogram needs its encoded counts ('hdr')")  # noqa: TRY004
        return cls._from_buckets(*cls._decode_buckets(data["hdr"], budget), data)

    @staticmethod
    def _decode_buckets(text: str, budget: DecodingBudget | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from hdrh.codec import HdrHistogramEncoder  # noqa: PLC0415  (see encode)
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415

        size_bytes = decompressed_bytes(text)
        if budget is not None:
            budget.spend(size_bytes)
        try:
            packed = HdrHistogramEncoder.decode(text.encode("ascii"))
            head = packed.payload
            plain = head.lowest_trackable_value == 1 and head.normalizing_index_offset == 0
            if not plain or head.significant_figures != SIGNIFICANT_DIGITS:
                raise ValueError("it was written with another unit or precision")  # noqa: TRY301
            highest = min(head.highest_trackable_value, LARGEST)
            standard = HdrHistogram(1, highest, SIGNIFICANT_DIGITS, hdr_payload=packed)
        # The codec raises a dozen kinds of exception, among them bare Exception's own subclasses.
        except Exception as error:
            raise ValueError(f"not an HdrHistogram of 3 significant digits: {error}") from error
        counts = np.frombuffer(standard.counts, dtype=np.int64)
        buckets = np.flatnonzero(counts)
        return buckets, counts[buckets]

    @classmethod
    def _from_buckets(cls, buckets: NDArray[np.int64], counts: NDArray[np.int64], facts: dict[str, Any]) -> Self:
        """Builds a histogram from rising buckets, their counts and `facts`, or raises ValueError."""
        histogram = cls()
        low, high, total_ns = (facts.get(name) for name in ("min", "max", "sum"))
        if len(buckets) != len(counts):
            raise ValueError(f"a histogram has {len(buckets)} buckets but {len(counts)} counts")
        if len(buckets) == 0:
            if (low, high, total_ns) != (None, None, 0):
                raise ValueError("a histogram without counts has a min, a max or a sum")
            return histogram
        if not (type(low) is int and type(high) is int and type(total_ns) is int):
            raise ValueError("a histogram's min, max and sum must be integers")
        first, last = int(buckets[0]), int(buckets[-1])
        if last >= SLOTS or counts.min() < 1 or (np.diff(buckets) < 1).any():
            raise ValueError("a histogram's buckets must rise, lie in range and hold at least one value each")
        count = exact_sum(counts, int(counts.max()))
        if not 0 <= low <= high <= LARGEST or (bucket_of(low), bucket_of(high)) != (first, last):
            raise ValueError("a histogram's min and max lie outside its buckets")
        if not low * count <= total_ns <= high * count or count > LARGEST_COUNT:
            raise ValueError("a histogram's sum or count is out of range")
        histogram._make_room(last, count)
        histogram._counts[buckets] = counts
        histogram._update_extremes(low, high, count, total_ns)
        return histogram

    def _used(self) -> slice:
        """Returns the range of slots from the min's bucket to the max's."""
        if self.min is None or self.max is None:
            return slice(0, 0)
        return slice(bucket_of(self.min), bucket_of(self.max) + 1)

    def _nonzero(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        used = self._used()
        counts = self._counts[used]
        # Comparing first makes it twice as fast: numpy searches booleans by the word.
        offsets = np.flatnonzero(counts != 0)
        return offsets + used.start, counts[offsets]

    def _make_room(self, bucket: int, added: int) -> None:
        if self.count + added > LARGEST_COUNT:
            raise OverflowError("a histogram cannot count more than 2**62 - 1 values")
        if bucket >= len(self._counts):
            slots = (bucket // _GROWTH + 1) * _GROWTH
            grown = np.zeros(slots, dtype=np.int64)
            grown[: len(self._counts)] = self._counts
            self._counts = grown

    def _update_extremes(self, low: int, high: int, count: int, total_ns: int) -> None:
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        self.count += count
        self.sum += total_ns
