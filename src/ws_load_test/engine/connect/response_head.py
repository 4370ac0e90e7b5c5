"""Judgement of a response's head, line by line as it is read: what is wrong with it is said at once, by its name.

The head is parsed by h11, which refuses what is malformed only when the whole has come, and in terms of its grammar.
"""

from __future__ import annotations

import re

from ws_load_test.common.sanitize import sanitize
from ws_load_test.engine.connect.other_protocols import LONGEST_QUOTE, begins_with_frame, described, protocol_of
from ws_load_test.plan.upgrade_headers import TOKEN

MOST_INFORMATIONAL = 32
"""Informational responses (RFC 9110, section 15.2) before the one that counts: each costs time, and a peer may send
them without end."""
LARGEST_RESPONSE_HEAD_BYTES = 64 * 1024
"""Bytes of a response's head that are read; servers send some hundred, proxies some thousand."""
_BEGINNING = b"HTTP/1."
_VERSION = re.compile(rb"HTTP/\d[^\s]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.\d ([1-9]\d\d)(?: .*)?", re.DOTALL)
_CONTROL = re.compile(rb"[\x00\x0b\x0c\r]")


class ResponseHead:
    """The judge of a head that is being read."""

    def __init__(self) -> None:
        self._judged_bytes = 0
        self._follows_header = False
        """A header has come, so that a line may continue it (RFC 9112, section 5.2)."""
        self._status = ""

    def begin_next(self) -> None:
        """Makes ready for another head, behind an informational response."""
        self._judged_bytes, self._follows_header = 0, False

    @property
    def status(self) -> str:
        """The status in its first line; empty while that is not known."""
        return self._status

    def problem(self, head: bytes) -> str | None:
        """Returns what the target answered, as the rest of a sentence, where that is malformed; else None.

        Args:
            head: All that has come of the head, and perhaps what is behind it.
        """
        if not self._judged_bytes and head[: len(_BEGINNING)] != _BEGINNING[: len(head)]:
            return _not_http(head)
        while (end := head.find(b"\n", self._judged_bytes)) >= 0:
            line = head[self._judged_bytes : end].removesuffix(b"\r")
            if not line:
                return None
            problem = self._status_problem(line) if not self._judged_bytes else self._line_problem(line)
            if problem is not None:
                return problem
            self._judged_bytes = end + 1
        return None

    def too_large(self) -> str:
        """Returns what the target answered where its head has no end, as the rest of a sentence."""
        limit = f"a head of more than {LARGEST_RESPONSE_HEAD_BYTES // 1024} KiB, which is all that is read of one"
        return f"answered the upgrade with {limit}"

    def _status_problem(self, line: bytes) -> str | None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            return f"answered the upgrade with a malformed status line{_quoted(line)}"
        self._status = match[1].decode()
        return None

    def _line_problem(self, line: bytes) -> str | None:
        name, colon, value = line.partition(b":")
        if line[:1] in {b" ", b"\t"}:
            if not self._follows_header:
                wrong = f"a line that begins with a space before any header{_quoted(line)}"
                return f"answered the upgrade with {self._status} and {wrong}"
            return None
        self._follows_header = True
        if not colon:
            wrong = f"a header line without a colon{_quoted(line)}"
        elif TOKEN.fullmatch(name.decode("latin-1")) is None:
            wrong = f"a header whose name is malformed{_quoted(name)}"
        elif _CONTROL.search(value):
            wrong = f"a control character in the header {name.decode()}"
        else:
            return None
        return f"answered the upgrade with {self._status} and {wrong} (RFC 9112, section 5)"


def _not_http(head: bytes) -> str:
    version = _VERSION.match(head)
    if version is not None:
        return f"answered the upgrade with {version[0].decode('latin-1')}, and the upgrade is one of HTTP/1.1"
    words = "this looks like WebSocket frames" if begins_with_frame(head) else described(head)
    remedy = "; write wss:// instead of ws://" if protocol_of(head) == "TLS" else ""
    return f"answered the upgrade with something that is not HTTP{f': {words}' if words else ''}{remedy}"


def _quoted(line: bytes) -> str:
    """Returns a line as a quotation behind a colon, cut to what a sentence can hold."""
    text = sanitize(line.decode("latin-1")).strip()
    return f': "{text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE].rstrip() + "…"}"'
