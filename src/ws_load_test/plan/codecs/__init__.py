"""Codecs: encodings of messages in which options find values, such as ``json:PATH``.

A new one is a module with a `Codec`, its name in `CodecName`, and its line in `CODECS`. Rules of matching, checks,
places of values, markers and rules of nodes take it from here.
"""

from __future__ import annotations

from typing import Literal, get_args

from ws_load_test.plan.codecs import json_path, msgpack_path, protobuf_path
from ws_load_test.plan.codecs.codec import Codec, ValueReader

CodecName = Literal["json", "msgpack", "protobuf"]
CODECS: dict[str, Codec] = {
    "json": json_path.CODEC,
    "msgpack": msgpack_path.CODEC,
    "protobuf": protobuf_path.CODEC,
}
"""Every codec by its name, in the order of help pages."""
CODEC_FORMS = ", ".join(f"{name}:{CODECS[name].place}" for name in get_args(CodecName))
"""Places in all encodings, as sentences list them."""

__all__ = ["CODECS", "CODEC_FORMS", "Codec", "CodecName", "ValueReader"]
