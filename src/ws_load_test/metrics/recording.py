"""The file a run writes as it goes: JSON lines that every report can be made from, elsewhere and later.

The first line is a `Header`, then comes an `Interval` for each part of the run, the last is a `Trailer`.
A run that is killed leaves all but the trailer, and at worst half a line at the end. Secrets are the caller's
to hide: what is given here is written.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec

from ws_load_test.metrics.fan_out_report import SlowSubscriber
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 2
"""The format version that is written; versions up to it can be read."""

Phase = Literal["opening", "warmup", "measured", "closing"]
PHASES: tuple[Phase, ...] = ("opening", "warmup", "measured", "closing")
"""The phases of a run, in their order."""
LARGEST = 1 << 60
"""Largest number of nanoseconds, or of anything else, that a recording has: 36 years."""
NonNegative = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Signed = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
WorkerNumber = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]
"""Number of a worker from 0; also a number of workers, or of hosts."""


class WorkerUsage(msgspec.Struct, frozen=True):
    """Resources that one worker process used during an interval."""

    worker: WorkerNumber
    """Number of the worker, from 0."""
    cpu_ns: NonNegative
    """Processor time, user and system."""
    wall_ns: NonNegative
    """Time that passed."""
    run_delay_ns: NonNegative = 0
    """Time in which it could have run and other processes had the core."""
    throttled_ns: NonNegative = 0
    """Time in which its control group had used up its processor quota."""
    gc_ns: NonNegative = 0
    """Time in which the garbage collector held it up."""
    engine: str | msgspec.UnsetType = msgspec.UNSET
    """Name of the engine that ran its sessions; unset in recordings that do not say."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of a run on several, and how its monotonic clock compares with that of the machine that led."""

    name: str
    """Name of the machine."""
    address: str = ""
    """Address at which it was reached."""
    first_worker: WorkerNumber
    """Number of its first worker."""
    workers: WorkerNumber
    """Number of the run's workers it had, numbered from `first_worker` on."""
    facts: dict[str, Any] = {}
    """Facts about the host, as in `Header.host`."""
    clock_ahead_ns: Signed = 0
    """Time that its clock is before the leader's when the run is prepared; `Interval.clocks` has all later comparisons.
    All ``_ns`` instants of the recording are the leader's."""
    clock_error_ns: NonNegative = 0
    """Largest error of that."""


class HostInterval(msgspec.Struct, frozen=True):
    """Share of one machine in an interval, for a run on several."""

    host: WorkerNumber
    """Its place among the header's hosts."""
    from_ns: Signed
    """Its start there, from the start of the run."""
    record: dict[str, Any] = msgspec.field(name="tally")
    """Counts and times that are kept for each machine, in the form of `Interval.encoded_tally`."""
    began_ns: tuple[Signed, Signed] | msgspec.UnsetType = msgspec.UNSET
    """Instants at which the first and the last of the machine's workers began the load, if they did so in it, from the
    run's start."""
    start_offset_ns: Signed | msgspec.UnsetType = msgspec.UNSET
    """Offset of the machine's clock by which it was given the start of the load, beside `began_ns`: what its workers
    count from the start of the load is later by what this was too much."""


class ClockReading(msgspec.Struct, frozen=True):
    """A comparison of a machine's monotonic clock with the leader's."""

    host: WorkerNumber
    """Its place among the header's hosts."""
    at_ns: Signed
    """Instant of the comparison by the leader's clock, from the start of the run; negative if it was made before."""
    offset_ns: Signed
    """Time that the machine's clock was before the leader's."""
    error_ns: NonNegative
    """Largest error of that."""


