import io
import re
from collections import Counter

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.summary_types import RunVerdict, ThresholdCheck
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.messages import Message
from ws_load_test.metrics.hdr_buckets import bucket_of
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import Header, Interval, LostWorker, Recording, Trailer, WorkerUsage
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.plan.target import Target
from ws_load_test.report.content.fault_names import close_code_name
from ws_load_test.report.terminal.glyphs import bar, to_encodable
from ws_load_test.report.terminal.latency_histogram import ROWS, bar_edges
from ws_load_test.report.terminal.run import print_report, report_lines

SECOND = 10**9
MILLI = 10**6
MICRO = 10**3
DASH = "\N{EN DASH}"


def plan(**parts):
    parts.setdefault("duration_ns", 10 * SECOND)
    return Plan(Target(parts.pop("url", "ws://echo.example/socket")), **parts)


def recording(*intervals, asked=None, lost=(), interrupted=False, killed=False, raw_plan=None):
    asked = (asked or plan(connections=100)).redacted()
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at="2026-03-01T12:00:07.25+00:00",
        plan=msgspec.to_builtins(asked) if raw_plan is None else raw_plan,
        target=asked.target.url,
        host={},
        workers=asked.workers,
    )
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, lost_workers=tuple(lost), summary={})
    return Recording(header, intervals, None if killed else trailer)


def interval(made, *, index=1, phase="measured", length_ns=SECOND, workers=(), fault_examples=None):
    return Interval.of(
        made,
        index=index,
        phase=phase,
        from_ns=index * SECOND,
        to_ns=index * SECOND + length_ns,
        measured_ns=length_ns if phase == "measured" else 0,
        workers=workers,
        fault_examples=fault_examples,
    )


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def opening(opened=100, *, failed=0, **parts):
    return interval(Tally(attempted=opened + failed, opened=opened, failed=failed, **parts), index=0, phase="opening")


def answers(*values, **parts):
    count = len(values)
    numbers = {"due": count, "sent": count, "answered": count, "answered_in_window": count} | parts
    return Tally(response_time_ns=histogram(*values), **numbers)


def report(*recordings, encoding="utf-8"):
    lines = report_lines(recordings, summarize(recordings), encoding=encoding)
    return "\n".join(line.plain for line in lines)


ON_BOTH = {"connections", "rate", "generator"}
"""Labels of the first screen that a table has as well."""


def row(text, label):
    """The rest of the one line that begins with a label; where the first screen has it too, of the one below."""
    found = [
        line.strip().removeprefix(label).strip()
        for line in text.splitlines()
        if re.match(rf"\s*{re.escape(label)}(\s|$)", line)
    ]
    assert len(found) == 1 or (len(found) == 2 and label in ON_BOTH), (label, found)
    return found[-1]


def cells(text, label):
    """The asked and the achieved of a row."""
    return tuple(re.split(r" {3,}", row(text, label)))


def flat(text):
    """All on one line, however it was wrapped."""
    return " ".join(text.split())


def widest(text):
    return max(map(len, text.splitlines()))


NORMAL = recording(
    opening(100, connect_time_ns=histogram(*(k * MILLI for k in range(1, 101)))),
    interval(answers(*(k * 10 * MICRO for k in range(1, 2001)), bytes_sent=4000, bytes_received=3000)),
    interval(Tally(closed=Counter({"1000": 100})), index=2, phase="closing"),
)


