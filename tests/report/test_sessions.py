"""What a report says of matching, of opening, of sessions that come back, and of misbehaving clients."""

from collections import Counter

import msgspec
import pytest
from rich.text import Text

from ws_load_test.analysis.aggregate import Aggregate, ConnectInterval
from ws_load_test.analysis.summary import summarize
from ws_load_test.messages import Message
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    Recording,
    Trailer,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import Check, Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.plan.session_policy import DisconnectStorm, MisbehavingClients
from ws_load_test.plan.target import Target
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.terminal.layout import wrapped
from ws_load_test.report.terminal.run import report_lines
from ws_load_test.report.terminal.sparklines import MOST_OPENINGS, opened_over_time

SECOND = 10**9
MILLI = 10**6
MICRO = 10**3
RATE = OpenLoop(LoadProfile((Stage(10 * SECOND, 500, 500),)))


def plan(**parts):
    return Plan(Target("ws://echo.example", **parts.pop("target", {})), **({"duration_ns": SECOND} | parts))


def recording(*tallies, asked=None, phases=()):
    asked = (asked or plan()).redacted()
    header = Header(
        tool="t",
        started_at="2026-03-01T12:00:00Z",
        plan=msgspec.to_builtins(asked),
        target=asked.target.url,
        host={},
        workers=1,
    )
    phases = phases or ["measured"] * len(tallies)
    intervals = tuple(
        Interval.of(
            made,
            index=number,
            phase=phase,
            from_ns=number * SECOND,
            to_ns=(number + 1) * SECOND,
            measured_ns=SECOND if phase == "measured" else 0,
        )
        for number, (made, phase) in enumerate(zip(tallies, phases, strict=True))
    )
    return Recording(header, intervals, Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, summary={}))