class LostWorker(msgspec.Struct, frozen=True):
    """A worker that ended before the run did."""

    worker: WorkerNumber
    """Number of the worker, from 0."""
    reason: str
    """Reason, as a sentence part."""
    at_ns: Signed
    """Instant at which it was noticed, from the start of the run."""
    open_sessions: NonNegative = 0
    """Sessions that it had open, by its last report, and that ended with it."""


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """A command of ``--run-at`` that has begun."""

    number: NonNegative
    """Number of the command, from 0."""
    command: str
    """Its text, without what looks like a secret."""
    at_ns: Signed
    """Instant at which it began, from the start of the run."""
    ended_ns: Signed | None = None
    """Instant at which it ended; None while it runs."""
    status: Signed | None = None
    """Exit status of the shell, the negative number of a signal that ended it; None where it did not start."""
    output: str = ""
    """End of what it wrote."""
    problem: str = ""
    """Failure of it besides its status, as the rest of a sentence."""

    @property
    def failed(self) -> bool:
        """True for a command that ended in another way than with exit status 0."""
        return bool(self.problem) or (self.ended_ns is not None and self.status != 0)


class Round(msgspec.Struct, frozen=True):
    """Number of a run in a series of rounds, where two targets are measured in turn."""

    series: str
    """The same in all rounds that were made together, and in no others."""
    number: NonNegative
    """Number from 1; the rounds of both targets that have the same number are a pair."""


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="header"):
    """Facts known before the run."""

    format: NonNegative = FORMAT
    """Version of the recording format."""
    tool: str
    """Name and version of the program that wrote it."""
    started_at: str
    """Start of the run, ISO 8601 with a time zone: the zero of all ``_ns`` instants."""
    plan: dict[str, Any]
    """Plan of the run without secrets and payloads, as ``ws-load-test schema plan`` describes it."""
    target: str
    """URL of the target, secrets hidden."""
    host: dict[str, Any]
    """Facts about the machine of the generator, by label."""
    workers: WorkerNumber
    """Number of worker processes."""
    round: Round | msgspec.UnsetType = msgspec.UNSET
    """Round of a series; unset where the run is not one of a series."""
    hosts: tuple[Host, ...] | msgspec.UnsetType = msgspec.UNSET
    """The machines of a run on several."""

    @property
    def started_ns(self) -> int:
        """`started_at` in ns since 1970-01-01 UTC.

        Raises:
            ValueError: `started_at` is no date and time, or has no time zone.
        """
        started = datetime.fromisoformat(self.started_at)
        if started.tzinfo is None:
            raise ValueError(f"{self.started_at!r} has no time zone")
        since = started - datetime.fromisoformat("1970-01-01T00:00:00Z")
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000

    @property
    def name(self) -> str:
        """Name of the run; empty where it has none."""
        name = self.plan.get("name")
        return name if isinstance(name, str) else ""

    @property
    def due_when_sent(self) -> bool:
        """True where the plan's load sends each message when it is due, so that response and service times are one."""
        load = self.plan.get("load")
        return isinstance(load, dict) and load.get("kind") == "closed"


