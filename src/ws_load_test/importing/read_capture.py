"""Reading of a capture file: its format, and the session that is meant."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError
from ws_load_test.common.text_files import read_bytes
from ws_load_test.common.units import quoted, quoted_path
from ws_load_test.importing.har import is_har, read_har
from ws_load_test.importing.session_lines import is_session_file, read_session_lines
from ws_load_test.plan.redaction import public_url

if TYPE_CHECKING:
    from ws_load_test.importing.capture import Capture

LARGEST_CAPTURE_BYTES = 256 << 20
"""Bytes of a capture that is read (256 MiB): a HAR file of hours in a browser, all resources of the pages included."""
MOST_LISTED = 8
"""Sessions that an error lists: as many as are chosen from by looking."""


def read_captures(path: str) -> list[Capture]:
    """Returns the sessions of a capture file; ``-`` is standard input.

    Raises:
        UsageError: It cannot be read, or is no capture.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else read_bytes(path, LARGEST_CAPTURE_BYTES)
        return _sessions(data.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise UsageError(f"import: cannot read {quoted_path(path)}: {error}") from None


def _sessions(data: bytes) -> list[Capture]:
    if is_session_file(data):
        return read_session_lines(data)
    if is_har(data):
        return read_har(data)
    raise ValueError("it is neither a HAR file nor what --probe -o writes")


def choose_sessions(captures: list[Capture], wanted: str | None, path: str) -> list[Capture]:
    """Returns the sessions with messages, or that of a number (from 1), or those with a part of their URL or a name.

    Raises:
        UsageError: There is none, or they have several targets, of which a plan has one.
    """
    full = [one for one in captures if one.messages]
    if not full:
        why = "its WebSocket sessions have no messages" if captures else "it has no WebSocket session"
        raise UsageError(
            f"import: {quoted_path(path)}: {why}; open the network panel of the browser first, then the page, and save"
            " all as HAR with content; or look with --probe why no message came"
        )
    if wanted is None:
        if (count := len({_target(one) for one in full})) > 1:
            text = f"import: there are {len(full)} sessions with {count} targets, and a plan has one"
            raise UsageError(f"{text}; choose with --socket, by a number or a part of the URL: {_listed(full)}")
        return full
    if wanted.isascii() and wanted.isdigit():
        if not 1 <= int(wanted) <= len(full):
            raise UsageError(f"--socket: there is no session {wanted}; there are: {_listed(full)}")
        return [full[int(wanted) - 1]]
    found = [one for one in full if wanted in one.url or wanted == one.label]
    if (count := len({_target(one) for one in found})) != 1:
        which = "no URL has" if not found else f"URLs of {count} targets have"
        raise UsageError(f"--socket: {which} {quoted(wanted)} in it; write a number: {_listed(full)}")
    return found


def _target(capture: Capture) -> str:
    """Returns what a plan has one of: the URL without its query, and without who opens it."""
    scheme, _, rest = capture.url.partition("#")[0].partition("?")[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}".rstrip("/")


def _listed(captures: list[Capture]) -> str:
    lines = [
        f"{number} {one.label or public_url(one.url)} ({len(one.messages)} messages)"
        for number, one in enumerate(captures[:MOST_LISTED], 1)
    ]
    return ", ".join(lines) + (", …" if len(captures) > MOST_LISTED else "")
