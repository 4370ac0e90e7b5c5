"""Disconnect waves and commands while a run goes."""

from collections import Counter
from io import StringIO

from factories.run_states import SECOND, interval, opening, plan, scene
from ws_load_test.analysis.thresholds import AbortMonitor
from ws_load_test.analysis.waves import Wave
from ws_load_test.analysis.whole_run import WholeRun
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import CommandRun, Header, Interval, Recording
from ws_load_test.metrics.tally import Tally


def ended(at_s, count):
    return Tally(lost=count, closed=Counter({"1012": count}), session_events=Counter({f"{at_s * 100} 1012": count}))


def back(at_s, count):
    return Tally(opened=count, session_events=Counter({f"{at_s * 100} opened": count}))


def a_scene(*, is_back):
    """Four seconds behind a wave of 40 sessions, which may be back after two."""
    tallies = {2: ended(2, 40), 4: back(4, 40) if is_back else Tally()}
    return scene(opening(98), *(interval(tallies.get(k, Tally()), at_s=k) for k in range(1, 9)))


def lines_of(state):
    return [line.plain.strip() for line in render(state, Viewport(100, 40))]


def test_a_line_shows_a_wave_while_it_is_on():
    (line,) = [line for line in lines_of(a_scene(is_back=False)) if line.startswith("wave")]
    assert " ".join(line.split()) == "wave 40 ended 40 missing 1012 service restart"


def test_a_wave_that_is_over_has_a_fainter_line():
    (line,) = [line for line in lines_of(a_scene(is_back=True)) if line.startswith("wave")]
    assert " ".join(line.split()) == "wave 1 wave, the last of 40 sessions back after 2 s"


def test_no_line_without_a_wave():
    assert not any("wave" in line for line in lines_of(scene(opening(98))))


def test_events_of_a_long_run_are_not_kept():
    state = a_scene(is_back=True)
    assert not state.tally.session_events
    assert state.waves.waves


def test_a_plain_line_has_it_too():
    stream = StringIO()
    lines = ProgressLogger(plan(), stream)
    lines(opening(98))
    for k in range(1, 12):
        lines(interval(ended(8, 40) if k == 8 else Tally(), at_s=k))
    assert "wave of 40 sessions, not back" in stream.getvalue()


def test_commands_have_lines():
    run = CommandRun(number=0, command="./restart.sh", at_ns=2 * SECOND)
    done = CommandRun(number=0, command="./restart.sh", at_ns=2 * SECOND, ended_ns=3 * SECOND, status=1)
    state = scene(opening(98))
    for number, one in enumerate((run, done)):
        made = Interval.of(
            Tally(), index=number, phase="measured", from_ns=0, to_ns=SECOND, measured_ns=SECOND, commands=[one]
        )
        state.on_interval(IntervalEvent.decode(made))
        (line,) = [line for line in lines_of(state) if line.startswith("ran")]
        assert ("still running" in line) == (one is run)
    assert "ended with exit status 1 after 1 s" in line


def test_a_wave_can_stop_a_run():
    header = Header(tool="", started_at="2026-01-01T00:00:00Z", plan={}, target="", host={}, workers=1)
    monitor = AbortMonitor.of(plan(abort_if=("waves > 0",), abort_grace_ns=0), Recording(header, ()))
    event = interval(Tally())
    assert monitor.add_event(event, Tally(), WholeRun()) == ()
    (stop,) = monitor.add_event(event, Tally(), WholeRun((Wave(0, 10),)))
    assert (stop.condition, stop.value) == ("waves > 0", 1)