class Interval(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="interval"):
    """One interval of the run, all workers together.

    It holds the tally as it is recorded, which takes a tenth of the memory that the histograms' arrays would.
    """

    index: NonNegative
    """Number of the interval within its phase, from 0."""
    phase: Phase
    """Phase of the run; only measured intervals count for the throughput."""
    from_ns: Signed
    """Its start, from the start of the run."""
    to_ns: Signed
    """Its end, from the start of the run."""
    measured_ns: NonNegative
    """Part of its time that counts for the throughput."""
    encoded_tally: dict[str, Any] = msgspec.field(name="tally")
    """Counts and times, in the form of `Tally.to_record`."""
    workers: tuple[WorkerUsage, ...] = ()
    """Resources that each worker used."""
    fault_examples: dict[str, str] = {}
    """A sentence for each kind of fault that happened for the first time, under the fault's name."""
    hosts: tuple[HostInterval, ...] | msgspec.UnsetType = msgspec.UNSET
    """Share of each machine in it, for a run on several."""
    lost_workers: tuple[LostWorker, ...] | msgspec.UnsetType = msgspec.UNSET
    """Those whose loss was noticed since the interval before; the trailer has them all."""
    commands: tuple[CommandRun, ...] | msgspec.UnsetType = msgspec.UNSET
    """Commands that began or ended since the interval before; the trailer has them all."""
    clocks: tuple[ClockReading, ...] | msgspec.UnsetType = msgspec.UNSET
    """Comparisons of the machines' clocks since the interval before, for a run on several."""
    slowest: tuple[SlowSubscriber, ...] | msgspec.UnsetType = msgspec.UNSET
    """Subscribers of a fan-out whose deliveries took longest, over the whole run; in the last interval."""

    @classmethod
    def of(
        cls,
        tally: Tally,
        *,
        index: int,
        phase: Phase,
        from_ns: int,
        to_ns: int,
        measured_ns: int,
        workers: Sequence[WorkerUsage] = (),
        fault_examples: Mapping[str, str] | None = None,
        hosts: Sequence[HostInterval] = (),
        lost_workers: Sequence[LostWorker] = (),
        commands: Sequence[CommandRun] = (),
        clocks: Sequence[ClockReading] = (),
        slowest: Sequence[SlowSubscriber] = (),
    ) -> Self:
        """Returns the interval of a merged tally as it is now; later changes to the tally do not show."""
        return cls(
            index=index,
            phase=phase,
            from_ns=from_ns,
            to_ns=to_ns,
            measured_ns=measured_ns,
            encoded_tally=tally.to_record(),
            workers=tuple(workers),
            fault_examples=dict(fault_examples or {}),
            hosts=tuple(hosts) or msgspec.UNSET,
            lost_workers=tuple(lost_workers) or msgspec.UNSET,
            commands=tuple(commands) or msgspec.UNSET,
            clocks=tuple(clocks) or msgspec.UNSET,
            slowest=tuple(slowest) or msgspec.UNSET,
        )

    @property
    def open_delta(self) -> int:
        """Change in open sessions over the interval, misbehaving ones included; decodes nothing.

        Those of a worker that was lost ended with it, and no tally has them.
        """
        parts = (self.encoded_tally, self.encoded_tally.get("misbehaving", {}))
        ended = sum(sum(part.get("closed", {}).values()) for part in parts)
        gone = sum(lost.open_sessions for lost in self.lost_workers or ())
        return int(self.encoded_tally.get("opened", 0)) - ended - gone

    @property
    def service_field(self) -> str:
        """Name of the field of its encoded tally that has its service times."""
        return "response_time_ns" if self.encoded_tally.get("due_when_sent") else "service_time_ns"

    @property
    def cpu_share(self) -> float | None:
        """The part of a core that its busiest worker used; None where no time passed for any."""
        return max((load.cpu_ns / load.wall_ns for load in self.workers if load.wall_ns), default=None)

    @property
    def tally(self) -> Tally:
        """A new tally at every use, decoded in about a millisecond.

        Raises:
            ValueError: `encoded_tally` is not a tally's; never for an interval that `read_recording` returned.
        """
        return Tally.from_record(self.encoded_tally)


class AbortEvent(msgspec.Struct, frozen=True):
    """A condition that was met while the run went, and for which it was stopped."""

    condition: str
    """Condition as it was given."""
    value: Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)] | Signed
    """Value that was found: ns, bytes, a count, a share of 1 or events a second, as the condition has it."""
    at_ns: Signed
    """Instant at which it was found, from the start of the run."""


class Trailer(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trailer"):
    """End of the run."""

    ended_at: str
    """ISO 8601 with a time zone."""
    interrupted: bool
    """True where it was stopped from outside; a run that its own conditions stopped is not interrupted."""
    lost_workers: tuple[LostWorker, ...] = ()
    """Workers that ended before the run did."""
    aborted: tuple[AbortEvent, ...] | msgspec.UnsetType = msgspec.UNSET
    """The conditions that stopped it; not there where it went to its end."""
    commands: tuple[CommandRun, ...] | msgspec.UnsetType = msgspec.UNSET
    """Commands that the run carried out; not there where it had none."""
    summary: dict[str, Any]
    """Summary of the run, as ``ws-load-test schema summary`` describes it."""


class Recording(msgspec.Struct, frozen=True):
    """A whole recording; without a trailer it is one of a run that was killed."""

    header: Header
    intervals: tuple[Interval, ...]
    trailer: Trailer | None = None
