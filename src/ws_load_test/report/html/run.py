"""``--html``: the page of a run, or of several recordings taken together."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ws_load_test.common.units import format_count, format_duration
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.plan.describe import describe_plan
from ws_load_test.report.content import nodes, traces, waves
from ws_load_test.report.content.commands import command_lines
from ws_load_test.report.content.fault_names import close_code_name
from ws_load_test.report.content.generator import generator
from ws_load_test.report.content.hosts import HEADINGS, cells, host_notes
from ws_load_test.report.content.labeled import LabeledText, sentence
from ws_load_test.report.content.outcome import (
    balance,
    faults,
    headline,
    lost_workers,
    requests,
    traffic,
    unanswered,
)
from ws_load_test.report.content.repeat import repeat_note
from ws_load_test.report.content.requested import requested_rows
from ws_load_test.report.content.sessions import PHASES, misbehaving, opening_notes, reconnects
from ws_load_test.report.content.streams import NUMBER_HEADINGS, stream_notes, stream_numbers
from ws_load_test.report.html import fan_out, scenario, session_timelines, time_charts
from ws_load_test.report.html.document import (
    Chart,
    Command,
    Head,
    KeyValueRows,
    Part,
    Section,
    Severity,
    Table,
    Text,
    document,
)
from ws_load_test.report.html.figures import percentile_curves, percentile_table
from ws_load_test.report.html.marks import with_events
from ws_load_test.report.html.overview import overview
from ws_load_test.report.html.timeline import (
    FEWEST,
    Timeline,
    course,
    histogram_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.report.results import Results

_TONES: dict[str, Severity] = {"green": "good", "yellow": "doubt", "red": "bad"}
_MOST_RECORDINGS = 8
"""Curves of recordings side by side: as many as there are line colors."""
_MOST_REASONS = 20
"""Rows of close reasons: a target can give each session one of its own."""
_MOST_WAVES = 100
"""Rows of disconnect waves: a target that restarts every minute has more in a day."""
_SURE = "Thin with hollow marks is the part on fewer than ten values, where chance decides."


def lines(results: Results) -> Iterator[str]:
    """Yields the page.

    Raises:
        OutputError: The library that draws the charts is not installed.
    """
    head, sections = page(results)
    return document(f"{head.verdict}: {results.summary.name or results.summary.target}", head, sections)


def page(results: Results) -> tuple[Head, list[Section]]:
    """Returns the head and the sections of the page."""
    made = _Page(results)
    return made.head(), made.sections()


class _Page:
    """Parts of one page, all made from the same results."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.recordings, self.summary = results.recordings, results.summary
        self.awaited = results.awaits_replies
        # Several recordings have no common course over time: their seconds can be the same, or hours apart.
        self.course: Timeline | None = None
        if len(self.recordings) == 1:
            only = self.recordings[0]
            self.course = with_events(course(only), only, results.plans.only, self.summary.waves)
        self.checks = results.summary.verdict.checks
        self.health = generator(results)

    def sections(self) -> list[Section]:
        return [
            *scenario.section(self.results, self.course),
            *session_timelines.section(self.results.aggregate.tally.roles),
            *fan_out.section(self.results, self.course),
            Section(self._title_of_times(), self._times()),
            *self._streams(),
            Section("Messages", [*self._rate(), *self._messages()]),
            Section("Requested and achieved", self._requested()),
            Section("Connections", self._connections()),
            Section("Faults and endings", self._faults()),
            Section("Opening and keeping sessions", self._sessions()),
            Section("Generator", self._generator()),
            Section("Plan", self._plan()),
            Section("Host", self._host()),
        ]

    def _title_of_times(self) -> str:
        if not self.awaited:
            return "Send lag"
        return "Response time" if self.summary.fanout is None else "Acknowledgement time"

    def head(self) -> Head:
        words, style = headline(self.results)
        summary = self.summary
        started = datetime.fromisoformat(summary.started_at)
        measured = format_duration(summary.duration_s * 1e9)
        facts = [summary.tool, f"started {started:%Y-%m-%d %H:%M:%S %Z}", f"{measured} measured"]
        if len(self.recordings) > 1:
            facts.append(f"{len(self.recordings)} recordings together")
        line = summary.command
        parts: list[Part] = [Command(line, repeat_note(self.results))] if line else []
        parts += overview(self.results)
        parts += _paragraphs(lost_workers(self.recordings))
        parts += [Text(f"pairing: {sentence(one.text)}", "bad") for one in self.results.pairing_findings]
        parts += _paragraphs(self.health[1:])
        parts += self._over_time()
        if summary.name:
            facts.insert(0, summary.name)
        return Head(words, _TONES[style], [summary.target, ", ".join(facts)], parts)

    def _requested(self) -> list[Part]:
        table = Table(["", "requested", "achieved"], requested_rows(self.results))
        return [table, *(Text(f"{note[:1].upper()}{note[1:]}.", "doubt") for note in self.results.plans.notes)]

    # --- Messages and times ---------------------------------------------------------------------------------

    def _messages(self) -> list[Part]:
        rows = [(one.label, one.text) for one in requests(self.results)]
        parts: list[Part] = [Table(["messages", "count"], rows), Text(balance(self.results))]
        wire = _without(("closed", "reasons", "keep-alive"), traffic(self.results))
        return parts + _facts([*unanswered(self.results), *wire])

    def _times(self) -> list[Part]:
        tally = self.results.aggregate.tally
        response, service = tally.response_time_ns, tally.service_time_ns
        if not self.awaited:
            words = "Replies were not awaited, so there are no response times: each message that came is a push."
            if self.summary.fanout is not None:
                words = "Acknowledgements were not awaited, so there are no response times of the publishers."
            lag = {"send lag": tally.send_lag_ns} if tally.send_lag_ns.count else {}
            how = f"How late messages left, by percentile. {_SURE}"
            return [Text(words), *_curves("send-lag-percentiles", "Send lag by percentile", how, lag, "send lag")]
        if not response.count:
            return [Text("No message was answered, so there are no response times.", "doubt")]
        apart = service.count and service != response
        shown = {"response time": response} | ({"service time": service} if apart else {})
        words = "Response time is from when a message was due, service time from when it was sent. " if apart else ""
        how = (
            f"How long what part of the replies took at most: each step to the right is ten times rarer. {words}{_SURE}"
        )
        parts: list[Part] = [*_curves("percentiles", "Response time by percentile", how, shown, "time")]
        parts += self._each_recording()
        if self.course is not None:
            parts += time_charts.heat_map(self.course) or [Text(_too_short())]
        return parts

    def _streams(self) -> list[Section]:
        """Returns the section of answers of many messages; none where an answer is one."""
        if (streams := self.summary.streams) is None:
            return []
        parts: list[Part] = []
        if self.course is not None:
            for name, title, what in (
                ("first_time_ns", "Time to the first message of an answer over the run", "time to the first"),
                ("gap_ns", "Gaps between messages of an answer over the run", "gap"),
            ):
                key = f"{name.removesuffix('_ns').replace('_', '-')}-over-time"
                parts += time_charts.percentiles(self.course, name, key, title, what, self.checks)
        tally = self.results.aggregate.tally
        times = {"first": tally.first_time_ns, "gap": tally.gap_ns, "response": tally.response_time_ns}
        how = f"From when a message was due to the first and to the last of its answer, and the gaps in it. {_SURE}"
        parts += _curves("streams", "First, gap and response by percentile", how, times, "time")
        if rows := stream_numbers(streams):
            parts.append(Table(list(NUMBER_HEADINGS), rows, "What each answer came to"))
        return [Section("Streams", [*parts, *_facts(stream_notes(self.summary))])]

    def _over_time(self) -> list[Part]:
        """Returns the chart of response times over the run, which the first screen shows."""
        if self.course is not None and self.summary.fanout is not None:
            return [*fan_out.over_time(self.course, self.checks)]
        if self.course is not None and (steps := scenario.over_time(self.results, self.course)):
            return [*steps]
        if self.course is None or not self.awaited:
            return []
        return [
            *time_charts.percentiles(
                self.course,
                "response_time_ns",
                "response-over-time",
                "Response time over the run",
                "response time",
                self.checks,
            )
        ]

    def _each_recording(self) -> list[Part]:
        if len(self.recordings) == 1:
            return []
        note = Text("Charts over time are of one recording: for them, make a page of each.")
        if len(self.recordings) > _MOST_RECORDINGS:
            return [note]
        each = {
            f"{number}: {recording.header.started_at}": histogram_of(recording, "response_time_ns")
            for number, recording in enumerate(self.recordings, 1)
        }
        how = f"The same for each recording by itself, by when it started. {_SURE}"
        return [*_curves("recordings", "Response time of each recording", how, each, "response time"), note]

    def _rate(self) -> list[Part]:
        if self.course is None:
            return []
        return [*time_charts.rates(self.course, self.results.plans.only, awaited=self.awaited, checks=self.checks)]

    # --- Connections and faults -----------------------------------------------------------------------------

    def _connections(self) -> list[Part]:
        counts = self.summary.connections
        always = [("attempted", counts.attempted), ("opened", counts.opened), ("failed", counts.failed)]
        always.append(("lost", counts.lost))
        rare = [("cancelled", counts.cancelled), ("reconnected", counts.reconnected)]
        rare += [("recycled", counts.recycled), ("tls resumed", counts.tls_resumed)]
        rows = [(label, format_count(count)) for label, count in always]
        rows += [(label, format_count(count)) for label, count in rare if count]
        table = Table(["connections", "count"], rows)
        if self.course is None:
            return [table, *self._waves(), *self._nodes()]
        return [*time_charts.connections(self.course, self.results.plans.only), table, *self._waves(), *self._nodes()]

    def _nodes(self) -> list[Part]:
        found = self.summary.nodes
        if found is None:
            return []
        return [Table(nodes.HEADINGS, nodes.rows(found), nodes.skew_words(found))]

    def _waves(self) -> list[Part]:
        found = self.summary.waves[:_MOST_WAVES]
        if not found:
            return []
        more = len(self.summary.waves) - len(found)
        rest = f"; {format_count(more)} more are left out" if more else ""
        rows = [[*waves.cells(wave), waves.codes_of(wave), ", ".join(waves.costs(wave)) or "none"] for wave in found]
        return [
            Table([*waves.HEADINGS, "codes", "cost"], rows, f"Disconnect waves: sessions that the target ended{rest}")
        ]

    def _faults(self) -> list[Part]:
        parts: list[Part] = [] if self.course is None else [*time_charts.faults(self.course)]
        if found := faults(self.results):
            rows = [[kind, format_count(count), example] for kind, count, example in found]
            parts.append(Table(["fault", "count", "the first of them"], rows, "What the target did wrong"))
        else:
            parts.append(Text("The target did nothing wrong."))
        closed = self.summary.connections.closed
        if closed:
            rows = [[code, close_code_name(code), format_count(count)] for code, count in closed.items()]
            parts.append(Table(["close code", "meaning", "sessions"], rows, "How sessions ended"))
        if self.summary.traces is not None and (found_traces := list(traces.rows(self.summary.traces))):
            words = "Traces of the slowest exchanges and of each kind of fault (W3C Trace Context)"
            parts.append(Table(traces.HEADINGS, found_traces, words))
        reasons = self.summary.connections.close_reasons
        if reasons:
            rows = [[sentence(reason), format_count(count)] for reason, count in list(reasons.items())[:_MOST_REASONS]]
            more = len(reasons) - len(rows)
            rest = f"; {format_count(more)} more are left out" if more else ""
            parts.append(
                Table(["close code and reason", "sessions"], rows, f"Reasons that the target sent with it{rest}")
            )
        return parts

    def _sessions(self) -> list[Part]:
        tally = self.results.aggregate.tally
        opening = {"connect": tally.connect_time_ns}
        opening |= {label: getattr(tally, name) for label, name in PHASES.items()}
        how = f"Connect is from the start of a dial to the end of its upgrade; the others are its phases. {_SURE}"
        parts: list[Part] = [*_curves("opening", "Time to open a session, by percentile", how, opening, "time")]
        if not tally.connect_time_ns.count:
            parts.append(Text("No session opened, so there are no times of opening."))
        later = {
            "reopened after": tally.reconnect_time_ns,
            "back from the storm after": tally.storm_recovery_time_ns,
            "keep-alive pong after": tally.keepalive_time_ns,
        }
        later = {label: times for label, times in later.items() if times.count}
        if later:
            parts.append(percentile_table(later))
        parts += _facts(command_lines(self.recordings))
        return parts + _facts([*opening_notes(self.results), *reconnects(self.results), *misbehaving(self.summary)])

    # --- Generator, plan and host ---------------------------------------------------------------------------

    def _generator(self) -> list[Part]:
        parts: list[Part] = [Text(one.text) for one in self.health[:1]]
        if self.course is None:
            return parts
        parts += time_charts.processor(self.course)
        for name, key, title in (
            ("send_lag_ns", "send-lag", "Send lag over time: how late messages left"),
            ("loop_lag_ns", "loop-lag", "Loop lag over time: how late the workers turned to what was there"),
        ):
            parts += time_charts.percentiles(self.course, name, key, title, title.partition(" over")[0].lower())
        return parts

    def _plan(self) -> list[Part]:
        if not self.results.plans.plans:
            return [Text("The plan is that of another version of the tool, which this one cannot read.", "doubt")]
        distinct: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for number, plan in enumerate(self.results.plans.plans, 1):
            distinct.setdefault(tuple(describe_plan(plan)), []).append(number)
        parts: list[Part] = []
        for rows, numbers in distinct.items():
            if len(distinct) > 1:
                parts.append(Text(f"Of recording {', '.join(map(str, numbers))}:"))
            parts.append(KeyValueRows(rows))
        return parts

    def _host(self) -> list[Part]:
        rows = []
        for number, recording in enumerate(self.recordings, 1):
            header = recording.header
            facts = ", ".join(f"{label} {value}" for label, value in header.host.items())
            label = f"recording {number}" if len(self.recordings) > 1 else "generator"
            rows.append([label, header.started_at, format_count(header.workers), facts])
        parts: list[Part] = [Table(["", "started", "workers", "host"], rows)]
        if self.summary.hosts:
            parts.append(
                Table(HEADINGS, [cells(host) for host in self.summary.hosts], "; ".join(host_notes(self.summary)))
            )
        return parts


def _too_short() -> str:
    return f"There are no charts over time: fewer than {FEWEST} intervals were measured."


def _curves(key: str, title: str, how: str, histograms: dict[str, Histogram], what: str) -> list[Part]:
    filled = {name: one for name, one in histograms.items() if one.count}
    return [Chart(key, title, how, percentile_curves(filled, what), percentile_table(filled))] if filled else []


def _paragraphs(texts: Sequence[LabeledText]) -> list[Part]:
    return [
        Text(f"{one.label}: {one.text}" if one.label else one.text, _TONES.get(one.style, "plain")) for one in texts
    ]


def _facts(texts: Sequence[LabeledText]) -> list[Part]:
    return [KeyValueRows([(one.label, one.text) for one in texts])] if texts else []


def _without(labels: Sequence[str], texts: Sequence[LabeledText]) -> list[LabeledText]:
    return [one for one in texts if one.label not in labels]
