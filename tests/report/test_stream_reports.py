"""Answers of many messages in every report, in the live view and in the lines of a log."""

import csv
import io

import pytest

from factories.pages import planned
from factories.results import MILLI, SECOND, answers, histogram, interval, results, text_of, usual
from factories.run_states import interval as event
from factories.run_states import scene
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.number_stats import NumberStats
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.thresholds import RequestedCondition
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.report.html.document import Tiles
from ws_load_test.report.html.overview import overview
from ws_load_test.report.html.run import page
from ws_load_test.report.terminal.brief import brief_lines
from ws_load_test.report.terminal.run import report_lines

PLAN = {"connections": 2, "message": '{"id": {seq}}', "match": "json:id", "until": "json:done=true", "count": "json:n"}


def tally(**parts):
    """A second of two answers of four messages: 30 ms to the first, a gap of 0, one of 20 ms and a stall of 2 s."""
    made = answers(2050 * MILLI, 2050 * MILLI, streamed=9, stalls=2, came_together=2, broken_off=1, **parts)
    made.sent = made.due = 3
    made.unanswered = 1
    made.first_time_ns = histogram(30 * MILLI, 30 * MILLI, 40 * MILLI)
    made.gap_ns = histogram(*[0, 20 * MILLI, 2000 * MILLI] * 2)
    made.answer_messages = histogram(4, 4)
    made.answer_bytes = histogram(1200, 1200)
    made.answer_count, made.answer_count_per_ks = histogram(1500, 12), histogram(731_000, 5_853)
    made.answer_messages_per_ks, made.answer_bytes_per_ks = histogram(1_951, 1_951), histogram(585_365, 585_365)
    return made


def streamed(seconds=4, **parts):
    return planned(*(interval(tally(**parts), index=index) for index in range(1, 1 + seconds)), duration="4s", **PLAN)


def text(recording, *, full=True):
    made = results(recording)
    lines = report_lines(made.recordings, made.summary) if full else brief_lines(made)
    return "\n".join(line.plain.rstrip() for line in lines)


def test_the_first_screen_has_one_line():
    shown = text(streamed(), full=False)
    assert (
        "streams       p50: first 30.0 ms, gap 20.0 ms, response 2.05 s; p99: first\n"
        "              40 ms, gap 2 s, response 2.05 s; 8 stalls, 4 broken off\n"
    ) in shown


def test_the_full_report_has_the_tables():
    rows = {
        line.split("  ")[1].strip(): line.split() for line in text(streamed()).splitlines() if line.startswith("  ")
    }
    assert rows["first"][-1] == "12"
    assert rows["gap"][1:3] == ["0", "ns"]
    assert rows["count"][1:] == ["12", "12", "12", "1,500", "1,500"]
    assert rows["count/s"][1] == "5.85"
    assert rows["payload"][1:3] == ["1.20", "kB"]
    shown = text(streamed(without_first=1, without_count=2))
    assert "streamed      36 messages of answers" in shown
    assert "came together 33.3 % of the gaps are 0: one read brought both messages" in shown
    assert "incomplete    4 answers without one that satisfies --first, 8 answers without\n" in shown


def test_the_tiles_of_the_page_are_of_its_three_times():
    (tiles,) = [part.tiles for part in overview(results(streamed())) if isinstance(part, Tiles)]
    assert [tile.name for tile in tiles] == ["first", "gap", "response", "rate", "errors", "connections"]
    assert [(tile.value, tile.note) for tile in tiles[:3]] == [
        ("30.0 ms", "p50; p99 40 ms"),
        ("20.0 ms", "p50; p99 2 s"),
        ("2.05 s", "p50; p99 2.05 s"),
    ]


def test_where_nothing_came_it_says_so():
    made = planned(interval(Tally(sent=3, due=3)), **PLAN)
    assert "streams       –: no answer began" in text(made)
    summary = summarize([made])
    assert summary.streams.first_time_ns is None
    assert summary.streams.answer_messages is None


def test_other_runs_have_none_of_it():
    for shown in (text(usual()), text_of("markdown", results(usual())), text_of("openmetrics", results(usual()))):
        assert "stream" not in shown
        assert "gap" not in shown
    assert summarize([usual()]).streams is None
    assert not any(section.title == "Streams" for section in page(results(usual()))[1])


def test_the_summary_has_all_of_it():
    found = summarize([streamed()]).streams
    assert (found.streamed, found.stalls, found.broken_off, found.came_together) == (36, 8, 4, 8)
    assert (found.first_time_ns.count, found.first_time_ns.max) == (12, 40 * MILLI)
    assert found.gap_ns.max == 2 * SECOND
    assert (found.answer_messages.count, found.answer_messages.p50) == (8, 4)
    assert (found.messages_per_s.min, found.messages_per_s.mean) == (1.951, 1.951)
    assert (found.count_per_s.min, found.count_per_s.max) == (5.853, 731)


