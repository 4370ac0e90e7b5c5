import fcntl
import io
import os
import struct
import termios
from collections import Counter

import pytest

from ws_load_test.match import Matching
from ws_load_test.measure.recording import Interval
from ws_load_test.measure.tally import Tally
from ws_load_test.plan import Plan
from ws_load_test.report.progress import ProgressLine
from ws_load_test.target import Target

SECOND = 10**9
MICRO = 10**3


def plan(**parts):
    return Plan(Target("ws://echo.example"), **({"duration_ns": 10 * SECOND, "connections": 100} | parts))


def interval(made, phase="measured", *, from_ns=2 * SECOND, to_ns=3 * SECOND):
    return Interval.of(made, index=0, phase=phase, from_ns=from_ns, to_ns=to_ns, measured_ns=0)


def answers(*values, **parts):
    made = Tally(answered=len(values), **parts)
    for value in values:
        made.response_time_ns.record(value)
    return made


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True

    @property
    def shown(self):
        """What the line reads now: later writes cover earlier ones from the left."""
        line = ""
        for text in self.getvalue().split("\r"):
            line = text + line[len(text) :]
        return line.rstrip()


def shown(*intervals, asked=None):
    terminal = Terminal()
    line = ProgressLine(asked or plan(), terminal)
    for one in intervals:
        line(one)
    return terminal.shown


OPENING = interval(Tally(attempted=80, opened=70, failed=10), "opening", from_ns=0, to_ns=SECOND)


def test_opening():
    assert shown(OPENING) == "opening 80 of 100 · 70 open"


def test_measured_time():
    made = answers(*(k * 100 * MICRO for k in range(1, 101)), faults=Counter({"reset": 2}), closed=Counter({"1006": 3}))
    made.host_errors["out-of-ports"] += 1
    line = shown(OPENING, interval(made))
    assert line == "measured 1 s of 10 s · 67 open · 100/s · p50 5.00 ms · p99 9.90 ms · 3 faults"


def test_unkind_connections_that_ended_are_no_longer_open():
    made = answers(MICRO, closed=Counter({"1006": 3}), unkind=Tally(closed=Counter({"1008": 4})))
    assert " · 63 open · " in shown(OPENING, interval(made))


def test_where_no_reply_is_awaited_it_is_what_was_sent():
    asked = plan(matching=Matching("none"))
    assert shown(interval(Tally(sent=70, pushed=9)), asked=asked).endswith(" · 70/s sent")
    assert shown(interval(Tally(warmup_sent=30), "warmup"), asked=asked).endswith(" · 30/s sent")


def test_figures_are_those_of_the_last_interval_and_faults_of_all():
    line = shown(
        OPENING,
        interval(answers(*[9 * MICRO] * 7, faults=Counter({"reset": 1}))),
        interval(answers(*[5 * MICRO] * 3), from_ns=3 * SECOND, to_ns=3 * SECOND + SECOND // 2),
    )
    assert line == "measured 1.50 s of 10 s · 70 open · 6/s · p50 5 µs · p99 5 µs · 1 fault"


def test_a_number_of_messages():
    asked = plan(duration_ns=None, messages=12_345)
    line = shown(interval(answers(*[MICRO] * 2)), interval(answers(*[MICRO] * 3)), asked=asked)
    assert line.startswith("measured 1 s, 5 of 12,345 · ")


def test_warm_up_and_closing():
    asked = plan(warmup_ns=4 * SECOND)
    assert shown(interval(Tally(warmup_answered=50), "warmup"), asked=asked) == "warm-up 1 s of 4 s · 0 open · 50/s"
    closing = interval(Tally(closed=Counter({"1000": 70})), "closing")
    assert shown(OPENING, interval(answers(MICRO)), closing) == "closing 1 s · 0 open · 0/s"


def test_an_interval_without_length_has_no_rate():
    assert shown(interval(answers(MICRO), from_ns=5, to_ns=5)) == "measured 0 ns of 10 s · 0 open"


def test_close_leaves_an_empty_line():
    terminal = Terminal()
    line = ProgressLine(plan(), terminal)
    line(OPENING)
    assert terminal.shown
    line.close()
    assert terminal.shown == ""
    assert terminal.getvalue().endswith("\r")
    written = terminal.getvalue()
    line.close()
    line(OPENING)
    assert terminal.getvalue() == written


def test_a_shorter_line_covers_a_longer_one():
    terminal = Terminal()
    line = ProgressLine(plan(), terminal)
    line(interval(answers(*[MICRO] * 9)))
    line(interval(Tally(), "closing"))
    assert terminal.shown == "closing 1 s · 0 open · 0/s"


def test_silent_where_nobody_watches():
    out = io.StringIO()
    line = ProgressLine(plan(), out)
    line(OPENING)
    line.close()
    assert out.getvalue() == ""


def test_ascii_terminal():
    terminal = Terminal()
    terminal.encoding = "ascii"
    ProgressLine(plan(), terminal)(interval(answers(5 * MICRO)))
    assert terminal.shown == "measured 1 s of 10 s - 0 open - 1/s - p50 5 us - p99 5 us"


def test_a_stream_without_an_encoding():
    terminal = Terminal()
    terminal.encoding = None
    ProgressLine(plan(), terminal)(OPENING)
    assert terminal.shown == "opening 80 of 100 - 70 open"


class Failing(Terminal):
    def __init__(self, error):
        super().__init__()
        self.error = error
        self.tries = 0

    def flush(self):
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "hung up"), ValueError("closed"), BrokenPipeError()])
def test_a_terminal_that_fails_is_ignored_and_left_alone(error):
    terminal = Failing(error)
    line = ProgressLine(plan(), terminal)
    line(OPENING)
    line(OPENING)
    line.close()
    assert terminal.tries == 1
    terminal = Failing(error)
    ProgressLine(plan(), terminal).close()
    assert terminal.tries == 1


def test_a_closed_or_missing_stream_is_ignored(monkeypatch):
    terminal = Terminal()
    line = ProgressLine(plan(), terminal)
    terminal.close()
    line(OPENING)
    line.close()
    closed = io.StringIO()
    closed.close()
    ProgressLine(plan(), closed)(OPENING)
    monkeypatch.setattr("sys.stderr", None)
    ProgressLine(plan())(OPENING)


def test_a_damaged_interval_is_ignored():
    damaged = Interval(index=0, phase="measured", from_ns=0, to_ns=1, measured_ns=0, record={"nonsense": 1})
    assert shown(damaged) == ""


def test_standard_error_is_where_it_goes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    ProgressLine(plan())(OPENING)
    assert terminal.shown.startswith("opening")


@pytest.mark.parametrize(("columns", "length"), [(40, 39), (5, 19), (0, 76), (200, 76)])
def test_a_real_terminal_gets_a_line_of_its_width(columns, length):
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with open(theirs, "w", encoding="utf-8", closefd=False) as stream:
            line = ProgressLine(plan(), stream)
            line(interval(answers(*[123_400] * 99, faults=Counter({"reset": 12}))))
            written = os.read(ours, 4096).decode()
            assert written[0] == "\r"
            full = "measured 1 s of 10 s · 0 open · 99/s · p50 123 µs · p99 123 µs · 12 faults"
            assert written[1:] == full[:length]
            line.close()
            cleared = "\r" + " " * len(written[1:]) + "\r"
            # A terminal hands out each write by itself, or several together.
            shown = ""
            while len(shown) < len(cleared):
                shown += os.read(ours, 4096).decode()
            assert shown == cleared
    finally:
        os.close(ours)
        os.close(theirs)
