"""The closed loop of compare.py in Locust: each user keeps one message in flight on one connection.

Locust counts what is reported to it; a user of the field reports each reply, so this one does. Needs the package
`websocket-client`.
"""

from __future__ import annotations

import os
import time

from locust import User, constant, task
from websocket import create_connection

TEXT = "A" * int(os.environ["BYTES"])


class Echoes(User):
    """One connection."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Connects."""
        self.socket = create_connection(os.environ["URL"], skip_utf8_validation=True)

    @task
    def echo(self) -> None:
        """Sends messages, each when the one before is answered; in one task, which costs the least."""
        socket, fire = self.socket, self.environment.events.request.fire
        while True:
            began = time.perf_counter()
            socket.send(TEXT)
            reply = socket.recv()
            took_ms = (time.perf_counter() - began) * 1000
            fire(request_type="ws", name="echo", response_time=took_ms, response_length=len(reply), exception=None)
