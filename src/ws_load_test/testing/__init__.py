"""Test tools: a server that misbehaves on purpose, and small helpers.

from ws_load_test.testing import FaultyServer, behaviors

with FaultyServer(behaviors.closes_after(3, 1011)) as server:
    ...
    server.wait_for(lambda seen: seen.messages == 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.testing import behaviors, protocol_violations
from ws_load_test.testing.peer import ClientGone, Frame, Message, Peer, Request, ServerObservations
from ws_load_test.testing.server import FaultyServer
from ws_load_test.testing.tools import Certificates, ManualClock, free_port, leaks, unused_port

if TYPE_CHECKING:
    from ws_load_test.testing.role_peer import RolePeer, play

__all__ = [
    "Certificates",
    "ClientGone",
    "FaultyServer",
    "Frame",
    "ManualClock",
    "Message",
    "Peer",
    "Request",
    "RolePeer",
    "ServerObservations",
    "behaviors",
    "free_port",
    "leaks",
    "play",
    "protocol_violations",
    "unused_port",
]


def __getattr__(name: str) -> Any:
    # Imported at the first use: a server does not need the engine.
    if name in {"RolePeer", "play"}:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module("ws_load_test.testing.role_peer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