class TestVerdict:
    def test_a_clean_run_passed(self):
        lines = report(NORMAL).splitlines()
        assert lines[0] == "Done"
        assert lines[1] == "ws://echo.example/socket"
        assert lines[2] == "ws-load-test 0.1.0, started 2026-03-01 12:00:07 UTC"

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (Tally(faults=Counter({"reset": 1})), "Done, with 1 fault"),
            (Tally(faults=Counter({"reset": 1, "closed:1011": 1200})), "Done, with 1,201 faults"),
            (Tally(due=7, sent=7, unanswered=7), "Done, with 7 messages unanswered"),
            (Tally(due=1, dropped=1), "Done, with 1 message dropped"),
            (
                Tally(host_errors=Counter({"out-of-ports": 1})),
                "Done, with the generator at its limit",
            ),
        ],
    )
    def test_a_run_that_passed_tells_what_went_wrong(self, made, words):
        made.merge(answers(5000))
        assert report(recording(opening(), interval(made))).splitlines()[0] == words

    def test_no_answer_at_all_is_reported(self):
        words = report(recording(opening(), interval(Tally(due=3, sent=3, unanswered=3)))).splitlines()[0]
        assert words == "No message was answered"

    def test_nothing_opened(self):
        text = report(recording(opening(0, failed=100, faults=Counter({"connect-refused": 100}))))
        assert text.splitlines()[0] == "Could not open a single connection"

    def test_interrupted_comes_before_all_else(self):
        lost = [LostWorker(0, "gone", 1)]
        text = report(recording(opening(0), interrupted=True, lost=lost))
        assert text.splitlines()[0] == "Partial: interrupted"

    def test_killed(self):
        text = report(recording(opening(), interval(answers(5000)), killed=True))
        assert text.splitlines()[0] == "Partial: killed, the recording has no end"

    def test_lost_workers_with_reason_and_instant(self):
        lost = [LostWorker(3, "it was killed by signal 9", 1_200 * MILLI)]
        text = report(recording(opening(), interval(answers(5000)), lost=lost))
        assert text.splitlines()[0] == "A worker was lost"
        assert row(text, "lost worker") == "worker 3, 1.20 s after the start: it was killed by signal 9"

    def test_lost_workers_of_several_recordings_are_reported_apart(self):
        lost = [LostWorker(0, "gone", 1_200 * MILLI), LostWorker(1, "gone", 1_300 * MILLI)]
        text = report(NORMAL, recording(opening(), lost=lost))
        assert text.splitlines()[0] == "2 workers were lost"
        assert "recording 2, worker 0, 1.20 s after the start: gone" in text

    def test_thresholds_when_there_are_any(self):
        summary = summarize([NORMAL])
        checks = [
            ThresholdCheck(check="p99<50ms", value=1, passed=True),
            ThresholdCheck(check="p50<1ms", value=2, passed=False),
        ]
        summary = msgspec.structs.replace(summary, verdict=RunVerdict(passed=False, checks=checks))
        lines = [line.plain for line in report_lines([NORMAL], summary)]
        assert lines[0] == "A threshold failed"
        assert lines[3:5] == ["  passed  p99<50ms", "  failed  p50<1ms"]


class TestAskedAndAchieved:
    def test_a_run_for_a_time(self):
        asked = plan(
            connections=1234,
            load=ClosedLoop(16),
            message=Message("binary", 32, b""),
            connect_rate_per_s=50.0,
            warmup_ns=2 * SECOND,
        )
        text = report(
            recording(
                opening(97, failed=3),
                interval(Tally(lost=2, answered_in_window=9000), length_ns=1500 * MILLI),
                interval(Tally(bytes_sent=1200, bytes_received=3400), index=3, phase="closing"),
                asked=asked,
            )
        )
        assert cells(text, "connections") == ("1,234, at 50/s", "97 opened, 3 failed, 2 lost")
        assert cells(text, "total time") == ("10 s, warm-up 2 s", "1.50 s")
        assert row(text, "load") == "16 in flight each"
        assert cells(text, "message") == ("binary, 32 B", "1.20 kB sent, 3.40 kB received")
        assert cells(text, "throughput") == ("as fast as it answers", "6,000/s")
        begin = {
            line.index(word)
            for line in text.splitlines()
            for word in ("achieved", "97 op", "1.50 s", "1.20 kB", "6,0")
            if word in line
        }
        assert len(begin) == 1

    def test_a_number_of_messages(self):
        asked = plan(duration_ns=None, messages=12_345)
        text = report(recording(opening(1), interval(answers(5000, 6000)), asked=asked))
        found = [line for line in text.splitlines() if line.startswith("requests ")]
        assert [line.split() for line in found] == [
            ["requests", "12,345", "2", "answered"],
            ["requests", "connect", "time"],
        ]
        assert cells(text, "total time") == ("until all are answered", "1 s")

    def test_connections_of_which_nothing_is_known(self):
        text = report(recording(interval(Tally(attempted=9, opened=4), phase="opening"), killed=True))
        assert row(text, "connections").endswith("4 opened, 0 failed, 0 lost, 5 unknown")

    def test_several_recordings_that_asked_for_the_same(self):
        text = report(NORMAL, NORMAL)
        assert cells(text, "connections") == ("100 each", "200 opened, 0 failed, 0 lost")
        assert cells(text, "total time")[0] == "10 s each"
        assert row(text, "load") == "1 in flight each"
        assert "2 recordings together" in text

    def test_several_recordings_that_asked_for_different_things(self):
        other = recording(opening(10), asked=plan(connections=10, load=ClosedLoop(4), url="ws://b.example/"))
        text = report(NORMAL, other)
        assert row(text, "connections").startswith("several ")
        assert row(text, "load") == "several"
        assert row(text, "message").startswith("text, 4 B ")
        assert "ws://echo.example/socket, ws://b.example/" in text

    def test_a_plan_of_another_version_is_not_guessed(self):
        text = report(recording(opening(5), raw_plan={"load": {"kind": "closed"}, "novelty": 1}))
        assert cells(text, "connections") == (DASH, "5 opened, 0 failed, 0 lost")
        assert cells(report(NORMAL, recording(raw_plan={})), "connections")[0] == DASH
        assert row(text, "load") == DASH


