"""Seam between a worker and its data plane: all that a worker knows of connections, frames and samples.

Instants are nanoseconds of CLOCK_MONOTONIC of the worker's machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ws_load_test.common.sharding import Shard
    from ws_load_test.metrics.fan_out_report import FollowedPublish, SlowSubscriber
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
    from ws_load_test.plan.plan import Plan

LoadPhase = Literal["warmup", "measured", "closing"]
"""Phases that begin between `Engine.start` and the end of `Engine.wait`."""


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """Time and amount of a load: the same for every load model, so that a worker has one path and not two."""

    start_ns: int
    """Instant 0 of the schedule; a closed loop sends its first messages now."""
    measure_from_ns: int
    """End of the warm-up; equal to `start_ns` without one."""
    end_ns: int | None
    """No message is due at or after this instant; None where `messages` ends the load."""
    switch: LoadSwitch
    """This worker's share of the load at first; empty where it has the whole."""
    tag: bytes = b"000"
    """Tag of the markers of a run with a fan-out."""
    host_workers: tuple[int, int] = (0, 0)
    """The first worker of this machine, and their number; no number: all of the run."""


@dataclass(frozen=True, slots=True)
class LoadEnd:
    """Outcome of a load. It may differ from the window: a closed loop measures from a real send."""

    measured_from_ns: int
    measured_until_ns: int
    """The last counted reply where a number of messages ended the load, else the end of the window."""
    interrupted: bool
    """`Engine.stop` ended the load."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """State of an engine; cheap enough to be read every interval."""

    open_sessions: int
    ready_sessions: int
    """Open, set up (greeted, logged in), and not closing."""
    reconnecting: bool
    """Sessions are being brought back."""
    all_sent: bool
    """No message will fall due any more."""


@dataclass(frozen=True, slots=True)
class Collected:
    """Counts since the last collection."""

    tally: Tally
    """In a closed loop, messages due are those sent and dropped; of a warm-up, only the number of messages is left."""
    fault_examples: dict[str, str]
    """One sentence for each kind of fault seen for the first time."""
    followed: tuple[FollowedPublish, ...] = ()
    """Publishes of a fan-out that are followed over all workers, as far as they are settled here."""
    slowest: tuple[SlowSubscriber, ...] = ()
    """Subscribers of a fan-out whose deliveries took longest; with the last collection."""


class Engine(Protocol):
    """The data plane of one worker: it owns every socket from connect to close.

    A worker drives it through `open`, `start`, `wait`, `drain`, `close` and calls `collect` once an interval. It never
    sees a connection, a frame or a sample, so an engine may keep all of them outside Python.
    """

    name: ClassVar[str]
    on_load_change: Callable[[LoadState], None] | None
    """Called with the state of the load when sessions come or go, or have nothing that they may send; None at first."""

    @classmethod
    def unsupported(cls, plan: Plan) -> list[str]:
        """Returns the reasons why this engine cannot run a plan, each a sentence; empty if it can."""
        ...

    def __init__(self, plan: Plan, share: Shard, *, multi_host: bool = False) -> None:
        """Reads feeds and certificates; opens no socket. With `multi_host`, other machines have shares as well.

        Raises:
            UsageError: The plan's certificates or its feed cannot be used.
        """
        ...

    async def open(self) -> None:
        """Dials the share's sessions at the plan's rate and sets them up. Failures are counted, not raised.

        Returns early after `stop`.
        """
        ...

    def start(self, window: LoadWindow, on_phase: Callable[[LoadPhase, int], None]) -> None:
        """Begins the load at the window's start. Returns at once.

        `on_phase` is called with the phase that begins, and its instant: the numbers that it collects belong to the
        phase before. That cannot be read off the clock: a closed loop's phases begin between two sends.
        """
        ...

    async def wait(self) -> LoadEnd | None:
        """Waits until the window is over, every message was sent, no session is open any more, or `stop` was called.

        Returns None if the load was never started.
        """
        ...

    @property
    def load_state(self) -> LoadState:
        """State of this worker's share of the load."""
        ...

    def hold(self, until_ns: int) -> LoadState:
        """Settles which messages this worker leaves to others, until `switch`; those due before an instant it keeps."""
        ...

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share of the load."""
        ...

    def give_up(self) -> None:
        """Drops what is left of the load; `wait` returns. For when no worker has a session any more."""
        ...

    def stop(self) -> None:
        """Sends nothing more; `open` and `wait` return. May be called at any time, and again."""
        ...

    @property
    def published(self) -> dict[int, int]:
        """Publishes that have left, of each publisher of this worker; empty without a fan-out."""
        ...

    async def drain(self, published: Mapping[int, int]) -> None:
        """Gives messages in flight the plan's time-out to be answered; messages left over count as unanswered.

        Args:
            published: Of a fan-out, the publishes of each publisher of the run, as far as they are known.
        """
        ...

    async def close(self) -> None:
        """Ends every session with a close handshake, or without one where the target no longer answers."""
        ...

    def collect(self) -> Collected:
        """Returns what was counted since the last call: the only way in which numbers leave an engine."""
        ...

    @property
    def status(self) -> EngineStatus:
        """State of the engine."""
        ...
