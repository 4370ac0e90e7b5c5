import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.analysis.comparison.bootstrap import (
    Autocorrelation,
    BucketMatrix,
    resample,
    student_t,
    variance,
    welch_df,
)
from ws_load_test.metrics.histogram import Histogram

# From the tables of NIST's handbook, section 1.3.6.7.2, and of Abramowitz and Stegun, 26.10.
TABLE = [
    (0.975, 1, 12.706),
    (0.999, 1, 318.31),
    (0.95, 2, 2.920),
    (0.975, 4, 2.776),
    (0.995, 4, 4.604),
    (0.99, 9, 2.821),
    (0.9995, 10, 4.587),
    (0.975, 30, 2.042),
    (0.999, 60, 3.232),
    (0.975, 100, 1.984),
    (0.975, 10_000, 1.960),
    (0.9995, 10_000, 3.291),
]


@pytest.mark.parametrize(("p", "df", "value"), TABLE)
def test_students_t_is_that_of_the_tables(p, df, value):
    assert student_t(p, df) == pytest.approx(value, rel=3e-4)


def test_students_t_lies_between_those_of_whole_degrees_of_freedom():
    assert student_t(0.975, 3) < student_t(0.975, 2.5) < student_t(0.975, 2)


_values = st.lists(st.integers(0, 10**12), max_size=12)


@given(st.lists(st.tuples(_values, st.integers(0, 3)), min_size=1, max_size=5), st.sampled_from(["50", "90", "99.9"]))
def test_a_replicate_has_the_quantiles_of_its_units_merged(units, percentile):
    histograms, merged = [], Histogram()
    for values, times in units:
        one = Histogram()
        for value in values:
            one.record(value)
        histograms.append(one)
        for _ in range(times):
            merged.merge(one)
    weights = np.array([[float(times) for _, times in units]])
    if not any(one.count for one in histograms):
        return
    (found,) = BucketMatrix(histograms).log_quantiles(weights, float(percentile) / 100)
    if not merged.count:
        assert math.isnan(found)
        return
    # The highest value of a bucket, where a histogram's own percentile does not pass its maximum.
    assert merged.percentiles((percentile,))[0] <= round(math.exp(found)) + 1
    assert math.exp(found) <= max(1, merged.percentiles((percentile,))[0]) * (1 + 2**-9)


def test_draws_have_as_many_units_as_there_are_and_are_the_same_every_time():
    weights = resample(7, 5)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)) is True
    assert (weights == resample(7, 5)).all()
    assert (weights != resample(7, 6)).any()


def test_the_variance_of_a_mean_is_that_of_its_units():
    values = np.random.default_rng(1).normal(10, 2, 8)
    replicates = resample(8, 3) @ values / 8
    assert variance(replicates, 8) == pytest.approx(values.var(ddof=1) / 8, rel=0.1)


def test_replicates_without_a_value_are_few_or_make_the_variance_unknown():
    few, many = np.ones(100), np.ones(100)
    few[0], many[:10] = np.nan, -np.inf
    assert variance(few, 5) == 0
    assert variance(many, 5) == math.inf


def test_degrees_of_freedom_are_those_of_the_side_that_varies():
    assert welch_df([1.0, 0.0], [9, 4]) == 9
    assert welch_df([1.0, 1.0], [9, 9]) == pytest.approx(18)
    assert welch_df([0.0, 0.0], [9, 4]) == 4


def _ar(rng, phi, size):
    values = [rng.standard_normal()]
    for _ in range(size - 1):
        values.append(phi * values[-1] + math.sqrt(1 - phi**2) * rng.standard_normal())
    return np.array(values) - np.mean(values)


def test_units_that_resemble_their_neighbours_widen_an_interval():
    rng = np.random.default_rng(2)

    def inflations(phi):
        for _ in range(200):
            correlation = Autocorrelation.of([_ar(rng, phi, 12), _ar(rng, phi, 12)])
            yield correlation.inflation(correlation.raw)

    assert 1 <= np.median(list(inflations(0.0))) < 1.2
    # What AR(1) makes of the variance of a mean: (1 + 0.5) / (1 - 0.5).
    assert np.median(list(inflations(0.5))) == pytest.approx(3, rel=0.35)
    assert np.median(list(inflations(-0.7))) == 1


def test_nothing_that_varies_has_no_correlation():
    assert Autocorrelation.of([np.zeros(5), np.zeros(5)]) is None
