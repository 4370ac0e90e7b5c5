"""Repeats a test that judges times, where it failed while the machine stood still.

What is measured while a processor does something else says nothing about the code: neighbors of a virtual machine take
processors away for tenths of a second. A failure on a machine that did not pause counts at once.
"""

import functools
import os
import threading
import time

LOOK_S = 0.002
"""Seconds between two looks at the clock."""
PAUSE_S = 0.02
"""Seconds by which a look is too late; less than that is what threads of this process cost each other."""
ATTEMPTS = 4
"""Attempts that a test has, the last of which counts in any case."""


class PauseDetector:
    """One thread for each processor, which finds out whether that processor was away during a block."""

    def __init__(self, clock=time.monotonic):
        self.longest_s = 0.0
        self._clock = clock
        self._over = threading.Event()
        processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {None}
        self._threads = [threading.Thread(target=self._watch, args=(one,)) for one in processors]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, processor):
        if processor is not None:
            # Of this thread alone.
            os.sched_setaffinity(0, {processor})
        from_s = self._clock()
        while not self._over.is_set():
            time.sleep(LOOK_S)
            now_s = self._clock()
            self.longest_s = max(self.longest_s, now_s - from_s - LOOK_S)
            from_s = now_s


def repeated_after_pauses(test, detector=PauseDetector):
    """Returns a test that is done again if it fails in an attempt in which a processor paused."""

    @functools.wraps(test)
    def attempt(*args, **options):
        for number in range(1, ATTEMPTS):
            watch = detector()
            try:
                with watch:
                    return test(*args, **options)
            except AssertionError:
                if watch.longest_s < PAUSE_S:
                    raise
            print(f"a processor paused for {watch.longest_s * 1000:.0f} ms: the test is done again")  # noqa: T201
            if "tmp_path" in options:
                options["tmp_path"] /= str(number)
                options["tmp_path"].mkdir()
        return test(*args, **options)

    return attempt
