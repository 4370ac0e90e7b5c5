"""Interval logs and percentile distributions, read by the tools that they are made for."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factories.results import (
    MICRO,
    MILLI,
    SECOND,
    answers,
    histogram,
    interval,
    recording,
    recordings,
    results,
    several,
    text_of,
    usual,
)
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.report.content.percentile_steps import steps
from ws_load_test.report.exports import hdr_interval_log

_kept = Path.home().glob(".m2/repository/org/hdrhistogram/HdrHistogram/*/HdrHistogram-*.jar")
JAR = os.environ.get("HDRHISTOGRAM_JAR") or max(map(str, _kept), default=None)
"""The Java library, which is the original; Maven keeps it there (org.hdrhistogram:HdrHistogram)."""


def read_log(text):
    """The reader's histograms: (tag, start in ms since 1970, end, histogram)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.hlog"
        path.write_text(text)
        reader = HistogramLogReader(str(path), HdrHistogram(1, LARGEST, 3))
        found = []
        while (one := reader.get_next_interval_histogram()) is not None:
            found.append((one.get_tag(), one.get_start_time_stamp(), one.get_end_time_stamp(), one))
        reader.close()
    return found


def merged(found, tag):
    """All histograms of a tag, added up by buckets."""
    total = Histogram()
    for its_tag, _, _, one in found:
        if its_tag == tag:
            total.merge(Histogram.decode(one.encode().decode()))
    return total


def buckets(made):
    return list(made.iter_buckets())


class TestIntervalLog:
    @settings(max_examples=60, deadline=None)
    @given(several)
    @example([recording(interval(answers(), phase="measured"))])
    @example([usual(), usual()])
    def test_a_reader_finds_the_histograms_of_the_digest_bucket_for_bucket(self, made):
        taken = results(*made)
        found = read_log(text_of("hdr", taken))
        tally = taken.aggregate.tally
        apart = any("service_time_ns" in one.encoded_tally for each in made for one in each.intervals)
        assert buckets(merged(found, "response" if apart else None)) == buckets(tally.response_time_ns)
        if apart:
            assert buckets(merged(found, "service")) == buckets(tally.service_time_ns)
        assert {tag for tag, *_ in found} <= ({"response", "service"} if apart else {None})

    @given(several)
    @settings(max_examples=30, deadline=None)
    def test_lines_are_in_order_of_time(self, made):
        starts = [start for _, start, _, _ in read_log(text_of("hdr", results(*made)))]
        assert starts == sorted(starts)

    def test_percentiles_of_a_reader_are_the_summarys(self):
        values = [*(k * 10 * MICRO for k in range(1, 1000)), 5 * SECOND]
        halves = [interval(answers(*values[place::2], service=[1]), index=place) for place in range(2)]
        taken = results(recording(*halves))
        total = HdrHistogram(1, 3_600 * SECOND, 3)
        for tag, _, _, one in read_log(text_of("hdr", taken)):
            if tag == "response":
                total.add(one)
        stats = taken.summary.response_time_ns
        assert total.get_total_count() == stats.count == 1000
        for percentile in (5, 10, 50, 75, 90, 95, 99):
            assert total.get_value_at_percentile(percentile) == stats.value(f"p{percentile}")

    def test_it_has_the_lines_of_format_1_3(self):
        lines = text_of("hdr", results(usual())).splitlines()
        head = [line for line in lines if line.startswith("#")]
        assert lines[: len(head)] == head
        assert "#[Histogram log format version 1.3]" in head
        assert "#[StartTime: 1772366407.250000 (seconds since epoch), Sun Mar 01 12:00:07 UTC 2026]" in head
        assert "#[BaseTime: 1772366407.250000 (seconds since epoch)]" in head
        assert lines[len(head)] == '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
        rows = [line.rpartition(",")[0] for line in lines[len(head) + 1 :]]
        assert rows == [
            "Tag=response,1.000000,1.000000,10.000000",
            "Tag=service,1.000000,1.000000,1.000000",
            "Tag=response,2.000000,0.500000,3.000000",
            "Tag=service,2.000000,0.500000,1.000000",
            "Tag=response,3.000000,1.000000,7.000000",
            "Tag=service,3.000000,1.000000,6.000000",
        ]

    def test_a_reader_places_intervals_in_absolute_time(self):
        _, start_ms, end_ms, _ = read_log(text_of("hdr", results(usual())))[2]
        assert (start_ms, end_ms) == (1772366409250.0, 1772366409750.0)

    def test_a_second_with_no_answer_has_a_line_all_the_same(self):
        made = recording(
            interval(answers(5)), interval(answers(), index=2), interval(answers(), index=3, phase="closing")
        )
        found = read_log(text_of("hdr", results(made)))
        assert [one.get_total_count() for *_, one in found] == [1, 0]
        assert {tag for tag, *_ in found} == {None}

    def test_recordings_that_started_apart_share_one_clock(self):
        early = recording(interval(answers(5)), started="2026-03-01T12:00:00Z")
        late = recording(interval(answers(6, 7)), started="2026-03-01T12:00:00.5Z")
        found = read_log(text_of("hdr", results(late, early)))
        assert [(start, one.get_total_count()) for _, start, _, one in found] == [
            (1772366401000.0, 1),
            (1772366401500.0, 2),
        ]

    def test_a_target_cannot_write_lines_of_its_own(self):
        made = recording(interval(answers(5)), target="ws://h/\n0.0,1.0,2.0,HISTF")
        assert len(read_log(text_of("hdr", results(made)))) == 1

    def test_what_a_recording_holds_is_encoded_anew(self, monkeypatch):
        one = interval(answers(5))
        text = one.encoded_tally["response_time_ns"]["hdr"]
        # base64 decoders skip what is no letter of theirs, so a reader of recordings may have let it pass.
        monkeypatch.setattr(hdr_interval_log.Histogram, "from_record", lambda _: histogram(5))
        one.encoded_tally["response_time_ns"]["hdr"] = text[:10] + "\n" + text[10:]
        line = next(hdr_interval_log._line("", 0, one, "response_time_ns"))
        assert line.count("\n") == 1

    @pytest.mark.skipif(JAR is None or not shutil.which("java"), reason="needs java and the jar of HdrHistogram")
    def test_the_original_reads_it(self, tmp_path):
        (tmp_path / "x.hlog").write_text(text_of("hdr", results(recording(interval(answers(*THOUSAND))))))
        main = ["java", "-cp", JAR, "org.HdrHistogram.HistogramLogProcessor"]
        options = ["-i", tmp_path / "x.hlog", "-outputValueUnitRatio", "1000000"]
        done = subprocess.run([*main, *options], capture_output=True, text=True, check=True)
        assert done.stdout.partition("\n\n")[2].startswith(ORIGINAL + "#[Mean")