def times(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def answered(count=300, **parts):
    numbers = {"opened": 7, "due": count, "sent": count, "answered": count, "answered_in_window": count} | parts
    made = Tally(**numbers)
    made.response_time_ns.record(5 * MILLI, count)
    return made


def lines(*recordings):
    made = [line.plain for line in report_lines(recordings, summarize(recordings))]
    assert max(map(len, made)) <= 80
    assert all(line == line.rstrip() for line in made)
    return made


def entry(text, label):
    """All that stands beside a label, on one line; "" where there is no such label; the table's, not the screen's."""
    found = [number for number, line in enumerate(text) if line.startswith(f"{label} ")]
    assert len(found) <= 1 + (label in {"connections", "rate", "generator"}), (label, found)
    if not found:
        return ""
    first, *rest = text[found[-1] :]
    parts = [first.removeprefix(label)]
    for line in rest:
        if not line.startswith(" " * 14) or line.strip() == "":
            break
        parts.append(line)
    return " ".join(" ".join(parts).split())


def counts(text):
    """The table of requests."""
    at = next(number for number, line in enumerate(text) if line.startswith("requests "))
    rows = {}
    for line in text[at + 1 :]:
        if not line.strip():
            break
        words = line[: text[at].index("connect time")].split()
        # A count, or a size with its unit.
        cut = -2 if words[-1] in {"B", "kB"} else -1
        rows[" ".join(words[:cut])] = " ".join(words[cut:])
    return rows


class TestPairing:
    def test_a_doubt_stands_right_under_the_heading(self):
        text = lines(recording(answered(pushed=1260, surplus_replies=1260)))
        assert text[0] == "Done, with replies that are perhaps not those of their messages"
        assert text[3].startswith("pairing       1,260 messages came too many (1,560 for the 300 sent)")
        assert entry(text, "pairing").endswith("--match echo, or say what a push is with --ignore CHECK")
        assert not entry(text, "warning")

    def test_not_a_word_of_it_is_cut(self):
        text = entry(lines(recording(answered(pushed=7, surplus_replies=7))), "pairing")
        assert len(text) > 300
        assert text.endswith("if these are greetings, --skip-first 1 is enough")

    def test_greetings_before_the_load_are_a_warning_below(self):
        text = lines(
            recording(Tally(opened=7, pushed=7, surplus_replies=7), answered(opened=0), phases=["opening", "measured"]),
        )
        assert text[0] == "Done"
        assert not entry(text, "pairing")
        assert entry(text, "warning").startswith("7 messages came before the load began")

    def test_nothing_answered_is_said_once_in_the_heading(self):
        silent = Tally(opened=7, due=9, sent=9, unanswered=9)
        text = lines(recording(silent, asked=plan(correlation=Correlation("echo"))))
        assert text[0] == "No message was answered"
        assert "is it an echo server?" in entry(text, "pairing")

    def test_a_pattern_cannot_steer_the_terminal(self):
        silent = Tally(opened=7, due=9, sent=9, unanswered=9, pushed=1)
        text = lines(recording(silent, asked=plan(correlation=Correlation("regex", "\x1b[2J"))))
        assert all(line.isprintable() for line in text)

    def test_no_doubt_no_line(self):
        assert not entry(lines(recording(answered())), "pairing")


class TestRequests:
    def test_what_is_seldom_has_a_row_where_there_was_any(self):
        made = answered(
            duplicate_replies=11, late_replies=12, unknown_id=13, out_of_order=14, greetings=15, first_replies=16
        )
        made.pushed, made.pushed_bytes = 17, 1234
        found = counts(lines(recording(made, asked=plan(correlation=Correlation("json", "id")))))
        assert list(found.items())[5:] == [
            ("pushed", "17"),
            ("pushed payload", "1.23 kB"),
            ("duplicate replies", "11"),
            ("late replies", "12"),
            ("unknown id", "13"),
            ("out of order", "14"),
            ("greetings", "15"),
            ("first replies", "16"),
        ]

    def test_and_none_else(self):
        assert list(counts(lines(recording(answered(pushed=4))))) == [
            "due",
            "sent",
            "answered",
            "unanswered",
            "dropped",
            "pushed",
        ]

    def test_failings_are_coloured_and_order_is_none(self):
        made = recording(answered(duplicate_replies=1, out_of_order=2, late_replies=3, unknown_id=4))
        styled = report_lines([made], summarize([made]))
        yellow = [part for line in styled for part in _yellow(line)]
        assert [part.split()[0] for part in yellow] == ["duplicate", "late", "unknown"]


def _yellow(line: Text):
    return [line.plain[span.start : span.end].strip() for span in line.spans if str(span.style) == "yellow"]


class TestNone:
    def made(self, **parts):
        silent = Tally(opened=7, due=300, sent=300, unanswered=300, pushed=50, pushed_bytes=100, **parts)
        return recording(silent, silent, silent, asked=plan(load=RATE, correlation=Correlation("none")))

    def test_it_passes_without_a_doubt(self):
        text = lines(self.made())
        assert text[0] == "Done"
        assert not entry(text, "unanswered")
        assert "  none: replies were not awaited, each message is a push" in text
        assert not any("fastest –" in line and "mean" in line for line in text)
        made = self.made()
        assert not [part for line in report_lines([made], summarize([made])) for part in _yellow(line)]

    def test_what_was_dropped_is_a_doubt_all_the_same(self):
        assert any(line.startswith("generator     keeps up: ") for line in lines(self.made()))
        assert lines(self.made(dropped=1))[0] == "Done, with 3 messages dropped"

    def test_lag_and_pushes_stand_in_the_place_of_times(self):
        text = lines(self.made(send_lag_ns=times(10 * MICRO, 90 * MICRO)))
        assert "  sent after being due: p50 10.0 µs, p99 90 µs, max 90 µs" in text
        assert "sent          ███  300/s" in text
        assert "pushed        ███  50/s" in text
        assert "lag p99       ███  90 µs" in text
        assert not any(line.startswith("throughput    █") for line in text)
        assert not any(line.startswith("lag p99") for line in lines(self.made()))

    def test_asked_says_so(self):
        text = lines(self.made())
        assert entry(text, "replies") == "not awaited"
        assert entry(text, "throughput") == "– –"


class TestOpening:
    def test_a_table_of_phases(self):
        made = answered(
            opened=3,
            tls_resumed=2,
            first_replies=1,
            resolve_time_ns=times(MILLI),
            tcp_time_ns=times(1 * MILLI, 2 * MILLI, 3 * MILLI),
            proxy_time_ns=times(4 * MILLI),
            tls_time_ns=times(5 * MILLI),
            upgrade_time_ns=times(6 * MILLI),
            first_reply_time_ns=times(7 * MILLI),
        )
        text = lines(recording(made))
        at = next(number for number, line in enumerate(text) if line.startswith("opening "))
        assert text[at : at + 7] == [
            "opening           count         p50         p99         max",
            "  resolve             1        1 ms        1 ms        1 ms",
            "  TCP                 3     2.00 ms        3 ms        3 ms",
            "  proxy               1        4 ms        4 ms        4 ms",
            "  TLS                 1        5 ms        5 ms        5 ms   2 resumed",
            "  upgrade             1        6 ms        6 ms        6 ms",
            "  first reply         1        7 ms        7 ms        7 ms",
        ]

    def test_none_where_there_is_nothing_beside_tcp_and_upgrade(self):
        made = answered(tcp_time_ns=times(1), upgrade_time_ns=times(1), connect_time_ns=times(2))
        assert not any(line.startswith("opening") for line in lines(recording(made)))
        # Recordings of versions that did not know the phases.
        assert not any(line.startswith("opening") for line in lines(recording(answered())))


def opening(second, opened=10, *, p50=MILLI, p99=2 * MILLI, length_ns=SECOND):
    from_ns = round(second * SECOND)
    return ConnectInterval(from_ns, from_ns + length_ns, opened, p50, p99)


def chart(*openings, encoding="utf-8"):
    return [line.plain for line in opened_over_time(Aggregate(Tally(), ((),), (tuple(openings),)), encoding)]


class TestOpenedOverTime:
    def test_each_second_is_a_column(self):
        assert chart(opening(0, 20, p99=8 * MILLI), opening(1, 40), opening(2, 80, p50=2 * MILLI)) == [
            "sessions      opened over time, and their connect times; one column is 1 s",
            "opened        ▂▄█  20 to 80",
            "p50           ▄▄█  1 ms to 2 ms",
            "p99           █▂▂  2 ms to 8 ms",
        ]

    def test_seconds_in_which_nothing_opened_are_gaps(self):
        assert chart(opening(5), opening(9))[1] == "opened        █   █  0 to 10"

    def test_an_interval_that_a_phase_cut_short_is_no_column_of_its_own(self):
        text = chart(opening(0), opening(1, length_ns=SECOND // 2), opening(1.5), opening(2.5, length_ns=SECOND // 2))
        assert text[1] == "opened        ▄▄█  10 to 20"

    def test_none_where_all_opened_together(self):
        assert not chart()
        assert not chart(opening(0))
        assert not chart(opening(0), opening(1, length_ns=SECOND // 4))
        both = ((opening(0), opening(1)), (opening(0), opening(1)))
        assert not opened_over_time(Aggregate(Tally(), ((), ()), both), "utf-8")
        assert not opened_over_time(Aggregate(Tally(), ((),)), "utf-8")

    @pytest.mark.parametrize("seconds", [2, 39, 41, 3600])
    def test_a_long_churn_fits(self, seconds):
        text = chart(*(opening(k, 1 + k % 7, p50=k, p99=10**9 + k) for k in range(seconds)))
        assert max(map(len, text)) <= 80
        assert len(text[1].split()[1]) == min(seconds, MOST_OPENINGS)

    def test_sums_are_kept_where_columns_are_merged(self):
        text = chart(*(opening(k, 100) for k in range(4000)))
        assert text[1].endswith("  10,000")

    def test_ascii(self):
        assert all(line.isascii() for line in chart(opening(0), opening(1), encoding="ascii"))

    def test_a_report_has_it_where_sessions_came_later(self):
        late = recording(answered(connect_time_ns=times(MILLI)), answered(opened=3, connect_time_ns=times(MILLI)))
        assert entry(lines(late), "sessions").startswith("opened over time")
        assert not entry(lines(recording(answered(), answered(opened=0))), "sessions")


class TestComings:
    def test_sessions_that_came_back_and_their_times(self):
        made = answered(opened=20, reconnected=9, recycled=4, reconnect_time_ns=times(MILLI, 3 * MILLI))
        text = lines(recording(made))
        assert entry(text, "reconnected") == (
            "9 sessions came back after being lost or cut off: p50 1.00 ms, p99 3 ms, max 3 ms"
        )
        assert entry(text, "recycled") == "4 sessions took the place of those whose lifetime was over"
        assert "20 opened (13 again), 0 failed, 0 lost" in entry(text, "connections")
        assert not entry(lines(recording(answered())), "reconnected")
        one = lines(recording(answered(reconnected=1, recycled=1)))
        assert entry(one, "reconnected") == "1 session came back after being lost or cut off"
        assert entry(one, "recycled") == "1 session took the place of one whose lifetime was over"

    def storm(self, *back, dropped=30, unanswered=12, asked=True, dial=None):
        made = answered(storm_disconnected=dropped, storm_unanswered=unanswered, storm_recovery_time_ns=times(*back))
        if dial is not None:
            made.connect_time_ns.record(dial)
        stormy = plan(disconnect_storm=DisconnectStorm(0.3, 10 * SECOND)) if asked else plan()
        return entry(lines(recording(made, asked=stormy)), "storm")

    def test_all_back(self):
        back = [310 * MILLI] * 15 + [1200 * MILLI] * 15
        assert self.storm(*back, dial=9 * MILLI) == (
            "disconnected 30 sessions at 10 s; all back after 1.20 s, half after 310 ms, the slowest dial took 9 ms;"
            " 12 messages lost on them"
        )

    def test_some_back(self):
        assert self.storm(*[310 * MILLI] * 27, unanswered=1) == (
            "disconnected 30 sessions at 10 s; 3 never came back, 27 did, half of these after 310 ms and all"
            " after 310 ms;"
            " 1 message lost on them"
        )

    def test_none_reconnected(self):
        assert self.storm(dropped=1, unanswered=0, asked=False) == (
            "disconnected 1 session; 1 never came back; no message lost on them"
        )

    def test_one_back(self):
        assert self.storm(MILLI, dropped=1).startswith("disconnected 1 session at 10 s; back after 1 ms; ")

    def test_a_storm_that_did_not_come(self):
        assert self.storm(dropped=0) == "did not come, or met no session"
        assert self.storm(dropped=0, asked=False) == ""


class TestUnkind:
    asked = plan(
        connections=100,
        load=RATE,
        misbehaving=MisbehavingClients(slow_reader=0.05, slow_reader_bytes_per_s=1000.0, stalled_reader=0.01),
    )

    def report(self, aside, **parts):
        return lines(
            recording(answered(sent=400, due=400, unanswered=100, misbehaving=aside, **parts), asked=self.asked)
        )

    def test_they_have_a_section_of_their_own(self):
        aside = Tally(due=130, sent=120, answered=90, unanswered=30, dropped=10, response_time_ns=times(2 * SECOND))
        text = self.report(aside)
        assert entry(text, "misbehaving") == (
            "5 slow-reader and 1 stalled-reader clients: their opening counts above like any other's, their"
            " messages and endings"
            " nowhere but here 120 messages sent, 90 answered, 30 unanswered, 10 dropped; response p50 2 s, p99 2 s,"
            " max 2 s the target dropped none of them"
        )
        assert not entry(lines(recording(answered())), "misbehaving")

    def test_what_the_target_did_to_them(self):
        aside = Tally(
            lost=6, faults=Counter({"closed:1008": 3, "reset": 2, "check-failed": 50, "protocol-error:5.2": 1})
        )
        assert entry(self.report(aside), "misbehaving").endswith(
            "the target dropped 6 of them: 3 with 1008 (policy violation), 2 reset a connection, 1 broke the WebSocket"
            " protocol"
        )

    def test_what_was_asked_and_achieved(self):
        text = self.report(Tally(due=100, sent=100))
        assert entry(text, "connections").startswith("100, of which 5")
        # Of the schedule they were a part, of the throughput they are none.
        assert entry(text, "rate") == "500/s 500/s sent, 100/s by misbehaving ones"
        assert entry(text, "throughput").endswith("300/s")

    def test_reasons_are_everybodys(self):
        text = self.report(Tally(), close_reasons=Counter({"1011 overloaded": 2}))
        assert entry(text, "reasons") == '2 said 1011 "overloaded"; misbehaving clients included'


class TestOpeningNotes:
    def test_they_name_what_did_not_go_along_and_what_was_passed_over(self):
        made = answered(
            left_out_by_redirects=Counter({"Cookie": 3, "X-\x1bA": 2}),
            failed_addresses=Counter({"[::1]:80 connect-refused": 4}),
        )
        text = lines(recording(made))
        assert entry(text, "redirects") == (
            "led 3 dials to another origin, and Cookie and X-?A did not go along: they belong to the first alone"
        )
        assert entry(text, "addresses") == "took no TCP connection: [::1]:80 connect-refused (4)"
        assert "redirects" not in str(lines(recording(answered())))


class TestAsked:
    def test_the_rule_and_the_proxy(self):
        matching = Correlation("json", "id", expect=(Check("json", "ok", "true"),), ignore=(Check("contains", "tick"),))
        asked = plan(
            correlation=msgspec.structs.replace(matching, greetings=2),
            target={"proxy": "http://me:secret@proxy.example:8080"},
            message=Message(size_bytes=13, fields=("seq",)),
        )
        text = lines(recording(answered(), asked=asked))
        assert entry(text, "replies") == (
            "by json:id, skipping 2 greetings, must satisfy json:ok=true, ignored contains:tick"
        )
        assert "@proxy.example:8080" in entry(text, "proxy")
        assert "me:secret" not in "".join(text)
        assert entry(text, "message").startswith("text, about 13 B, with the field ")

    def test_a_plain_plan_has_neither(self):
        text = lines(recording(answered()))
        assert not entry(text, "replies")
        assert not entry(text, "proxy")
        assert entry(lines(recording(answered(), asked=plan(correlation=Correlation("echo")))), "replies") == "by echo"

    def test_a_plan_of_the_previous_version_is_reported_in_full(self):
        known = recording(answered())
        target = {"url": "ws://a", "headers": [], "subprotocols": [], "insecure": False, "cacert": None}
        load = {"kind": "open", "rate": {"stages": [{"duration_ns": SECOND, "start": 100.0, "end": 100.0}]}}
        old = {
            "target": target,
            "connections": 5,
            "load": {**load, "arrivals": "constant", "seed": 0, "max_in_flight": None},
            "message": {"kind": "text", "size_bytes": 4, "payload": ""},
            "duration_ns": SECOND,
            "messages": None,
            "warmup_ns": 0,
            "timeout_ns": SECOND,
            "connect_timeout_ns": SECOND,
            "connect_rate_per_s": None,
            "connection_profile": None,
            "ping_interval_ns": None,
            "bind": [],
            "workers": 2,
        }
        header = msgspec.structs.replace(known.header, plan=old)
        text = lines(Recording(header, known.intervals, known.trailer))
        assert entry(text, "connections") == "5 7 opened, 0 failed, 0 lost"
        assert entry(text, "rate") == "100/s 300/s sent"
        assert entry(text, "message") == f"text, 4 B {NO_VALUE}"
        assert [label for label in ("replies", "proxy", "misbehaving", "storm") if entry(text, label)] == []

    def test_columns_stay_apart_where_nothing_is_known(self):
        known = recording(answered())
        header = msgspec.structs.replace(known.header, plan={"novelty": 1})
        text = lines(Recording(header, known.intervals, known.trailer))
        assert "              requested   achieved" in text


def test_a_number_and_its_unit_are_not_torn_apart():
    for length in range(30, 90):
        text = f"{'x' * length} 12 ms, 99 %, 3 kB 1.20 µs 5 B/s 4 sessions"
        made = [line.plain[14:] for line in wrapped("label", text)]
        assert " ".join(made) == text or length > 66
        assert not any(line.endswith(("12", "99", "3", "1.20", "5")) for line in made)
        assert "\xa0" not in "".join(made)


class TestWire:
    def test_reasons_stand_beside_their_codes(self):
        made = answered(
            closed=Counter({"1011": 5}), close_reasons=Counter({"1011 over\x1bloaded": 3, "1011 (other reasons)": 1})
        )
        text = lines(recording(made))
        assert entry(text, "closed") == "5 with 1011 (internal error)"
        assert entry(text, "reasons") == '3 said 1011 "over?loaded", 1 said 1011 "(other reasons)"'

    def test_what_compression_saved(self):
        made = answered(uncompressed_bytes_sent=1_200_000, bytes_sent=300_000)
        assert entry(lines(recording(made)), "compression") == "1.20 MB of payload sent as 300 kB"
        made.uncompressed_bytes_received, made.bytes_received = 5000, 2000
        assert entry(lines(recording(made)), "compression").endswith(", 5 kB of payload received as 2 kB")
        assert not entry(lines(recording(answered())), "compression")
