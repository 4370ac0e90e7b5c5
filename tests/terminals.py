"""A terminal for tests: a pseudo-terminal, and pyte to read what would be on its screen."""

import codecs
import contextlib
import copy
import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
import time

import pyte

_BEGIN = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from ws_load_test.cli import main
sys.exit(main())
"""
OTHER_SCREEN = 1049 << 5
"""The mode of a terminal's second screen, as pyte numbers private ones."""


class TwoScreens(pyte.HistoryScreen):
    """pyte's screen with the second one that xterm has, and what was ever scrolled off the first."""

    def __init__(self, columns, rows):
        super().__init__(columns, rows)
        self.first = None
        self.turns = 0
        """How often a program has taken the second screen."""
        self.slips = 0
        """How often that has moved up by a line."""

    def set_mode(self, *modes, **options):
        super().set_mode(*modes, **options)
        if OTHER_SCREEN in self.mode and self.first is None:
            self.first = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.turns += 1
            self.erase_in_display(2)

    def index(self):
        self.slips += self.first is not None and self.cursor.y == self.lines - 1
        scrolled = self.history.top.copy()
        super().index()
        if self.first is not None:
            # The second screen keeps nothing of what scrolls off it.
            self.history.top.clear()
            self.history.top.extend(scrolled)

    def reset_mode(self, *modes, **options):
        super().reset_mode(*modes, **options)
        if OTHER_SCREEN not in self.mode and self.first is not None:
            self.buffer, hidden = self.first[0], self.cursor.hidden
            self.cursor, self.first = self.first[1], None
            self.cursor.hidden = hidden
            self.dirty.update(range(self.lines))


class Terminal:
    """Runs programs on a pseudo-terminal of a size; use it as a context manager."""

    def __init__(self, columns=80, rows=24):
        self.screen = TwoScreens(columns or 80, rows or 24)
        self._stream = pyte.Stream(self.screen)
        self._lock = threading.Lock()
        self.raw = ""
        self._ours, self._theirs = os.openpty()
        self._size(columns, rows)
        self._reader = threading.Thread(target=self._read)
        self._reading = threading.Event()
        self._reading.set()
        self.process = None

    def __enter__(self):
        self._reader.start()
        return self

    def __exit__(self, *_):
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
            self.process.wait()
        self.go_on()
        os.close(self._theirs)
        self._reader.join()
        os.close(self._ours)

    def run(self, *arguments, env=None, **options):
        """Starts the program with this as its controlling terminal, so that Ctrl-C reaches it."""
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
        settings = {"stdin": self._theirs, "stdout": self._theirs, "stderr": self._theirs, **options}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, *map(str, arguments)],
            env={**environment, "TERM": "xterm-256color", **(env or {})},
            start_new_session=True,
            **settings,
        )
        return self.process

    def stream(self):
        """Opens the terminal as a program in this process has it."""
        return os.fdopen(os.dup(self._theirs), "w", encoding="utf-8")

    def say(self, text):
        """Writes as a program does."""
        os.write(self._theirs, text.encode())

    def halt(self):
        """Takes nothing more, as after Ctrl-S."""
        self._reading.clear()

    def go_on(self):
        """As after Ctrl-Q."""
        self._reading.set()

    def resize(self, columns, rows):
        """As a user drags a corner."""
        with self._lock:
            self.screen.resize(rows, columns)
        self._size(columns, rows)

    def type(self, letters):
        """As a user types."""
        os.write(self._ours, letters.encode())

    @property
    def rows(self):
        """What is on the screen."""
        with self._lock:
            return [line.rstrip() for line in self.screen.display]

    @property
    def text(self):
        """What is on the screen, without the empty lines at its end."""
        return "\n".join(self.rows).rstrip()

    @property
    def is_on_second_screen(self):
        """Whether a program has the screen for itself."""
        return self.screen.first is not None

    @property
    def scrolled_off(self):
        """Lines that have left the screen at its top."""
        with self._lock:
            return ["".join(line[place].data for place in sorted(line)).rstrip() for line in self.screen.history.top]

    def until(self, condition, timeout_s=60.0):
        """Waits for what the screen will show."""
        end = time.monotonic() + timeout_s
        while not condition(self):
            assert time.monotonic() < end, f"it did not happen in time; the screen shows:\n{self.text}"
            time.sleep(0.01)

    def _size(self, columns, rows):
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 1 << 16):
                self._reading.wait()
                text = decoder.decode(data)
                with self._lock:
                    self.raw += text
                    self._stream.feed(text)
