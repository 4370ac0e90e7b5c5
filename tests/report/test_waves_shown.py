"""Disconnect waves, commands and nodes in every report, and in conditions."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from factories.results import MILLI, SECOND, answers, recording, text_of
from factories.results import results as results_of
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.thresholds import RequestedCondition
from ws_load_test.analysis.wave_types import NodesSummary, NodeSummary
from ws_load_test.metrics.recording import CommandRun, Interval
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.content import nodes
from ws_load_test.report.content.waves import MOST_WAVES
from ws_load_test.report.html.run import page
from ws_load_test.report.terminal.brief import brief_lines
from ws_load_test.report.terminal.layout import WIDTH
from ws_load_test.report.terminal.run import report_lines


def interval(tally, index, *, phase="measured", commands=()):
    return Interval.of(
        tally,
        index=index,
        phase=phase,
        from_ns=index * SECOND,
        to_ns=(index + 1) * SECOND,
        measured_ns=SECOND if phase == "measured" else 0,
        commands=commands,
    )


def a_wave(at_s, sessions=50, code="1012", back_s=1.5, **more):
    """Session events of a wave, by the number of their interval."""
    events = {at_s: Counter({f"{at_s * 100} {code}": sessions, f"{at_s * 100} reconnected:1472": sessions})}
    for event, count in more.items():
        events[at_s][f"{at_s * 100} {event}"] = count
    if back_s is not None:
        at = round((at_s + back_s) * 100)
        events.setdefault(at // 100, Counter())[f"{at} opened"] = sessions
    return events


def a_run(*waves, commands=(), nodes=None, seconds=12):
    """A run of 100 sessions with these waves."""
    opening = Tally(attempted=100, opened=100, nodes=nodes or {})
    made = [interval(opening, 0, phase="opening")]
    for number in range(1, seconds):
        tally = answers(*[2 * MILLI] * 20, service=[MILLI] * 20)
        for events in waves:
            for key, count in events.get(number, {}).items():
                tally.session_events[key] += count
                event = key.split()[1]
                tally.opened += count * (event == "opened")
                if event.isdigit():
                    tally.closed[event] += count
                    tally.lost += count
                    tally.faults[f"closed:{event}"] += count
        made.append(interval(tally, number, commands=[one for one in commands if one.at_ns // SECOND == number]))
    whole = recording(*made)
    trailer = msgspec.structs.replace(whole.trailer, commands=tuple(commands) or msgspec.UNSET)
    return msgspec.structs.replace(whole, trailer=trailer)


def words_of(made):
    return " ".join(" ".join(line.plain for line in brief_lines(made)).split())


def whole_report(made):
    lines = [line.plain for line in report_lines(made.recordings, made.summary, made.aggregate)]
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(lines)


RESTART = CommandRun(
    number=0, command="./restart.sh b", at_ns=4 * SECOND, ended_ns=4 * SECOND + 250 * MILLI, status=0, output="done\n"
)
BROKEN = CommandRun(
    number=1, command="./drain.sh\n  b", at_ns=5 * SECOND, ended_ns=6 * SECOND, status=3, output="a\nno such node\n"
)


def test_a_wave_has_a_row_in_the_brief_report():
    made = results_of(a_run(a_wave(4, bounced=2, refused=7, unanswered=3)))
    assert words_of(made).startswith("Done, with a wave of 50 sessions that was back after 1.50 s")
    row = "wave 50 sessions ended at 4 s, 50 announced (1012 service restart); back after 1.50 s"
    assert f"{row}; 2 bounced, 7 refused dials, 3 messages unanswered" in words_of(made)


def test_a_wave_that_is_not_back_shows_what_is_missing():
    words = words_of(results_of(a_run(a_wave(4, code="1006", back_s=None))))
    assert "with a wave of 50 sessions that was not back" in words
    assert "50 abrupt (1006 no close frame); not back, 50 of 100 open at the fewest" in words


def test_of_many_waves_the_first_have_a_row():
    waves = [a_wave(6 * number + 1, back_s=1) for number in range(MOST_WAVES + 2)]
    words = words_of(results_of(a_run(*waves, seconds=60)))
    assert f"with {MOST_WAVES + 2} waves that were back after 1 s at most" in words
    assert words.count("sessions ended at") == MOST_WAVES
    assert "and 2 waves more" in words


def test_the_full_report_has_a_table():
    text = whole_report(results_of(a_run(a_wave(4), a_wave(9, 20, back_s=None))))
    rows = [line.split() for line in text.splitlines() if line.startswith("  at ")]
    assert rows == [
        ["at", "4", "s", "50", "50", "0", "50", "1.50", "s", "1.50", "s", "1.50", "s", "0"],
        ["at", "9", "s", "20", "20", "0", "80", "not", "1.50", "s", "1.50", "s", "0"],
    ]


def test_a_run_without_any_shows_none():
    made = results_of(a_run())
    assert made.summary.waves == []
    assert made.summary.nodes is None
    assert "wave" not in whole_report(made)
    assert "wave" not in text_of("openmetrics", made)


def test_commands_are_shown_and_a_failed_one_is_a_finding():
    made = results_of(a_run(a_wave(4), commands=[RESTART, BROKEN]))
    words = words_of(made)
    assert "ran ./restart.sh b at 4 s, 3 s into the load, ended with exit status 0 after 250 ms" in words
    assert "./drain.sh b at 5 s, 4 s into the load, ended with exit status 3 after 1 s" in words
    assert [one for one in made.summary.warnings if "command" in one] == [
        'the command "./drain.sh b" ended with exit status 3: no such node'
    ]
    # A recording without an end has them in its intervals.
    (whole,) = made.recordings
    killed = results_of(msgspec.structs.replace(whole, trailer=None))
    assert "./restart.sh b at 4 s" in words_of(killed)


def test_the_page_marks_waves_and_commands():
    pytest.importorskip("plotly")
    made = results_of(a_run(a_wave(4), commands=[RESTART]))
    head, sections = page(made)
    (chart,) = [part for part in head.parts if getattr(part, "key", "") == "response-over-time"]
    layout = chart.figure["layout"]
    (band,) = [one for one in layout["shapes"] if one.get("fillcolor") == "var(--bad)"]
    assert (band["x0"], band["x1"]) == (4, 5.5)
    assert {"wave: 50 ended", "./restart.sh b"} <= {one["text"] for one in layout["annotations"]}
    tables = [part for section in sections for part in section.parts if hasattr(part, "rows")]
    assert any("1012 service restart" in str(table.rows) for table in tables)


def test_openmetrics_has_a_sample_of_each_wave():
    text = text_of("openmetrics", results_of(a_run(a_wave(4), a_wave(10, 20, back_s=None))))
    assert "ws_load_test_disconnect_waves 2\n" in text
    assert 'ws_load_test_disconnect_wave_sessions{wave="2"} 20' in text
    assert 'ws_load_test_disconnect_wave_back_seconds{wave="1"} 1.5\n' in text
    assert 'back_seconds{wave="2"}' not in text


def node(opened, *times):
    return answers(*times, opened=opened)


def test_nodes_have_a_table():
    made = results_of(a_run(nodes={"blue": node(60, MILLI), "green\x1b": node(30, 5 * MILLI, 5 * MILLI)}))
    assert [(row.name, row.sessions_at_end, row.answered) for row in made.summary.nodes.rows] == [
        ("blue", 60, 1),
        ("green\x1b", 30, 2),
    ]
    assert (made.summary.nodes.skew, made.summary.nodes.unnamed) == (pytest.approx(4 / 3), 10)
    text = whole_report(made)
    assert "\x1b" not in text
    text = " ".join(text.split())
    assert "skew 1.33 at the start and 1.33 at the end; 1 is even; 10 sessions on no node" in text
    assert 'ws_load_test_node_sessions{node="blue"} 60' in text_of("openmetrics", made)
    pytest.importorskip("plotly")
    assert "blue" in text_of("html", made)


def test_a_node_has_losses_and_a_tail_of_its_own():
    slow = node(3, *[MILLI] * 90, *[50 * MILLI] * 10)
    slow.unanswered = 4
    (row,) = results_of(a_run(nodes={"a": slow})).summary.nodes.rows
    assert row.unanswered == 4
    assert (row.response_p50_ns, row.response_p99_ns) == pytest.approx((MILLI, 50 * MILLI), rel=0.01)


def test_a_place_that_names_no_node_is_a_finding():
    whole = a_run()
    assert not any("node" in one for one in results_of(whole).summary.warnings)
    plan = {**whole.header.plan, "node": {"kind": "header", "name": "X-Nod"}}
    asked = msgspec.structs.replace(whole, header=msgspec.structs.replace(whole.header, plan=plan))
    (warning,) = (one for one in results_of(asked).summary.warnings if "node" in one)
    assert warning.startswith('no session showed its node at "header:X-Nod"')


@pytest.mark.parametrize(
    ("condition", "value", "passed"),
    [
        ("waves > 1", 1, True),
        ("waves > 0", 1, False),
        ("waves.back > 1s", 1_500_000_000, False),
        ("waves.back > 2s", 1_500_000_000, True),
        ("waves.abrupt > 0", 0, True),
        ("waves.bounced > 1", 2, False),
        ("waves.bounced > 3.9%", 0.04, False),
        ("waves.bounced > 4%", 0.04, True),
        ("waves.reconnected < 50", 50, True),
        ("waves.closes_per_s > 49", 50, False),
        ("waves.closes_per_s > 50", 50, True),
        ("nodes.skew > 1.2", pytest.approx(4 / 3), False),
        ("nodes.skew > 1.4", pytest.approx(4 / 3), True),
    ],
)
def test_conditions_compare_them(condition, value, passed):
    run = a_run(a_wave(4, bounced=2), nodes={"a": node(2), "b": node(1)})
    (check,) = summarize([run], conditions=[RequestedCondition("fail-if", condition)]).verdict.checks
    assert (check.value, check.passed) == (value, passed)


@pytest.mark.parametrize(
    ("run", "condition", "value", "why"),
    [
        (a_run(a_wave(4, back_s=None)), "waves.back > 5s", None, "a wave was not back"),
        (a_run(), "waves.back > 5s", 0, None),
        (a_run(), "waves.bounced > 1%", 0, None),
        (a_run(), "waves.closes_per_s > 200", 0, None),
        (a_run(), "nodes.skew > 2", None, "no session was open on a node that is known"),
    ],
)
def test_what_has_no_value_has_failed(run, condition, value, why):
    (check,) = summarize([run], conditions=[RequestedCondition("fail-if", condition)]).verdict.checks
    assert check.value == value
    assert check.passed == (value is not None)
    assert why is None or why in check.why


def test_nodes_that_show_under_load_only_are_not_zero_at_the_start():
    def node(name, at_start):
        ends = {"sessions_at_end": 3, "opened": 3, "answered": 9, "unanswered": 0}
        return NodeSummary(name=name, sessions_at_start=at_start, **ends, response_p50_ns=None, response_p99_ns=None)

    late = NodesSummary(skew_at_start=None, skew=1.0, unnamed=0, rows=[node("a", 0), node("b", 0)])
    assert [row[1] for row in nodes.rows(late)] == ["–", "–"]
    assert nodes.skew_words(late).endswith("no session had shown its node when the load began")
    known = NodesSummary(skew_at_start=2.0, skew=1.0, unnamed=0, rows=[node("a", 3), node("b", 0)])
    assert [row[1] for row in nodes.rows(known)] == ["3", "0"]
    assert nodes.skew_words(known) == "skew 2.00 at the start and 1.00 at the end; 1 is even"
