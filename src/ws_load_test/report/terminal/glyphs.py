"""Letters that the encoding of a terminal can show."""

from __future__ import annotations

_BLOCKS = "▏▎▍▌▋▊▉█"
_COLUMNS = "▁▂▃▄▅▆▇█"
_PLAIN_COLUMNS = "_.-~=+*#"
_PLAINER = str.maketrans({"µ": "u", "\N{EN DASH}": "-", "·": "-", "…": "~"})


def is_encodable(text: str, encoding: str) -> bool:
    """Returns True where an encoding can show all of a text; an unknown one can show nothing."""
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def to_encodable(text: str, encoding: str) -> str:
    """Returns a text of the same length that the encoding can show."""
    if is_encodable(text, encoding):
        return text
    return "".join(
        letter if is_encodable(letter, encoding) or letter.isascii() else _plainer(letter, encoding) for letter in text
    )


def _plainer(letter: str, encoding: str) -> str:
    other = letter.translate(_PLAINER)
    return other if other.isascii() or is_encodable(other, encoding) else "?"


def bar(share: float, width: int, encoding: str) -> str:
    """Returns a bar of `share` (0 to 1) times `width` letters, of eighths where the encoding has such blocks.

    A value above zero is never drawn as nothing.
    """
    if share <= 0:
        return ""
    if not is_encodable(_BLOCKS, encoding):
        return "#" * max(1, round(share * width))
    full, eighths = divmod(max(1, round(share * width * 8)), 8)
    return _BLOCKS[-1] * full + (_BLOCKS[eighths - 1] if eighths else "")


def spark(share: float | None, encoding: str) -> str:
    """Returns one letter as high as `share` (0 to 1), in eighths; a space for 0 and for None, which is unknown.

    A value above zero is never drawn as nothing.
    """
    if not share or share < 0:
        return " "
    eighths = min(len(_COLUMNS), max(1, round(share * len(_COLUMNS))))
    return (_COLUMNS if is_encodable(_COLUMNS, encoding) else _PLAIN_COLUMNS)[eighths - 1]