def open_plan(*stages, **parts):
    load = OpenLoop(LoadProfile(stages or (Stage(10 * SECOND, 500, 500),)), **parts.pop("load", {}))
    return plan(load=load, **parts)


class TestOpenLoad:
    def test_the_asked_rate_stands_beside_the_achieved_one(self):
        made = Tally(due=1000, sent=900, dropped=100, answered_in_window=800)
        text = report(recording(opening(), interval(made, length_ns=2 * SECOND), asked=open_plan()))
        assert row(text, "load") == "constant arrivals"
        assert cells(text, "rate") == ("500/s", "450/s sent")
        assert cells(text, "throughput") == ("what is sent", "400/s")

    def test_poisson_and_a_limit_in_flight(self):
        text = report(recording(asked=open_plan(load={"arrivals": "poisson", "max_in_flight": 7})))
        assert row(text, "load") == "poisson, at most 7 in flight each"
        assert cells(text, "rate") == ("500/s", DASH)

    def test_a_rate_of_many_stages_takes_lines_of_its_own(self):
        stages = [Stage(SECOND, k * 1000, k * 1000 + 500) for k in range(6)]
        text = report(recording(opening(), interval(answers(5000)), asked=open_plan(*stages)))
        begin = text.rindex("\nrate ")
        lines = text[begin + 1 : text.rindex("\nmessage")].splitlines()
        assert len(lines) > 3
        assert flat(" ".join(line[14 : lines[0].index("1/s sent")] for line in lines)).startswith(
            "from 0/s to 500/s in 1 s, then from 1,000/s"
        )
        assert [line.endswith("1/s sent") for line in lines] == [True] + [False] * (len(lines) - 1)
        assert widest(text) <= 80

    def test_connections_that_come_and_go(self):
        shape = LoadProfile((Stage(SECOND, 0, 50), Stage(SECOND, 50, 50)))
        text = report(recording(opening(), asked=open_plan(connection_profile=shape)))
        assert cells(text, "connections") == ("from 0 to 50 in 1 s, then 50 for 1", "100 opened, 0 failed, 0 lost")

    def test_held_connections_have_no_rate(self):
        text = report(recording(opening(), asked=open_plan(Stage(SECOND, 0, 0))))
        assert row(text, "load") == "none, held open"
        assert "\nrate" not in text
        assert cells(text, "throughput") == (DASH, DASH)

    def test_pongs_have_a_line_where_there_were_any(self):
        made = answers(5000)
        made.keepalive_time_ns = histogram(MILLI, MILLI, 9 * MILLI)
        text = report(recording(opening(), interval(made)))
        assert row(text, "keep-alive") == "3 pongs: p50 1.00 ms, p99 9 ms, max 9 ms"
        assert "keep-alive" not in report(NORMAL)


class TestUnanswered:
    def test_what_the_percentiles_lack(self):
        made = answers(5000, unanswered=1200, sent=1201)
        made.unanswered_wait_ns = histogram(3 * SECOND, 9 * SECOND)
        text = report(recording(opening(), interval(made)))
        expected = (
            "unanswered 1,200 messages that had waited at least 3 s, 9 s at most; the percentiles lack these 1,200"
        )
        assert expected in flat(text)

    def test_without_times(self):
        one = answers(5000, sent=2, unanswered=1)
        assert "unanswered 1 message; the percentiles lack it" in flat(report(recording(opening(), interval(one))))
        none = Tally(due=3, sent=3, unanswered=3)
        assert report(recording(opening(), interval(none))).count("unanswered    3 messages\n") == 1

    def test_no_line_where_all_were_answered(self):
        assert not re.search("^unanswered", report(NORMAL), re.MULTILINE)


def busy(share, **parts):
    return interval(answers(5 * MILLI, **parts), workers=[WorkerUsage(0, round(share * SECOND), SECOND)])


