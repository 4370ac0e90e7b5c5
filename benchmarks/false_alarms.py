"""Rates of false alarms and of differences found by `compare`, on drawn recordings.

    python benchmarks/false_alarms.py [--pairs 200] [--seed 0] [--only NAME]

Pairs of runs are drawn at random from the same distribution; a false alarm is a pair of which any metric is called
better or worse, which at 95 % confidence should be one in twenty. Then one of each pair is made slower by a tenth. The
exit code is 1 if there are more false alarms than chance explains, where seconds do not drift for longer than the run
can show.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ws_load_test.analysis.comparison.compare import compare
from ws_load_test.analysis.comparison.metrics import Verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from factories.comparison import cliff, heavy, joined, lognormal, side

SCENARIOS: dict[str, tuple[dict[str, Any], bool]] = {
    "10 s, 20,000 answers": ({"per_s": 2000}, True),
    "60 s, 20,000 answers": ({"seconds": 60, "per_s": 333}, True),
    "10 s, 1,200 answers": ({"per_s": 120}, True),
    "5 s, 20,000 answers": ({"seconds": 5, "per_s": 4000}, True),
    "600 s, 60,000 answers": ({"seconds": 600, "per_s": 100}, True),
    "heavy tail (Pareto 1.5)": ({"per_s": 2000, "shape": heavy}, True),
    "cliff at p99": ({"per_s": 2000, "shape": cliff}, True),
    "drift AR 0.5, 60 s": ({"seconds": 60, "per_s": 333, "drift": 0.05, "memory": 0.5}, True),
    "drift AR 0.8, 60 s": ({"seconds": 60, "per_s": 333, "drift": 0.05, "memory": 0.8}, True),
    "drift AR 0.8, 300 s": ({"seconds": 300, "per_s": 100, "drift": 0.05, "memory": 0.8}, True),
    "drift AR 0.5, 10 s": ({"per_s": 2000, "drift": 0.05, "memory": 0.5}, False),
    "drift AR 0.8, 20 s": ({"seconds": 20, "per_s": 1000, "drift": 0.05, "memory": 0.8}, False),
}
"""The cases drawn, and if the stated rate must hold for them."""
UNEQUAL = ({"seconds": 6, "per_s": 1000}, {"seconds": 60, "per_s": 1000})


def most_by_chance(pairs: int, rate: float = 0.05) -> int:
    """Number of alarms that chance exceeds once in a hundred times if the rate is true."""
    total, count = 0.0, 0
    while True:
        total += math.comb(pairs, count) * rate**count * (1 - rate) ** (pairs - count)
        if total >= 0.99:
            return count
        count += 1


def rounds(rng: np.random.Generator, drifts: Any, slower: float = 1.0) -> Any:
    """A side of an A/B: rounds of a second, each faster or slower by what its pair is."""
    return joined([side(rng, 1, 1000, lognormal, slower=slower * drift) for drift in drifts])


def tell(name: str, alarms: int, found: int, pairs: int) -> None:
    """Prints a row."""
    print(f"{name:26} {100 * alarms / pairs:6.1f} % {100 * found / pairs:8.1f} %", flush=True)


def differs(comparison: Any) -> bool:
    """True if anything is called different."""
    return any(one.verdict in (Verdict.BETTER, Verdict.WORSE) for one in comparison.differences)


def finds(comparison: Any) -> bool:
    """True if p99 is called worse."""
    return any(one.metric.name == "p99" and one.verdict is Verdict.WORSE for one in comparison.differences)


def main() -> int:
    """Prints a row for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    options = parser.parse_args()
    pairs, good = options.pairs, True
    most = most_by_chance(pairs)
    print(f"{'':26} {'alarms':>8} {'+10 % found in p99':>18}")
    for name, (drawn, holds) in SCENARIOS.items():
        if options.only not in (None, name):
            continue
        rng, alarms, found = np.random.default_rng(options.seed), 0, 0
        for _ in range(pairs):
            base = side(rng, **drawn)
            alarms += differs(compare(base, side(rng, **drawn)))
            found += finds(compare(base, side(rng, **drawn, slower=1.1)))
        tell(name, alarms, found, pairs)
        good = good and (alarms <= most or not holds)
    if options.only is None:
        rng, alarms, found = np.random.default_rng(options.seed), 0, 0
        for _ in range(pairs):
            base = side(rng, **UNEQUAL[0])
            alarms += differs(compare(base, side(rng, **UNEQUAL[1])))
            found += finds(compare(base, side(rng, **UNEQUAL[1], slower=1.1)))
        tell("6 s against 60 s", alarms, found, pairs)
        good = good and alarms <= most
        rng, alarms, found = np.random.default_rng(options.seed), 0, 0
        for _ in range(pairs):
            drifts = np.exp(0.3 * rng.standard_normal(10))
            base = rounds(rng, drifts)
            alarms += differs(compare(base, rounds(rng, drifts), paired=True))
            found += finds(compare(base, rounds(rng, drifts, 1.1), paired=True))
        tell("10 pairs that drift by 30 %", alarms, found, pairs)
        good = good and alarms <= most
    print(f"up to {most} alarms in {pairs} are chance: {'as stated' if good else 'MORE THAN STATED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
