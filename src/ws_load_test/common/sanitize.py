"""Sanitizing of text from outside, before it is printed or exported."""

from __future__ import annotations


def sanitize(text: str) -> str:
    """Returns the text with ``?`` for what is not printable: a target's words must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
