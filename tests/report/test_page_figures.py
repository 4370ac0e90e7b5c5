"""What the charts of a page are drawn from: nothing is lost between a recording and a figure."""

import json
import math
import time
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factories.pages import KINDS, minute, planned
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
)
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.data_quality import MIN_TAIL_SAMPLES
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import LostWorker, WorkerUsage
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.report.html import time_charts
from ws_load_test.report.html.axes import (
    amount_axis,
    axis_position,
    duration_axis,
    load_axis,
    percentile_axis,
    tick_step,
    time_axis,
)
from ws_load_test.report.html.document import Chart, as_json, document
from ws_load_test.report.html.figures import band, bars, line, percentile_curves, percentile_table
from ws_load_test.report.html.run import page
from ws_load_test.report.html.timeline import MOST_COLUMNS, course
from ws_load_test.report.terminal.run import report_lines

times = st.lists(st.integers(0, 10**12), min_size=1, max_size=300)


def charts(made):
    return charts_of(*page(made))


def charts_of(head, sections):
    return {part.key: part for one in (head, *sections) for part in one.parts if isinstance(part, Chart)}


# --- Axes and lines -------------------------------------------------------------------------------------------


def test_percentiles_stand_where_hdrhistogram_has_them():
    assert [round(axis_position(p), 6) for p in (0, 50, 90, 99, 99.9)] == [1, 2, 10, 100, 1000]
    axis = percentile_axis(100_000)
    assert axis["ticktext"] == ["min", "p50", "p90", "p99", "p99.9", "p99.99", "p99.999"]
    assert axis["tickvals"] == [1, 2, 10, 100, 1_000, 10_000, 100_000]


@given(st.floats(0, 1e19), st.floats(1, 1e6))
def test_an_axis_of_durations_holds_its_ends_and_has_a_tick(low, ratio):
    axis = duration_axis(low, low * ratio)
    start, end = axis["range"]
    assert start <= math.log10(max(1, low)) <= math.log10(max(1, low * ratio)) <= end
    assert any(start <= math.log10(tick) <= end for tick in axis["tickvals"])
    assert len(set(axis["ticktext"])) == len(axis["tickvals"])


@pytest.mark.parametrize(
    ("length_ns", "unit", "word"),
    [(10 * SECOND, 1e9, "seconds"), (3_600 * SECOND, 60e9, "minutes"), (10**6 * SECOND, 3_600e9, "hours")],
)
def test_time_is_in_the_unit_that_fits(length_ns, unit, word):
    found, axis = time_axis(length_ns)
    assert found == unit
    assert axis["title"]["text"] == f"{word} from the start of the run"
    assert axis["range"] == [0, length_ns / unit]


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_and_not_too_few(length):
    assert 4 <= length / tick_step(length) <= 10.000001


@given(st.floats(1e-3, 1e9), st.floats(1, 1e5))
def test_an_axis_of_loads_holds_its_ends_and_has_few_round_ticks(low, ratio):
    axis = load_axis(low, low * ratio, "messages a second")
    begin, end = axis["range"]
    assert 10**begin < low
    assert low * ratio < 10**end
    ticks = axis["tickvals"]
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    assert all(10**begin <= tick <= 10**end * (1 + 1e-9) for tick in ticks)
    assert len(set(axis["ticktext"])) == len(ticks)


def test_there_is_no_tick_between_two_counts():
    assert amount_axis("faults", 2)["dtick"] == 1
    assert "dtick" not in amount_axis("faults", 2_000)
    assert "dtick" not in amount_axis("a rate")


def test_lines_and_bars_differ_in_more_than_their_colour():
    drawn = [line(number, "x", [1], [1]) for number in range(8)]
    assert len({(one["line"]["dash"], one["marker"]["symbol"]) for one in drawn}) == 8
    patterns = {bars(number, "x", [1], [1], [1], ["1"])["marker"]["pattern"]["shape"] for number in range(8)}
    assert len(patterns) == 8


def test_a_band_has_gaps_where_a_side_is_unknown():
    made = band(0, [1, 2, 3, 4], [1, 1, None, 1], [2, 2, 2, 2])
    assert made["x"] == [1, 2, 2, 1, None, 4, 4, None]
    assert made["y"] == [2, 2, 1, 1, None, 2, 1, None]


