"""Ranges of the numbers of a plan, within which options are read, and plans out of recordings are checked."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ws_load_test.common.units import LONGEST_NS

LARGEST_PAYLOAD = 1 << 30
"""Bytes that one message can have: more would not fit the memory of a worker."""
LARGEST_COUNT = 10**15
"""Messages of a run: more take years at any rate. Sums of several fit 64 bits, and doubles have them exactly."""
LARGEST_CONNECTIONS = 10_000_000
"""Connections of a run: 100 times what one machine has been seen to hold."""
LARGEST_IN_FLIGHT = 1_000_000
"""Messages in flight on a connection: a worker encodes so many in a second."""
LARGEST_WORKERS = 4096
"""Workers on a host, hosts of a cluster: more than any has."""
LARGEST_RATE_PER_S = 10_000_000
"""Messages or connections per second: 50 times what one machine has been seen to send."""
MOST_ROUNDS = 10_000
"""Rounds of a comparison: half a day of the shortest."""
LARGEST_SEED = (1 << 63) - 1
"""Seed of random numbers: what every reader of JSON has room for."""
LARGEST_PORT = 65_535
MOST_STAGES = 10_000
"""Stages of a profile: one for each second of three hours."""
LARGEST_INT = (1 << 63) - 1
"""Largest bound that msgspec checks."""

Count = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)]
PositiveCount = Annotated[int, Meta(ge=1, le=LARGEST_COUNT)]
Connections = Annotated[int, Meta(ge=1, le=LARGEST_CONNECTIONS)]
Workers = Annotated[int, Meta(ge=1, le=LARGEST_INT)]
"""Workers on all hosts together."""
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Bytes = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)]
Duration = Annotated[int, Meta(ge=0, le=2 * LONGEST_NS)]
"""Nanoseconds; twice the longest option where one is the sum of two."""
PositiveDuration = Annotated[int, Meta(ge=1, le=2 * LONGEST_NS)]
PerSecond = Annotated[float, Meta(ge=0, le=1e12)]
"""Events, bytes or connections a second."""
Amount = Annotated[float, Meta(ge=0, le=1e12)]
"""Messages a second, or connections, at a point of a profile."""
Share = Annotated[float, Meta(ge=0, le=1)]
