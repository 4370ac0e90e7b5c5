"""Disconnect waves in words: a line for each, a table of details, and marks of charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.fault_names import close_code_name
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.wave_types import WaveSummary

MOST_WAVES = 5
"""Waves that the first screen has a line for: a rolling restart of more nodes than that is one picture."""
HEADINGS = ("waves", "ended", "closes/s", "dials/s", "fewest", "back", "p50", "p99", "bounced")
MOST_CODES = 3
"""Close codes of a wave that are named."""


def wave_lines(waves: Sequence[WaveSummary]) -> list[LabeledText]:
    """Returns a line for each of the first waves, and one for how many more there are."""
    lines = [
        LabeledText("waves" if not number and len(waves) > 1 else "" if number else "wave", describe_wave(wave), tone)
        for number, wave in enumerate(waves[:MOST_WAVES])
        for tone in ("" if wave.back_after_ns is not None and not wave.abrupt else "yellow",)
    ]
    more = len(waves) - MOST_WAVES
    return lines if more <= 0 else [*lines, LabeledText("", f"and {count_of(more, 'wave')} more")]


def describe_wave(wave: WaveSummary) -> str:
    """Returns a wave in a sentence: when, who was ended and how, and how long it took to come back."""
    how = ", ".join(filter(None, (_part(wave.announced, "announced"), _part(wave.abrupt, "abrupt"))))
    words = f"{count_of(wave.sessions, 'session')} ended at {format_duration(wave.from_ns)}"
    words += f" within {format_duration(wave.to_ns - wave.from_ns)}" if wave.to_ns > wave.from_ns else ""
    words += f", {how} ({codes_of(wave)}); {back_words(wave)}"
    cost = costs(wave)
    return f"{words}; {', '.join(cost)}" if cost else words


def back_words(wave: WaveSummary) -> str:
    """Returns how long it took until as many sessions were open as before."""
    if wave.back_after_ns is None:
        return f"not back, {format_count(wave.fewest_open)} of {format_count(wave.open_before)} open at the fewest"
    return f"back after {format_duration(wave.back_after_ns)}"


def costs(wave: WaveSummary) -> list[str]:
    """Returns what a wave cost, each as a count and a word."""
    counts = (
        (wave.bounced, "bounced"),
        (wave.refused, "refused dials" if wave.refused > 1 else "refused dial"),
        (wave.unanswered, "messages unanswered" if wave.unanswered > 1 else "message unanswered"),
        (wave.dropped, "dropped"),
    )
    return [f"{format_count(count)} {word}" for count, word in counts if count]


def codes_of(wave: WaveSummary) -> str:
    """Returns the close codes of a wave, the commonest first."""
    codes = list(wave.closed)
    names = [f"{code} {close_code_name(code)}" for code in codes[:MOST_CODES]]
    return ", ".join([*names, "and others"] if len(codes) > MOST_CODES else names)


def cells(wave: WaveSummary) -> tuple[str, ...]:
    """Returns the cells of a wave's row, under `HEADINGS`."""
    return (
        f"at {format_duration(wave.from_ns)}",
        format_count(wave.sessions),
        format_count(wave.peak_closes_per_s),
        format_count(wave.peak_dials_per_s),
        format_count(wave.fewest_open),
        "not" if wave.back_after_ns is None else format_duration(wave.back_after_ns),
        NO_VALUE if wave.reconnect_p50_ns is None else format_duration(wave.reconnect_p50_ns),
        NO_VALUE if wave.reconnect_p99_ns is None else format_duration(wave.reconnect_p99_ns),
        format_count(wave.bounced),
    )


def wave_flaws(waves: Sequence[WaveSummary]) -> list[str]:
    """Returns the waves as flaws of a run that passed."""
    if not waves:
        return []
    if len(waves) == 1:
        wave = waves[0]
        back = "was not back" if wave.back_after_ns is None else f"was {back_words(wave)}"
        return [f"a wave of {count_of(wave.sessions, 'session')} that {back}"]
    missing = sum(wave.back_after_ns is None for wave in waves)
    if missing:
        return [f"{format_count(len(waves))} waves, {format_count(missing)} of which {_was(missing)} not back"]
    longest = max(wave.back_after_ns or 0 for wave in waves)
    return [f"{format_count(len(waves))} waves that were back after {format_duration(longest)} at most"]


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _part(count: int, word: str) -> str:
    return f"{format_count(count)} {word}" if count else ""
