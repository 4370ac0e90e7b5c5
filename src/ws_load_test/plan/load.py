"""Load models of a plan: closed loop and open loop."""

from __future__ import annotations

import msgspec

from ws_load_test.plan.schedule import Arrivals, LoadProfile


class ClosedLoop(msgspec.Struct, frozen=True, tag_field="kind", tag="closed"):
    """Each connection keeps this many messages in flight, and sends the next when a reply comes: a flood."""

    in_flight: int = 1


class OpenLoop(msgspec.Struct, frozen=True, tag_field="kind", tag="open"):
    """Messages fall due at a rate, whatever the target does, and are measured from when they were due."""

    rate: LoadProfile
    """Messages a second over all connections; of constant 0, the connections are only held."""
    arrivals: Arrivals = "constant"
    seed: int = 0
    """Of Poisson arrivals: the same seed gives the same instants, on any number of workers."""
    max_in_flight: int | None = None
    """How many messages may wait for replies on a connection before the next ones wait for their turn."""
