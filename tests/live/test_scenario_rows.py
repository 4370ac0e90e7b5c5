"""Steps, sessions and reactions of a scenario in the live view and in progress lines."""

from io import StringIO

import pytest

from factories.results import SECOND, interval
from factories.scenarios import plan, recorded, second
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.live.run_state import RunState
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.tally import Tally


def state_of(*tallies, **options):
    made = RunState(plan(duration_ns=60 * SECOND), **options)
    for one in recorded(*tallies).intervals:
        made.on_interval(IntervalEvent.decode(one))
    return made


def lines_of(state, width=80, height=24):
    return [line.plain for line in render(state, Viewport(width, height))]


def test_the_view_names_the_slowest_steps_and_where_sessions_fail():
    lines = lines_of(state_of(second(), second()))
    assert "sessions      14 begun   7 failed   4 at writer/say   2 at writer/ask" in lines
    at = lines.index("slowest steps          p50         p99         max      failed")
    assert lines[at + 1 : at + 5] == [
        "  ask               300 ms      400 ms      400 ms           2",
        "  say              50.0 ms     99.0 ms      100 ms          12",
        "  reader/join      4.00 ms        8 ms        8 ms           0",
        "  writer/join         7 ms        7 ms        7 ms           0",
    ]
    assert "on            tick   88/s   4 gaps   2 repeats   2 out of order   2 silent" in lines
    assert any("as the roles have it" in line for line in lines)
    assert any("12 unawaited" in line for line in lines)


def test_times_are_those_of_the_last_seconds():
    later = Tally(steps={"writer/say": second().steps["writer/ask"]}, roles=second().roles)
    made = state_of(second(), *[Tally(roles=second().roles)] * 6, later, recent_ns=3 * SECOND)
    assert [key for key, times in made.recent_step_times().items() if times.count] == ["writer/say"]
    (say,) = (line for line in lines_of(made) if line.startswith("  say"))
    assert say.split() == ["say", "300", "ms", "400", "ms", "400", "ms", "7"], "failures are of all the run"


def test_a_view_without_a_scenario_has_none_of_its_rows():
    made = RunState(plan(None, duration_ns=60 * SECOND))
    made.on_interval(IntervalEvent.decode(interval(Tally(sent=3))))
    assert not any(line.startswith(("sessions", "slowest", "on ")) for line in lines_of(made))


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 5), (133, 50)])
def test_no_line_is_wider_than_the_terminal(size):
    lines = lines_of(state_of(second()), *size)
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]


def test_progress_lines_name_the_slowest_step():
    stream = StringIO()
    logger = ProgressLogger(plan(duration_ns=60 * SECOND), stream)
    for one in recorded(*[second()] * 10).intervals:
        logger(IntervalEvent.decode(one))
    line = stream.getvalue().splitlines()[-1]
    words = "slowest writer/ask p99 400 ms - 28 sessions failed (18 at writer/say, 9 at writer/ask, 1 at reader/(dial))"
    assert f"{words} - 18 gaps - 9 silences" in line
