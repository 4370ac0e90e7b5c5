"""Fan-out in the page, in exports, in the live view and in the lines of a log."""

import dataclasses
import io
from collections import Counter

import pytest
from msgspec.structs import replace

from factories.pages import planned
from factories.results import MILLI, histogram, interval, results, text_of, usual
from factories.run_states import interval as event
from factories.run_states import scene
from ws_load_test.cli.output import next_steps
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.metrics.fan_out_report import SlowSubscriber
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.report.html import fan_out_charts
from ws_load_test.report.html.run import page
from ws_load_test.report.html.timeline import course
from ws_load_test.report.terminal.run import full_report

PLAN = {
    "message": "{room} {marker}",
    "subscribers": 4,
    "publishers": 2,
    "rooms": "red,blue",
    "rate": 10,
    "duration": "4s",
    "match": "none",
}


def tally(**parts):
    """A second of 10 publishes to rooms of two: one delivery is missing, and those to one room take 20 ms."""
    made = Tally(
        due=10,
        sent=10,
        deliveries_expected=20,
        deliveries=19,
        deliveries_missing=1,
        delivery_gaps=Counter({"1": 1}),
        subscribers_with_gaps=1,
        publishes_followed=10,
        publishes_complete=9,
        delivery_groups=Counter({"red": 10, "blue": 9}),
        delivery_group_time_us=Counter({"red": 10 * 5000, "blue": 9 * 20_000}),
        **parts,
    )
    made.delivery_time_ns = histogram(*[5 * MILLI] * 10, *[20 * MILLI] * 9)
    made.first_time_ns = histogram(*[5 * MILLI] * 5, *[20 * MILLI] * 5)
    made.last_time_ns = histogram(*[6 * MILLI] * 5, *[21 * MILLI] * 5)
    made.spread_ns = histogram(*[MILLI] * 10)
    made.read_lag_ns = histogram(*[MILLI // 10] * 19)
    return made


def fanned_out(seconds=4, *, made=tally, **options):
    opening = interval(Tally(attempted=6, opened=6), index=0, phase="opening")
    load = [interval(made(), index=index) for index in range(1, 1 + seconds)]
    closing = interval(Tally(subscriber_mean_time_ns=histogram(5 * MILLI, 20 * MILLI)), index=9, phase="closing")
    closing = replace(closing, slowest=(SlowSubscriber(3, 20 * MILLI, 40, 38),))
    return planned(opening, *load, closing, **PLAN | options)


def section_of(recording):
    (section,) = [section for section in page(results(recording))[1] if section.title == "Deliveries"]
    return section


def chart_of(recording, key):
    return next(part for part in section_of(recording).parts if getattr(part, "key", "") == key)


# --- The page ---


def test_the_first_screen_has_five_tiles_and_the_delivery_times():
    head, _ = page(results(fanned_out()))
    (tiles,) = [part.tiles for part in head.parts if hasattr(part, "tiles")]
    assert [(tile.name, tile.value, tile.tone) for tile in tiles] == [
        ("delivery p50", "5.00 ms", "plain"),
        ("delivery p99", "20 ms", "plain"),
        ("reach", "95.0 %", "doubt"),
        ("deliveries", "19/s", "plain"),
        ("connections", "6", "plain"),
    ]
    assert tiles[2].note == "4 missing"
    assert tiles[3].note == "10/s published"
    assert [part.key for part in head.parts if hasattr(part, "key")] == ["delivery-over-time"]


def test_the_section_has_charts_and_tables():
    section = section_of(fanned_out())
    keys = [part.key for part in section.parts if hasattr(part, "key")]
    assert keys == ["delivery-percentiles", "publish-times", "reach", "delivery-groups"]
    tables = {part.caption: part.rows for part in section.parts if hasattr(part, "caption")}
    assert tables["Subscribers with the longest mean times"] == [["3", "20 ms", "40", "38"]]
    assert tables["Rooms with the longest mean times"] == [["blue", "20 ms", "36"], ["red", "5 ms", "40"]]


def test_the_cells_are_mean_times_of_a_room():
    chart = chart_of(fanned_out(), "delivery-groups")
    (trace,) = chart.figure["data"]
    # Sorted by name; the heights are logarithms of ns.
    assert trace["z"] == [[7.301] * 4, [6.699] * 4]
    assert trace["text"][0][0].startswith("blue: mean 20 ms<br>")
    assert chart.figure["layout"]["yaxis"]["ticktext"] == ["blue", "red"]
    assert [row[0] for row in chart.table.rows] == ["blue", "red"]


def test_a_column_without_deliveries_is_an_empty_one():
    recording = fanned_out()
    silent = interval(Tally(sent=10, due=10), index=5)
    later = [interval(tally(), index=index) for index in (6, 7)]
    made = planned(*recording.intervals[:-1], silent, *later, **PLAN)
    (trace,) = chart_of(made, "delivery-groups").figure["data"]
    assert trace["z"][0] == [7.301] * 4 + [None] + [7.301] * 2
    assert len(trace["x"]) == len(trace["z"][0]) + 1


def test_rooms_are_in_the_order_of_their_numbers():
    def made():
        return Tally(delivery_groups=Counter(names), delivery_group_time_us=Counter(names))

    names = {"10–19": 5, "2–9": 5, "0–1": 5}
    (chart,) = fan_out_charts.rooms(course(fanned_out(made=made)), "subscribers")
    assert chart.figure["layout"]["yaxis"]["ticktext"] == ["0–1", "2–9", "10–19"]


def test_reach_shows_what_is_missing_of_many():
    def made():
        return Tally(deliveries_expected=10**7, deliveries=10**7 - 3, deliveries_missing=3)

    chart = chart_of(fanned_out(made=made), "reach")
    assert chart.figure["data"][0]["y"] == [pytest.approx(99.99997)] * 4
    assert chart.table.rows[0][-1] == "99.999970 %"
    low, high = chart.figure["layout"]["yaxis"]["range"]
    assert 99.99 < low < 99.99997
    assert 100 < high < 100.01


@pytest.mark.parametrize(
    ("condition", "place", "key"),
    [("delivery.p99 > 15ms", "head", "delivery-over-time"), ("last.p50 > 15ms", "section", "publish-times")],
)
def test_the_limit_of_a_condition_is_drawn_into_its_chart(condition, place, key):
    recording = fanned_out(fail_if=[condition])
    parts = page(results(recording))[0].parts if place == "head" else section_of(recording).parts
    (chart,) = [part for part in parts if getattr(part, "key", "") == key]
    name = condition.partition(" ")[0]
    assert chart.figure["data"][-1]["name"] == f"limit of {name}: 15 ms"


def test_a_run_without_deliveries_says_so():
    def made():
        return Tally(due=10, sent=10, deliveries_expected=20, deliveries_missing=20)

    head, sections = page(results(fanned_out(made=made)))
    (tiles,) = [part.tiles for part in head.parts if hasattr(part, "tiles")]
    assert [tile.value for tile in tiles][:4] == ["–", "–", "0 %", "0/s"]
    assert "Deliveries" in [section.title for section in sections]


def test_other_runs_have_none_of_it():
    _, sections = page(results(usual()))
    assert "Deliveries" not in [section.title for section in sections]


# --- At a terminal ---


def terminal_report(made):
    return [line.plain for line in full_report(made, "utf-8")]


def test_the_report_fits_its_columns():
    shown = results(fanned_out())
    fan_out = replace(shown.summary.fanout, clock_error_ns=1_234_567_890)
    lines = terminal_report(dataclasses.replace(shown, summary=replace(shown.summary, fanout=fan_out)))
    assert max(map(len, lines)) <= 80
    words = " ".join(" ".join(lines).split())
    assert "max 20 ms; between machines ±1.23 s to the last" in words
    assert "read lag p99 100 µs: up to that much of last and spread may be the generator's own" in words
    assert "between machines, times are right to within 1.23 s" in words


# --- Replies ---


@pytest.mark.parametrize("match", ["none", "order"])
def test_only_replies_that_were_awaited_are_missing(match):
    def made():
        return tally(answered=7 * (match != "none"), unanswered=10 - 7 * (match != "none"))

    shown = results(fanned_out(made=made, match=match))
    rows = [line.strip().split("   ")[0] for line in terminal_report(shown)]
    (messages,) = [section for section in page(shown)[1] if section.title == "Messages"]
    (balance,) = [part.text for part in messages.parts if getattr(part, "text", "").startswith("due 40 = ")]
    (counts,) = [part.rows for part in messages.parts if getattr(part, "heads", ())[:1] == ["messages"]]
    markdown = next(line for line in text_of("markdown", shown).splitlines() if line.startswith("| 40 "))
    if match == "none":
        assert "replies" in rows
        assert not {"answered", "unanswered"} & {*rows, *(row[0] for row in counts)}
        assert ["replies", "not awaited"] in [list(row) for row in counts]
        assert balance == "due 40 = sent 40 + dropped 0; no reply was awaited"
        assert markdown.startswith("| 40 | 40 | – | – | 0 |")
    else:
        assert {"answered", "unanswered"} <= {*rows}
        assert balance == "due 40 = sent 40 + dropped 0; sent 40 = answered 28 + unanswered 12"
        assert markdown.startswith("| 40 | 40 | 28 | 12 | 0 |")


# --- Exports ---


def test_exports_have_the_deliveries():
    made = results(fanned_out())
    shown = text_of("markdown", made)
    assert "| deliveries | 80 | 76 | 4 | 95.0 % |" in shown
    assert "| delivery time | 5.00 ms | 20 ms | 20 ms | 20 ms | 20 ms |" in shown
    assert "| spread | 1 ms |" in shown
    assert "with 4 deliveries missing" in shown
    metrics = text_of("openmetrics", made)
    for line in ("deliveries_total 76", "deliveries_missing_total 4", "delivery_time_seconds_count 76"):
        assert f"ws_load_test_{line}\n" in metrics


# --- While it runs ---


def watched(*tallies):
    intervals = [event(made, at_s=index) for index, made in enumerate(tallies)]
    return scene(*intervals, asked=make_plan("ws://h/", **PLAN))


def rows_of(state, **size):
    return [line.plain.rstrip() for line in render(state, Viewport(**size))]


def test_the_live_view_has_rows_for_deliveries():
    rows = rows_of(watched(tally(), tally()), width=80, height=40)
    assert "deliveries    19/s   reach 95.0 %   2 missing" in rows
    (head,) = [number for number, row in enumerate(rows) if row.startswith("delivery  ")]
    assert rows[head + 1].split() == ["last", "5", "s", *("5.00", "ms"), *("20", "ms") * 3]
    assert rows[head + 3].startswith("  to the last")
    assert not any(row.startswith("response") for row in rows)


def test_the_live_view_fits_where_there_is_little_room():
    state = watched(tally(), tally())
    for width, height in ((80, 24), (40, 8), (20, 3)):
        rows = rows_of(state, width=width, height=height)
        assert len(rows) <= height
        assert max(map(len, rows)) <= width
    assert any(row.startswith("deliveries") for row in rows_of(state, width=80, height=8))


def test_before_the_first_delivery_is_settled_there_is_no_reach():
    rows = rows_of(watched(Tally(due=10, sent=10, delivery_time_ns=histogram(MILLI))), width=80, height=40)
    assert "deliveries    1/s   reach –   0 missing" in rows
    assert "deliveries    none yet" in rows_of(watched(), width=80, height=40)


def test_a_line_of_a_log_has_deliveries():
    out = io.StringIO()
    write = ProgressLogger(make_plan("ws://h/", **PLAN | {"duration": "60s"}), out)
    for second in range(10):
        write(event(tally(), at_s=second))
    assert out.getvalue() == (
        "measured 10 s of 60 s - 0 open - requested 10/s - published 10/s - delivered 19/s - p50 5.00 ms, p99 20 ms"
        " - reach 95.0 % - 10 missing\n"
    )


@pytest.mark.parametrize(("options", "metric"), [({}, "delivery.p99"), ({"match": "order"}, "p99")])
def test_the_condition_that_is_proposed_has_a_value(options, metric):
    [hint] = next_steps("", {"html": ""}, results(fanned_out(**options)).summary)[1:]
    assert f'--fail-if "{metric} > ' in hint
