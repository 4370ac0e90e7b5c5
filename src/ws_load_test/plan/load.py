"""Load models of a plan: closed loop, open loop, and the roles of a scenario.

Callers ask a load for its properties, not for its class: another model needs no change in them.
"""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec

from ws_load_test.common.units import format_count, format_rate
from ws_load_test.plan.ranges import PositiveCount, Seed
from ws_load_test.plan.schedule import Arrivals, LoadProfile


class ClosedLoop(msgspec.Struct, frozen=True, tag_field="kind", tag="closed"):
    """Each connection keeps this many messages in flight and sends the next when a reply comes."""

    due_when_sent: ClassVar[bool] = True
    """A message is due when it is sent, so response time and service time are one number."""
    is_dealt: ClassVar[bool] = False
    """A number of messages is shared, where there is one, and no turns."""
    in_flight: PositiveCount = 1
    """Messages in flight on each connection."""

    @property
    def requested_rate(self) -> LoadProfile | None:
        """None: the target's replies set the rate."""
        return None

    @property
    def peak_per_s(self) -> float:
        """0: no rate was requested."""
        return 0.0

    @property
    def sends_messages(self) -> bool:
        """True: a closed loop always sends."""
        return True

    @property
    def has_random_arrivals(self) -> bool:
        """False: replies decide when the next message is sent."""
        return False

    @property
    def usual_in_flight(self) -> int:
        """Messages in flight on each connection, as far as the plan sets it."""
        return self.in_flight

    @property
    def limits_in_flight(self) -> bool:
        """False: no message is due before there is room for it."""
        return False

    def with_seed(self, seed: int) -> Self:  # noqa: ARG002
        """Returns the same load: it has no random arrivals."""
        return self

    def describe(self) -> str:
        """Returns the load in words."""
        return f"closed: {format_count(self.in_flight)} in flight on each connection, the next when a reply comes"

    def describe_briefly(self) -> str:
        """Returns the load in a few words, for a row of a report that shows its rate in another."""
        return f"{format_count(self.in_flight)} in flight each"


class OpenLoop(msgspec.Struct, frozen=True, tag_field="kind", tag="open"):
    """Messages fall due at a rate, whatever the target does, and are measured from when they were due."""

    due_when_sent: ClassVar[bool] = False
    """A message can be sent later than it is due, so response time and service time differ."""
    is_dealt: ClassVar[bool] = True
    """Workers take the messages of one schedule in turns, by their sessions."""
    rate: LoadProfile
    """Messages per second over all connections; of constant 0, the connections are only held."""
    arrivals: Arrivals = "constant"
    """Even distances between messages, or those of a Poisson process of the same rate."""
    seed: Seed = 0
    """Seed of Poisson arrivals: the same seed gives the same due times on any number of workers."""
    max_in_flight: PositiveCount | None = None
    """Messages per connection that can await replies before further messages are held back; None: no bound."""

    @property
    def requested_rate(self) -> LoadProfile | None:
        """Messages per second over the run."""
        return self.rate

    @property
    def peak_per_s(self) -> float:
        """Highest requested rate in messages per second."""
        return self.rate.peak

    @property
    def sends_messages(self) -> bool:
        """False at rate 0, which only holds the connections open."""
        return self.rate.peak > 0

    @property
    def has_random_arrivals(self) -> bool:
        """True where due times depend on the seed."""
        return self.arrivals == "poisson"

    @property
    def usual_in_flight(self) -> int:
        """Returns 1: a target that keeps up has answered a message before the next is due on its connection."""
        return 1

    @property
    def limits_in_flight(self) -> bool:
        """True where a message that is due can have to wait for earlier replies."""
        return self.max_in_flight is not None

    def with_seed(self, seed: int) -> Self:
        """Returns the load with another seed of its arrivals."""
        return msgspec.structs.replace(self, seed=seed)

    def describe(self) -> str:
        """Returns the load in words."""
        if not self.sends_messages:
            return "none: the connections are held open"
        words = f"open: {self.rate.describe(format_rate)}"
        if self.has_random_arrivals:
            words += f", Poisson arrivals of seed {self.seed}"
        if self.max_in_flight is not None:
            words += f", at most {format_count(self.max_in_flight)} in flight on each connection"
        return words

    def describe_briefly(self) -> str:
        """Returns the load in a few words, for a row of a report that shows its rate in another."""
        if not self.sends_messages:
            return "none, held open"
        if self.max_in_flight is None:
            return f"{self.arrivals} arrivals"
        return f"{self.arrivals}, at most {format_count(self.max_in_flight)} in flight each"


class RoleLoad(msgspec.Struct, frozen=True, tag_field="kind", tag="roles"):
    """The roles of the plan's scenario decide when messages leave."""

    due_when_sent: ClassVar[bool] = False
    """A step of an iteration on a schedule can be sent later than it is due."""
    is_dealt: ClassVar[bool] = False
    """Each worker has the sessions of its share, and what they do."""

    @property
    def requested_rate(self) -> LoadProfile | None:
        """None: a rate of iterations is none of messages."""
        return None

    @property
    def peak_per_s(self) -> float:
        """0: no rate of messages was requested."""
        return 0.0

    @property
    def sends_messages(self) -> bool:
        """True: a role without a step that sends is the exception."""
        return True

    @property
    def has_random_arrivals(self) -> bool:
        """False: each role has a seed of its own."""
        return False

    @property
    def usual_in_flight(self) -> int:
        """Returns 1: a session takes one step at a time."""
        return 1

    @property
    def limits_in_flight(self) -> bool:
        """True: an iteration that is due waits for a session that is not in one."""
        return True

    def with_seed(self, seed: int) -> Self:  # noqa: ARG002 - has_random_arrivals
        """Returns the load itself."""
        return self

    def describe(self) -> str:
        """Returns the load in words."""
        return "the roles of the scenario"

    def describe_briefly(self) -> str:
        """Returns the load in a few words, for a row of a report."""
        return "by roles"


Load = ClosedLoop | OpenLoop | RoleLoad
"""Every load model that a plan can hold; distinguished by the field `kind`."""
