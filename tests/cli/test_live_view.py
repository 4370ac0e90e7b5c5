"""The program on a terminal, as its user sees it, and where there is none."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading

import pytest

from terminals import Terminal
from ws_load_test.cli.observers import _handle_sigtstp, watchers
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.live.view import LiveView
from ws_load_test.plan.options.read_plan import make_plan

ESCAPE = "\x1b"


def test_a_run_shows_itself_and_leaves_exactly_the_report(echo_url, program, tmp_path):
    path = tmp_path / "run.jsonl"
    with Terminal(100, 90) as terminal:
        process = terminal.run(echo_url, "-c", 5, "-r", 200, "-d", "4s", "-w", 1, "-o", path, "--summary", "full")
        terminal.until(lambda now: "requested 200/s" in now.text)
        assert terminal.is_on_second_screen
        assert "5 open of 5" in terminal.text
        terminal.resize(80, 24)
        terminal.until(lambda now: len(now.rows[0]) == 80)
        terminal.resize(100, 90)
        assert process.wait(60) == 0
        report = program("report", path).stdout.partition("\nthe same run again\n")[0].rstrip()
        terminal.until(lambda now: now.text.endswith(report.splitlines()[-1]) and not now.is_on_second_screen)
        assert terminal.text == report
        assert (terminal.scrolled_off, terminal.screen.turns) == ([], 1)
        assert not terminal.screen.cursor.hidden


@pytest.mark.parametrize("way", ["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_leaves_the_terminal_as_it_was(way, echo_url):
    with Terminal(80, 60) as terminal:
        process = terminal.run(echo_url, "-c", 5, "-r", 50, "-d", "60s", "-w", 1)
        terminal.until(lambda now: "5 open of 5" in now.text)
        if way == "Ctrl-C":
            # A terminal may take a page in parts; a key echoed before the last one is where the page ends.
            terminal.until(lambda now: now.screen.cursor.y == 0)
            # Nobody could wake a program up that has its session for itself, so it goes on at once.
            terminal.type("\x1a")
            terminal.until(lambda now: now.screen.turns == 2 and "5 open of 5" in now.text)
            terminal.until(lambda now: now.screen.cursor.y == 0)
            terminal.type("\x03")
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        terminal.until(lambda now: "generator" in now.text and not now.is_on_second_screen)
        assert not terminal.screen.cursor.hidden
        assert terminal.screen.turns == (2 if way == "Ctrl-C" else 1)
        assert (terminal.scrolled_off, terminal.screen.slips) == ([], 0)
        lines = terminal.text.splitlines()
        if way == "Ctrl-C":
            assert lines.pop(0) == "WARNING: the load goes on, only its display stops; fg brings it back"
        told, heading = lines[0], lines[2]
        assert told.startswith("WARNING: stopping: waiting for replies")
        assert heading == "Partial: interrupted"


def test_in_ci_a_terminal_gets_no_more_than_the_report(echo_url):
    with Terminal(80, 60) as terminal:
        assert terminal.run(echo_url, "-n", 5, "-w", 1, env={"CI": "1", "NO_COLOR": "1"}).wait(60) == 0
        terminal.until(lambda now: "generator" in now.text)
        # The report itself has bold letters there, and nothing that moves.
        assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", terminal.raw)) <= {"\x1b[1m", "\x1b[0m", "\x1b[2m"}


def test_where_there_is_no_terminal_nothing_steers_one(echo_url, program):
    done = program(echo_url, "-n", 5, "-w", 1, env={**os.environ, "CI": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout


class Fake:
    encoding = "utf-8"

    def __init__(self, stream, terminal):
        self._stream, self._terminal = stream, terminal

    def isatty(self):
        return self._terminal

    def fileno(self):
        return self._stream.fileno()


@pytest.fixture
def kind(monkeypatch, tmp_path):
    """Returns which watcher a run has, by its options, its surroundings, and whether its output is a terminal."""
    with (tmp_path / "terminal").open("w") as file:

        def find(ours=(), *, taken=False, stdout=True, stderr=True, **surroundings):
            for name in ("CI", "TERM"):
                monkeypatch.delenv(name, raising=False)
            for name, value in ({"TERM": "xterm"} | surroundings).items():
                monkeypatch.setenv(name, value)
            monkeypatch.setattr(sys, "stdout", Fake(file, stdout))
            monkeypatch.setattr(sys, "stderr", Fake(file, stderr))
            found = list(watchers(make_plan("ws://h"), dict(ours), taken=taken))
            for one in found:
                one.close()
            return type(found[0]) if found else None

        yield find


def test_ctrl_z_means_what_it_meant_when_the_view_has_closed(kind):
    assert kind() is LiveView
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL


def test_ctrl_z_out_of_force_stays_so(kind, monkeypatch):
    set_to = []
    before = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(signal, "signal", lambda *what: set_to.append(what))
            assert kind() is LiveView
    finally:
        signal.signal(signal.SIGTSTP, before)
    assert set_to == []


def test_a_second_ctrl_z_does_not_nest(monkeypatch):
    told = []

    class View:
        leaving = contextlib.ExitStack()

        def pause(self):
            told.append("pause")
            signal.raise_signal(signal.SIGTSTP)

        def resume(self):
            told.append("resume")

    monkeypatch.setattr(os, "kill", lambda *_: told.append("stopped"))
    with View.leaving:
        _handle_sigtstp(View())
        signal.raise_signal(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)
    assert told == ["pause", "stopped", "resume"] * 2


@pytest.mark.parametrize("what", ["descriptor", "thread"])
def test_where_there_can_be_no_view_there_are_lines(what, kind, monkeypatch, caplog):
    def fail(*_):
        raise OSError(24, "Too many open files") if what == "descriptor" else RuntimeError("can't start new thread")

    handlers = logging.root.handlers
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "dup", fail) if what == "descriptor" else (threading.Thread, "start", fail)))
        assert kind() is ProgressLogger
    assert logging.root.handlers is handlers
    assert "there can be no live view" in caplog.text


def test_who_watches(kind):
    assert kind() is LiveView
    assert kind(stderr=False) is LiveView
    assert kind({"json": True}) is LiveView
    assert kind(CI="false") is LiveView
    assert kind({"live": True}, CI="1") is LiveView
    assert kind({"quiet": True}) is None
    assert kind({"quiet": True, "live": True}) is None
    assert kind({"live": False}) is ProgressLogger
    assert kind(stdout=False) is ProgressLogger
    assert kind({"live": True}, stdout=False) is ProgressLogger
    assert kind(taken=True) is ProgressLogger
    assert kind(CI="true") is ProgressLogger
    assert kind(TERM="dumb") is ProgressLogger
    assert kind({"live": True}, TERM="dumb") is ProgressLogger
    assert kind(TERM="") is ProgressLogger
