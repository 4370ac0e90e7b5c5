"""Page of the live view: the state of a run drawn as lines that fit a terminal of any size.

Each line has a rank. Where the terminal has too few rows, the lines of the highest rank are left out first; where it
has too few columns, a line loses its parts from the right, which are the less important ones. Nothing ever wraps.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.analysis.findings import FindingKind, percent
from ws_load_test.analysis.thresholds import depends_on_pairing
from ws_load_test.analysis.wave_types import WaveSummary
from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.faults import HOST_ERROR_REMEDIES
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.commands import describe_command
from ws_load_test.report.content.fan_out import format_reach
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labeled import NO_VALUE, count_of, sentence
from ws_load_test.report.content.thresholds import show_value
from ws_load_test.report.content.waves import back_words, codes_of, costs
from ws_load_test.report.terminal.glyphs import bar, spark, to_encodable
from ws_load_test.report.terminal.latency_histogram import ROWS, histogram_bars
from ws_load_test.report.terminal.layout import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ws_load_test.live.run_state import RunState
    from ws_load_test.metrics.histogram import Histogram

MIN_COLUMNS = 20
"""Fewest columns that lines are made for; a narrower terminal shows their beginnings."""
NARROW = 60
"""Columns below which labels and gaps are short."""
MAX_NOTES = 5
"""Most log messages that are shown, the last ones: enough for the end of a run without hiding it."""
MAX_FAULT_KINDS = 12
"""Most kinds of faults that are listed: more would fill half of a usual terminal."""
MAX_FINDINGS = 3
"""Most findings about the generator that are shown; each takes up to `MAX_SENTENCE_LINES`."""
MAX_SENTENCE_LINES = 3
"""Most lines of one sentence; the rest is cut off."""
MAX_COMMANDS = 3
"""Most commands of the run that are shown, the last ones."""
CHARTS = 2
"""Charts over time that grow with the terminal: rates and p99; connections are mostly all open, a full block."""
MAX_CHART_ROWS = 5
"""Most rows of a chart: eighths of a row make 40 steps, more than a reader can tell apart."""
HISTOGRAM_HEAD = 3
"""Lines above the bars of a histogram: a blank one, its title and its heads."""
MIN_BARS = 5
"""Fewest bars that show the shape of a distribution."""
ENOUGH = 0.95
"""Share of the requested rate below which the achieved one is marked."""
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
_PHASES = {"opening": "opening", "warmup": "warm-up", "measured": "measured", "closing": "closing"}
_REMEDIES = {str(kind): remedy for kind, remedy in HOST_ERROR_REMEDIES.items()}
_FINDING_LOOKS = {FindingKind.PAIRING: ("  pairing", "bold red", 1)}
"""Label, style and rank of findings that matter more than a warning."""
_Part = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True, slots=True)
class _Line:
    rank: int
    text: Text


@dataclass(frozen=True, slots=True)
class Viewport:
    """Size and encoding of the terminal."""

    width: int = 80
    height: int = 24
    encoding: str = "utf-8"
    chart_rows: int = 1
    """Rows of each chart over time."""

    @property
    def label(self) -> int:
        """Columns of the labels at the left."""
        return LABEL if self.width >= NARROW else LABEL - 2

    @property
    def gap(self) -> str:
        """Blanks between the parts of a line."""
        return "   " if self.width >= NARROW else " "

    @property
    def content_width(self) -> int:
        """Columns beside the label."""
        return self.width - self.label


def render(state: RunState, viewport: Viewport, *, since_ns: int = 0, notes: Sequence[_Part] = ()) -> list[Text]:
    """Returns the lines of a page: no more than the viewport has rows, none wider than it, and each with its styles.

    Args:
        state: State of the run.
        viewport: Size and encoding of the terminal.
        since_ns: Time since the end of the last interval.
        notes: Log messages with their styles, the oldest first.
    """
    terminal, viewport = viewport, replace(viewport, width=max(viewport.width, MIN_COLUMNS))
    now_ns = state.to_ns + since_ns
    lines = _lines(state, viewport, now_ns, notes)
    # The number of lines that do not change with the height of charts decides how high these can be.
    spare = viewport.height - len(lines)
    if spare >= CHARTS:
        rows = min(MAX_CHART_ROWS, 1 + spare // CHARTS)
        lines = _lines(state, replace(viewport, chart_rows=rows), now_ns, notes)
        lines += _histogram(state, viewport, viewport.height - len(lines))
    while len(lines) > max(1, viewport.height):
        # The last line of the highest rank: among faults that is the rarest kind.
        highest = max(line.rank for line in lines)
        del lines[max(index for index, line in enumerate(lines) if line.rank == highest)]
    return [_cut(line.text, terminal) for line in lines]


def _lines(state: RunState, viewport: Viewport, now_ns: int, notes: Sequence[_Part]) -> list[_Line]:
    return [
        *_head(state, viewport, now_ns),
        _Line(9, Text()),
        *_connections(state, viewport, now_ns),
        *_wave(state, viewport),
        *_commands(state, viewport),
        *_messages(state, viewport),
        *_deliveries(state, viewport),
        _Line(9, Text()),
        *_times(state, viewport),
        *_conditions(state, viewport),
        _Line(10, Text()),
        *_faults(state, viewport),
        *_lost_workers(state, viewport),
        *_generator(state, viewport),
        *_notes(notes),
    ]


# --- Progress ---------------------------------------------------------------------------------------------------------


def _head(state: RunState, viewport: Viewport, now_ns: int) -> list[_Line]:
    position, progress = _position(state, now_ns), state.progress(now_ns)
    target = sanitize(state.plan.redacted().target.url)
    columns = viewport.width - len(position) - 2
    if len(target) > columns:
        target = f"{target[: columns - 1]}…" if columns > 1 else ""
    title = (
        Text(target, style="bold").append(" " * (viewport.width - len(target) - len(position))).append(position, "cyan")
    )
    return [_Line(0, title), _Line(2, _progress_bar(progress, _remaining(state, now_ns), viewport))]


def _progress_bar(progress: float | None, remaining: str, viewport: Viewport) -> Text:
    """Returns a bar over the width of the terminal, with what remains behind it."""
    width = max(0, viewport.width - len(remaining) - 2)
    text = Text(bar(progress or 0, width, viewport.encoding)[:width], style="cyan")
    rail = "·" if to_encodable("·", viewport.encoding) == "·" else "."
    text.append(rail * (width - text.cell_len), style="dim")
    return text.append(f"  {remaining}", style="default" if progress is not None else "dim")


def _position(state: RunState, now_ns: int) -> str:
    if state.phase is None:
        return "starting"
    phase, elapsed = _PHASES[state.phase], _clock(now_ns - state.phase_from_ns)
    if state.phase == "warmup":
        return f"{phase} {elapsed} of {format_duration(state.plan.warmup_ns)}"
    if state.phase == "measured" and state.plan.duration_ns is not None:
        return f"{phase} {elapsed} of {format_duration(state.plan.duration_ns)}"
    return f"{phase} {elapsed}"


def _remaining(state: RunState, now_ns: int) -> str:
    plan, remaining_ns = state.plan, state.remaining_ns(now_ns)
    if state.phase is None:
        return f"{count_of(plan.workers, 'worker')} to start"
    if state.phase == "opening":
        return f"{format_count(state.tally.opened + state.tally.failed)} of {format_count(plan.connections)}"
    if state.phase == "closing":
        if not state.awaits_replies:
            return "closing the connections"
        return f"waiting for the last replies, {format_duration(plan.timeout_ns)} at most"
    if remaining_ns is None:
        return NO_VALUE
    return f"{'about ' if plan.messages is not None else ''}{_clock(remaining_ns, up=True)} left"


def _clock(ns: int, *, up: bool = False) -> str:
    """Returns a time in whole seconds, rounded down or up: decimals would only flicker."""
    seconds = -(-ns // NS_PER_S) if up else ns // NS_PER_S
    return format_duration(seconds * NS_PER_S) if seconds > 0 else "0 s"


# --- Connections and messages -----------------------------------------------------------------------------------------


def _connections(state: RunState, viewport: Viewport, now_ns: int) -> list[_Line]:
    tally = state.tally
    parts = [(f"{format_count(state.open)} open of {format_count(state.requested_open(now_ns))}", "bold")]
    counts = [
        ("failed", tally.failed, "yellow"),
        ("lost", tally.lost, "yellow"),
        ("cut off", tally.storm_disconnected, "yellow"),
        ("reconnected", tally.reconnected, ""),
        ("recycled", tally.recycled, ""),
    ]
    parts += [(f"{format_count(count)} {word}", style) for word, count, style in counts if count]
    chart = _chart("", state.open_history, format_count, replace(viewport, chart_rows=1))
    return [_Line(0, _row("connections", parts, viewport)), *(_Line(6, line) for line in chart)]


def _wave(state: RunState, viewport: Viewport) -> list[_Line]:
    """Returns a line while a disconnect wave is on, and a fainter one about the last of those that are over."""
    waves, current = state.waves.waves, state.waves.current
    if not waves:
        return []
    summary = WaveSummary.of(current or waves[-1])
    if current is None:
        words = f"{count_of(len(waves), 'wave')}, the last of {count_of(summary.sessions, 'session')}"
        return [_Line(5, _row("  wave", [(words, ""), (back_words(summary), "green")], viewport))]
    missing = max(0, summary.open_before - state.open)
    parts = [(f"{format_count(summary.sessions)} ended", "bold yellow"), (f"{format_count(missing)} missing", "yellow")]
    parts += [(codes_of(summary), ""), (", ".join(costs(summary)), "")]
    return [_Line(1, _row("  wave", [part for part in parts if part[0]], viewport))]


def _commands(state: RunState, viewport: Viewport) -> list[_Line]:
    """Returns a line for each of the commands that began last; those that failed matter more."""
    runs = [state.commands[number] for number in sorted(state.commands)][-MAX_COMMANDS:]
    return [
        _Line(
            1 if run.failed else 5,
            _row("" if number else "  ran", [(describe_command(run), "yellow" if run.failed else "")], viewport),
        )
        for number, run in enumerate(runs)
    ]


def _messages(state: RunState, viewport: Viewport) -> list[_Line]:
    last = state.history[-1] if state.history else None
    rates = [point.answered_per_s if state.awaits_replies else point.sent_per_s for point in state.history]
    parts: list[_Part] = []
    if last is not None and last.requested_per_s is not None:
        parts.append((f"requested {format_rate(last.requested_per_s)}", ""))
    for word, rate in _achieved(state):
        requested = None if last is None or word == "pushed" else last.requested_per_s
        short = requested is not None and rate < ENOUGH * requested
        parts.append((f"{word} {format_rate(rate)}", "bold yellow" if short else "bold"))
    if state.schedule is None and parts:
        parts.append(("as fast as answered", "dim"))
    chart = _chart("", rates, format_rate, viewport)
    return [
        _Line(0, _row("messages", parts or [("none yet", "dim")], viewport)),
        *(_Line(4, line) for line in chart),
        _Line(3, _row("  in all", _totals(state), viewport)),
    ]


def _achieved(state: RunState) -> list[tuple[str, float]]:
    if not state.history:
        return []
    last = state.history[-1]
    if not state.awaits_replies:
        return [("sent", last.sent_per_s), ("pushed", last.pushed_per_s)]
    return [("answered", last.answered_per_s), ("sent", last.sent_per_s)]


def _totals(state: RunState) -> list[_Part]:
    tally = state.tally
    if state.phase == "warmup":
        return [(f"{format_count(tally.warmup_sent)} sent", ""), ("warming up: these do not count", "dim")]
    counts = [("sent", tally.sent, "")]
    if state.awaits_replies:
        counts += [("answered", tally.answered, ""), ("in flight", state.in_flight, "")]
        counts += [("unanswered", tally.unanswered, "yellow" if tally.unanswered else "")]
    counts += [("dropped", tally.dropped, "yellow" if tally.dropped else ""), ("pushed", tally.pushed, "")]
    always = {"sent", "answered", "unanswered"}
    return [(f"{format_count(count)} {word}", style) for word, count, style in counts if count or word in always]


# --- Times ------------------------------------------------------------------------------------------------------------


def _times(state: RunState, viewport: Viewport) -> list[_Line]:
    # Three percentiles where there is room for them, else the two that say most.
    keys = [*_PERCENTILES] if viewport.content_width >= 4 * 10 else ["p50", "p99"]
    recent, whole_run = state.recent_response_ns, state.tally.response_time_ns
    lines = []
    if state.has_fan_out:
        lines = _delivery_times(state, keys, viewport)
    if state.awaits_replies:
        p99s = [point.response_p99_ns for point in state.history]
        lines += [
            _Line(1, _heads("ack" if state.has_fan_out else "response", keys, viewport)),
            _Line(0, _figures("  last 5 s", recent, keys, viewport, "bold")),
            _Line(1, _figures("  whole run", whole_run, keys, viewport)),
            *(_Line(5, line) for line in _chart("  p99", p99s, format_duration, viewport)),
            *_streams(state, keys, viewport),
        ]
    if state.schedule is not None and state.schedule.peak:
        # Without response times above it, this row needs heads of its own.
        if not lines:
            lines.append(_Line(1, _heads("sent late", keys, viewport)))
            lines.append(_Line(1, _figures("  whole run", state.tally.send_lag_ns, keys, viewport)))
        label = "  sent late" if state.awaits_replies else "  last 5 s"
        lines.append(_Line(3, _figures(label, state.recent_lag_ns, keys, viewport)))
    return lines


def _deliveries(state: RunState, viewport: Viewport) -> list[_Line]:
    """Returns the deliveries of a fan-out: their rate, the reach so far, and those that are not as they should be."""
    if not state.has_fan_out:
        return []
    tally, last = state.tally, state.history[-1] if state.history else None
    if last is None:
        return [_Line(0, _row("deliveries", [("none yet", "dim")], viewport))]
    flaws = [
        ("missing", tally.deliveries_missing),
        ("cut off", tally.deliveries_cut_off),
        ("misdelivered", tally.deliveries_misdelivered),
        ("duplicate", tally.deliveries_duplicate),
    ]
    parts: list[_Part] = [(format_rate(last.deliveries_per_s), "bold")]
    parts.append((f"reach {NO_VALUE if state.reach is None else format_reach(state.reach)}", ""))
    parts += [(f"{format_count(count)} {word}", "yellow") for word, count in flaws if count or word == "missing"]
    if not tally.deliveries_missing:
        parts[2] = (parts[2][0], "")
    return [_Line(0, _row("deliveries", parts, viewport))]


def _delivery_times(state: RunState, keys: Sequence[str], viewport: Viewport) -> list[_Line]:
    """Returns the delivery times of the last seconds and of the whole run, and the times to the last delivery."""
    p99s = [point.delivery_p99_ns for point in state.history]
    return [
        _Line(1, _heads("delivery", keys, viewport)),
        _Line(0, _figures("  last 5 s", state.recent_delivery_ns, keys, viewport, "bold")),
        _Line(1, _figures("  whole run", state.tally.delivery_time_ns, keys, viewport)),
        _Line(3, _figures("  to the last", state.recent_last_ns, keys, viewport)),
        *(_Line(5, line) for line in _chart("  p99", p99s, format_duration, viewport)),
    ]


def _streams(state: RunState, keys: Sequence[str], viewport: Viewport) -> list[_Line]:
    """Returns the times within answers of many messages, of the last seconds, and what went wrong with them."""
    if not state.has_streams:
        return []
    troubles = [("stalls", state.tally.stalls), ("broken off", state.tally.broken_off)]
    parts = [(f"{format_count(count)} {word}", "yellow") for word, count in troubles if count]
    return [
        _Line(3, _figures("  first", state.recent_first_ns, keys, viewport)),
        _Line(3, _figures("  gap", state.recent_gap_ns, keys, viewport)),
        *([_Line(3, _row("  streams", parts, viewport))] if parts else []),
    ]


def _cell(keys: Sequence[str], viewport: Viewport) -> int:
    return min(12, viewport.content_width // (len(keys) + 1))


def _heads(label: str, keys: Sequence[str], viewport: Viewport) -> Text:
    cell = _cell(keys, viewport)
    return _label(label, viewport, "bold").append(
        "".join(f"{key:>{cell}}" for key in [*keys, "max"]), style="not bold dim"
    )


def _figures(label: str, times: Histogram, keys: Sequence[str], viewport: Viewport, style: str = "") -> Text:
    cell = _cell(keys, viewport)
    values = [*times.percentiles([_PERCENTILES[key] for key in keys]), times.max]
    text = _label(label, viewport)
    for value in values:
        text.append(f"{format_duration(value):>{cell}}", style=style)
    return text


def _conditions(state: RunState, viewport: Viewport) -> list[_Line]:
    """Returns the conditions of the run with the values so far, in red where they would fail it now."""
    found = []
    doubted = bool(state.pairing_findings())
    for requested, condition in state.conditions:
        tally, measured_ns = (
            (state.last, state.last_measured_ns)
            if condition.per_interval
            else (
                state.tally,
                state.measured_ns,
            )
        )
        value = ConditionScope(tally, measured_ns, state.awaits_replies, state.whole_run).value(condition)
        words = f"{requested.option.replace('-', ' ')} {condition.text}"
        if value is None:
            found.append((f"{words}: {NO_VALUE}", "dim"))
        elif doubted and depends_on_pairing(condition.metric):
            shown = show_value(float(value), float(condition.limit), condition.unit)
            found.append((f"{words}: in doubt ({shown})", "bold red"))
        else:
            shown = show_value(float(value), float(condition.limit), condition.unit)
            found.append((f"{words}: {shown}", "green" if requested.passes(condition, value) else "bold red"))
    return [
        _Line(2 if style == "bold red" else 4, _row("" if number else "conditions", [(words, style)], viewport))
        for number, (words, style) in enumerate(found)
    ]


# --- Faults and findings ----------------------------------------------------------------------------------------------


def _faults(state: RunState, viewport: Viewport) -> list[_Line]:
    faults, host_errors = state.faults, state.tally.host_errors
    lines = []
    if host_errors:
        for kind, count in host_errors.most_common():
            text = f"{format_count(count)} {sanitize(kind)}: {_REMEDIES.get(kind, 'of this machine')}"
            lines += _sentence(1, "this machine", text, "bold red", viewport)
    if not faults:
        return [*lines, _Line(0, _row("faults", [("none", "dim")], viewport))]
    total = count_of(faults.total(), "fault")
    kinds = f"of {len(faults)} kinds" if len(faults) > 1 else ""
    new = state.last.faults.total()
    parts = [(" ".join(filter(None, (total, kinds))), "bold yellow")]
    parts += [(f"{format_count(new)} new", "yellow")] if new else []
    lines.append(_Line(0, _row("faults", parts, viewport)))
    digits = max(len(format_count(count)) for count in faults.values())
    for index, (kind, count) in enumerate(faults.most_common(MAX_FAULT_KINDS)):
        example = sentence(state.examples.get(kind) or fault_phrase(kind))
        # The commonest kind says more than any chart.
        rank = 3 if not index else 5 if index < 3 else 7
        lines.append(
            _Line(
                rank,
                Text(f"  {format_count(count):>{digits}}  {sanitize(kind)}", "yellow").append(
                    f"  {example}", "default"
                ),
            )
        )
    return lines


def _lost_workers(state: RunState, viewport: Viewport) -> list[_Line]:
    lines = []
    for lost in state.lost_workers:
        sessions = f", and {count_of(lost.open_sessions, 'session')} with it" if lost.open_sessions else ""
        when = format_duration(lost.at_ns)
        text = f"worker {lost.worker} after {when}{sessions}: {sentence(lost.reason)}"
        lines += _sentence(0, "lost", text, "bold red", viewport)
    return lines


def _generator(state: RunState, viewport: Viewport) -> list[_Line]:
    if state.load_from_ns is None or not state.worker_usages:
        return [_Line(8, _row("generator", [(NO_VALUE, "dim")], viewport))]
    shares = [usage.cpu_ns / usage.wall_ns for usage in state.worker_usages if usage.wall_ns]
    findings = state.findings()
    parts: list[_Part] = []
    if not findings and state.tally.sent:
        parts.append(("keeps up", "green"))
    if shares:
        worker = "by its worker" if len(shares) == 1 else f"by the busiest of {len(shares)} workers"
        parts.append((f"{percent(max(shares))} of a core {worker}", ""))
    if state.last.loop_lag_ns.count:
        parts.append((f"loop lag p99 {format_duration(state.last.loop_lag_ns.percentile(99))}", ""))
    lines = [_Line(1, _row("generator", parts or [(NO_VALUE, "dim")], viewport))]
    for finding in findings[:MAX_FINDINGS]:
        label, style, rank = _FINDING_LOOKS.get(finding.kind, ("  warning", "yellow", 4))
        if finding.saturates:
            label, style, rank = "  saturated", "bold red", 1
        lines += _sentence(rank, label, sentence(finding.text), style, viewport)
    return lines


def _notes(notes: Sequence[_Part]) -> list[_Line]:
    lines = [_Line(1 if not age else 5, Text(sanitize(text), style)) for age, (text, style) in enumerate(notes[::-1])]
    return lines[:MAX_NOTES][::-1]


# --- Lines ------------------------------------------------------------------------------------------------------------


def _label(label: str, viewport: Viewport, style: str = "") -> Text:
    return Text(f"{label:{viewport.label}}", style=style)


def _row(label: str, parts: Sequence[_Part], viewport: Viewport) -> Text:
    """Returns a label and as many of the parts as fit; the first one always, cut if need be."""
    text = Text().append(f"{label:{viewport.label}}", style="bold" if not label.startswith(" ") else "")
    for index, (part, style) in enumerate(parts):
        gap = viewport.gap if index else ""
        if index and text.cell_len + len(gap) + len(part) > viewport.width:
            break
        text.append(gap).append(part, style=style or "default")
    return text


def _sentence(rank: int, label: str, words: str, style: str, viewport: Viewport) -> list[_Line]:
    """Returns a label and a sentence beside it, on several lines, of which the first one matters most."""
    width = viewport.content_width
    parts = textwrap.wrap(words, width, max_lines=MAX_SENTENCE_LINES, placeholder="…", break_on_hyphens=False) or [""]
    return [
        _Line(rank + 6 if index else rank, _row("" if index else label, [(part, style)], viewport))
        for index, part in enumerate(parts)
    ]


def _chart(label: str, values: Iterable[float | None], show: Callable[[Any], str], viewport: Viewport) -> list[Text]:
    """Returns the last values as columns in proportion to the highest of them, which is written behind them.

    The columns are as many rows high as the viewport has for a chart.
    """
    known = [*values]
    note, shown, highest = "", known, None
    # A shorter note leaves room for more columns, whose highest may need a longer note again: the first fit is taken.
    for start in range(max(0, len(known) - viewport.content_width), len(known) + 1):
        shown = known[start:]
        highest = max((value for value in shown if value is not None), default=None)
        note = f"  to {NO_VALUE if highest is None else show(highest)}"
        if len(shown) + len(note) <= viewport.content_width:
            break
    lines = []
    for row in reversed(range(viewport.chart_rows)):
        is_top = row + 1 == viewport.chart_rows
        text = _label(label if is_top else "", viewport)
        for value in shown:
            height = value / highest * viewport.chart_rows - row if value and highest else None
            # A value above zero is never drawn as nothing, by its lowest row.
            is_drawn = height is not None and (height > 0 or not row)
            text.append(spark(min(1.0, height) if height is not None and is_drawn else None, viewport.encoding), "cyan")
        lines.append(text.append(note, style="dim") if shown and is_top else text)
    return lines


def _histogram(state: RunState, viewport: Viewport, spare: int) -> list[_Line]:
    """Returns all response times so far as bars, in `spare` lines at most; nothing where that is too little."""
    times, rows = state.tally.response_time_ns, min(ROWS, spare - HISTOGRAM_HEAD)
    if not times.count or viewport.width < NARROW or rows < MIN_BARS:
        return []
    title = Text("all response times", style="bold")
    bars = histogram_bars(times, viewport.width - 2, viewport.encoding, rows)
    return [_Line(11, Text()), _Line(11, title), *(_Line(11, line) for line in bars)]


def _cut(text: Text, viewport: Viewport) -> Text:
    """Returns a text in characters that the terminal can show, and no wider than it."""
    if text.cell_len > viewport.width:
        text.truncate(viewport.width - 1)
        text.append("…", style="dim")
    # The replacement has the same length, so the styles stay in place.
    text.plain = to_encodable(text.plain, viewport.encoding)
    text.no_wrap = True
    return text
