"""Recordings read together with their plans, so that whatever is read can be reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.metrics.recording_file import read_recording as read_with
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    import os

    from ws_load_test.metrics.recording import Recording

_LACKS = "Object missing required field"
"""Beginning of the message of msgspec about a field that another version did not write."""


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Reads a recording; a missing trailer and a torn last line, as a killed run leaves them, are no errors.

    Raises:
        RecordingError: The file cannot be read or is not a recording, with the line where that shows.
    """
    return read_with(path, check_plan)


def check_plan(plan: dict[str, Any]) -> None:
    """Checks the fields of a recorded plan that this version knows; others, and those that are missing, are no errors.

    Raises:
        ValueError: A field has a value that no plan of this version has.
    """
    for field in msgspec.structs.fields(Plan):
        if field.encode_name not in plan:
            continue
        try:
            msgspec.convert(plan[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            if not str(error).startswith(_LACKS):
                why = str(error).replace("`", '"').replace('"$', f'"{field.encode_name}')
                raise ValueError(f"{field.encode_name} of its plan cannot be read: {why}") from None
