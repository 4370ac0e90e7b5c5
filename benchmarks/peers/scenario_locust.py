"""The scenario of scenario.py in Locust: five exchanges by an id on one connection, with a time to think before each.

The time of each is reported by the user, from when the message is sent. Needs the package `websocket-client`.
"""

from __future__ import annotations

import json
import os
import random
import string
import time
from itertools import count

from locust import SequentialTaskSet, User, task
from websocket import create_connection

NUMBERS = count(1)


class Steps(SequentialTaskSet):
    """The five steps in their order, again and again."""

    def exchange(self, name: str) -> None:
        """Sends a message, and reads until the answer with its id has come."""
        number = next(NUMBERS)
        word = "".join(random.choices(string.ascii_lowercase, k=8))  # noqa: S311 - a text that varies
        began = time.perf_counter()
        self.user.socket.send(json.dumps({"op": name, "id": number, "user": word}))
        while json.loads(reply := self.user.socket.recv())["id"] != number:
            pass
        took_ms = (time.perf_counter() - began) * 1000
        self.user.environment.events.request.fire(
            request_type="ws", name=name, response_time=took_ms, response_length=len(reply), exception=None
        )

    @task
    def login(self) -> None:
        """First step."""
        self.exchange("login")

    @task
    def list(self) -> None:
        """Second step."""
        self.exchange("list")

    @task
    def open(self) -> None:
        """Third step."""
        self.exchange("open")

    @task
    def edit(self) -> None:
        """Fourth step."""
        self.exchange("edit")

    @task
    def save(self) -> None:
        """Fifth step."""
        self.exchange("save")


class Member(User):
    """One connection."""

    tasks = [Steps]  # noqa: RUF012 - the way of Locust

    def on_start(self) -> None:
        """Connects."""
        self.socket = create_connection(os.environ["URL"], skip_utf8_validation=True)

    def wait_time(self) -> float:
        """Returns the time to think, in seconds."""
        return random.expovariate(2)
