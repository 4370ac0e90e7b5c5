import base64
import contextlib
import math
import random
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.metrics.hdr_buckets import (
    LARGEST,
    LARGEST_COUNT,
    SLOTS,
    bucket_of,
    highest_in,
    lowest_in,
    offsets_of,
)
from ws_load_test.metrics.histogram import Histogram

EDGES = sorted(
    {0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, LARGEST}
    | {2**k + d for k in range(63) for d in (-1, 0, 1)}
)
# As many small values as large ones: a plain range would hardly ever draw one below 2**50.
VALUES = st.one_of(st.sampled_from(EDGES), st.integers(0, 63).flatmap(lambda bits: st.integers(0, (1 << bits) - 1)))
SAMPLES = st.lists(VALUES, min_size=1, max_size=60)
REFERENCE = HdrHistogram(1, LARGEST, 3)


def array(values):
    return np.array(values, dtype=np.int64)


def filled(values, counts=None):
    histogram = Histogram()
    histogram.record_block(array(values), None if counts is None else array(counts))
    return histogram


class TestBuckets:
    def test_arithmetic_is_that_of_the_standard(self):
        source = random.Random(1)
        values = EDGES + [source.getrandbits(source.randint(1, 63)) for _ in range(3000)]
        assert REFERENCE.counts_len == SLOTS
        for value in values:
            bucket = bucket_of(value)
            assert bucket == REFERENCE._counts_index_for(value)
            assert lowest_in(bucket) == REFERENCE.get_lowest_equivalent_value(value)
            assert highest_in(bucket) == REFERENCE.get_highest_equivalent_value(value)
        offsets = offsets_of(array(values), min(values), max(values), 0)
        assert offsets.tolist() == [bucket_of(value) for value in values]

    @given(SAMPLES)
    def test_blocks_find_the_same_buckets_whatever_their_range(self, values):
        first = bucket_of(min(values))
        offsets = offsets_of(array(values), min(values), max(values), first)
        assert offsets.tolist() == [bucket_of(value) - first for value in values]

    @given(VALUES)
    def test_no_bucket_is_wider_than_a_thousandth_of_its_values(self, value):
        low, high = lowest_in(bucket_of(value)), highest_in(bucket_of(value))
        assert low <= value <= high
        assert (high - low) * 1024 <= low


class TestRecording:
    def test_an_empty_one_has_nothing(self):
        empty = Histogram()
        assert (empty.count, empty.min, empty.max, empty.sum) == (0, None, None, 0)
        assert empty.mean() is empty.stdev() is empty.percentile(50) is empty.stats() is None
        assert list(empty.iter_buckets()) == []
        assert empty.count_between(0, LARGEST) == 0

    @given(SAMPLES)
    def test_a_block_is_the_same_as_its_values_one_by_one(self, values):
        single = Histogram()
        for value in values:
            single.record(value)
        assert filled(values) == single
        assert (single.count, single.min, single.max) == (len(values), min(values), max(values))
        assert single.sum == sum(values)

    @given(st.lists(st.tuples(VALUES, st.integers(0, 2**40)), max_size=40))
    def test_counts_weigh_and_zero_counts_leave_no_trace(self, pairs):
        single = Histogram()
        for value, count in pairs:
            single.record(value, count)
        block = filled([value for value, _ in pairs], [count for _, count in pairs])
        assert block == single
        assert block.sum == sum(value * count for value, count in pairs)
        assert block.min == min((value for value, count in pairs if count), default=None)

    def test_sums_stay_exact_beyond_64_bits(self):
        assert filled([LARGEST] * 5000).sum == 5000 * LARGEST
        assert filled([LARGEST, 3], [2**40, 1]).sum == LARGEST * 2**40 + 3

    def test_a_negative_value_or_count_is_refused_and_changes_nothing(self):
        histogram = filled([5])
        for attempt in (
            lambda: histogram.record(-1),
            lambda: histogram.record(LARGEST + 1),
            lambda: histogram.record(1, -1),
            lambda: histogram.record_block(array([3, -1])),
            lambda: histogram.record_block(array([3, 4]), array([1, -1])),
            lambda: histogram.record_block(array([3, 4]), array([1])),
        ):
            with pytest.raises(ValueError):
                attempt()
        with pytest.raises(TypeError):
            histogram.record_block(np.array([1.5]))
        assert histogram == filled([5])

    def test_a_negative_value_that_counts_nothing_is_ignored(self):
        assert filled([-1, 7], [0, 1]) == filled([7])

    def test_more_than_it_can_write_down_is_refused(self):
        histogram = filled([1], [LARGEST_COUNT])
        with pytest.raises(OverflowError):
            histogram.record(1)
        with pytest.raises(OverflowError):
            histogram.record_block(array([1, 2]))
        with pytest.raises(OverflowError):
            histogram.merge(filled([1]))
        with pytest.raises(OverflowError):
            filled([1, 2], [LARGEST_COUNT, LARGEST_COUNT])
        assert histogram.count == LARGEST_COUNT

    def test_memory_is_bounded(self):
        assert len(filled([LARGEST])._counts) == SLOTS
        assert len(filled([1])._counts) <= 2048

    @given(st.lists(SAMPLES, max_size=4), st.randoms())
    def test_merging_is_recording_all_in_one_in_any_order(self, blocks, source):
        whole = filled([value for block in blocks for value in block])
        source.shuffle(blocks)
        merged = Histogram()
        for block in blocks:
            merged.merge(filled(block))
        assert merged == whole

    def test_merging_with_itself_doubles(self):
        histogram = filled([5, 10**9])
        histogram.merge(histogram)
        assert histogram == filled([5, 5, 10**9, 10**9])

    def test_a_copy_is_independent_and_clearing_leaves_nothing(self):
        histogram = filled([5, 10**9])
        twin = histogram.copy()
        histogram.record(6)
        assert twin == filled([5, 10**9])
        slots = len(twin._counts)
        twin.clear()
        assert twin == Histogram()
        assert len(twin._counts) == slots
        twin.record(10**9)
        assert twin == filled([10**9])

    def test_equality_sees_every_part(self):
        assert filled([4096]) != filled([4097])
        assert filled([1, 5, 9]) != filled([1, 4, 10])
        assert filled([1, 2, 6, 9]) != filled([1, 3, 5, 9])
        assert filled([1]) != 1


