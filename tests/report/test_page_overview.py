"""The first screen of a page: figures, conditions, the course of the times, and the marks in its charts."""

from factories.pages import KINDS, planned
from factories.results import MILLI, SECOND, answers, interval, results
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.metrics.recording import LostWorker
from ws_load_test.report.html.document import Command, Conditions, Head, Section, Table, Text, Tiles, document
from ws_load_test.report.html.overview import overview
from ws_load_test.report.html.run import page

STAGES = {"stages": "2s:1,2s@4,2s:0", "disconnect": "50%@3s", "connections": 4}


def run(checks=(), lost=(), **options):
    seconds = [
        interval(answers(*[MILLI] * 4, opened=1, attempted=1), index=at, lost=lost if at == 4 else ())
        for at in range(6)
    ]
    made = planned(*seconds, **(options or STAGES))
    if lost:
        made = type(made)(made.header, made.intervals, None)
    return results(made, checks=checks)


def charts(made):
    head, sections = page(made)
    return {part.key: part for one in (head, *sections) for part in one.parts if hasattr(part, "key")}


def marked(chart):
    return [note["text"] for note in chart.figure["layout"].get("annotations", ())]


def tiles(made):
    found = next(part for part in overview(made) if isinstance(part, Tiles))
    return {tile.name: tile for tile in found.tiles}


def test_five_figures_say_what_most_people_ask():
    found = tiles(run())
    assert list(found) == ["p50", "p99", "rate", "errors", "connections"]
    assert (found["p50"].value, found["p50"].note) == ("1 ms", "response time")
    assert (found["rate"].value, found["rate"].note) == ("4/s", "answered; up to 4/s requested")
    assert (found["errors"].value, found["errors"].tone) == ("0 %", "plain")
    assert (found["connections"].value, found["connections"].note) == ("6", "opened; 4 requested")


def test_figures_of_runs_without_replies():
    assert tiles(results(KINDS["not awaited"]().recordings[0]))["p50"].note == "send lag"
    lost = tiles(KINDS["no answers"]())
    assert lost["p50"].value == "–"
    assert (lost["errors"].tone, lost["errors"].note) == ("doubt", "50 unanswered")
    assert lost["errors"].value == f"{100 * 50 / 55:.3g} %"


def test_the_course_of_the_times_is_in_the_head_and_conditions_are_first():
    check = ThresholdCheck(check="p99 > 50ms", value=MILLI, passed=True, option="fail-if", limit=50 * MILLI, unit="ns")
    head, _ = page(run([check]))
    command, conditions, *_ = head.parts
    assert isinstance(command, Command)
    assert command.line.startswith("ws-load-test ws://h:1/ ")
    assert isinstance(conditions, Conditions)
    assert conditions.rows == [(True, "fail if p99 > 50ms", "1 ms")]
    assert head.parts[-1].key == "response-over-time"


def test_stages_disconnects_and_lost_workers_are_marked_in_every_chart_over_time():
    lost = (LostWorker(1, "killed by SIGKILL", 4 * SECOND, 0),)
    found = charts(run(lost=lost))
    # The first stage ends at 2 s, the disconnect is at 3 s, a worker is lost at 4 s, where the second stage ends.
    events = ["1/s", "50 % disconnected", "4/s", "worker 1 lost"]
    for key in ("response-over-time", "rates", "connections", "heat-map"):
        assert marked(found[key]) == events, key
    lines = [shape for shape in found["rates"].figure["layout"]["shapes"] if shape["type"] == "line"]
    assert [shape["x0"] for shape in lines] == [2.0, 3.0, 4.0, 4.0]
    assert "annotations" not in charts(run(rate=4, duration="6s"))["rates"].figure["layout"]


def test_the_text_of_a_late_mark_stands_left_of_its_line_and_is_not_cut_off():
    late = charts(run(stages="1s:1,4500ms@4,500ms:0"))["rates"].figure["layout"]["annotations"]
    assert [(note["x"], note["xanchor"]) for note in late] == [(1.0, "left"), (5.5, "right")]


def test_limits_are_drawn_in_the_charts_that_they_concern_and_fit_on_them():
    limits = {"p99 > 50ms": "ns", "rate < 2": "per_s", "errors > 1%": "share", "connect.p99 > 1s": "ns"}
    checks = [ThresholdCheck(check=text, value=1, passed=True, limit=1, unit=unit) for text, unit in limits.items()]
    found = charts(run(checks))
    times, rates = found["response-over-time"].figure, found["rates"].figure
    assert [trace["name"] for trace in times["data"] if "limit" in trace.get("name", "")] == ["limit of p99: 50 ms"]
    assert [trace["y"] for trace in rates["data"] if "limit" in trace["name"]] == [[2.0, 2.0]]
    low, high = times["layout"]["yaxis"]["range"]
    assert 10**low < MILLI < 50 * MILLI < 10**high


def test_an_odd_part_and_every_text_take_both_columns():
    table = Table(["", "n"], [["a", "1"]])
    text = "".join(document("t", Head("v", "plain"), [Section("s", [table, table, Text("words"), table])]))
    assert text.count('<div class="half">') == 2
    assert text.count('<div class="wide">') == 2
