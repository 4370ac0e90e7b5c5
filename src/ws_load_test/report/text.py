"""The report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from ws_load_test.measure.histogram import Histogram
from ws_load_test.plan import ClosedLoad, Plan
from ws_load_test.report.letters import clean, writable
from ws_load_test.report.spread import FEW, PERCENTILES, beside, drawing, few_beyond, figures
from ws_load_test.report.words import close_code_name, fault_phrase
from ws_load_test.units import show_bytes, show_count, show_duration, show_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from ws_load_test.measure.recording import Recording

WIDTH = 80
NOTHING = "\N{EN DASH}"
_LABEL = 14
_LONGEST_SENTENCE = 300
_MOST_WORKERS_NAMED = 8


def print_report(recordings: Sequence[Recording], summary: dict[str, Any], *, console: Console) -> None:
    """Prints the report of one recording, or of several taken together.

    Args:
        recordings: What was recorded, at least one.
        summary: What `summarise` says of the same recordings.
        console: Where to; its encoding decides between blocks and ``#``, its colours are its own affair.
    """
    for line in report_lines(recordings, summary, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def report_lines(recordings: Sequence[Recording], summary: dict[str, Any], *, encoding: str = "utf-8") -> list[Text]:
    """Returns the report's lines: no wider than 80 columns, but for a long URL and counts beyond reason."""
    sections = [
        _heading(recordings, summary),
        _alarms(recordings, summary),
        _asked_and_achieved(recordings, summary),
        _faults(recordings, summary),
        beside(_requests(recordings, summary), _connect_times(summary), gap=6),
        _response_times(recordings, summary, encoding),
        _machine(recordings, summary),
    ]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    for line in lines:
        # Of the same length, so that the styles stay where they are.
        line.plain = writable(line.plain, encoding)
        line.rstrip()
    return lines


# --- What the run came to -----------------------------------------------------------------------------------


