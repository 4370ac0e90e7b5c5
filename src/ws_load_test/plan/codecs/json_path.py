"""Values in JSON texts: ``json:data.items[0].id``."""

from __future__ import annotations

import msgspec

from ws_load_test.plan.codecs.codec import Codec, ValueReader, value_text
from ws_load_test.plan.codecs.names_and_places import follow, leading_names, nested_type, parse_path


def json_extractor(path: str) -> ValueReader:
    """Returns what finds the value at a path of names and places (``data.id``, ``items[0].id``), as text.

    Numbers are written as JSON writes them, so that 7 and "7" are the same id: servers turn one into the other. Null is
    no value. Costs about 0.4 µs for a small message: what is beside the path is skipped, not decoded.

    Raises:
        ValueError: it is no path.
    """
    steps = parse_path(path, "json")
    names = leading_names(steps)
    decode = msgspec.json.Decoder(nested_type(names)).decode
    depth, rest = len(names), steps[len(names) :]

    def read(payload: bytes) -> str | None:
        try:
            value = decode(payload)
            for _ in range(depth):
                value = value.value
            if rest:
                value = follow(value, rest)
        except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, LookupError, TypeError):
            return None
        except RecursionError:
            # Nested deeper than any application does, a message has no id; it must not end the run.
            return None
        kind = type(value)
        # Of an integer, the most frequent id, the text is that of JSON.
        return value if kind is str else str(value) if kind is int else value_text(value)

    return read


CODEC = Codec(place="PATH", reader=json_extractor, example='{"id": {seq}}')
