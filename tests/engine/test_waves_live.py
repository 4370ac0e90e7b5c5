"""Disconnect waves of real servers, against what those who watch from outside have seen."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ws_load_test import make_plan, run
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.summary import summarize
from ws_load_test.api import Run
from ws_load_test.echo import EchoProcess, NodeOptions
from ws_load_test.metrics.recording_file import read_recording

pytestmark = pytest.mark.every_engine

MS, S = 10**6, 10**9
AWAY_S = 0.3
"""Seconds between the end of a server and the start of the one in its place, which takes some more."""
LOOK_S = 0.005
"""Seconds between two looks at the counters of the servers."""


class Restart(threading.Thread):
    """Restarts one of two servers, and logs when sessions are gone and all are open again by the servers' counters."""

    def __init__(self, staying, going, node, sessions):
        super().__init__(daemon=True)
        self.staying, self.going, self.node, self.sessions = staying, going, node, sessions
        self.began = threading.Event()
        self.ended_s = self.back_s = 0.0
        self.ended = 0

    def run(self):
        self.began.wait(60)
        self.ended = self.going.counts().open
        self.ended_s = time.monotonic()
        self.going.stop()
        time.sleep(AWAY_S)
        port = int(self.going.url.rstrip("/").rsplit(":", 1)[1])
        self.going = EchoProcess(port=port, node=self.node).__enter__()
        while self.staying.counts().open + self.going.counts().open < self.sessions:
            time.sleep(LOOK_S)
        self.back_s = time.monotonic()


def restart_under_load(sessions, node, *, tmp_path, **options):
    """Runs a load on two servers, one of which is restarted; returns the recording and the log of the restart."""
    with EchoProcess() as staying, EchoProcess(node=node) as going:
        restart = Restart(staying, going, node, sessions)
        restart.start()
        path = tmp_path / "run.jsonl"

        def follow(event):
            if event.interval.phase == "measured":
                restart.began.set()
            if restart.back_s and event.interval.phase != "closing":
                load.stop_gracefully()

        plan = make_plan([staying.url, going.url], connections=sessions, duration="40s", workers=2, **options)
        load = Run(plan, output=path, on_interval=follow, interval_s=0.5)
        result = asyncio.run(load.execute())
        restart.join(30)
        restart.going.stop()
    return result, restart, path


def check(result, restart, path, code, sessions):
    (wave,) = result.summary.waves
    assert restart.ended == sessions // 2
    assert wave.closed == {code: restart.ended}
    assert wave.sessions == restart.ended
    assert (wave.open_before, wave.fewest_open) == (sessions, sessions - restart.ended)
    assert wave.reconnected == restart.ended
    observed_ns = (restart.back_s - restart.ended_s) * S
    # The report of a recording is the same, from the file alone.
    recording = read_recording(path)
    assert summarize([recording], aggregate([recording])).waves == result.summary.waves
    return wave, observed_ns


@pytest.mark.alone
def test_the_time_until_all_are_back_is_exact(tmp_path):
    result, restart, path = restart_under_load(
        300, NodeOptions(close_code=1006), tmp_path=tmp_path, rate=300, reconnect="20ms"
    )
    wave, observed_ns = check(result, restart, path, "1006", 300)
    assert (wave.announced, wave.abrupt, wave.bounced) == (0, 150, 0)
    assert wave.peak_closes_per_s == 150
    assert wave.refused > 0
    assert wave.unanswered + wave.dropped <= result.summary.messages.unanswered + result.summary.messages.dropped
    assert abs(wave.back_after_ns - observed_ns) < 50 * MS


def test_sessions_that_we_end_are_no_wave():
    with EchoProcess() as server:
        plan = make_plan(
            server.url, connections=40, duration="1s", lifetime="300ms", disconnect="50%@500ms", rate=100, workers=2
        )
        result = run(plan)
    assert result.summary.connections.recycled > 0
    assert result.summary.reconnect_storm.disconnected > 0
    assert result.summary.waves == []
    assert not any("session_events" in one.encoded_tally for one in result.recording.intervals)
