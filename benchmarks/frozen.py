"""The frozen server: an open loop measures a second in which the server does nothing, a closed loop misses it.

    python benchmarks/frozen.py [--rate 1000] [--connections 10] [--duration 10] [--freeze 1]

Two runs against the built-in echo server, which is stopped (SIGSTOP) in the middle of each: one on a schedule, where
times count from when a message was due, and a closed loop, where each connection waits for its reply before it
sends again. The exit code is 1 if the first does not show the freeze, or if accounts do not balance. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from ws_load_test import Plan, Summary, make_plan, run
from ws_load_test.analysis.summary_types import Messages
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.echo import EchoProcess

if TYPE_CHECKING:
    from ws_load_test.metrics.recording import Interval

LEAST, MOST = 0.85, 1.05
"""The 99th percentile as a part of a freeze that takes a tenth of the run."""
PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")


def frozen_run(server: EchoProcess, plan: Plan, after_s: float, freeze_s: float) -> tuple[Summary, int]:
    """Runs the plan, with the server stopped `after_s` into its measured time; returns the summary and the freeze."""
    begun = threading.Event()
    took_ns: list[int] = []

    def freeze() -> None:
        begun.wait()
        time.sleep(after_s)
        from_ns = time.monotonic_ns()
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(freeze_s)
        os.kill(server.pid, signal.SIGCONT)
        took_ns.append(time.monotonic_ns() - from_ns)

    def heard(interval: Interval) -> None:
        if interval.phase == "measured":
            begun.set()

    thread = threading.Thread(target=freeze)
    thread.start()
    result = run(plan, on_interval=heard, interval_s=0.1)
    begun.set()
    thread.join()
    return result.summary, took_ns[0]


def balances(messages: Messages) -> bool:
    """True if the accounts balance."""
    due, sent = messages.sent + messages.dropped, messages.answered + messages.unanswered
    return messages.due == due and messages.sent == sent


def show(name: str, summary: Summary, freeze_ns: int) -> bool:
    """Prints a run; returns whether its accounts balance."""
    times, messages = summary.response_time_ns, summary.messages
    assert times is not None, "no message was answered"
    print(f"{name}, frozen for {format_duration(freeze_ns)}")
    print("  response time  " + "   ".join(f"{name} {format_duration(times.value(name))}" for name in PERCENTILES))
    kinds = ("due", "sent", "answered", "unanswered", "dropped")
    print("  messages       " + "   ".join(f"{kind} {format_count(getattr(messages, kind))}" for kind in kinds))
    lag = summary.generator.send_lag_ns
    if lag:
        print(f"  send lag       p50 {format_duration(lag.p50)}   p99 {format_duration(lag.p99)}")
    print(f"  p99 is {times.p99 / freeze_ns:.3f} of the freeze")
    return balances(messages)


def main() -> int:
    """Prints both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", default="1000")
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--duration", type=float, default=10)
    parser.add_argument("--freeze", type=float, default=1)
    options = parser.parse_args()
    shared: dict[str, Any] = {"connections": options.connections, "duration": options.duration, "workers": 1}
    after_s = (options.duration - options.freeze) / 2
    with EchoProcess() as server:
        url = server.url
        summary, freeze_ns = frozen_run(server, make_plan(url, rate=options.rate, **shared), after_s, options.freeze)
        balanced = show("open load", summary, freeze_ns)
        assert summary.response_time_ns is not None
        seen = LEAST <= summary.response_time_ns.p99 / freeze_ns <= MOST
        print()
        summary, freeze_ns = frozen_run(server, make_plan(url, **shared), after_s, options.freeze)
        balanced = show("closed load", summary, freeze_ns) and balanced
    print()
    print(f"accounts {'balance' if balanced else 'DO NOT BALANCE'}; the freeze {'shows' if seen else 'DOES NOT SHOW'}")
    return 0 if balanced and seen else 1


if __name__ == "__main__":
    sys.exit(main())
