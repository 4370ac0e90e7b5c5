"""Sessions in words: phases of their opening, reconnects, close codes, and misbehaving clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import MISBEHAVIOR_NAMES, MISBEHAVIORS, join_and
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.fault_names import close_code_name, fault_phrase
from ws_load_test.report.content.labeled import LabeledText, count_of, sentence, summarize_times

if TYPE_CHECKING:
    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.analysis.summary_types import Misbehaving, Opening, ReconnectStorm, Summary
    from ws_load_test.report.results import Results

PHASES = {
    "resolve": "resolve_time_ns",
    "TCP": "tcp_time_ns",
    "proxy": "proxy_time_ns",
    "TLS": "tls_time_ns",
    "upgrade": "upgrade_time_ns",
    "first reply": "first_reply_time_ns",
}
"""Phases of opening a session: label and the name of the histogram, in a tally as in a summary."""
_ENDINGS = ("closed:", "reset", "protocol-error", "message-too-large")
"""Beginnings of the fault keys that end a session."""


def phase_times(opening: Opening) -> dict[str, TimeStats]:
    """Returns the times of the phases that sessions went through, by label."""
    times: dict[str, TimeStats | None] = {label: getattr(opening, name) for label, name in PHASES.items()}
    return {label: stats for label, stats in times.items() if stats is not None}


def opening_notes(results: Results) -> list[LabeledText]:
    """Returns lines about the way to open sessions: what redirects left behind, and addresses that were passed over."""
    opening = results.summary.opening
    lines: list[LabeledText] = []
    if opening.left_out_by_redirects:
        names = join_and([sanitize(name) for name in opening.left_out_by_redirects])
        dials = count_of(max(opening.left_out_by_redirects.values()), "dial")
        words = f"led {dials} to another origin, and {names} did not go along: they belong to the first alone"
        lines.append(LabeledText("redirects", words, "yellow"))
    if opening.failed_addresses:
        counts = [f"{sanitize(name)} ({format_count(count)})" for name, count in opening.failed_addresses.items()]
        lines.append(LabeledText("addresses", f"took no TCP connection: {', '.join(counts)}", "yellow"))
    return lines


def reconnects(results: Results) -> list[LabeledText]:
    """Returns lines about sessions that were opened in place of others."""
    connections, again = results.summary.connections, results.summary.reconnect_time_ns
    lines: list[LabeledText] = []
    if connections.reconnected:
        words = f"{count_of(connections.reconnected, 'session')} came back after being lost or cut off"
        lines.append(LabeledText("reconnected", words if again is None else f"{words}: {summarize_times(again)}"))
    if connections.recycled:
        replaced = "one whose lifetime was over" if connections.recycled == 1 else "those whose lifetime was over"
        lines.append(
            LabeledText("recycled", f"{count_of(connections.recycled, 'session')} took the place of {replaced}")
        )
    return lines + _reconnect_storm(results)


def _reconnect_storm(results: Results) -> list[LabeledText]:
    storm = results.summary.reconnect_storm
    requested = [plan.disconnect_storm for plan in results.plans.plans if plan.disconnect_storm is not None]
    if storm is None:
        return [LabeledText("storm", "did not come, or met no session", "yellow")] if requested else []
    moments = {format_duration(one.at_ns) for one in requested}
    when = f" at {moments.pop()}" if len(moments) == 1 else ""
    words = f"disconnected {count_of(storm.disconnected, 'session')}{when}; {_storm_recovery(storm)}; "
    words += f"{count_of(storm.unanswered, 'message')} lost on them" if storm.unanswered else "no message lost on them"
    return [LabeledText("storm", words, "yellow" if storm.not_back else "")]


def _storm_recovery(storm: ReconnectStorm) -> str:
    times, missing = storm.back_time_ns, f"{format_count(storm.not_back)} never came back"
    if times is None:
        return missing
    half, last = format_duration(times.p50), format_duration(times.max)
    if storm.not_back:
        return f"{missing}, {format_count(storm.back)} did, half of these after {half} and all after {last}"
    words = f"all back after {last}, half after {half}" if storm.disconnected > 1 else f"back after {last}"
    worst = storm.worst_connect_ns
    return words if worst is None else f"{words}, the slowest dial took {format_duration(worst)}"


def misbehaving(summary: Summary) -> list[LabeledText]:
    """Returns the results of misbehaving clients, and that no other number includes them."""
    apart = summary.misbehaving
    if apart is None:
        return []
    messages, times = apart.messages, apart.response_time_ns
    counts = [(apart.connections.of_kind(kind), MISBEHAVIOR_NAMES[kind]) for kind in MISBEHAVIORS]
    kinds = [f"{format_count(count)} {name}" for count, name in counts if count]
    many = sum(count for count, _ in counts) != 1
    who = f"{join_and(kinds)} client{'s' * many}" if kinds else "connections of unknown number"
    where = "their opening counts above like any other's, their messages and endings nowhere but here"
    lines = [LabeledText("misbehaving", f"{who}: {where}")]
    rare = (
        (messages.answered, "answered"),
        (messages.unanswered, "unanswered"),
        (messages.dropped, "dropped"),
        (messages.pushed, "pushed"),
    )
    words = [f"{count_of(messages.sent, 'message')} sent"]
    words += [f"{format_count(count)} {word}" for count, word in rare if count]
    lines.append(LabeledText("", ", ".join(words) + ("" if times is None else f"; response {summarize_times(times)}")))
    return [*lines, LabeledText("", _ended_by_target(apart))]


def _ended_by_target(apart: Misbehaving) -> str:
    lost = apart.connections.lost
    if not lost:
        return "the target dropped none of them"
    how = [
        f"{format_count(count)} with {code} ({close_code_name(code)})" if code else f"{format_count(count)} {kind}"
        for kind, code, count in _endings(apart.faults)
    ]
    return sanitize(f"the target dropped {format_count(lost)} of them: {', '.join(how)}")


def _endings(faults: dict[str, int]) -> list[tuple[str, str, int]]:
    """Returns the faults that end sessions: phrase, close code or "", count."""
    return [
        (fault_phrase(kind) or kind, kind.removeprefix("closed:") if kind.startswith("closed:") else "", count)
        for kind, count in faults.items()
        if kind.startswith(_ENDINGS)
    ]


def close_codes(summary: Summary) -> list[LabeledText]:
    """Returns the close codes, and the reason texts that the target sent with them."""
    lines: list[LabeledText] = []
    closed, reasons = summary.connections.closed, summary.connections.close_reasons
    if closed:
        codes = (f"{format_count(count)} with {code} ({close_code_name(code)})" for code, count in closed.items())
        lines.append(LabeledText("closed", sanitize(", ".join(codes))))
    if reasons:
        quoted = (f"{format_count(count)} said {_quoted(reason)}" for reason, count in reasons.items())
        included = "" if summary.misbehaving is None else "; misbehaving clients included"
        lines.append(LabeledText("reasons", ", ".join(quoted) + included))
    return lines


def _quoted(reason: str) -> str:
    code, _, words = sentence(reason).partition(" ")
    return f'{code} "{words}"'
