"""Test tools: a server that misbehaves on purpose, and small helpers.

from ws_load_test.testing import FaultyServer, behaviors

with FaultyServer(behaviors.closes_after(3, 1011)) as server:
    ...
    server.wait_for(lambda seen: seen.messages == 3)
"""

from ws_load_test.testing import behaviors, protocol_violations
from ws_load_test.testing.peer import ClientGone, Frame, Message, Peer, Request, ServerObservations
from ws_load_test.testing.server import FaultyServer
from ws_load_test.testing.tools import Certificates, ManualClock, free_port, leaks, unused_port

__all__ = [
    "Certificates",
    "ClientGone",
    "FaultyServer",
    "Frame",
    "ManualClock",
    "Message",
    "Peer",
    "Request",
    "ServerObservations",
    "behaviors",
    "free_port",
    "leaks",
    "protocol_violations",
    "unused_port",
]
