"""A/B of a server against itself, and against one that answers 200 µs later: counts how often they differ.

    python benchmarks/ab.py [--runs 10] [--rounds 10] [--round-duration 0.5] [--delay 200us]
                            [--connections 5] [--rate 1000]

Each run is what `ws-load-test ab` does. Of the server against itself the interval of the ratio should hold 1 in at
least 9 of 10 runs, for each metric; of the slower one the interval of the fast replies' time (p10) and, where the
machine is quiet, that of the median should never hold it. The exit code is 1 if the first two are not so.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter

from ws_load_test import make_plan
from ws_load_test.analysis.comparison.compare import Comparison
from ws_load_test.analysis.comparison.metrics import Difference, Verdict
from ws_load_test.common.units import format_duration
from ws_load_test.echo import EchoProcess
from ws_load_test.experiments.ab import PairedExperiment


def holds_one(difference: Difference) -> bool:
    """True if the interval does not rule out that nothing differs."""
    return difference.verdict is Verdict.NO_DIFFERENCE


def measure(one: str, other: str, options: argparse.Namespace, seed: int) -> Comparison:
    """Runs one A/B."""
    shared = {
        "connections": options.connections,
        "rate": options.rate,
        "duration": options.round_duration,
        "warmup": "200ms",
    }
    series = PairedExperiment(
        make_plan(one, workers=1, **shared), make_plan(other, workers=1, **shared), rounds=options.rounds, seed=seed
    )
    for turn in series.iter_rounds():
        series.add_result(turn, asyncio.run(turn.run().execute()))
    comparison = series.comparison()
    assert comparison is not None
    return comparison


def repeat(name: str, one: str, other: str, options: argparse.Namespace) -> Counter[str]:
    """Runs several; returns in how many each metric's interval held 1."""
    held: Counter[str] = Counter()
    for run in range(1, options.runs + 1):
        comparison = measure(one, other, options, run)
        held.update(one.metric.name for one in comparison.differences if holds_one(one))
        held["everything"] += all(map(holds_one, comparison.differences))
        for one_metric in comparison.differences[:3]:
            low, high = one_metric.low or 0.0, one_metric.high or 0.0
            was, now = format_duration(one_metric.base), format_duration(one_metric.new)
            print(
                f"{name} {run:>2}  {one_metric.metric.label:6} {was:>8} {now:>8}  ratio {1 + one_metric.change:.3f},"
                f" {1 + low:.3f} to {1 + high:.3f}: {one_metric.verdict}",
                flush=True,
            )
    print(f"{name}: of {options.runs} runs the interval held 1 in {dict(held)}\n", flush=True)
    return held


def main() -> int:
    """Prints both experiments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--round-duration", type=float, default=0.5)
    parser.add_argument("--delay", default="200us")
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--rate", default="1000")
    options = parser.parse_args()
    with EchoProcess() as server:
        itself = repeat("itself", server.url, server.url, options)
        slower = repeat(f"+{options.delay}", server.url, f"{server.url}?delay={options.delay}", options)
    least = min((itself[name] for name in itself if name != "everything"), default=0)
    good = least >= 0.9 * options.runs and slower["p10"] == 0
    print("as it should be" if good else "NOT AS IT SHOULD BE")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