# --- Percentiles ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(times)
def test_a_curve_is_what_the_histogram_says_and_its_unsure_end_is_marked(values):
    one = histogram(*values)
    made = percentile_curves({"a": one, "empty": Histogram()})
    traces = made["data"]
    assert {trace["name"] for trace in traces} == {"a"}
    assert sum(trace.get("showlegend", True) for trace in traces) == 1
    for trace in traces:
        few = trace["marker"]["symbol"].endswith("-open")
        assert trace["x"] == sorted(trace["x"])
        for x, y in list(zip(trace["x"], trace["y"], strict=True))[few:]:
            assert (x * MIN_TAIL_SAMPLES > one.count) == few or x == 2.0
            # The place of a step is rounded to six digits, so the percentile is one next to it.
            assert max(1, one.percentile(max(0, 100 - 100 / x * 1.001))) <= y
            assert y <= max(1, one.percentile(min(100, 100 - 100 / x / 1.001)))
    assert traces[-1]["y"][-1] == max(1, one.max)
    json.dumps(made, allow_nan=False)


def test_a_table_of_percentiles_stars_what_few_values_say():
    rows = percentile_table({"a": histogram(*range(1, 1001)), "b": Histogram()}).rows
    assert rows[0][:5] == ["a", "1,000", "1 ns", "500 ns", "900 ns"]
    assert [cell.endswith("*") for cell in rows[0][3:8]] == [False, False, False, True, True]
    assert rows[1] == ["b", "0", *["–"] * 7]


# --- Over time ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(recordings())
def test_columns_hold_everything_and_keep_the_phases_apart(made):
    found = course(made)
    total = aggregate([made]).tally
    response = Histogram()
    for column in found.columns:
        response.merge(column.response_time_ns)
    assert response == total.response_time_ns
    assert sum(column.counts["answered"] for column in found.columns) == total.answered
    for one in made.intervals:
        holders = [column for column in found.columns if column.from_ns <= one.from_ns and one.to_ns <= column.to_ns]
        assert [column.phase for column in holders] == [one.phase]


@settings(deadline=None, max_examples=60)
@given(several)
def test_any_recordings_are_a_page(made):
    head, sections = page(results(*made))
    for chart in charts_of(head, sections).values():
        assert chart.figure["data"]
        assert as_json(chart.figure)


