"""Players of a scenario with a fan-out: each message may be a delivery, and each of theirs may be one to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
from ws_load_test.engine.scenario.player import Player

if TYPE_CHECKING:
    from ws_load_test.engine.fan_out.audience import Audience
    from ws_load_test.engine.fan_out.deliveries import Recipient
    from ws_load_test.engine.scenario.compiled import CompiledRole
    from ws_load_test.engine.scenario.player import PlayerLoad
    from ws_load_test.engine.scenario.texts import Speaker
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.template_field import Row


class ReceivesDeliveries(Player):
    """A player that may receive what others publish; the session's recipient is its subclass's to set.

    A delivery is offered to its step and its reactions like any message, as it may be its own acknowledgement, or have
    a sequence; if none takes it, it is no push.
    """

    __slots__ = ()

    recipient: Recipient

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read at an instant. Returns 0: steps count what completes them themselves."""
        if not self.recipient.take(payload, at_ns):
            return super().on_message(opcode, payload, at_ns)
        if not self.role.only_receives or self.awaiting:
            self.take(payload, at_ns)
        return 0


class AudiencePlayer(ReceivesDeliveries):
    """One session of a role that goes through steps, and may receive what others publish."""

    __slots__ = ("recipient",)

    def __init__(
        self, load: PlayerLoad, role: CompiledRole, connection: Connection, row: Row, recipient: Recipient
    ) -> None:
        """Takes what `Player` takes, and the session as deliveries reach it."""
        super().__init__(load, role, connection, row)
        self.recipient = recipient
        if not role.only_receives:
            # Reads that are known as deliveries would never be offered to steps and reactions.
            recipient.reads = {}


class AudienceCoroutinePlayer(ReceivesDeliveries, CoroutinePlayer):
    """One session of a role that is a coroutine, and may receive what others publish."""

    __slots__ = ("recipient",)

    def __init__(
        self, load: PlayerLoad, role: CompiledRole, connection: Connection, row: Row, recipient: Recipient
    ) -> None:
        """Takes what `CoroutinePlayer` takes, and the session as deliveries reach it."""
        super().__init__(load, role, connection, row)
        self.recipient = recipient
        recipient.reads = {}

    def count_push(self, payload: bytes, at_ns: int) -> int:
        """Counts a message that no step and no reaction takes, unless it is a delivery. Returns 0."""
        return 0 if self.recipient.is_delivery(payload) else super().count_push(payload, at_ns)


class RolePublishers:
    """Publishers of a worker, by the sessions that send their messages."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def prepare(self, speaker: Speaker, due_ns: int) -> None:
        """Sets marker and room of the message that is due at an instant, which leaves next."""
        self._audience.publisher_on(speaker.connection.number).prepare(due_ns)

    def confirm(self, speaker: Speaker) -> None:
        """Takes note that the message has left."""
        self._audience.publisher_on(speaker.connection.number).confirm()