# --- Percentiles ---

ROW = re.compile(r" *(\d+\.\d{6}) ([01]\.\d{12}) +(\d+)(?: +(\d+\.\d\d))?")


def rows(text):
    return [found.groups() for line in text.splitlines() if (found := ROW.fullmatch(line))]


ORIGINAL = """\
       0.100 0.000000000000          1           1.00
       1.000 0.100000000000        910           1.11
       1.000 0.200000000000        910           1.25
       1.000 0.300000000000        910           1.43
       1.000 0.400000000000        910           1.67
       1.000 0.500000000000        910           2.00
       1.000 0.550000000000        910           2.22
       1.000 0.600000000000        910           2.50
       1.000 0.650000000000        910           2.86
       1.000 0.700000000000        910           3.33
       1.000 0.750000000000        910           4.00
       1.000 0.775000000000        910           4.44
       1.000 0.800000000000        910           5.00
       1.000 0.825000000000        910           5.71
       1.000 0.850000000000        910           6.67
       1.000 0.875000000000        910           8.00
       1.000 0.887500000000        910           8.89
       1.000 0.900000000000        910          10.00
       1.300 0.912500000000        913          11.43
       2.501 0.925000000000        925          13.33
       3.801 0.937500000000        938          16.00
       4.403 0.943750000000        944          17.78
       5.001 0.950000000000        950          20.00
       5.702 0.956250000000        957          22.86
       6.304 0.962500000000        963          26.67
       6.902 0.968750000000        969          32.00
       7.201 0.971875000000        972          35.56
       7.504 0.975000000000        975          40.00
       7.901 0.978125000000        979          45.71
       8.200 0.981250000000        982          53.33
       8.503 0.984375000000        985          64.00
       8.602 0.985937500000        986          71.11
       8.806 0.987500000000        988          80.00
       9.003 0.989062500000        990          91.43
       9.101 0.990625000000        991         106.67
       9.306 0.992187500000        993         128.00
       9.306 0.992968750000        993         142.22
       9.404 0.993750000000        994         160.00
       9.503 0.994531250000        995         182.86
      20.005 0.995312500000        996         213.33
      30.015 0.996093750000        997         256.00
      30.015 0.996484375000        997         284.44
      30.015 0.996875000000        997         320.00
      40.010 0.997265625000        998         365.71
      40.010 0.997656250000        998         426.67
      50.004 0.998046875000        999         512.00
      50.004 0.998242187500        999         568.89
      50.004 0.998437500000        999         640.00
      50.004 0.998632812500        999         731.43
      50.004 0.998828125000        999         853.33
    7000.293 0.999023437500       1000        1024.00
    7000.293 1.000000000000       1000
"""
"""What HistogramLogProcessor of the Java library (2.2.2, in ms) printed of the log of `THOUSAND`."""
THOUSAND = [
    *[MILLI] * 900,
    *(k * 100 * MICRO for k in range(1, 96)),
    *(20 * MILLI, 30 * MILLI, 40 * MILLI, 50 * MILLI, 7 * SECOND),
]