def test_a_column_of_several_intervals_ends_where_a_phase_does():
    phases = ["opening"] * 3 + ["warmup"] * 9 + ["measured"] * 640
    made = recording(*(interval(Tally(sent=1), index=at, phase=phase) for at, phase in enumerate(phases)))
    found = course(made)
    assert found.downsampled
    assert [(one.phase, one.from_ns // SECOND, one.counts["sent"]) for one in found.columns[:6]] == [
        ("opening", 0, 3),
        ("warmup", 3, 2),
        ("warmup", 5, 5),
        ("warmup", 10, 2),
        ("measured", 12, 3),
        ("measured", 15, 5),
    ]


def hour(seconds=3_600):
    """An hour of a second's dozen kinds; encoding 3,600 of them would take longer than the test."""
    kinds = []
    for kind in range(12):
        tally = answers(*((k * k + 300 * kind) * MICRO // 50 + 1_000 for k in range(1, 600)), service=range(1, 600))
        if kind % 4 == 0:
            tally.send_lag_ns, tally.loop_lag_ns = histogram(*range(1, 900, 3)), histogram(*range(1, 50_000, 1_000))
        tally.faults = Counter({f"closed:40{k:02}": kind for k in range(9)})
        loads = [WorkerUsage(worker, (10 * kind + worker) * MILLI, SECOND) for worker in range(7)]
        kinds.append(interval(tally, index=kind, workers=loads))
    spread = [
        msgspec.structs.replace(kinds[at % 12], index=at, from_ns=at * SECOND, to_ns=(at + 1) * SECOND)
        for at in range(seconds)
    ]
    return planned(*kinds, rate=600, duration="1h"), planned(*spread, rate=600, duration="1h")


def test_the_page_of_an_hour_is_small_and_says_how_wide_a_column_is():
    short, long = hour()
    made = replace(results(short), recordings=[long])
    began = time.process_time()
    head, sections = page(made)
    text = "".join(document("t", head, sections))
    # 2 to 4 s here, beside other processes: each interval is decoded once.
    assert time.process_time() - began < 30
    assert 4_800_000 < len(text.encode()) < 6_000_000
    assert "One column is 15\N{NO-BREAK SPACE}s." in text
    # Of all replies of its 15 seconds, and no mean of 15 percentiles.
    merged = Histogram()
    for one in long.intervals[:15]:
        merged.merge(one.tally.response_time_ns)
    drawn = charts_of(head, sections)["response-over-time"].figure["data"]
    assert len(drawn[1]["x"]) == 240 <= MOST_COLUMNS
    assert [trace["y"][0] for trace in drawn[1:]] == merged.percentiles((50, 90, 99, 100))


def test_a_heat_map_has_every_answer_in_one_cell():
    made = KINDS["usual"]()
    trace = charts(made)["heat-map"].figure["data"][0]
    assert sum(map(sum, trace["customdata"])) == made.aggregate.tally.response_time_ns.count
    rows, columns = len(trace["customdata"]), len(trace["customdata"][0])
    assert (rows + 1, columns + 1) == (len(trace["y"]), len(trace["x"]))
    assert (rows, columns, columns) == tuple(len(trace["meta"][name]) for name in ("rows", "columns", "seconds"))
    assert trace["y"] == sorted(set(trace["y"]))


@given(
    st.lists(st.tuples(st.integers(1, 10**10), st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=4),
    st.integers(0, 10**10),
    st.integers(1, 5 * 10**10),
)
def test_the_schedule_s_line_is_the_schedule(stages, start_ns, length_ns):
    shape = LoadProfile(tuple(Stage(*stage) for stage in stages))
    x, y = time_charts.corners(shape, start_ns, start_ns + length_ns, 1.0)
    assert x[0] == start_ns
    assert x[-1] == start_ns + min(length_ns, shape.duration_ns)
    corners = list(zip(x, y, strict=True))
    for (low, begin), (high, end) in zip(corners[::2], corners[1::2], strict=True):
        assume(high > low)
        assert math.isclose(shape.value_at(int(low) - start_ns), begin, abs_tol=1e-6, rel_tol=1e-9)
        middle = (int(low) + int(high)) // 2
        expected = begin + (end - begin) * (middle - low) / (high - low)
        assert math.isclose(shape.value_at(middle - start_ns), expected, abs_tol=1e-6, rel_tol=1e-6)


def test_rates_are_those_of_their_second_and_what_was_asked_is_beside_them():
    traces = {trace["name"]: trace for trace in charts(KINDS["usual"]())["rates"].figure["data"]}
    assert traces.keys() == {"requested", "sent", "answered", "dropped"}
    # The warm-up's second, and twenty of the measured time.
    assert traces["sent"]["y"] == [50.0, *[41.0] * 20]
    assert traces["answered"]["y"] == [50.0, *[40.0] * 20]
    assert traces["requested"]["y"] == [0.0, 42.0, 42.0, 42.0]
    assert (traces["requested"]["x"][0], traces["requested"]["x"][-1]) == (1.0, 22.0)
    assert "requested" not in {trace["name"] for trace in charts(KINDS["closed loop"]())["rates"].figure["data"]}


def test_connections_are_counted_from_the_opening_on():
    traces = {trace["name"]: trace for trace in charts(KINDS["usual"]())["connections"].figure["data"]}
    # Those that were lost came back at once; at the end all are closed by us. The last step has both of its ends.
    assert traces["open"]["y"] == [10] * 23
    assert traces["open"]["line"]["shape"] == "hv"
    assert sum(traces["opened"]["y"]) == 14
    assert sum(traces["lost"]["y"]) == 4


def test_sessions_of_a_lost_worker_are_not_open_any_more():
    lost = [LostWorker(1, "killed by SIGKILL", 2 * SECOND, 4)]
    seconds = [interval(answers(MILLI), index=index, lost=lost if index == 2 else ()) for index in range(1, 4)]
    made = recording(interval(Tally(attempted=10, opened=10), index=0, phase="opening"), *seconds)
    traces = {trace["name"]: trace for trace in charts(results(made))["connections"].figure["data"]}
    assert traces["open"]["y"] == [10, 10, 6, 6, 6]


def test_the_fewest_sessions_within_a_column_are_drawn_where_they_are_fewer_than_at_its_ends():
    gone = {"closed": Counter({"1006": 7}), "opened": 7, "attempted": 7}
    seconds = [interval(answers(MILLI, **(gone | {"open_dip": 7} if at == 2 else {})), index=at) for at in (1, 2, 3)]
    opening = interval(Tally(attempted=10, opened=10), index=0, phase="opening")
    found = charts(results(recording(opening, *seconds)))["connections"]
    traces = {trace["name"]: trace for trace in found.figure["data"]}
    assert traces["open"]["y"] == [10] * 5
    assert traces["fewest within"]["y"] == [0, 10, 3, 10, 10]
    assert [row[:3] for row in found.table.rows][2] == ["2 s to 3 s", "10", "3"]
    calm = charts(results(recording(opening, *(interval(answers(MILLI), index=at) for at in (1, 2, 3)))))["connections"]
    assert "fewest within" not in {trace["name"] for trace in calm.figure["data"]}


@pytest.mark.parametrize("word", ["failed", "lost", "opened"])
def test_the_axis_of_connections_has_room_for_every_line(word):
    busy = [Tally(**{"attempted": 400, "failed": 1, word: 400}, closed=Counter({"1011": 400})) for _ in range(4)]
    made = recording(*(interval(tally, index=index) for index, tally in enumerate(busy)))
    layout = charts(results(made))["connections"].figure["layout"]
    assert "dtick" not in layout["yaxis"]


def test_the_axis_of_connections_has_room_for_those_that_were_asked():
    seconds = (interval(Tally(attempted=1, failed=1), index=index) for index in range(4))
    found = charts(results(planned(*seconds, rate=1, connection_stages="4s:900")))["connections"].figure
    assert found["data"][0]["name"] == "requested"
    assert "dtick" not in found["layout"]["yaxis"]


def test_few_connections_have_no_tick_between_two():
    made = recording(*(interval(Tally(attempted=1, opened=1), index=index) for index in range(4)))
    assert charts(results(made))["connections"].figure["layout"]["yaxis"]["dtick"] == 1


def test_faults_of_many_kinds_are_all_there():
    made = KINDS["many kinds"]()
    traces = charts(made)["faults"].figure["data"]
    assert len(traces) == 8
    assert sum(sum(trace["y"]) for trace in traces) == sum(made.summary.faults.values()) == 4 * 78
    assert [trace["name"] for trace in charts(made)["processor"].figure["data"]] == ["busiest", "idlest"]


def test_an_interval_cut_short_has_no_rate():
    short = interval(answers(MILLI), index=4, length_ns=SECOND // 20)
    made = results(recording(*(interval(answers(MILLI), index=index) for index in range(4)), short))
    assert charts(made)["rates"].figure["data"][0]["y"] == [1.0] * 4


@pytest.mark.parametrize(("closing_ns", "drawn"), [(SECOND, True), (SECOND // 20, False)])
def test_the_table_of_the_heat_map_names_one_that_is_there(closing_ns, drawn):
    closing = interval(answers(MILLI), index=4, phase="closing", length_ns=closing_ns)
    made = recording(*(interval(answers(MILLI), index=index) for index in (2, 3)), closing)
    head, sections = page(results(made))
    assert ("heat-map" in charts_of(head, sections)) == ("response-over-time" in charts_of(head, sections)) == drawn
    told = [getattr(part, "text", "") for section in sections for part in section.parts]
    assert any(text.startswith("There are no charts over time") for text in told) == (not drawn)


def test_several_recordings_have_a_curve_each_and_no_course():
    found = charts(KINDS["two recordings"]())
    assert list(found) == ["percentiles", "recordings", "opening"]
    names = {trace["name"] for trace in found["recordings"].figure["data"]}
    assert names == {"1: 2026-03-01T12:00:07.25Z", "2: 2026-03-02T12:00:00Z"}


# --- Words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_the_verdict_is_that_of_the_report(name):
    made = KINDS[name]()
    head, _ = page(made)
    report = [text.plain for text in report_lines(made.recordings, made.summary, made.aggregate)]
    assert " ".join(report).startswith(head.verdict)


def test_failed_checks_come_first_and_doubts_are_at_the_top():
    head, _ = page(KINDS["checks"]())
    assert [passed for passed, _, _ in head.parts[0].rows] == [False, True]
    surplus = Tally(
        due=9, sent=9, answered=9, surplus_replies=4, opened=2, attempted=2, response_time_ns=histogram(*[MILLI] * 9)
    )
    head, _ = page(results(planned(interval(surplus), connections=2)))
    doubts = [part.text for part in head.parts if getattr(part, "tone", "") == "bad"]
    assert len(doubts) == 1
    assert doubts[0].startswith("pairing: 4 messages came too many")


def test_what_the_generator_s_limit_is_stands_on_top():
    loads = [WorkerUsage(0, SECOND, SECOND)]
    made = results(minute())
    busy = planned(*(interval(answers(*[MILLI] * 50, opened=1), index=at, workers=loads) for at in range(5)))
    head, _ = page(results(busy))
    assert any(part.text.startswith("saturated: ") for part in head.parts if getattr(part, "tone", "") == "bad")
    assert not any(getattr(part, "tone", "") == "bad" for part in page(made)[0].parts)
