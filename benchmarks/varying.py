"""Costs of messages that vary: processor time for each rendered and encoded frame, beside the list of ready frames.

    python benchmarks/varying.py

No connection is involved: this is what a varying message costs more than one that is encoded ahead. Compare it with
what a whole round trip costs (benchmarks/cost.py). The figure is the best of several rounds, since other programs only
ever add to it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ws_load_test.common.errors import OptionProblem
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import FrameBatches, Message, MessageGenerator
from ws_load_test.plan.options.catalog import PARSERS
from ws_load_test.plan.options.messages import read_message
from ws_load_test.websocket.frames import FrameEncoder

ROUNDS, CALLS = 7, 20_000
TEMPLATE = '{"id": {seq}, "user": "{random:8}"}'
IN_FLIGHT = (1, 16)


def message(**options: object) -> Message:
    """The message that options describe."""
    problems: list[OptionProblem] = []
    found = read_message({name: PARSERS[name](value) for name, value in options.items()}, problems)
    assert not problems, problems
    return found


def cost_us(call: Callable[[], object], messages: int) -> float:
    """Processor time for each message, in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(CALLS // messages):
            call()
        best = min(best, (time.process_time_ns() - started) / (CALLS // messages * messages))
    return best / 1000


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder, "users.csv")
        feed.write_text("token,name\n" + "".join(f"{number:020},name-{number}\n" for number in range(100_000)))
        small = Path(folder, "few.csv")
        small.write_text("token,name\n" + "".join(f"{number:020},name-{number}\n" for number in range(1000)))
        cases = {
            "fixed text, through the same path": (message(message="x" * 35), Shard(0, 1)),
            TEMPLATE: (message(message=TEMPLATE), Shard(0, 1)),
            "{uuid}": (message(message="{uuid}"), Shard(0, 1)),
            "{now_ms} {int:1..100}": (message(message="{now_ms} {int:1..100}"), Shard(0, 1)),
            "two templates, weights 3:1": (message(message=[TEMPLATE, "{seq}"], weights="3,1"), Shard(0, 1)),
            "100 to 1000 bytes": (message(size="100..1000"), Shard(0, 1)),
            "64 kB on average": (message(size="exp:64kB"), Shard(0, 1)),
            "feed in memory": (message(message="{feed.token}", feed=str(small)), Shard(0, 2)),
            "large feed, round-robin, 1 worker": (message(message="{feed.token}", feed=str(feed)), Shard(0, 1)),
            "large feed, round-robin, 2 workers": (message(message="{feed.token}", feed=str(feed)), Shard(0, 2)),
            "large feed, random": (message(message="{feed.token}", feed=str(feed), feed_order="random"), Shard(0, 1)),
        }
        print(f"{'µs of processor time a message':<40}" + "".join(f"{f'{count} at once':>12}" for count in IN_FLIGHT))
        ready = [bytes(message().frames(count)) for count in range(max(IN_FLIGHT) + 1)]
        figures = [cost_us(partial(ready.__getitem__, count), count) for count in IN_FLIGHT]
        print(f"{'encoded ahead':<40}" + "".join(f"{figure:>12.3f}" for figure in figures))
        for name, (varying, share) in cases.items():
            source = MessageGenerator(varying, share)
            payloads = source.payloads(0)
            next_frames = FrameBatches(payloads, FrameEncoder(payloads.opcode)).__getitem__
            figures = [cost_us(partial(next_frames, count), count) for count in IN_FLIGHT]
            print(f"{name:<40}" + "".join(f"{figure:>12.3f}" for figure in figures))
            source.close()


if __name__ == "__main__":
    main()