class TestQueries:
    @given(SAMPLES, st.one_of(st.floats(0, 100), st.sampled_from([50, 99.9, 99.99, 100, 0, 14.3])))
    def test_percentiles_are_those_of_the_sorted_values(self, values, p):
        histogram = filled(values)
        rank = max(1, math.ceil(Fraction(str(p)) * len(values) / 100))
        exact = sorted(values)[rank - 1]
        found = histogram.percentile(p)
        assert exact <= found <= min(exact + exact // 1024, max(values))
        assert histogram.percentiles([p, 100, "0"]) == [found, max(values), histogram.percentile(0)]

    def test_ranks_are_free_of_rounding(self):
        # In doubles 99.9 / 100 * 1000 is a little more than 999, and 7 / 100 * 100 a little more than 7.
        assert filled(range(1, 1001)).percentile(99.9) == 999
        assert filled(range(1, 101)).percentile(7) == 7
        assert filled(range(1, 101)).percentile(7.000001) == 8

    def test_ranks_are_exact_in_large_counts(self):
        assert filled([1, 2], [2**61, 1]).percentiles([50, 100]) == [1, 2]
        assert filled([1, 2], [2**60, 2**60 + 2]).percentile(50) == 2

    def test_a_percentile_outside_0_to_100_is_refused(self):
        for p in (-1, 100.1):
            with pytest.raises(ValueError, match="0 to 100"):
                filled([1]).percentile(p)

    @given(st.lists(VALUES, min_size=1, max_size=20))
    @settings(deadline=None, max_examples=10)
    def test_mean_is_exact_and_deviation_that_of_the_standard(self, values):
        histogram = filled(values)
        standard = HdrHistogram(1, LARGEST, 3)
        for value in values:
            standard.record_value(value)
        assert histogram.mean() == sum(values) / len(values)
        assert histogram.stdev() == pytest.approx(standard.get_stddev(), rel=1e-9, abs=max(values) * 1e-12)

    @given(SAMPLES, VALUES, VALUES)
    def test_spans_and_counts_between_add_up(self, values, low, high):
        histogram = filled(values)
        spans = list(histogram.iter_buckets())
        assert sum(count for _, _, count in spans) == len(values)
        assert [span[0] for span in spans] == sorted({lowest_in(bucket_of(value)) for value in values})
        expected = sum(1 for value in values if bucket_of(low) <= bucket_of(value) <= bucket_of(high))
        assert histogram.count_between(low, high) == (expected if low <= high else 0)
        assert histogram.count_between(min(values), max(values)) == len(values)
        assert histogram.count_between(-5, LARGEST * 2) == len(values)

    @given(SAMPLES, st.sets(VALUES, max_size=8))
    def test_drawn_buckets_lose_nothing(self, values, cuts):
        edges = sorted({0, LARGEST} | cuts)
        drawn = filled(values).merge_buckets(edges)
        assert len(drawn) == len(edges) - 1
        assert sum(drawn) == len(values)

    def test_drawn_buckets_hold_what_lies_between_their_edges(self):
        assert filled([0, 9, 10, 19, 20, 30]).merge_buckets([0, 10, 20, 30]) == [2, 2, 2]
        for edges in ([1], [5, 5], [-1, 5], [0, LARGEST + 1]):
            with pytest.raises(ValueError, match="edges"):
                filled([1]).merge_buckets(edges)

    def test_stats_have_the_keys_of_the_summary_and_integers_only(self):
        stats = filled([1, 2, 4, 10**9 + 7]).stats()
        names = "count min mean stdev max p5 p10 p50 p75 p90 p95 p99 p99.9 p99.99"
        assert list(stats) == names.split()
        assert all(type(value) is int for value in stats.values())
        assert (stats["count"], stats["min"], stats["max"], stats["p50"]) == (4, 1, 10**9 + 7, 2)
        assert stats["mean"] == 250000004

    @given(SAMPLES)
    def test_stats_are_in_order(self, values):
        stats = filled(values).stats()
        assert stats["min"] <= stats["mean"] <= stats["max"]
        ranks = [value for name, value in stats.items() if name.startswith("p")]
        assert [stats["min"], *ranks, stats["max"]] == sorted([stats["min"], *ranks, stats["max"]])


WEIGHTED = st.lists(st.tuples(VALUES, st.integers(1, 2**55)), max_size=40)


class TestForms:
    @given(WEIGHTED)
    @settings(deadline=None)
    def test_wire_and_record_give_back_the_same(self, pairs):
        histogram = filled([value for value, _ in pairs], [count for _, count in pairs])
        for write, read in (
            (Histogram.to_wire, Histogram.from_wire),
            (Histogram.to_record, Histogram.from_record),
        ):
            again = read(msgspec.json.decode(msgspec.json.encode(write(histogram))))
            assert again == histogram
            again.record(1)
            assert again.count == histogram.count + 1

    @pytest.mark.parametrize("count", [1, 2**31, 2**32, 2**53 + 1, 2**61 - 1, LARGEST_COUNT])
    @pytest.mark.parametrize("value", [0, 3_600_000_000_001, 2**42, 2**62 + 12345, LARGEST])
    def test_huge_values_and_counts_survive(self, value, count):
        histogram = filled([value], [count])
        assert Histogram.from_record(histogram.to_record()) == histogram
        assert Histogram.from_wire(histogram.to_wire()) == histogram

    @given(st.lists(st.integers(0, 60).flatmap(lambda bits: st.integers(0, 1 << bits)), min_size=1, max_size=60))
    @settings(deadline=None, max_examples=30)
    def test_the_standard_library_reads_ours(self, values):
        histogram = filled(values)
        standard = HdrHistogram.decode(histogram.encode())
        assert standard.get_total_count() == len(values)
        # The standard rounds a rank to the nearest, so only ranks that are whole are the same in both.
        ps = [100 * rank / len(values) for rank in range(1, len(values) + 1)]
        theirs = standard.get_percentile_to_value_dict(ps)
        for rank, p in enumerate(ps, 1):
            assert theirs[p] == highest_in(bucket_of(sorted(values)[rank - 1]))

    @given(st.lists(st.integers(0, 2**41), max_size=60))
    @settings(deadline=None, max_examples=15)
    def test_a_string_of_the_standard_library_is_read(self, values):
        standard = HdrHistogram(1, 3_600_000_000_000, 3)
        for value in values:
            standard.record_value(value)
        ours = Histogram.decode(standard.encode().decode())
        assert [span[0] for span in ours.iter_buckets()] == sorted({lowest_in(bucket_of(value)) for value in values})
        assert ours.count == len(values)
        for p in (5, 50, 99, 99.9, 100) if values else ():
            assert ours.percentile(p) == highest_in(bucket_of(filled(values).percentile(p)))
        if values:
            assert ours.mean() == pytest.approx(standard.get_mean_value())
            assert ours.min == lowest_in(bucket_of(min(values)))
            assert ours.max == highest_in(bucket_of(max(values)))

    def test_the_encoding_is_the_standard_one(self):
        assert filled([1, 10**9]).encode().startswith("HISTF")
        assert HdrHistogram.decode(filled([10**9]).encode()).highest_trackable_value == 3_600_000_000_000
        assert HdrHistogram.decode(Histogram().encode()).get_total_count() == 0

    def test_other_precisions_and_no_histograms_are_refused(self):
        texts = [
            HdrHistogram(1, 10**9, 2).encode().decode(),
            HdrHistogram(1000, 10**9, 3).encode().decode(),
            filled([5]).encode()[:-8],
            "HISTF",
            "",
            "ünfug",
            base64.b64encode(b"x" * 100).decode(),
        ]
        for text in texts:
            with pytest.raises(ValueError, match="not an HdrHistogram of 3 significant digits"):
                Histogram.decode(text)

    @given(st.data())
    @settings(deadline=None)
    def test_a_damaged_string_raises_value_error_or_is_a_histogram(self, data):
        raw = bytearray(base64.b64decode(filled([3, 1000, 10**9]).encode()))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        with contextlib.suppress(ValueError):
            assert Histogram.decode(base64.b64encode(raw).decode()).count >= 0

    def test_damaged_wire_data_raise_value_error(self):
        good = filled([5, 5000], [1, 2]).to_wire()
        assert Histogram.from_wire(good).count == 3

        def packed(numbers, kind):
            return base64.b64encode(np.array(numbers, dtype=kind).tobytes()).decode()

        slots = [bucket_of(5), bucket_of(5000)]
        bad = [
            {},
            [],
            None,
            {**good, "i": "*"},
            {**good, "i": 5},
            {**good, "n": "AAA="},
            {**good, "n": packed([1], "<i8")},
            {**good, "n": packed([1, 0], "<i8")},
            {**good, "n": packed([1, -2], "<i8")},
            {**good, "n": packed([LARGEST, LARGEST], "<i8")},
            {**good, "i": packed(slots[::-1], "<u2")},
            {**good, "i": packed([slots[0]] * 2, "<u2")},
            {**good, "i": packed([slots[0], SLOTS], "<u2")},
            {**good, "min": None},
            {**good, "min": True},
            {**good, "min": -5},
            {**good, "min": 4},
            {**good, "max": 9000},
            {**good, "max": 2**70},
            {**good, "sum": 1.5},
            {**good, "sum": 10**9},
            {**good, "sum": "many"},
            {**good, "sum": 3},
            {"i": "", "n": "", "min": 1, "max": None, "sum": 0},
        ]
        for data in bad:
            with pytest.raises(ValueError):
                Histogram.from_wire(data)

    def test_wire_data_with_consistent_totals_and_impossible_buckets_raise_value_error(self):
        def packed(buckets, counts):
            pair = {"i": np.array(buckets, dtype="<u2"), "n": np.array(counts, dtype="<i8")}
            return {name: base64.b64encode(numbers.tobytes()).decode() for name, numbers in pair.items()}

        ends = {"min": 5, "max": 9}
        assert Histogram.from_wire({**packed([5, 6, 7, 9], [1] * 4), **ends, "sum": 27}).count == 4
        for buckets, counts, total in (
            ([5, 7, 6, 9], [1, 1, 1, 1], 27),
            ([5, 6, 6, 9], [1, 1, 1, 1], 27),
            ([5, 6, 7, 9], [1, 0, 1, 1], 21),
            ([5, 6, 7, 9], [2, -1, 1, 1], 21),
            ([5, 6, 7, 9], [2**62, 1, 1, 1], 5 * (2**62 + 3)),
        ):
            with pytest.raises(ValueError):
                Histogram.from_wire({**packed(buckets, counts), **ends, "sum": total})

    def test_damaged_record_data_raise_value_error(self):
        good = filled([5, 5000]).to_record()
        for data in (
            {},
            [],
            {**good, "hdr": 5},
            {**good, "hdr": "x"},
            {**good, "max": 1},
            {**good, "sum": None},
        ):
            with pytest.raises(ValueError):
                Histogram.from_record(data)