class TestGenerator:
    def test_one_calm_line_where_all_is_well(self):
        made = answers(5 * MILLI)
        made.loop_lag_ns, made.send_lag_ns = histogram(20 * MICRO, 90 * MICRO), histogram(30 * MICRO, 80 * MICRO)
        run = recording(opening(), interval(made, workers=[WorkerUsage(0, SECOND // 10, SECOND)]))
        facts = "loop lag p50 20.0 µs, p99 90 µs; send lag p50 30.0 µs, p99 80 µs"
        assert "generator keeps up: busiest worker 10 % of a core; send lag p99 80 µs percentiles" in flat(report(run))
        assert flat(report(run)).endswith(f" generator 10 % of a core, one worker; {facts}")

    def test_the_limit_comes_before_the_numbers(self):
        lines = report(recording(opening(), busy(0.99))).splitlines()
        assert lines[0] == "Done, with the generator at its limit"
        assert lines[4].startswith("generator     busiest worker 99 % of a core")
        assert lines[5].startswith("saturated     the worker used 99 % of a core")
        calm = report(recording(opening(), busy(0.5))).splitlines()
        assert calm[4].startswith("response time p50")
        assert next(line for line in calm if line.startswith("generator")).startswith("generator     keeps up")

    def test_warnings_follow_the_facts(self):
        text = report(recording(opening(1), busy(0.5, write_blocked_ns=SECOND // 2)))
        assert text.splitlines()[0] == "Done"
        assert "keeps up: busiest worker 50 %" in text
        assert row(text, "warning").startswith("the kernel's send buffers were full 50 % of the time")

    def test_waiting_for_a_core_is_not_keeping_up(self):
        loads = [WorkerUsage(0, SECOND // 2, SECOND, run_delay_ns=SECOND // 4)]
        text = report(recording(opening(), interval(answers(5000), workers=loads)))
        assert "keeps up" not in text
        assert "warning" in text

    def test_what_stands_beside_the_times_is_not_shown_twice(self):
        text = report(recording(opening(), interval(answers(5000, sent=2, unanswered=1))))
        assert "warning" not in text


class TestCounts:
    def test_every_count_stands_at_its_word(self):
        made = Tally(due=2111, sent=2090, answered=2003, unanswered=87, dropped=21, pushed=57)
        made.warmup_sent, made.warmup_answered = 71, 67
        text = report(recording(opening(), interval(made)))
        for word, count in {
            "due": "2,111",
            "sent": "2,090",
            "answered": "2,003",
            "unanswered": "87",
            "dropped": "21",
            "pushed": "57",
            "warm-up sent": "71",
            "warm-up answered": "67",
        }.items():
            assert re.search(rf"^  {word} +{count}( |$)", text, re.MULTILINE), word

    def test_no_word_of_a_warm_up_that_was_not(self):
        assert "warm-up" not in report(NORMAL)

    def test_connect_times(self):
        text = report(NORMAL)
        found = {
            found[1]: found[2]
            for found in re.finditer(r"^  \S+ +\S+ {8}(opened|min|p\d\d|max) +(.+)$", text, re.MULTILINE)
        }
        assert found == {
            "opened": "100",
            "min": "1 ms",
            "p50": "50.0 ms",
            "p95": "95.0 ms",
            "p99": "99.0 ms",
            "max": "100 ms",
        }

    def test_what_is_unmeasured_is_no_zero(self):
        text = report(recording(opening(0, failed=2)))
        assert row(text, "total time").endswith(f" {DASH}")
        assert row(text, "throughput").endswith(f" {DASH}")
        assert row(text, "message").endswith(f" {DASH}")
        assert re.search(rf"  min +{DASH}$", text, re.MULTILINE)
        assert row(text, "connect time") == DASH
        assert row(text, "generator") == f"processor {DASH}"
        assert "traffic" not in text

    def test_an_empty_recording_can_be_reported(self):
        assert report(recording()).startswith("Could not open a single connection")


class TestResponseTimes:
    def test_figures(self):
        text = report(NORMAL)
        for label, value in {
            "min": "10 µs",
            "p5": "1.00 ms",
            "p10": "2.00 ms",
            "p50": "10.0 ms",
            "p75": "15.0 ms",
            "p90": "18.0 ms",
            "p95": "19.0 ms",
            "p99": "19.8 ms",
            "p99.9": "20.0 ms *",
            "p99.99": "20 ms *",
            "max": "20 ms",
            "mean": "10.0 ms",
            "stdev": "5.77 ms",
        }.items():
            assert re.search(rf"^ +{label} +{re.escape(value)}( {{3,}}|$)", text, re.MULTILINE), label
        assert text.count("fewer than 10 answers lie beyond it") == 1

    def test_no_footnote_where_every_percentile_has_its_samples(self):
        many = answers()
        many.response_time_ns.record(5 * MILLI, 100_000)
        text = report(recording(opening(), interval(many)))
        assert "*" not in text
        assert "few samples" not in text

    @pytest.mark.parametrize(
        ("percentile", "enough"),
        [("5", 200), ("10", 100), ("50", 20), ("99", 1000), ("99.9", 10_000), ("99.99", 100_000)],
    )
    def test_few_samples_begin_exactly_where_ten_lie_beyond(self, percentile, enough):
        assert not too_few_in_tail(percentile, enough)
        assert too_few_in_tail(percentile, enough - 1)

    def test_one_answer_has_no_deviation(self):
        text = report(recording(opening(1), interval(answers(1_234_567))))
        assert row(text, "stdev") == DASH
        assert row(text, "mean") == "1.23 ms"
        assert re.search(r"1\.23 ms  █+ +1  100\.0 %$", text, re.MULTILINE)

    def test_service_time_stands_beside_where_it_differs(self):
        made = answers(*[8 * MILLI] * 20)
        made.service_time_ns.record(3 * MILLI, 20)
        made.send_lag_ns.record(5 * MILLI, 20)
        text = report(recording(opening(1), interval(made)))
        assert re.search(r"^percentiles +response +service", text, re.MULTILINE)
        assert re.search(r"^ +p50 +8 ms +3 ms", text, re.MULTILINE)
        assert "send lag p50 5 ms, p99 5 ms" in flat(text)
        assert "response: from when a message was due; service: from when it was sent" in text
        assert "service" not in report(NORMAL)

    def test_the_same_service_time_takes_no_column(self):
        made = answers(*[8 * MILLI] * 20)
        made.service_time_ns.record(8 * MILLI, 20)
        assert "service" not in report(recording(opening(1), interval(made)))

    def test_the_drawing_counts_every_answer(self):
        rows = re.findall(r"  (?:█*[▏▎▍▌▋▊▉]?) +([\d,]+)  +(<?[\d.]+) %$", report(NORMAL), re.MULTILINE)
        assert len(rows) == ROWS
        assert sum(int(count.replace(",", "")) for count, _ in rows) == 2000
        assert sum(float(share) for _, share in rows if share[0] != "<") == pytest.approx(100, abs=1)

    def test_the_longest_bar_is_the_most_frequent_row(self):
        made = answers()
        made.response_time_ns.record(MILLI, 100)
        made.response_time_ns.record(100 * MILLI, 400)
        rows = re.findall(r"(\S+ .s)  (█*)[▏▎▍▌▋▊▉]? +(\d+)  +\d", report(recording(opening(), interval(made))))
        drawn = {int(count): len(bars) for _, bars, count in rows}
        assert drawn[400] == max(drawn.values()) > 20
        assert drawn[100] == drawn[400] // 4
        assert rows[0][0] == "1 ms"

    def test_a_share_is_never_rounded_to_nothing_or_all(self):
        made = answers(MILLI)
        made.response_time_ns.record(100 * MILLI, 9_999)
        text = report(recording(opening(), interval(made)))
        assert re.search(r" 1  +<0\.1 %$", text, re.MULTILINE)
        assert re.search(r" 9,999  +>99\.9 %$", text, re.MULTILINE)

    def test_the_longest_bar_fills_its_column(self):
        made = answers()
        made.response_time_ns.record(MILLI, 100)
        made.response_time_ns.record(100 * MILLI, 400)
        lines = report(recording(opening(), interval(made))).splitlines()
        ends = {line.rindex("█") for line in lines if " 400 " in line and "█" in line}
        assert ends == {line.index("answers") - 3 for line in lines if "answers   share" in line}

    @given(st.integers(0, 2**62), st.integers(0, 62).flatmap(lambda bits: st.integers(0, 2**bits)))
    @example(1_000_000, 2_000)
    @example(3_599 * SECOND, 3 * SECOND)
    @example(1_000_000, 15_000)
    @example(22_753, 496)
    def test_edges_rise_and_read_differently(self, low, spread):
        high = low + spread
        edges = bar_edges(low, high)
        assert (edges[0], edges[-1]) == (low, high)
        assert 2 <= len(edges) <= ROWS + 1
        assert len({format_duration(edge) for edge in edges[:-1]}) == len(edges) - 1
        # Every row but a single one has a bucket of its own that could hold values.
        buckets = [bucket_of(edge) for edge in edges[:-1]]
        assert len(set(buckets)) == len(buckets)
        assert len(buckets) == 1 or buckets[-1] < bucket_of(high)
        if high > low:
            assert sum(histogram(low, high).merge_buckets(edges)) == 2

    def test_several_recordings_merge(self):
        text = report(NORMAL, recording(opening(), interval(answers(90 * MILLI))))
        assert re.search(r"^ +max +90 ms", text, re.MULTILINE)
        assert re.search(r"^  answered +2,001 ", text, re.MULTILINE)


class TestFaults:
    def test_counts_and_the_first_example(self):
        made = Tally(faults=Counter({"closed:1011": 1234, "reset": 5, "novel": 2}))
        later = Tally(faults=Counter({"reset": 1}))
        text = report(
            recording(
                opening(),
                interval(made, fault_examples={"closed:1011": 'closed with 1011 "overload"'}),
                interval(later, index=2, fault_examples={"closed:1011": "another", "reset": "broke off"}),
            )
        )
        assert row(text, "1,234") == 'closed:1011  closed with 1011 "overload"'
        assert re.search(r"^ +6  reset +broke off$", text, re.MULTILINE)
        assert row(text, "2") == "novel"
        assert row(text, "faults").startswith('1,234 closed:1011: closed with 1011 "overload"')
        assert "6 reset: broke off; 1 other kind" in text

    def test_a_fixed_phrase_where_no_example_was_recorded(self):
        text = report(recording(opening(0, failed=4, faults=Counter({"upgrade-rejected:503": 4}))))
        assert row(text, "faults") == "4 upgrade-rejected:503: refused to upgrade to WebSocket"

    def test_a_long_example_is_wrapped_under_itself_and_cut(self):
        sentence = " ".join(["word"] * 200)
        text = report(
            recording(opening(faults=Counter({"reset": 1})), interval(Tally(), fault_examples={"reset": sentence}))
        )
        lines = [line for line in text.splitlines() if "word" in line]
        assert 2 <= len(lines) <= 6
        assert [line.index("word") for line in lines[1:]] == [14] * (len(lines) - 1)
        assert lines[-1].endswith("…")
        assert widest(text) <= 80

    def test_the_target_cannot_steer_the_terminal(self):
        text = report(
            recording(
                opening(faults=Counter({"reset\x1b[1m": 1}), closed=Counter({"\x1b": 1})),
                interval(Tally(), fault_examples={"reset\x1b[1m": "a\x1b]0;title\x07\u202eb"}),
                lost=[LostWorker(0, "why\x1b[2J\nnow", 1)],
            )
        )
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert "a?]0;title??b" in text
        assert "why?[2J now" in text

    def test_nor_can_a_recording_from_elsewhere(self):
        header = msgspec.structs.replace(NORMAL.header, tool="t\x1b[1m", target="ws://a\x1b]0;b")
        lines = report(Recording(header, (), NORMAL.trailer)).splitlines()
        assert lines[1] == "ws://a?]0;b"
        assert lines[2].startswith("t?[1m, ")

    def test_host_errors_come_with_their_remedy(self):
        text = report(recording(opening(host_errors=Counter({"too-many-open-files": 12}))))
        joined = " ".join(text.split())
        assert "too-many-open-files 12 times: raise the limit on open files with `ulimit -n`, or lower -c" in joined
        assert "what the target did wrong" not in text

    def test_close_codes_have_names(self):
        made = Tally(closed=Counter({"1000": 1700, "1006": 20, "4001": 1}))
        text = report(recording(opening(), interval(made)))
        joined = " ".join(text.split())
        assert "1,700 with 1000 (normal), 20 with 1006 (no close frame), 1 with 4001 (the application's own)" in joined

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("1001", "going away"),
            ("1009", "message too big"),
            ("1011", "internal error"),
            ("3000", "a library's own"),
            ("4999", "the application's own"),
            ("40", "unknown"),
            ("2999", "unknown"),
            ("", "unknown"),
        ],
    )
    def test_names_of_close_codes(self, code, name):
        assert close_code_name(code) == name


class TestMachine:
    def test_traffic_is_that_of_the_measured_time(self):
        text = report(
            recording(
                opening(),
                interval(answers(5, bytes_sent=3_000_000, bytes_received=6_000_000), length_ns=2 * SECOND),
                interval(Tally(bytes_received=500_000), index=3, phase="closing"),
            )
        )
        assert row(text, "traffic") == "1.50 MB/s sent, 3 MB/s received while measured"
        assert "3 MB sent, 6.50 MB received" in text

    @pytest.mark.parametrize(
        ("shares", "words"),
        [
            ([55], "55 % of a core, one worker"),
            ([10, 87], "87 % of a core by the busiest of 2 workers: 10 %, 87 %"),
            (range(31, 41), "40 % of a core by the busiest of 10 workers, 31 % by the idlest"),
        ],
    )
    def test_processor(self, shares, words):
        loads = [WorkerUsage(n, share * 5 * MILLI, SECOND // 2) for n, share in enumerate(shares)]
        idle = [WorkerUsage(n, 0, SECOND) for n, _ in enumerate(shares)]
        run = recording(
            interval(Tally(opened=1), index=0, phase="opening", workers=idle),
            interval(answers(5), workers=loads),
            interval(answers(5), index=2, workers=loads),
        )
        assert f"generator {words}" in flat(report(run))
        assert f"keeps up: busiest worker {words.split(' of')[0]} of a core" in flat(report(run))

    def test_workers_of_several_recordings_are_several(self):
        runs = [
            recording(opening(), interval(answers(5), workers=[WorkerUsage(0, share * MILLI * 10, SECOND)]))
            for share in (20, 30)
        ]
        assert "30 % of a core by the busiest of 2 workers: 20 %, 30 %" in flat(report(*runs))


HUGE = Tally(
    due=3 * 10**9,
    sent=2 * 10**9,
    dropped=10**9,
    answered=10**9,
    unanswered=10**9,
    answered_in_window=10**9,
    bytes_sent=10**13,
    bytes_received=10**13,
    faults=Counter({"upgrade-rejected:503": 10**9, "reply-timeout": 3}),
    closed=Counter({"1000": 10**6, "1006": 10**6}),
)
HUGE.response_time_ns.record(500, 9 * 10**8)
HUGE.response_time_ns.record(5400 * SECOND, 10**8)
HUGE.service_time_ns.record(400, 10**9)


class TestShape:
    @pytest.mark.parametrize(
        "runs",
        [
            [NORMAL],
            [NORMAL, NORMAL],
            [recording(opening(0, failed=100, faults=Counter({"connect-refused": 100})))],
            [recording(opening(host_errors=Counter({"out-of-ports": 1000})), lost=[LostWorker(1, "w " * 90, 9)])],
            [
                recording(
                    opening(10**6),
                    interval(HUGE, length_ns=7200 * SECOND),
                    asked=plan(connections=10**6, duration_ns=None, messages=3 * 10**9, connect_rate_per_s=1e5),
                )
            ],
        ],
        ids=["normal", "several", "nothing", "host", "huge"],
    )
    def test_eighty_columns(self, runs):
        text = report(*runs)
        assert widest(text) <= 80
        assert not re.search(r" $", text, re.MULTILINE)
        assert "\n\n\n" not in text

    def test_huge_numbers_are_right(self):
        text = report(recording(opening(1), interval(HUGE, length_ns=7200 * SECOND)))
        assert re.search(r"^ +p99 1 h 30 min +400 ns", text, re.MULTILINE)
        assert re.search(r"^  due +3,000,000,000 ", text, re.MULTILINE)
        assert row(text, "throughput").endswith("138,889/s")
        assert row(text, "total time").endswith("2 h 0 min")
        assert "100,000,000  10.0 %" in text

    def test_a_normal_run_takes_a_screen_and_a_half(self):
        assert len(report(NORMAL).splitlines()) <= 60


def brief(*recordings, height=24, **options):
    out = io.StringIO()
    console = Console(file=out, width=80, height=height, force_terminal=options.pop("terminal", True))
    print_report(recordings, summarize(recordings), console=console, **options)
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


class TestFirstScreen:
    def test_it_fits_a_small_terminal_and_says_what_most_people_ask(self):
        text = brief(NORMAL, next_steps=["-o run.jsonl keeps it"])
        assert len(text.splitlines()) <= 14
        assert widest(text) <= 80
        assert text.splitlines()[0] == "Done"
        assert row(text, "response time") == "p50 10.0 ms, p90 18.0 ms, p99 19.8 ms, p99.9 20.0 ms, max 20 ms"
        assert row(text, "messages") == "2,000 sent, 2,000 answered, 0 unanswered"
        assert row(text, "rate").startswith("2,000/s answered, as fast as replies came with 1 in flight")
        assert row(text, "connections") == "100 of 100 opened"
        assert "next          --summary full shows the whole report" in text
        assert text.endswith("              -o run.jsonl keeps it\n")

    def test_the_whole_report_is_printed_where_it_fits_or_is_asked_for_or_is_no_terminal(self):
        full = report(NORMAL) + "\n"
        assert brief(NORMAL, height=200) == full
        assert brief(NORMAL, detail="full") == full
        assert brief(NORMAL, terminal=False) == full
        assert brief(NORMAL, height=200, detail="compact") == full[: full.index("\n\npercentiles") + 1]

    def test_a_rate_and_what_was_dropped(self):
        made = Tally(due=1000, sent=900, dropped=100, answered=800, unanswered=100, answered_in_window=800, pushed=3)
        text = brief(recording(opening(2), interval(made, length_ns=2 * SECOND), asked=open_plan()))
        words = "messages 900 sent, 800 answered, 100 unanswered, 100 of 1,000 due dropped, 3 pushed"
        assert words in flat(text)
        assert row(text, "rate") == "500/s requested, 450/s sent, 400/s answered"

    def test_a_run_that_only_holds_its_connections(self):
        text = brief(recording(opening(100), interval(Tally()), asked=open_plan(Stage(SECOND, 0, 0), connections=100)))
        assert text.splitlines()[0] == "Held 100 connections for 1 s"
        assert "messages" not in text
        assert row(text, "connect time") == DASH

    def test_a_doubt_or_a_limit_of_the_generator_comes_before_the_numbers(self):
        lines = brief(recording(opening(), busy(0.99))).splitlines()
        assert lines[5].startswith("saturated")
        assert lines.index(next(line for line in lines if line.startswith("response time"))) > 5

    def test_the_usual_words_are_found(self):
        text = report(NORMAL)
        for word in ("requests", "total time", "max", "min", "mean", "throughput"):
            assert word in text

    def test_a_read_recording_gives_the_same_report(self, tmp_path):
        lines = [NORMAL.header, *NORMAL.intervals, NORMAL.trailer]
        path = tmp_path / "run.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        assert report(read_recording(path)) == report(NORMAL)


def printed(*recordings, encoding="utf-8", **options):
    out = io.BytesIO()
    wrapper = io.TextIOWrapper(out, encoding=encoding, newline="\n")
    print_report(recordings, summarize(recordings), console=Console(file=wrapper, width=80, **options), detail="full")
    wrapper.flush()
    return out.getvalue().decode(encoding)


class TestPrinting:
    def test_plain_where_there_is_no_terminal(self):
        assert printed(NORMAL) == report(NORMAL) + "\n"

    def test_colours_change_no_letter(self, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        text = printed(NORMAL, force_terminal=True, color_system="standard")
        assert "\x1b[1;32mDone" in text
        assert re.sub(r"\x1b\[[\d;]*m", "", text) == report(NORMAL) + "\n"

    def test_no_color(self, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        text = printed(NORMAL, force_terminal=True)
        assert not re.search(r"\x1b\[[\d;]*3\dm", text)
        assert "Done" in text

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
    def test_encodings_without_blocks_get_ascii_bars(self, encoding):
        text = printed(NORMAL, encoding=encoding)
        assert "█" not in text
        assert "##########" in text
        assert ("10 us" if encoding == "ascii" else "10 µs") in text
        assert len(text) > 1000

    def test_what_an_encoding_lacks_is_replaced_one_by_one(self):
        run = recording(opening(0), asked=plan(url="ws://exämple.test/日本"))
        text = printed(run, encoding="ascii")
        assert "ws://ex?mple.test/??" in text
        assert row(text, "generator") == "processor -"

    def test_an_unknown_encoding_is_taken_for_ascii(self):
        assert report(NORMAL, encoding="no-such").isascii()

    def test_a_long_line_is_not_folded_where_there_is_no_terminal(self):
        url = f"ws://echo.example/{'path/' * 40}"
        assert url in printed(recording(opening(1), asked=plan(url=url)))

    def test_a_narrow_terminal_loses_nothing(self):
        out = io.StringIO()
        print_report([NORMAL], summarize([NORMAL]), console=Console(file=out, width=30))
        assert out.getvalue() == report(NORMAL) + "\n"


class TestLetters:
    @given(st.text(), st.sampled_from(["ascii", "latin-1", "cp1252", "cp437", "utf-8"]))
    def test_writable_keeps_the_length_and_can_be_written(self, text, encoding):
        made = to_encodable(text, encoding)
        assert len(made) == len(text)
        made.encode(encoding)

    @given(st.text())
    def test_clean_text_is_printable(self, text):
        assert sanitize(text).isprintable()
        assert len(sanitize(text)) == len(text)

    @pytest.mark.parametrize(
        ("share", "unicode", "ascii_"),
        [
            (0, "", ""),
            (1e-9, "▏", "#"),
            (0.5, "████", "####"),
            (0.55, "████▍", "####"),
            (1, "████████", "########"),
        ],
    )
    def test_bars(self, share, unicode, ascii_):
        assert bar(share, 8, "utf-8") == unicode
        assert bar(share, 8, "ascii") == ascii_


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_counts_follow_the_input(sent, extra):
    made = Tally(due=sent + extra, sent=sent, dropped=extra, answered=sent)
    text = report(recording(opening(), interval(made)))
    for word, count in (("due", sent + extra), ("sent", sent), ("dropped", extra), ("answered", sent)):
        assert re.search(rf"^  {word} +{format_count(count)}( |$)", text, re.MULTILINE)
