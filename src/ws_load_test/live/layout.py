"""The one page of a live view: a scene drawn as lines that fit a terminal of any size.

Each line has a rank. Where the terminal has too few rows the lines of the highest rank go first; where it has too few
columns a line loses its parts from the right, which are the less important ones. Nothing ever wraps.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.analysis.findings import percent
from ws_load_test.common.faults import HOST_ERROR_REMEDIES
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labelled import NO_VALUE, count_of, sentence
from ws_load_test.report.terminal.glyphs import bar, spark, to_encodable
from ws_load_test.report.terminal.layout import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ws_load_test.live.run_state import RunState
    from ws_load_test.metrics.histogram import Histogram

_FEWEST_COLUMNS = 20
"""Lines are made for so many at least; narrower terminals see their beginnings."""
NARROW = 60
"""Columns below which labels and gaps are short."""
MOST_NOTES = 5
"""Of what was logged, the last so many are shown."""
_MOST_KINDS = 12
_MOST_REASONS = 3
_MOST_LINES = 3
_NS_PER_S = 10**9
_TIMES = {"p50": 50, "p90": 90, "p99": 99}
_PHASES = {"opening": "opening", "warmup": "warm-up", "measured": "measured", "closing": "closing"}
_RAISE = {str(failing): remedy for failing, remedy in HOST_ERROR_REMEDIES.items()}
_Part = tuple[str, str]
"""Words and their style."""


@dataclass(frozen=True, slots=True)
class _Line:
    rank: int
    text: Text


@dataclass(frozen=True, slots=True)
class Viewport:
    """What is drawn on."""

    width: int = 80
    height: int = 24
    encoding: str = "utf-8"

    @property
    def label(self) -> int:
        """Columns of the labels at the left."""
        return LABEL if self.width >= NARROW else LABEL - 2

    @property
    def gap(self) -> str:
        """What is between the parts of a line."""
        return "   " if self.width >= NARROW else " "

    @property
    def room(self) -> int:
        """Columns beside the label."""
        return self.width - self.label


def render(scene: RunState, paper: Viewport, *, since_ns: int = 0, notes: Sequence[_Part] = ()) -> list[Text]:
    """Returns the lines of a page: no more than the paper has rows, none wider than it, and each with its styles.

    Args:
        scene: What there is to show.
        paper: The size of the terminal.
        since_ns: How long ago the last interval ended.
        notes: What was logged meanwhile, with its style, the oldest first.
    """
    real, paper = paper, replace(paper, width=max(paper.width, _FEWEST_COLUMNS))
    now_ns = scene.to_ns + since_ns
    lines = [
        *_head(scene, paper, now_ns),
        _Line(9, Text()),
        *_connections(scene, paper, now_ns),
        *_messages(scene, paper),
        _Line(9, Text()),
        *_times(scene, paper),
        _Line(10, Text()),
        *_faults(scene, paper),
        *_lost_workers(scene, paper),
        *_generator(scene, paper),
        *_notes(notes),
    ]
    while len(lines) > max(1, paper.height):
        # Of those of the same rank the last one: of faults that is the rarest kind.
        highest = max(line.rank for line in lines)
        del lines[max(place for place, line in enumerate(lines) if line.rank == highest)]
    return [_cut(line.text, real) for line in lines]


# --- Where the run is -------------------------------------------------------------------------------------------------


def _head(scene: RunState, paper: Viewport, now_ns: int) -> list[_Line]:
    words, share = _where(scene, now_ns), scene.done(now_ns)
    target = sanitize(scene.plan.redacted().target.url)
    room = paper.width - len(words) - 2
    if len(target) > room:
        target = f"{target[: room - 1]}…" if room > 1 else ""
    title = Text(target, style="bold").append(" " * (paper.width - len(target) - len(words))).append(words, "cyan")
    left = _left(scene, now_ns)
    width = max(0, paper.width - len(left) - 2)
    done = Text(bar(share or 0, width, paper.encoding)[:width], style="cyan")
    done.append(_progress_bar(paper) * (width - done.cell_len), style="dim")
    done.append(f"  {left}", style="default" if share is not None else "dim")
    return [_Line(0, title), _Line(2, done)]


def _progress_bar(paper: Viewport) -> str:
    return "·" if to_encodable("·", paper.encoding) == "·" else "."


def _where(scene: RunState, now_ns: int) -> str:
    if scene.phase is None:
        return "starting"
    phase, elapsed = _PHASES[scene.phase], _clock(now_ns - scene.phase_from_ns)
    if scene.phase == "warmup":
        return f"{phase} {elapsed} of {format_duration(scene.plan.warmup_ns)}"
    if scene.phase == "measured" and scene.plan.duration_ns is not None:
        return f"{phase} {elapsed} of {format_duration(scene.plan.duration_ns)}"
    return f"{phase} {elapsed}"


def _left(scene: RunState, now_ns: int) -> str:
    plan, left_ns = scene.plan, scene.left_ns(now_ns)
    if scene.phase is None:
        return f"{count_of(plan.workers, 'worker')} to start"
    if scene.phase == "opening":
        return f"{format_count(scene.tally.opened + scene.tally.failed)} of {format_count(plan.connections)}"
    if scene.phase == "closing":
        if not scene.awaits_replies:
            return "closing the connections"
        return f"waiting for the last replies, {format_duration(plan.timeout_ns)} at most"
    if left_ns is None:
        return NO_VALUE
    return f"{'about ' if plan.messages is not None else ''}{_clock(left_ns, up=True)} left"


def _clock(ns: int, *, up: bool = False) -> str:
    """Returns a time in whole seconds, rounded down or up: digits behind them would only flicker."""
    seconds = -(-ns // _NS_PER_S) if up else ns // _NS_PER_S
    return format_duration(seconds * _NS_PER_S) if seconds > 0 else "0 s"


# --- Connections and messages -----------------------------------------------------------------------------------------


def _connections(scene: RunState, paper: Viewport, now_ns: int) -> list[_Line]:
    tally = scene.tally
    parts = [(f"{format_count(scene.open)} open of {format_count(scene.asked_open(now_ns))}", "bold")]
    counts = [
        ("failed", tally.failed, "yellow"),
        ("lost", tally.lost, "yellow"),
        ("cut off", tally.storm_disconnected, "yellow"),
        ("reconnected", tally.reconnected, ""),
        ("recycled", tally.recycled, ""),
    ]
    parts += [(f"{format_count(count)} {word}", style) for word, count, style in counts if count]
    chart = _chart("", scene.open_history, format_count, paper)
    return [_Line(0, _row("connections", parts, paper)), _Line(6, chart)]


def _messages(scene: RunState, paper: Viewport) -> list[_Line]:
    last = scene.moments[-1] if scene.moments else None
    counted = [one.answered_per_s if scene.awaits_replies else one.sent_per_s for one in scene.moments]
    parts: list[_Part] = []
    if last is not None and last.asked_per_s is not None:
        parts.append((f"requested {format_rate(last.asked_per_s)}", ""))
    for word, rate in _achieved(scene):
        asked = None if last is None or word == "pushed" else last.asked_per_s
        short = asked is not None and rate < 0.95 * asked
        parts.append((f"{word} {format_rate(rate)}", "bold yellow" if short else "bold"))
    if scene.schedule is None and parts:
        parts.append(("as fast as answered", "dim"))
    chart = _chart("", counted, format_rate, paper)
    return [
        _Line(0, _row("messages", parts or [("none yet", "dim")], paper)),
        _Line(4, chart),
        _Line(3, _row("  in all", _in_all(scene), paper)),
    ]


def _achieved(scene: RunState) -> list[tuple[str, float]]:
    if not scene.moments:
        return []
    last = scene.moments[-1]
    if not scene.awaits_replies:
        return [("sent", last.sent_per_s), ("pushed", last.pushed_per_s)]
    return [("answered", last.answered_per_s), ("sent", last.sent_per_s)]


def _in_all(scene: RunState) -> list[_Part]:
    tally = scene.tally
    if scene.phase == "warmup":
        return [(f"{format_count(tally.warmup_sent)} sent", ""), ("warming up: these do not count", "dim")]
    counts = [("sent", tally.sent, "")]
    if scene.awaits_replies:
        counts += [("answered", tally.answered, ""), ("in flight", scene.in_flight, "")]
        counts += [("unanswered", tally.unanswered, "yellow" if tally.unanswered else "")]
    counts += [("dropped", tally.dropped, "yellow" if tally.dropped else ""), ("pushed", tally.pushed, "")]
    kept = {"sent", "answered", "unanswered"}
    return [(f"{format_count(count)} {word}", style) for word, count, style in counts if count or word in kept]


# --- Times ------------------------------------------------------------------------------------------------------------


def _times(scene: RunState, paper: Viewport) -> list[_Line]:
    # Five are told where there is room for them, else those that say most.
    keys = [*_TIMES] if paper.room >= 4 * 10 else ["p50", "p99"]
    recent, whole = scene.recent_response_ns, scene.tally.response_time_ns
    lines = []
    if scene.awaits_replies:
        late = [one.response_p99_ns for one in scene.moments]
        lines = [
            _Line(1, _heads("response", keys, "max", paper)),
            _Line(0, _figures("  last 5 s", recent, keys, paper, "bold")),
            _Line(1, _figures("  whole run", whole, keys, paper)),
            _Line(5, _chart("  p99", late, format_duration, paper)),
        ]
    if scene.schedule is not None and scene.schedule.peak:
        # Alone it needs the heads of the columns that are otherwise above it.
        if not lines:
            lines.append(_Line(1, _heads("sent late", keys, "max", paper)))
            lines.append(_Line(1, _figures("  whole run", scene.tally.send_lag_ns, keys, paper)))
        label = "  sent late" if scene.awaits_replies else "  last 5 s"
        lines.append(_Line(3, _figures(label, scene.recent_lag_ns, keys, paper)))
    return lines


def _cell(keys: Sequence[str], paper: Viewport) -> int:
    return min(12, paper.room // (len(keys) + 1))


def _heads(label: str, keys: Sequence[str], highest: str, paper: Viewport) -> Text:
    cell = _cell(keys, paper)
    return _label(label, paper, "bold").append(
        "".join(f"{key:>{cell}}" for key in [*keys, highest]), style="not bold dim"
    )


def _figures(label: str, times: Histogram, keys: Sequence[str], paper: Viewport, style: str = "") -> Text:
    cell = _cell(keys, paper)
    values = [*times.percentiles([_TIMES[key] for key in keys]), times.max]
    text = _label(label, paper)
    for value in values:
        text.append(f"{format_duration(value):>{cell}}", style=style)
    return text


# --- What goes wrong --------------------------------------------------------------------------------------------------


def _faults(scene: RunState, paper: Viewport) -> list[_Line]:
    faults, failings = scene.faults, scene.tally.host_errors
    lines = []
    if failings:
        for kind, count in failings.most_common():
            text = f"{format_count(count)} {sanitize(kind)}: {_RAISE.get(kind, 'of this machine')}"
            lines += _sentence(1, "this machine", text, "bold red", paper)
    if not faults:
        return [*lines, _Line(0, _row("faults", [("none", "dim")], paper))]
    total = count_of(faults.total(), "fault")
    kinds = f"of {len(faults)} kinds" if len(faults) > 1 else ""
    new = scene.last.faults.total()
    parts = [(" ".join(filter(None, (total, kinds))), "bold yellow")]
    parts += [(f"{format_count(new)} new", "yellow")] if new else []
    lines.append(_Line(0, _row("faults", parts, paper)))
    digits = max(len(format_count(count)) for count in faults.values())
    for place, (kind, count) in enumerate(faults.most_common(_MOST_KINDS)):
        why = sentence(scene.examples.get(kind) or fault_phrase(kind))
        # The commonest kind tells more than any chart.
        rank = 3 if not place else 5 if place < 3 else 7
        lines.append(
            _Line(
                rank,
                Text(f"  {format_count(count):>{digits}}  {sanitize(kind)}", "yellow").append(f"  {why}", "default"),
            )
        )
    return lines


def _lost_workers(scene: RunState, paper: Viewport) -> list[_Line]:
    lines = []
    for lost in scene.lost_workers:
        with_it = f", and {count_of(lost.open_sessions, 'session')} with it" if lost.open_sessions else ""
        when = format_duration(lost.at_ns)
        text = f"worker {lost.worker} after {when}{with_it}: {sentence(lost.reason)}"
        lines += _sentence(0, "lost", text, "bold red", paper)
    return lines


def _generator(scene: RunState, paper: Viewport) -> list[_Line]:
    if scene.load_from_ns is None or not scene.loads:
        return [_Line(8, _row("generator", [(NO_VALUE, "dim")], paper))]
    shares = [load.cpu_ns / load.wall_ns for load in scene.loads if load.wall_ns]
    reasons = scene.reasons()
    parts: list[_Part] = []
    if not reasons and scene.tally.sent:
        parts.append(("keeps up", "green"))
    if shares:
        who = "by its worker" if len(shares) == 1 else f"by the busiest of {len(shares)} workers"
        parts.append((f"{percent(max(shares))} of a core {who}", ""))
    if scene.last.loop_lag_ns.count:
        parts.append((f"loop lag p99 {format_duration(scene.last.loop_lag_ns.percentile(99))}", ""))
    lines = [_Line(1, _row("generator", parts or [(NO_VALUE, "dim")], paper))]
    for reason in reasons[:_MOST_REASONS]:
        label, style, rank = ("  saturated", "bold red", 1) if reason.saturates else ("  warning", "yellow", 4)
        lines += _sentence(rank, label, sentence(reason.text), style, paper)
    return lines


def _notes(notes: Sequence[_Part]) -> list[_Line]:
    lines = [_Line(1 if not age else 5, Text(sanitize(words), style)) for age, (words, style) in enumerate(notes[::-1])]
    return lines[:MOST_NOTES][::-1]


# --- Lines ------------------------------------------------------------------------------------------------------------


def _label(label: str, paper: Viewport, style: str = "") -> Text:
    return Text(f"{label:{paper.label}}", style=style)


def _row(label: str, parts: Sequence[_Part], paper: Viewport) -> Text:
    """Returns a label and as many of the parts as there is room for; the first one always, cut if need be."""
    text = Text().append(f"{label:{paper.label}}", style="bold" if not label.startswith(" ") else "")
    for number, (words, style) in enumerate(parts):
        gap = paper.gap if number else ""
        if number and text.cell_len + len(gap) + len(words) > paper.width:
            break
        text.append(gap).append(words, style=style or "default")
    return text


def _sentence(rank: int, label: str, words: str, style: str, paper: Viewport) -> list[_Line]:
    """Returns a label and a sentence beside it, on several lines, of which the first one matters most."""
    room = paper.room
    parts = textwrap.wrap(words, room, max_lines=_MOST_LINES, placeholder="…", break_on_hyphens=False) or [""]
    return [
        _Line(rank + 6 if number else rank, _row("" if number else label, [(part, style)], paper))
        for number, part in enumerate(parts)
    ]


def _chart(label: str, values: Iterable[float | None], show: Callable[[Any], str], paper: Viewport) -> Text:
    """Returns the last values as columns, as high as they are beside the highest of these, which is told behind."""
    known = [*values]
    note, shown, highest = "", known, None
    # A shorter note leaves room for more columns, whose highest may need a longer one again: the first that fits.
    for start in range(max(0, len(known) - paper.room), len(known) + 1):
        shown = known[start:]
        highest = max((value for value in shown if value is not None), default=None)
        note = f"  to {NO_VALUE if highest is None else show(highest)}"
        if len(shown) + len(note) <= paper.room:
            break
    text = _label(label, paper)
    for value in shown:
        text.append(spark(value / highest if value and highest else None, paper.encoding), style="cyan")
    return text.append(note, style="dim") if shown else text


def _cut(text: Text, paper: Viewport) -> Text:
    """Returns a text that the terminal can show, and no wider than it."""
    if text.cell_len > paper.width:
        text.truncate(paper.width - 1)
        text.append("…", style="dim")
    # Of the same length, so that the styles stay where they are.
    text.plain = to_encodable(text.plain, paper.encoding)
    text.no_wrap = True
    return text
