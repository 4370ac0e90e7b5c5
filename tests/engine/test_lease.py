"""A worker whose lease ends, and one whose pipes nobody reads any more."""

import subprocess
import sys
import time

import msgspec

from ws_load_test import make_plan
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.exit_reason import exit_reason
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.worker.ipc import LEASE_EXPIRED, Assignment, Command

LEASE_NS = 500_000_000


def start(url, lease_ns=LEASE_NS, interval_ns=10**8, rate=100):
    worker = subprocess.Popen(
        [sys.executable, "-m", "ws_load_test.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    plan = make_plan(url, duration=60, connections=2, rate=rate, workers=1)
    say(worker, Assignment(plan, Shard(0, 1), interval_ns, lease_ns))
    return worker


def say(worker, words):
    worker.stdin.write(msgspec.json.encode(words) + b"\n")
    worker.stdin.flush()


def end(worker):
    worker.kill()
    worker.communicate()


def test_any_line_renews_it_and_silence_ends_the_worker_with_its_load():
    with FaultyServer(behaviors.echoes) as server:
        worker = start(server.url, 3 * LEASE_NS)
        try:
            server.wait_for(lambda seen: seen.open == 2)
            say(worker, Command("start", time.monotonic_ns()))
            for _ in range(4):
                # A second may pass beside it on a busy machine.
                time.sleep(0.5)
                say(worker, Command("renew"))
            server.wait_for(lambda seen: seen.replies > 10)
            assert worker.poll() is None, "2 s after a lease of 1.5 s began"
            at_s = time.monotonic()
            server.wait_for(lambda seen: seen.open == 0)
            assert exit_reason(worker.wait(60), []).startswith("its lease ran out")
            assert time.monotonic() - at_s > 0.5
        finally:
            end(worker)


def test_a_worker_whose_pipe_is_full_ends_all_the_same():
    """Its pipe is full, as it is when the process that reads it has been stopped."""
    with FaultyServer(behaviors.echoes) as server:
        worker = start(server.url, interval_ns=10**6)
        try:
            server.wait_for(lambda seen: seen.open == 2)
            say(worker, Command("start", time.monotonic_ns()))
            assert worker.wait(60) == LEASE_EXPIRED
        finally:
            end(worker)