def _heading(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    words, style = _verdict(recordings, summary)
    started = datetime.fromisoformat(summary["started_at"])
    facts = [clean(summary["tool"]), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(recordings) > 1:
        facts.append(f"{len(recordings)} recordings together")
    lines = [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        Text(clean(summary["target"])),
        Text(", ".join(facts), style="dim"),
    ]
    for check in summary["verdict"]["checks"]:
        passed = check["passed"]
        verdict = "passed" if passed else "failed"
        lines.append(Text(f"  {verdict}  {clean(str(check['check']))}", style="green" if passed else "red"))
    return lines


def _verdict(recordings: Sequence[Recording], summary: dict[str, Any]) -> tuple[str, str]:
    """Returns the verdict in words, of several truths the one that spoils the run most, and its colour."""
    lost = sum(len(recording.trailer.lost_workers) for recording in recordings if recording.trailer)
    if summary["interrupted"]:
        killed = any(recording.trailer is None for recording in recordings)
        why = "killed, the recording has no end" if killed else "interrupted"
        return f"Partial: {why}", "yellow"
    if lost:
        return "A worker was lost" if lost == 1 else f"{show_count(lost)} workers were lost", "red"
    if not summary["connections"]["opened"]:
        return "Could not open a single connection", "red"
    if not summary["verdict"]["passed"]:
        return "A threshold failed", "red"
    doubts = _doubts(summary)
    return (f"Passed, with {doubts}", "yellow") if doubts else ("Passed", "green")


def _doubts(summary: dict[str, Any]) -> str:
    """Returns what went wrong in a run that passed, for which a single open connection is enough."""
    messages, faults = summary["messages"], sum(summary["faults"].values())
    doubts = [_count(faults, "fault")] if faults else []
    if not messages["answered"]:
        doubts.append("no message answered")
    else:
        doubts += [
            f"{_count(messages[word], 'message')} {word}" for word in ("unanswered", "dropped") if messages[word]
        ]
    if summary["generator"]["reasons"]:
        doubts.append("the generator's machine at its limit")
    return ", ".join(doubts)


def _alarms(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    """Returns what makes all other numbers doubtful: lost workers, limits of the generator's machine."""
    lines: list[Text] = []
    for number, recording in enumerate(recordings, 1):
        for lost in recording.trailer.lost_workers if recording.trailer else ():
            where = f"recording {number}, " if len(recordings) > 1 else ""
            when = f"worker {lost.worker}, {show_duration(lost.at_ns)} after the start"
            lines += _wrapped("lost worker", f"{where}{when}: {_sentence(lost.reason)}", style="red")
    for reason in summary["generator"]["reasons"]:
        lines += _wrapped("generator", _sentence(reason), style="red")
    return lines


# --- Asked and achieved -------------------------------------------------------------------------------------


def _asked_load(plan: Plan) -> str:
    if isinstance(plan.load, ClosedLoad):
        return f"{show_count(plan.load.in_flight)} in flight each"
    return f"{plan.load.arrivals} arrivals" if plan.load.rate.peak else "none, held open"


def _asked_and_achieved(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    plans = _plans(recordings)
    connections, messages, sizes = summary["connections"], summary["messages"], summary["bytes"]
    nothing_sent = not (sizes["sent"] or sizes["received"])
    counted = any(plan.messages is not None for plan in plans)
    rows = [
        ("connections", _each(plans, _asked_connections), _achieved_connections(connections)),
        ("total time", _each(plans, _asked_time), show_duration(summary["duration_s"] * 1e9 or None)),
        ("load", _asked(plans, _asked_load), ""),
        (
            "message",
            _asked(plans, lambda plan: f"{plan.message.kind}, {show_bytes(plan.message.size_bytes)}"),
            NOTHING if nothing_sent else f"{show_bytes(sizes['sent'])} sent, {show_bytes(sizes['received'])} received",
        ),
        ("throughput", "as fast as it answers" if plans else NOTHING, show_rate(summary["throughput_per_s"])),
    ]
    if counted:
        asked = _each(plans, lambda plan: NOTHING if plan.messages is None else show_count(plan.messages))
        rows.insert(1, ("requests", asked, f"{show_count(messages['answered'])} answered"))
    width = max(len(asked) for _, asked, _ in rows) + 3
    lines = [Text(f"{'':{_LABEL}}{'asked':{width}}achieved", style="bold")]
    for label, asked, achieved in rows:
        line = Text(f"{label:{_LABEL}}{asked:{width}}")
        missed = label == "connections" and (connections["failed"] or connections["lost"])
        lines.append(line.append(achieved, style="yellow" if missed else ""))
    return lines


def _plans(recordings: Sequence[Recording]) -> list[Plan]:
    """Returns the plans, or none where one has options that this version does not know."""
    plans = []
    for recording in recordings:
        try:
            plans.append(msgspec.convert(recording.header.plan, Plan))
        except msgspec.ValidationError:
            return []
    return plans


def _asked(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    shown = list(dict.fromkeys(show(plan) for plan in plans))
    return shown[0] if len(shown) == 1 else "several" if shown else NOTHING


def _each(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    """Returns what was asked of each of several runs, where the achieved amounts are their sums."""
    shown = _asked(plans, show)
    return f"{shown} each" if len(plans) > 1 and shown not in ("several", NOTHING) else shown


def _asked_connections(plan: Plan) -> str:
    connections = show_count(plan.connections)
    return connections if plan.connect_rate_per_s is None else f"{connections}, at {show_rate(plan.connect_rate_per_s)}"


def _asked_time(plan: Plan) -> str:
    length = "until all are answered" if plan.duration_ns is None else show_duration(plan.duration_ns)
    return f"{length}, warm-up {show_duration(plan.warmup_ns)}" if plan.warmup_ns else length


def _achieved_connections(connections: dict[str, Any]) -> str:
    # A run that was killed while it dialled knows nothing of the rest.
    waiting = connections["attempted"] - connections["opened"] - connections["failed"]
    parts = [f"{show_count(connections[word])} {word}" for word in ("opened", "failed", "lost")]
    return ", ".join([*parts, f"{show_count(waiting)} unknown"] if waiting > 0 else parts)


# --- Messages and connections -------------------------------------------------------------------------------


def _requests(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    messages = summary["messages"]
    rows = [(word, messages[word]) for word in ("due", "sent", "answered", "unanswered", "dropped", "pushed")]
    warmup = [(f"warm-up {word}", _recorded(recordings, f"warmup_{word}")) for word in ("sent", "answered")]
    if any(count for _, count in warmup):
        rows += warmup
    failing = {"unanswered", "dropped"}
    return _pairs(
        "requests",
        [(word, show_count(count), "yellow" if count and word in failing else "") for word, count in rows],
    )


def _connect_times(summary: dict[str, Any]) -> list[Text]:
    stats = summary["connect_time_ns"]
    if stats is None:
        return _pairs("connect time", [("fastest", NOTHING, ""), ("slowest", NOTHING, "")])
    keys = {"fastest": "min", "50 %": "p50", "95 %": "p95", "99 %": "p99", "slowest": "max"}
    rows = [("opened", show_count(stats["count"]), "")]
    return _pairs("connect time", rows + [(label, show_duration(stats[key]), "") for label, key in keys.items()])


def _pairs(title: str, rows: Sequence[tuple[str, str, str]]) -> list[Text]:
    labels = max(len(label) for label, _, _ in rows) + 3
    values = max(len(value) for _, value, _ in rows)
    lines = [Text(title, style="bold")]
    lines += [Text(f"  {label:{labels}}{value:>{values}}", style=style) for label, value, style in rows]
    return lines


def _recorded(recordings: Sequence[Recording], room: str, phase: str | None = None) -> int:
    """Returns a count of all intervals together, without their tallies: histograms take long to decode."""
    return sum(
        interval.record.get(room, 0)
        for recording in recordings
        for interval in recording.intervals
        if phase in (None, interval.phase)
    )


# --- Response times -----------------------------------------------------------------------------------------


def _response_times(recordings: Sequence[Recording], summary: dict[str, Any], encoding: str) -> list[Text]:
    stats = summary["response_time_ns"]
    if stats is None:
        return [
            Text("response time", style="bold"),
            Text(f"  fastest {NOTHING}, average {NOTHING}, slowest {NOTHING}: no message was answered"),
        ]
    histogram = Histogram()
    for recording in recordings:
        for interval in recording.intervals:
            if "response_time_ns" in interval.record:
                histogram.merge(Histogram.from_record(interval.record["response_time_ns"]))
    left = figures(stats, summary["service_time_ns"])
    width = WIDTH - max(line.cell_len for line in left) - 3
    lines = beside(left, drawing(histogram, width, encoding))
    if any(few_beyond(percentile, stats["count"]) for percentile in PERCENTILES):
        lines.append(Text(f"  * few samples: fewer than {FEW} answers lie beyond it, so chance decides", style="dim"))
    return lines


# --- Faults -------------------------------------------------------------------------------------------------


def _faults(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    faults: dict[str, int] = summary["faults"]
    if not faults:
        return []
    examples: dict[str, str] = {}
    for recording in recordings:
        for interval in recording.intervals:
            examples = interval.examples | examples
    counts = [show_count(count) for count in faults.values()]
    digits, names = max(map(len, counts)), max(len(kind) for kind in faults)
    lines = [Text("what the target did wrong", style="bold")]
    for kind, count in zip(faults, counts, strict=True):
        head = f"  {count:>{digits}}  {clean(kind):{names}}  "
        lines += _hanging(head, _sentence(examples.get(kind) or fault_phrase(kind)), style="yellow")
    return lines


# --- The machine and the wire -------------------------------------------------------------------------------


def _machine(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    lines: list[Text] = []
    closed: dict[str, int] = summary["connections"]["closed"]
    if closed:
        codes = (f"{show_count(count)} with {code} ({close_code_name(code)})" for code, count in closed.items())
        lines += _wrapped("closed", clean(", ".join(codes)))
    seconds = summary["duration_s"]
    if seconds and summary["throughput_per_s"] is not None:
        sent, received = (
            show_bytes(_recorded(recordings, f"bytes_{way}", "measured") / seconds) for way in ("sent", "received")
        )
        lines += _wrapped("traffic", f"{sent}/s sent, {received}/s received while measured")
    lines += _wrapped("processor", _processor(recordings, summary))
    lag = summary["generator"]["send_lag_ns"]
    if lag is not None:
        shown = ", ".join(f"{word} {show_duration(lag[key])}" for word, key in _LAG.items())
        lines += _wrapped("send lag", shown)
    return lines


_LAG = {"50 %": "p50", "99 %": "p99", "most": "max"}


def _processor(recordings: Sequence[Recording], summary: dict[str, Any]) -> str:
    busiest = summary["generator"]["cpu_share"]
    if busiest is None:
        return NOTHING
    shares = _worker_shares(recordings)
    text = f"{busiest:.0%} of a core".replace("%", " %")
    if len(shares) < 2:
        return f"{text}, one worker"
    if len(shares) > _MOST_WORKERS_NAMED:
        least = f"{min(shares):.0%}".replace("%", " %")
        return f"{text} by the busiest of {show_count(len(shares))} workers, {least} by the idlest"
    each = ", ".join(f"{share:.0%}" for share in shares).replace("%", " %")
    return f"{text} by the busiest of {len(shares)} workers: {each}"


def _worker_shares(recordings: Sequence[Recording]) -> list[float]:
    """Returns the share of a core that each worker used while it was measured."""
    used: dict[tuple[int, int], tuple[int, int]] = {}
    for number, recording in enumerate(recordings):
        for interval in recording.intervals:
            for load in interval.workers if interval.phase == "measured" else ():
                cpu_ns, wall_ns = used.get((number, load.worker), (0, 0))
                used[number, load.worker] = cpu_ns + load.cpu_ns, wall_ns + load.wall_ns
    return [cpu_ns / wall_ns for _, (cpu_ns, wall_ns) in sorted(used.items()) if wall_ns]


# --- Words and lines ----------------------------------------------------------------------------------------


def _count(count: int, noun: str) -> str:
    return f"{show_count(count)} {noun}" if count == 1 else f"{show_count(count)} {noun}s"


def _sentence(text: str) -> str:
    text = clean(" ".join(text.split()))
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[: _LONGEST_SENTENCE - 1]}…"


def _wrapped(label: str, text: str, style: str = "") -> list[Text]:
    return _hanging(f"{label:{_LABEL}}", text, style)


def _hanging(head: str, text: str, style: str) -> list[Text]:
    """Returns a label and the text beside it, on as many lines as it needs; the style is the label's."""
    parts: Iterable[str] = textwrap.wrap(text, max(20, WIDTH - len(head)), break_on_hyphens=False) or [""]
    return [
        Text(" " * len(head) if number else head, style="" if number else style).append(part, style="default")
        for number, part in enumerate(parts)
    ]
