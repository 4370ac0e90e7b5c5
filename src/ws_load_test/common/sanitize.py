"""Sanitizing of text from outside, before it is printed or exported."""

from __future__ import annotations


def sanitize(text: str) -> str:
    """Returns the text with ``?`` for characters that are not printable: a target must not control the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
