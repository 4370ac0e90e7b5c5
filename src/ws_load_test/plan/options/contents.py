"""Contents of messages that stand in files."""

from __future__ import annotations

from ws_load_test.common.text_files import encoding_of_mark, read_bytes
from ws_load_test.common.units import format_bytes
from ws_load_test.messages import LARGEST_CONTENTS_BYTES


class ContentFiles:
    """The files of a plan's messages, which may have `LARGEST_CONTENTS_BYTES` together; a device has no end."""

    def __init__(self) -> None:
        self._left_bytes = LARGEST_CONTENTS_BYTES

    def read(self, path: str) -> bytes:
        """Returns the contents of a file.

        Raises:
            ValueError: It cannot be read, or the files have too many bytes together.
        """
        too_large = f"the messages have more than {format_bytes(LARGEST_CONTENTS_BYTES)} together"
        payload = read_bytes(path, self._left_bytes, too_large)
        self._left_bytes -= len(payload)
        return payload


def why_no_text(payload: bytes, remedy: str = "--binary") -> str | None:
    """Returns the reason why a file is not sent as text, in words that follow its name; None where it is.

    Args:
        payload: Its contents.
        remedy: What sends it as it is.
    """
    if (other := encoding_of_mark(payload)) is not None:
        return f"is {other} text; save it as UTF-8, or add {remedy} to send it as it is"
    try:
        payload.decode()
    except UnicodeDecodeError:
        return f"is not UTF-8 text; add {remedy} to send it as it is"
    return None
