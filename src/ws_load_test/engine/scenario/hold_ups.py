"""Hold-ups: stretches for which the code of a role keeps the event loop, and so all sessions of its worker waiting."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_MS, monotonic_ns
from ws_load_test.metrics.scenario_metrics import AT_NO_STEP, part_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from ws_load_test.engine.scenario.player import Player

LONG_HOLD_UP_NS = 50 * NS_PER_MS
"""Time for which code may keep the loop, in ns: the time slices of other processes take up to some 10 ms."""


@types.coroutine
def watch(code: Awaitable[None], player: Player) -> Generator[object]:
    """Runs the code of a session, and notes where it keeps the loop for long between two awaits; 0.4 µs an await."""
    running = code.__await__()
    error: BaseException | None = None
    while True:
        step, begun_ns = player.step, monotonic_ns()
        try:
            awaited = next(running) if error is None else running.throw(error)
        except StopIteration:
            return
        finally:
            note_hold_up(player, AT_NO_STEP if step is None else step.name, begun_ns)
        error = None
        try:
            yield awaited
        except BaseException as thrown:  # noqa: BLE001 - the code's to take, as if nothing stood between
            error = thrown


def note_hold_up(player: Player, place: str, begun_ns: int) -> None:
    """Counts a stretch of code that began at an instant and has just ended, if it kept the loop for long."""
    took_ns = monotonic_ns() - begun_ns
    if took_ns > LONG_HOLD_UP_NS:
        tally = player.connection.owner.tally
        tally.hold_up_ns.record(took_ns)
        tally.held_up_at[part_key(player.role.name, place)] += took_ns
