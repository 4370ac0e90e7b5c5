"""Messages between a worker and its fleet: JSON, one line each.

The worker reads an `Assignment`, then `Command`s, from standard input, and writes `Report`s to standard output.
Standard input closing means: stop at once. Any program that keeps to this can run workers; they need not know where
they are.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ws_load_test.common.sharding import Shard
from ws_load_test.metrics.fan_out_report import FollowedPublish, SlowSubscriber
from ws_load_test.metrics.recording import Phase, WorkerUsage
from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
from ws_load_test.plan.plan import Plan

LONGEST_REPORT_BYTES = 1 << 26
"""Bytes of the longest line that a fleet takes from a worker: the histograms of an interval take less than a tenth."""
LEASE_EXPIRED = 75
"""Exit code of a worker that has read nothing for as long as its lease (EX_TEMPFAIL of BSD's sysexits)."""
LONGEST_ASSIGNMENT_BYTES = 1 << 31
"""Bytes of the longest line that a worker takes: the contents of messages (`LARGEST_CONTENTS_BYTES`) in base64, and
ample room for the rest of the plan."""


class Assignment(msgspec.Struct, frozen=True):
    """The first line to a worker: what the whole run is, and which part is its own."""

    plan: Plan
    share: Shard
    interval_ns: int = 10**9
    """Time between two reports."""
    lease_ns: int = 0
    """A worker that reads nothing for so long ends at once; 0: only the end of its input ends it."""
    tag: str = ""
    """Tag of the markers of a run with a fan-out."""
    host_workers: tuple[int, int] = (0, 0)
    """The first worker of its machine, and their number; no number: all of the run."""
    multi_host: bool = False
    """Machines other than its own have workers of this run."""


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """Any later line to a worker."""

    kind: Literal["start", "stop", "renew", "hold", "switch", "give_up", "published"]
    """``start``: the load begins at `at_ns`. ``stop``: send nothing more, wait for replies, report, end. ``renew``:
    nothing, but as any line it renews the lease. ``hold``, then ``switch``: the load is shared anew (see
    `plan.load_sharing`). ``give_up``: no session of the run is left, so drop what is left of the load, and end.
    ``published``: no publisher of a fan-out sends any more; `published` has how much they sent."""
    at_ns: int = 0
    """A monotonic instant of the worker's machine: of ``hold``, from which the worker leaves messages to others."""
    number: int = 0
    """Number of a ``hold``."""
    switch: LoadSwitch = LoadSwitch()
    """Shares of the load: of ``start`` and ``switch``."""
    published: dict[int, int] = {}
    """Publishes of each publisher: of ``published``."""


class IntervalReport(msgspec.Struct, frozen=True, omit_defaults=True, tag="interval"):
    """One interval of one worker, or of its silence."""

    phase: Phase
    index: int
    """Counts the intervals of a phase."""
    from_ns: int
    """Monotonic instant of the worker's machine."""
    to_ns: int
    usage: WorkerUsage
    tally: dict[str, Any] = {}
    ready: bool = False
    """Every session that will open has opened."""
    done: bool = False
    """The last report: all sessions have ended."""
    examples: dict[str, str] = {}
    """A sentence for each kind of fault, the first time that it happens."""
    began_ns: int = 0
    """Monotonic instant at which the load really began, told once; a schedule counts from when it should have."""
    followed: tuple[FollowedPublish, ...] = ()
    """Publishes of a fan-out that are followed over all workers."""
    slowest: tuple[SlowSubscriber, ...] = ()
    """Subscribers of a fan-out whose deliveries took longest."""


class Published(msgspec.Struct, frozen=True, tag="published"):
    """Publishes of a worker's publishers, once it sends no more."""

    counts: dict[int, int]


Report = IntervalReport | LoadState | Published
"""Any line of a worker."""