class TestDistribution:
    def test_its_rows_are_those_of_the_original(self):
        ours = rows(text_of("hgrm", results(recording(interval(answers(*THOUSAND))))))
        theirs = [line.split() for line in ORIGINAL.splitlines()]
        assert [[word for word in row[1:] if word] for row in ours] == [row[1:] for row in theirs]
        for (our_ms, *_), (their_ms, *_) in zip(ours, theirs, strict=True):
            # Theirs is the highest of its bucket even beyond the maximum, and in µs.
            assert float(our_ms) == pytest.approx(min(float(their_ms), 7000.0), abs=0.00051)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, LARGEST), min_size=1, max_size=200))
    def test_each_row_is_what_the_histogram_says_of_its_rank(self, values):
        made = histogram(*values)
        found = list(steps(made))
        assert found[-1] == (made.max, 100.0, made.count)
        for value_ns, percentile, reached in found:
            assert reached >= percentile / 100 * made.count * (1 - 1e-12)
            assert made.count_between(0, value_ns) == reached
        assert [row[1] for row in found] == sorted({row[1] for row in found})

    def test_the_tail_is_resolved_to_the_slowest_of_a_million(self):
        made = histogram()
        made.record(MILLI, 999_990)
        for k in range(1, 11):
            made.record(k * SECOND)
        found = list(steps(made))
        beyond = {value_ns for value_ns, percentile, _ in found if percentile > 99.99}
        assert max(beyond) == 10 * SECOND
        assert len(beyond) >= 5, "the ten slowest are not one step"
        assert found[-2][1] > 99.9999

    def test_it_is_laid_out_as_the_original(self):
        lines = text_of("hgrm", results(usual())).splitlines()
        assert lines[:2] == ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
        assert lines[2] == "    0.010000 0.000000000000          1           1.00" or lines[2].startswith("    0.0100")
        last = lines.index("   10.000000 1.000000000000       1003")
        stats = results(usual()).summary.response_time_ns
        assert lines[last + 1].startswith(f"#[Mean    = {stats.mean / 1e6:12.6f}"[:20])
        assert lines[last + 2] == "#[Max     =    10.000000, Total count    =         1003]"
        assert lines[last + 3] == "#[Buckets =           32, SubBuckets     =         2048]"
        assert lines[last + 4] == "#[Unit    =           ms, of response times]"
        assert lines[last + 5] == "#[Target  = ws://h/]"

    def test_of_no_answer_it_has_no_rows(self):
        text = text_of("hgrm", results(recording(interval(answers()))))
        assert rows(text) == []
        assert "Total count    =            0]" in text

    def test_buckets_reach_as_far_as_the_encoded_histogram(self):
        made = recording(interval(answers(LARGEST)))
        assert "#[Buckets =           53," in text_of("hgrm", results(made))

    @given(recordings(), recordings())
    @settings(max_examples=20, deadline=None)
    def test_recordings_together_are_one_distribution(self, one, other):
        taken = results(one, other)
        found = list(steps(taken.aggregate.tally.response_time_ns))
        count = sum(tally.tally.response_time_ns.count for made in (one, other) for tally in made.intervals)
        assert (found[-1][2] if found else 0) == count
