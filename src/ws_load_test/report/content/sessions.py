"""Sessions: the phases of their opening, their coming back, and those that are kept apart because they behave badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.findings import MANNERS, both
from ws_load_test.common.sanitize import clean
from ws_load_test.common.units import show_count, show_duration
from ws_load_test.report.content.fault_names import close_code_name, fault_phrase
from ws_load_test.report.content.labelled import Labelled, count_of, sentence, spread_of

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


def comings(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Labelled]:
    """Returns what became of sessions that ended before the run did, and of a storm."""
    connections, again = summary["connections"], summary["reopen_time_ns"]
    lines: list[Labelled] = []
    if connections["reopened"]:
        words = f"{count_of(connections['reopened'], 'session')} came back after being lost or cut off"
        lines.append(Labelled("reopened", words if again is None else f"{words}: {spread_of(again)}"))
    if connections["renewed"]:
        whose = "one whose lifetime was over" if connections["renewed"] == 1 else "those whose lifetime was over"
        lines.append(Labelled("renewed", f"{count_of(connections['renewed'], 'session')} took the place of {whose}"))
    return lines + _storm(recordings, summary["storm"])


def _storm(recordings: Sequence[Recording], storm: dict[str, Any] | None) -> list[Labelled]:
    asked = [plan for plan in (recording.header.plan.get("storm") for recording in recordings) if plan]
    if storm is None:
        return [Labelled("storm", "did not come, or met no session", "yellow")] if asked else []
    moments = {show_duration(plan["at_ns"]) for plan in asked if isinstance(plan, dict) and "at_ns" in plan}
    when = f" at {moments.pop()}" if len(moments) == 1 else ""
    words = f"dropped {count_of(storm['dropped'], 'session')}{when}; {_return(storm)}; "
    lost = storm["unanswered"]
    words += f"{count_of(lost, 'message')} lost on them" if lost else "no message lost on them"
    return [Labelled("storm", words, "yellow" if storm["not_back"] else "")]


def _return(storm: dict[str, Any]) -> str:
    times, missing = storm["back_time_ns"], f"{show_count(storm['not_back'])} never came back"
    if times is None:
        return missing
    half, last = show_duration(times["p50"]), show_duration(times["max"])
    if storm["not_back"]:
        return f"{missing}, {show_count(storm['back'])} did, half of these after {half} and all after {last}"
    words = f"all back after {last}, half after {half}" if storm["dropped"] > 1 else f"back after {last}"
    worst = storm["worst_connect_ns"]
    return words if worst is None else f"{words}, the slowest dial took {show_duration(worst)}"


def unkind(summary: dict[str, Any]) -> list[Labelled]:
    """Returns what the unkind connections came to, beside the statement that it is nowhere else."""
    aside = summary["unkind"]
    if aside is None:
        return []
    connections, messages, times = aside["connections"], aside["messages"], aside["response_time_ns"]
    kinds = [f"{show_count(connections[kind])} {kind}" for kind in MANNERS if connections[kind]]
    many = sum(connections[kind] for kind in MANNERS) != 1
    who = f"{both(kinds)} connection{'s' * many}" if kinds else "connections of unknown number"
    where = "their opening counts above like any other's, their messages and endings nowhere but here"
    lines = [Labelled("unkind", f"{who}: {where}")]
    words = [f"{count_of(messages['sent'], 'message')} sent"]
    words += [
        f"{show_count(messages[word])} {word}"
        for word in ("answered", "unanswered", "dropped", "pushed")
        if messages[word]
    ]
    lines.append(Labelled("", ", ".join(words) + ("" if times is None else f"; response {spread_of(times)}")))
    return [*lines, Labelled("", _dropped(aside))]


def _dropped(aside: dict[str, Any]) -> str:
    lost = aside["connections"]["lost"]
    if not lost:
        return "the target dropped none of them"
    how = [
        f"{show_count(count)} with {code} ({close_code_name(code)})" if code else f"{show_count(count)} {kind}"
        for kind, code, count in _endings(aside["faults"])
    ]
    return clean(f"the target dropped {show_count(lost)} of them: {', '.join(how)}")


def _endings(faults: dict[str, int]) -> list[tuple[str, str, int]]:
    """Returns faults that end sessions: in words, close code, count."""
    return [
        (fault_phrase(kind) or kind, kind.removeprefix("closed:") if kind.startswith("closed:") else "", count)
        for kind, count in faults.items()
        if kind.startswith(_ENDINGS)
    ]


def endings(summary: dict[str, Any]) -> list[Labelled]:
    """Returns the close codes, and what the target said with them."""
    lines: list[Labelled] = []
    closed: dict[str, int] = summary["connections"]["closed"]
    reasons: dict[str, int] = summary["connections"]["reasons"]
    if closed:
        codes = (f"{show_count(count)} with {code} ({close_code_name(code)})" for code, count in closed.items())
        lines.append(Labelled("closed", clean(", ".join(codes))))
    if reasons:
        said = (f"{show_count(count)} said {_quoted(reason)}" for reason, count in reasons.items())
        included = "" if summary["unkind"] is None else "; unkind connections included"
        lines.append(Labelled("reasons", ", ".join(said) + included))
    return lines


def _quoted(reason: str) -> str:
    code, _, words = sentence(reason).partition(" ")
    return f'{code} "{words}"'
