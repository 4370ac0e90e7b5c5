"""The bucket arithmetic of HdrHistogram with three significant digits: numbers and arrays only, no state.

The layout is that of ``HdrHistogram(lowest=1, significant=3)``, https://github.com/HdrHistogram/HdrHistogram.
Values below 2048 have a bucket each, and every further doubling is cut into 1024 buckets, so no bucket is
wider than 2**-10 of its values. With ``shift = max(0, bit_length(value) - 11)`` the bucket of a value is
``1024 * shift + (value >> shift)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 2**63 - 1
"""The largest value a histogram holds."""
LARGEST_COUNT = 2**62 - 1
"""The largest number of values in one histogram: beyond it the standard encoding loses the top bit."""
SLOTS = 55_296
"""Number of buckets that cover 0 to `LARGEST`: 54 times 1024."""
SIGNIFICANT_DIGITS = 3

_HALF_MAGNITUDE = 10
_HALF = 1 << _HALF_MAGNITUDE
_MANTISSA_SHIFT = 52 - _HALF_MAGNITUDE
_EXPONENT_OFFSET = (1023 + _HALF_MAGNITUDE - 1) << _HALF_MAGNITUDE
_FLOAT_EXACT = 2**53


def bucket_of(value: int) -> int:
    """Returns the index of the bucket that holds a value from 0 to `LARGEST`."""
    shift = max(0, value.bit_length() - _HALF_MAGNITUDE - 1)
    return (shift << _HALF_MAGNITUDE) + (value >> shift)


def lowest_in(bucket: int) -> int:
    """Returns the lowest value of a bucket."""
    shift = max(0, (bucket >> _HALF_MAGNITUDE) - 1)
    return (bucket - (shift << _HALF_MAGNITUDE)) << shift


def highest_in(bucket: int) -> int:
    """Returns the highest value of a bucket."""
    return lowest_in(bucket) + (1 << max(0, (bucket >> _HALF_MAGNITUDE) - 1)) - 1


def offsets_of(values: NDArray[np.int64], low: int, high: int, first: int) -> NDArray[np.int64]:
    """Returns each value's bucket, counted from bucket `first`; `low` and `high` are the values' extremes.

    An IEEE 754 double holds a value's bit length in its exponent, and the ten bits after the leading one at
    the top of its mantissa, so its upper bits are the bucket but for a constant.
    """
    exact = values
    if high >= _FLOAT_EXACT:
        # Clears the twelfth bit and none of the eleven before it: rounding to 53 bits cannot carry into them.
        exact = values & ~(values >> (_HALF_MAGNITUDE + 1))
    offsets: NDArray[np.int64] = exact.astype(np.float64).view(np.int64)
    offsets >>= _MANTISSA_SHIFT
    offsets -= _EXPONENT_OFFSET + first
    if low < _HALF:
        np.subtract(values, first, out=offsets, where=values < _HALF)
    return offsets


def middles_of(buckets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the middle value of each bucket, rounded up, as HdrHistogram's mean and deviation take it."""
    shifts = np.maximum(0, (buckets >> _HALF_MAGNITUDE) - 1)
    lowest = (buckets - (shifts << _HALF_MAGNITUDE)) << shifts
    middles: NDArray[np.int64] = lowest + ((np.int64(1) << shifts) >> 1)
    return middles


def highest_of(buckets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the highest value of each bucket."""
    shifts = np.maximum(0, (buckets >> _HALF_MAGNITUDE) - 1)
    highest: NDArray[np.int64] = ((buckets - (shifts << _HALF_MAGNITUDE) + 1) << shifts) - 1
    return highest


def exact_sum(values: NDArray[np.int64], largest: int) -> int:
    """Returns the sum of values from 0 to `largest`, also where an int64 would overflow."""
    if largest * len(values) <= LARGEST:
        return int(values.sum())
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFF_FFFF).sum())


def exact_dot(values: NDArray[np.int64], counts: NDArray[np.int64], largest: int, total: int) -> int:
    """Returns the sum of values (up to `largest`) times counts (`total` in all), also beyond an int64."""
    if largest * total <= LARGEST:
        return int(np.dot(values, counts))
    # Beyond 292 years in one sum only Python's integers are wide enough; slower, and hardly ever needed.
    return int(np.dot(values.astype(object), counts.astype(object)))


def as_int64(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the array as int64; raises TypeError where that could lose something."""
    values = np.asarray(values)
    if values.dtype == np.int64:
        return values
    return values.astype(np.int64, casting="safe")
