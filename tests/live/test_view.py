"""The view on a terminal, without a run behind it; tests/cli/test_live_view.py has that."""

import logging
import os
import threading
import time

import pytest

from factories.run_states import MILLI, SECOND, answers, damaged, interval, opening, plan
from terminals import Terminal
from ws_load_test.live import view as live_view
from ws_load_test.live.view import LiveView
from ws_load_test.metrics.recording import LostWorker


@pytest.fixture
def terminal():
    with Terminal() as made:
        yield made


@pytest.fixture
def view(terminal):
    """Begins a view on the terminal, and ends it."""
    begun = []

    def begin(**options):
        with terminal.stream() as stream:
            begun.append(LiveView(plan(), stream, **({"after_s": 0.0, "captures_logs": False} | options)))
        return begun[-1]

    yield begin
    for one in begun:
        terminal.go_on()
        one.close()


def test_it_has_a_screen_of_its_own_and_leaves_nothing(terminal, view):
    terminal.say("$ ws-load-test\r\n")
    terminal.until(lambda now: now.text == "$ ws-load-test")
    shown = view()
    shown(opening(77))
    terminal.until(lambda now: "77 open of 100" in now.text)
    assert terminal.is_on_second_screen
    assert terminal.screen.cursor.hidden
    assert "$" not in terminal.text
    shown.close()
    terminal.until(lambda now: not now.is_on_second_screen)
    assert terminal.text == "$ ws-load-test"
    assert not terminal.screen.cursor.hidden
    assert terminal.scrolled_off == []
    shown.close()


def test_a_run_that_is_over_at_once_shows_nothing(terminal, view):
    shown = view(after_s=60.0)
    shown(opening())
    begun = time.monotonic()
    shown.close()
    assert time.monotonic() - begun < 30
    assert terminal.raw == ""


def test_it_keeps_to_the_size_that_the_terminal_has_now(terminal, view, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "200")
    shown = view()
    shown(opening(77))
    shown(interval(answers(MILLI), at_s=1))
    terminal.until(lambda now: "messages" in now.text)
    assert len(terminal.rows[0]) == 80
    for columns, rows in ((132, 40), (40, 10)):
        terminal.resize(columns, rows)
        terminal.until(lambda now, columns=columns: len(now.rows[0]) == columns and "77 open" in now.text)
        assert terminal.rows[0].endswith("of 60 s")
        # What was drawn for another size is gone.
        assert sum("77 open" in line for line in terminal.rows) == 1


def test_a_size_of_nothing_is_taken_for_the_usual_one(view):
    with Terminal(0, 0) as terminal, terminal.stream() as stream:
        shown = LiveView(plan(), stream, after_s=0.0, captures_logs=False)
        shown(opening(77))
        terminal.until(lambda now: "77 open" in now.raw)
        shown.close()


def test_the_clock_goes_on_between_intervals(terminal, view):
    shown = view()
    shown(interval(answers(MILLI)))
    terminal.until(lambda now: "measured 1 s of" in now.text)
    terminal.until(lambda now: "measured 2 s of" in now.text)


def test_it_steps_aside_and_comes_back(terminal, view):
    shown = view()
    shown(opening(77))
    terminal.until(lambda now: "77 open" in now.text)
    shown.pause()
    terminal.until(lambda now: not now.is_on_second_screen)
    assert not terminal.screen.cursor.hidden
    time.sleep(0.4)
    assert terminal.screen.turns == 1
    shown.resume()
    terminal.until(lambda now: "77 open" in now.text)
    shown.close()
    shown.pause()


def test_a_lost_worker_shows_at_once(terminal, view):
    lost = []
    shown = view(lost=lambda: lost)
    shown(opening(100))
    terminal.until(lambda now: "100 open" in now.text)
    lost.append(LostWorker(1, "killed", 2 * SECOND, 50))
    terminal.until(lambda now: "worker 1 after 2 s" in now.text and "50 open" in now.text)


def test_what_is_logged_is_on_the_page_and_later_where_it_belongs(terminal, view, caplog):
    kept = logging.root.handlers
    shown = view(captures_logs=True)
    logging.getLogger("ws_load_test").warning("stopping: %s", "waiting")
    terminal.until(lambda now: now.text.endswith("\nstopping: waiting"))
    assert caplog.messages == []
    shown.close()
    assert caplog.messages == ["stopping: waiting"]
    assert logging.root.handlers is kept


def test_what_is_logged_while_it_is_aside_is_reported_at_once(terminal, view, caplog):
    shown = view(captures_logs=True)
    terminal.until(lambda now: now.is_on_second_screen)
    shown.pause()
    logging.getLogger("ws_load_test").warning("the load goes on")
    assert caplog.messages == ["the load goes on"]
    shown.resume()
    logging.getLogger("ws_load_test").warning("later")
    assert caplog.messages == ["the load goes on"]
    shown.close()
    assert caplog.messages == ["the load goes on", "later"]


def test_a_pause_does_not_wait_for_the_next_look(terminal, view, monkeypatch):
    monkeypatch.setattr(live_view, "TICK_S", 60.0)
    shown = view()
    terminal.until(lambda now: "starting" in now.text)
    begun = time.monotonic()
    shown.pause()
    assert time.monotonic() - begun < 30
    assert shown._left.is_set()


def test_what_is_logged_without_end_is_not_kept_without_end(caplog, monkeypatch):
    monkeypatch.setattr(live_view, "MAX_RECORDS", 10)
    rung = []
    notes = live_view.BufferedLogHandler(lambda: rung.append(1))
    try:
        for number in range(25):
            logging.getLogger("ws_load_test").warning("line %d", number)
        assert [words for words, _ in notes.lines()] == [f"line {number}" for number in range(20, 25)]
        assert (notes.count, len(rung)) == (25, 25)
    finally:
        notes.close()
    assert caplog.messages[0] == "of what was logged during the run the first 15 lines are left out"
    assert caplog.messages[1:] == [f"line {number}" for number in range(15, 25)]


def test_arguments_that_do_not_fit_are_no_end_of_the_view(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    notes = live_view.BufferedLogHandler(lambda: None)
    try:
        logging.getLogger("ws_load_test").warning("%d of %d", *["one"])
        assert notes.lines() == [("%d of %d", "yellow")]
    finally:
        notes.close()


def test_a_terminal_that_takes_nothing_delays_no_run(terminal, view, caplog):
    terminal.halt()
    shown = view(captures_logs=True)
    begun = time.monotonic()
    for second in range(300):
        shown(interval(answers(MILLI), at_s=second))
        if not second % 30:
            # Enough frames to fill it.
            logging.getLogger("ws_load_test").warning("second %s", second)
            time.sleep(0.02)
    assert time.monotonic() - begun < 30
    closing = threading.Thread(target=shown.close)
    closing.start()
    closing.join(0.2)
    terminal.go_on()
    closing.join(60)
    assert not closing.is_alive()
    terminal.until(lambda now: not now.is_on_second_screen)
    assert len(caplog.messages) == 10


def test_a_damaged_interval_is_ignored(terminal, view):
    shown = view()
    shown(damaged())
    shown(opening(77))
    terminal.until(lambda now: "77 open" in now.text)


def test_a_terminal_that_hangs_up_is_left_alone():
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        shown = LiveView(plan(), stream, after_s=0.0, captures_logs=False)
    os.close(ours)
    shown(opening())
    shown._thread.join(5)
    assert not shown._thread.is_alive()
    shown(opening())
    shown.close()
