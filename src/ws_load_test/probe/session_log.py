"""Log of the sessions of a probe, message by message, as ``--probe -o`` writes it and `import` reads it.

Messages stand in it as they were: a value that the target sends, and the client later, can only be found in full.
Secrets that the plan knows are hidden (credentials, values of a feed), and only the owner of the file can read it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ws_load_test.common.errors import OutputError, cause_of
from ws_load_test.common.units import quoted_path
from ws_load_test.importing.session_lines import SESSION_SCHEMA, MessageLine, SessionLine, encode_lines, message_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.importing.capture import Direction
    from ws_load_test.plan.target import Target

OWNER_ONLY = 0o600
"""Mode of the file: its owner reads and writes it."""


class SessionLog:
    """Lines of a session file."""

    def __init__(self) -> None:
        self.lines: list[SessionLine | MessageLine] = []
        self._sessions = 0

    def begin(self, target: Target, since_ns: int, name: str = "") -> int:
        """Notes the beginning of a session; returns its number.

        Args:
            target: The target, whose secrets are hidden.
            since_ns: Time since the instant from which the messages count.
            name: Part that the session plays; empty for none.
        """
        self._sessions += 1
        shown = target.redacted()
        started_ns = time.time_ns() - since_ns
        line = SessionLine(
            SESSION_SCHEMA, self._sessions, name, shown.url, _headers(shown), tuple(shown.subprotocols), started_ns
        )
        self.lines.append(line)
        return self._sessions

    def writer(self, session: int, redact: Callable[[str], str]) -> MessageWriter:
        """Returns what notes the messages of a session; `redact` hides secrets in a text."""
        return MessageWriter(self.lines, session, redact)

    def write(self, path: str) -> None:
        """Writes the file, for its owner alone.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode_lines(self.lines))
        except OSError as error:
            raise OutputError(f"--output: cannot write {quoted_path(path)}: {cause_of(error)}") from None


class MessageWriter:
    """Notes the messages of one session."""

    def __init__(self, lines: list[SessionLine | MessageLine], session: int, redact: Callable[[str], str]) -> None:
        """Takes the lines to add to."""
        self._lines = lines
        self._session = session
        self._redact = redact

    @property
    def place(self) -> int:
        """Place of the next line."""
        return len(self._lines)

    def add(self, at_ns: int, direction: Direction, opcode: str, payload: bytes, place: int | None = None) -> None:
        """Notes a message, at the end or at an earlier place: a message is known when the answer to it has left."""
        if opcode == "text":
            text = payload.decode(errors="surrogateescape")
            payload = self._redact(text).encode(errors="surrogateescape")
        line = message_line(at_ns, direction, opcode, payload, self._session)
        self._lines.insert(len(self._lines) if place is None else place, line)


def _headers(shown: Target) -> tuple[tuple[str, str], ...]:
    """Returns the headers of the upgrade request that a user gave."""
    found = list(shown.headers)
    if shown.origin is not None:
        found.append(("Origin", shown.origin))
    if shown.cookies:
        found.append(("Cookie", "; ".join(shown.cookies)))
    if shown.bearer is not None:
        found.append(("Authorization", f"Bearer {shown.bearer}"))
    if shown.user is not None:
        found.append(("Authorization", f"Basic {shown.user}"))
    return tuple(found)
