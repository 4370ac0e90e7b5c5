"""Number of hosts and workers that the runs of an experiment had."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.report.content.labeled import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable


class GeneratorSize(NamedTuple):
    """Number of hosts and workers from one run of an experiment on."""

    first: int
    """Number of the first run that had them, from 1."""
    workers: int
    hosts: int


def sizes_of(runs: Iterable[GeneratorSize]) -> list[GeneratorSize]:
    """Returns those of an experiment's runs, in their order, whose hosts or workers are not those of the run before."""
    sizes: list[GeneratorSize] = []
    for run in runs:
        if not sizes or sizes[-1][1:] != run[1:]:
            sizes.append(run)
    return sizes


def describe_sizes(sizes: Iterable[GeneratorSize], noun: str) -> str:
    """Returns a phrase: ``8 workers on 4 hosts; from step 5 on 6 workers on 3 hosts``."""
    phrases: list[str] = []
    for size in sizes:
        since = f"from {noun} {size.first} on " if phrases else ""
        phrases.append(f"{since}{count_of(size.workers, 'worker')} on {count_of(size.hosts, 'host')}")
    return "; ".join(phrases)