def test_statistics_of_numbers():
    assert NumberStats.of(histogram()) is None
    found = NumberStats.of(histogram(1000, 3000), per=1000)
    assert (found.count, found.min, found.mean, found.max) == (2, 1, 2, 3)
    # The highest value of a bucket, as for times.
    assert found.p50 == pytest.approx(1, rel=0.001)


def test_the_page_has_charts_over_time_and_tables():
    (section,) = [section for section in page(results(streamed()))[1] if section.title == "Streams"]
    charts = {part.key: part for part in section.parts if hasattr(part, "key")}
    assert list(charts) == ["first-time-over-time", "gap-over-time", "streams"]
    (numbers,) = [part for part in section.parts if getattr(part, "heads", [""])[0] == "each answer"]
    assert [row[0] for row in numbers.rows] == ["messages", "payload", "count", "messages/s", "payload/s", "count/s"]


def test_the_limit_of_a_condition_is_drawn_into_its_chart():
    intervals = [interval(tally(), index=index) for index in range(1, 5)]
    made = planned(*intervals, duration="4s", fail_if=["first.p99 > 35ms"], **PLAN)
    (section,) = [section for section in page(results(made))[1] if section.title == "Streams"]
    (chart,) = [part for part in section.parts if getattr(part, "key", "") == "first-time-over-time"]
    assert chart.figure["data"][-1]["name"] == "limit of first.p99: 35 ms"


def test_exports_have_the_times_and_counts():
    made = results(streamed())
    assert "| first time | 30.0 ms | 40 ms | 40 ms |" in text_of("markdown", made)
    metrics = text_of("openmetrics", made)
    assert "ws_load_test_messages_broken_off_total 4\n" in metrics
    assert "ws_load_test_stalls_total 8\n" in metrics
    assert "ws_load_test_first_time_seconds_count 12\n" in metrics
    assert 'ws_load_test_gap_seconds_bucket{le="0.05"} 16\n' in metrics
    first, *_ = csv.DictReader(io.StringIO(text_of("csv", made), newline=""))
    assert (first["stalls"], first["broken_off"], first["first_max_ns"]) == ("2", "1", str(40 * MILLI))


def test_conditions_are_judged_on_it():
    conditions = ["first.p95 > 35ms", "gap.p50 > 1s", "stalls > 7", "broken_off > 50%", "any stalls > 2"]
    made = planned(*streamed().intervals, fail_if=conditions, slo=["broken_off < 5"], **PLAN)
    checks = {check.check: check.passed for check in summarize([made], aggregate([made])).verdict.checks}
    assert checks == {
        "first.p95 > 35ms": False,
        "gap.p50 > 1s": True,
        "stalls > 7": False,
        "broken_off > 50%": True,
        "any stalls > 2": True,
        "broken_off < 5": True,
    }


def test_conditions_have_no_value_where_an_answer_is_one_message():
    made = planned(*streamed().intervals, duration="4s")
    wanted = [RequestedCondition("fail-if", text) for text in ("gap.p95 > 35ms", "first.p50 > 1s", "stalls > 7")]
    whys = [check.why for check in summarize([made], conditions=wanted).verdict.checks]
    assert whys[0] == whys[2] == "an answer is one message without --until"
    assert whys[1].startswith("a message has one answer without --until")
    assert "without --until" in make_plan("ws://h", duration="4s", fail_if=["stalls > 7"]).warnings[0]


def live(*tallies):
    intervals = [event(one, at_s=number) for number, one in enumerate(tallies)]
    return scene(*intervals, asked=make_plan("ws://h", duration="60s", **PLAN))


def test_the_live_view_has_rows_of_its_own():
    lines = [line.plain.rstrip() for line in render(live(tally(), tally()), Viewport())]
    (first,) = [line for line in lines if line.startswith("  first")]
    assert first.endswith(" 40 ms")
    assert any(line.startswith("  gap") for line in lines)
    assert "  streams     4 stalls   2 broken off" in lines
    assert not any(line.startswith("  first") for line in (line.plain for line in render(scene(), Viewport())))


def test_lines_of_a_log_have_first_and_what_went_wrong():
    stream = io.StringIO()
    logger = ProgressLogger(make_plan("ws://h", duration="60s", **PLAN), stream)
    for number in range(12):
        logger(event(tally(), at_s=number))
    line = stream.getvalue().splitlines()[0]
    assert "first p99 40" in line
    assert "stalls" in line
    assert "broken off" in line


def test_the_whole_page_can_be_written():
    text = text_of("html", results(streamed()))
    assert "What each answer came to" in text
    assert "Time to the first message of an answer over the run" in text
