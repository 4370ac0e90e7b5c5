"""Sessions: the phases of their opening, their coming back, and those that are kept apart because they behave badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.findings import MISBEHAVIOR_NAMES, MISBEHAVIORS, join_and
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.fault_names import close_code_name, fault_phrase
from ws_load_test.report.content.labelled import LabelledText, count_of, sentence, summarize_times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording

PHASES = {
    "resolve": "resolve_time_ns",
    "TCP": "tcp_time_ns",
    "proxy": "proxy_time_ns",
    "TLS": "tls_time_ns",
    "upgrade": "upgrade_time_ns",
    "first reply": "first_reply_time_ns",
}
"""What opening a session is made of, and where its times are."""
_ENDINGS = ("closed:", "reset", "protocol-error")
"""Faults that end a session."""


def reconnects(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[LabelledText]:
    """Returns what became of sessions that ended before the run did, and of a storm."""
    connections, again = summary["connections"], summary["reconnect_time_ns"]
    lines: list[LabelledText] = []
    if connections["reconnected"]:
        words = f"{count_of(connections['reconnected'], 'session')} came back after being lost or cut off"
        lines.append(LabelledText("reconnected", words if again is None else f"{words}: {summarize_times(again)}"))
    if connections["recycled"]:
        whose = "one whose lifetime was over" if connections["recycled"] == 1 else "those whose lifetime was over"
        lines.append(
            LabelledText("recycled", f"{count_of(connections['recycled'], 'session')} took the place of {whose}")
        )
    return lines + _storm(recordings, summary["reconnect_storm"])


def _storm(recordings: Sequence[Recording], storm: dict[str, Any] | None) -> list[LabelledText]:
    asked = [plan for plan in (recording.header.plan.get("disconnect_storm") for recording in recordings) if plan]
    if storm is None:
        return [LabelledText("storm", "did not come, or met no session", "yellow")] if asked else []
    moments = {format_duration(plan["at_ns"]) for plan in asked if isinstance(plan, dict) and "at_ns" in plan}
    when = f" at {moments.pop()}" if len(moments) == 1 else ""
    words = f"disconnected {count_of(storm['disconnected'], 'session')}{when}; {_storm_recovery(storm)}; "
    lost = storm["unanswered"]
    words += f"{count_of(lost, 'message')} lost on them" if lost else "no message lost on them"
    return [LabelledText("storm", words, "yellow" if storm["not_back"] else "")]


def _storm_recovery(storm: dict[str, Any]) -> str:
    times, missing = storm["back_time_ns"], f"{format_count(storm['not_back'])} never came back"
    if times is None:
        return missing
    half, last = format_duration(times["p50"]), format_duration(times["max"])
    if storm["not_back"]:
        return f"{missing}, {format_count(storm['back'])} did, half of these after {half} and all after {last}"
    words = f"all back after {last}, half after {half}" if storm["disconnected"] > 1 else f"back after {last}"
    worst = storm["worst_connect_ns"]
    return words if worst is None else f"{words}, the slowest dial took {format_duration(worst)}"


def misbehaving(summary: dict[str, Any]) -> list[LabelledText]:
    """Returns what the unkind connections came to, beside the statement that it is nowhere else."""
    aside = summary["misbehaving"]
    if aside is None:
        return []
    connections, messages, times = aside["connections"], aside["messages"], aside["response_time_ns"]
    kinds = [
        f"{format_count(connections[kind])} {MISBEHAVIOR_NAMES[kind]}" for kind in MISBEHAVIORS if connections[kind]
    ]
    many = sum(connections[kind] for kind in MISBEHAVIORS) != 1
    who = f"{join_and(kinds)} client{'s' * many}" if kinds else "connections of unknown number"
    where = "their opening counts above like any other's, their messages and endings nowhere but here"
    lines = [LabelledText("misbehaving", f"{who}: {where}")]
    words = [f"{count_of(messages['sent'], 'message')} sent"]
    words += [
        f"{format_count(messages[word])} {word}"
        for word in ("answered", "unanswered", "dropped", "pushed")
        if messages[word]
    ]
    lines.append(LabelledText("", ", ".join(words) + ("" if times is None else f"; response {summarize_times(times)}")))
    return [*lines, LabelledText("", _dropped(aside))]


def _dropped(aside: dict[str, Any]) -> str:
    lost = aside["connections"]["lost"]
    if not lost:
        return "the target dropped none of them"
    how = [
        f"{format_count(count)} with {code} ({close_code_name(code)})" if code else f"{format_count(count)} {kind}"
        for kind, code, count in _endings(aside["faults"])
    ]
    return sanitize(f"the target dropped {format_count(lost)} of them: {', '.join(how)}")


def _endings(faults: dict[str, int]) -> list[tuple[str, str, int]]:
    """Returns faults that end sessions: in words, close code, count."""
    return [
        (fault_phrase(kind) or kind, kind.removeprefix("closed:") if kind.startswith("closed:") else "", count)
        for kind, count in faults.items()
        if kind.startswith(_ENDINGS)
    ]


def close_codes(summary: dict[str, Any]) -> list[LabelledText]:
    """Returns the close codes, and what the target said with them."""
    lines: list[LabelledText] = []
    closed: dict[str, int] = summary["connections"]["closed"]
    reasons: dict[str, int] = summary["connections"]["close_reasons"]
    if closed:
        codes = (f"{format_count(count)} with {code} ({close_code_name(code)})" for code, count in closed.items())
        lines.append(LabelledText("closed", sanitize(", ".join(codes))))
    if reasons:
        said = (f"{format_count(count)} said {_quoted(reason)}" for reason, count in reasons.items())
        included = "" if summary["misbehaving"] is None else "; unkind connections included"
        lines.append(LabelledText("reasons", ", ".join(said) + included))
    return lines


def _quoted(reason: str) -> str:
    code, _, words = sentence(reason).partition(" ")
    return f'{code} "{words}"'
