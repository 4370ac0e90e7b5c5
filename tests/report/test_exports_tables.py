"""Rows, test cases and a page for people: what stands in them, and that a target's words cannot break them."""

import csv
import io
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from factories.results import (
    MILLI,
    NASTY,
    SECOND,
    answers,
    histogram,
    interval,
    recording,
    results,
    several,
    text_of,
    usual,
)
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.recording import LostWorker
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.exports.csv_intervals import COLUMNS
from ws_load_test.report.exports.markdown import code, prose

DOCS = Path(__file__).parents[2] / "docs" / "exports.md"


def check(text="p99 > 50ms", *, passed=False, value=61 * MILLI, **parts):
    facts = {"option": "fail-if", "metric": "p99", "operator": ">", "limit": 50 * MILLI, "unit": "ns"} | parts
    return ThresholdCheck(check=text, value=value, passed=passed, **facts)


def nasty():
    """A run in which everything that a target can say is nasty."""
    bad = answers(MILLI, faults=Counter({f"closed:{NASTY}": 2, "reset": 1}), close_reasons=Counter({NASTY: 1}))
    bad.opened, bad.attempted, bad.closed = 2, 2, Counter({f"1011{NASTY}": 2})
    return recording(interval(bad, fault_examples={"reset": NASTY, f"closed:{NASTY}": NASTY}), target=f"ws://h/{NASTY}")


# --- Rows ---


def read_rows(*recordings):
    text = text_of("csv", results(*recordings))
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


class TestRows:
    def test_names_and_their_order_are_an_interface(self):
        assert list(COLUMNS) == [
            "recording",
            "start_s",
            "length_s",
            "start_unix_s",
            "due",
            "sent",
            "answered",
            "unanswered",
            "dropped",
            "pushed",
            "faults",
            "connections_open",
            "connections_opened",
            "connections_failed",
            "connections_lost",
            "sent_bytes",
            "received_bytes",
            "response_p50_ns",
            "response_p90_ns",
            "response_p99_ns",
            "response_p999_ns",
            "response_max_ns",
            "service_p50_ns",
            "service_p99_ns",
            "service_max_ns",
            "send_lag_p99_ns",
            "send_lag_max_ns",
            "connect_p50_ns",
            "connect_p99_ns",
            "connect_max_ns",
            "cpu_share",
            "streamed",
            "broken_off",
            "stalls",
            "came_together",
            "gap_p50_ns",
            "gap_p99_ns",
            "gap_max_ns",
            "deliveries_expected",
            "deliveries",
            "deliveries_missing",
            "deliveries_cut_off",
            "delivery_p50_ns",
            "delivery_p90_ns",
            "delivery_p99_ns",
            "delivery_p999_ns",
            "delivery_max_ns",
            "first_p50_ns",
            "first_p99_ns",
            "first_max_ns",
            "last_p50_ns",
            "last_p99_ns",
            "last_max_ns",
        ]

    def test_every_column_is_documented_and_the_other_way_round(self):
        section = DOCS.read_text().partition("## Rows")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(COLUMNS)

    def test_lines_end_as_rfc_4180_has_it(self):
        text = text_of("csv", results(usual()))
        assert text.count("\r\n") == text.count("\n") == 3
        assert text.endswith("\r\n")

    def test_a_row_tells_its_interval(self):
        first, second = read_rows(usual())
        tally = usual().intervals[1].tally
        assert first == {
            "recording": "1",
            "start_s": "0.000000",
            "length_s": "1.000000",
            "start_unix_s": "1772366408.250000",
            "due": "1000",
            "sent": "1000",
            "answered": "1000",
            "unanswered": "0",
            "dropped": "0",
            "pushed": "0",
            "faults": "0",
            "connections_open": "10",
            "connections_opened": "0",
            "connections_failed": "0",
            "connections_lost": "0",
            "sent_bytes": "11000",
            "received_bytes": "6000",
            "response_p50_ns": str(tally.response_time_ns.percentile(50)),
            "response_p90_ns": str(tally.response_time_ns.percentile(90)),
            "response_p99_ns": str(tally.response_time_ns.percentile(99)),
            "response_p999_ns": str(tally.response_time_ns.percentile(99.9)),
            "response_max_ns": str(10 * MILLI),
            "service_p50_ns": str(tally.service_time_ns.percentile(50)),
            "service_p99_ns": str(tally.service_time_ns.percentile(99)),
            "service_max_ns": str(MILLI),
            "send_lag_p99_ns": "",
            "send_lag_max_ns": "",
            "connect_p50_ns": "",
            "connect_p99_ns": "",
            "connect_max_ns": "",
            "cpu_share": "0.5000",
        }
        assert (second["start_s"], second["length_s"], second["cpu_share"]) == ("1.000000", "0.500000", "")
        assert [second[name] for name in ("due", "sent", "answered", "unanswered", "dropped", "pushed", "faults")] == [
            *"6523143"
        ]
        assert (second["connections_open"], second["connections_lost"]) == ("7", "3")

    def test_streams_and_fan_outs_have_columns_of_their_own(self):
        made = Tally(deliveries_expected=4, deliveries=3, deliveries_missing=1, delivery_time_ns=histogram(MILLI))
        fan_out = recording(interval(made), plan={"fan_out": {"publishers": 1, "subscribers": 2}})
        (row,) = read_rows(fan_out)
        assert [row[name] for name in ("deliveries_expected", "deliveries", "deliveries_missing")] == ["4", "3", "1"]
        assert (row["delivery_max_ns"], row["last_p50_ns"], row["first_max_ns"]) == (str(MILLI), "", "")
        assert "gap_p50_ns" not in row

    def test_a_floods_service_times_are_its_response_times(self):
        closed = recording(interval(answers(1, 2, 3, due_when_sent=True)), load="closed")
        scheduled = recording(interval(answers(1, 2, 3)), load="open")
        assert [row["service_max_ns"] for row in read_rows(closed, scheduled)] == ["3", ""]

    def test_sessions_of_a_lost_worker_are_not_open_any_more(self):
        lost = [LostWorker(1, "killed by SIGKILL", SECOND, 4)]
        made = recording(interval(Tally(opened=10), index=0), interval(answers(MILLI), index=1, lost=lost))
        assert [row["connections_open"] for row in read_rows(made)] == ["10", "6"]

    def test_sessions_that_open_in_between_are_counted(self):
        times = histogram(MILLI, 3 * MILLI)
        made = recording(
            interval(Tally(opened=5), index=0, phase="warmup"),
            interval(Tally(opened=2, closed=Counter({"1000": 1}), connect_time_ns=times), index=1),
            interval(Tally(closed=Counter({"1006": 9})), index=2),
        )
        rows = read_rows(made)
        # The last is no run of ours, and no number of sessions is below none.
        assert [row["connections_open"] for row in rows] == ["6", "0"]
        assert [row["connect_max_ns"] for row in rows] == [str(3 * MILLI), ""]

    def test_the_end_of_an_unkind_session_is_an_end(self):
        made = recording(
            interval(Tally(opened=5), index=0, phase="opening"),
            interval(Tally(closed=Counter({"1000": 1}), misbehaving=Tally(closed=Counter({"1006": 2}))), index=1),
        )
        assert [row["connections_open"] for row in read_rows(made)] == ["2"]

    @settings(max_examples=40, deadline=None)
    @given(several)
    def test_there_is_a_row_for_each_measured_interval_of_one_recording_after_another(self, made):
        rows = read_rows(*made)
        measured = [
            (str(number), one)
            for number, each in enumerate(made, 1)
            for one in each.intervals
            if one.phase == "measured"
        ]
        assert [row["recording"] for row in rows] == [number for number, _ in measured]
        assert [row["answered"] for row in rows] == [str(one.tally.answered) for _, one in measured]
        starts = {}
        for row in rows:
            starts.setdefault(row["recording"], row["start_s"])
        assert set(starts.values()) <= {"0.000000"}


# --- Test cases ---

ANT_SUITE = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"}
"""What Ant's schema asks of a suite among suites."""


def suite_of(made):
    text = text_of("junit", made)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(text)
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    assert suite.attrib.keys() == ANT_SUITE
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
    assert suite.get("name").strip()
    tags = [child.tag for child in suite]
    cases = suite.findall("testcase")
    # In this order, by both schemas.
    assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    assert all(one.attrib.keys() == {"name", "value"} for one in suite.find("properties"))
    for case in cases:
        assert case.attrib.keys() == {"name", "classname", "time"}
        assert float(case.get("time")) >= 0
        assert [child.tag for child in case] in ([], ["failure"], ["error"])
        assert all(child.attrib.keys() == {"message", "type"} for child in case)
    for name, found in (("tests", "testcase"), ("failures", "testcase/failure"), ("errors", "testcase/error")):
        assert int(suite.get(name)) == len(suite.findall(found))
    return suite


class TestCases:
    def test_a_run_that_passed_is_a_case_that_passed(self):
        suite = suite_of(results(recording(interval(answers(1, opened=1, attempted=1)))))
        (case,) = suite.findall("testcase")
        assert (case.get("name"), case.get("time"), list(case)) == ("run", "1.000", [])
        assert (suite.get("timestamp"), suite.get("name")) == ("2026-03-01T12:00:07", "ws://h/")

    def test_each_threshold_is_a_case(self):
        made = results(usual(), checks=[check(), check("rate < 5", passed=True, value=9.0, unit="per_s", limit=5.0)])
        run, failed, passed = suite_of(made).findall("testcase")
        assert list(run) == [], "the run itself went well"
        assert failed.get("name") == "fail if p99 > 50ms"
        assert failed.find("failure").get("message") == "fail if p99 > 50ms: 61 ms"
        assert (passed.get("name"), list(passed)) == ("fail if rate < 5", [])

    def test_a_threshold_without_a_value_says_why(self):
        made = results(usual(), checks=[check(value=None, why="there was no answer")])
        assert "there was no answer" in suite_of(made).find("testcase/failure").get("message")

    @pytest.mark.parametrize(
        ("run", "tag", "words"),
        [
            (recording(interval(Tally(opened=1)), ended=False), "error", "killed"),
            (recording(interval(Tally(opened=1)), lost=[0, 1]), "error", "2 workers were lost"),
            (recording(interval(Tally(failed=1))), "failure", "could not open a single connection"),
        ],
        ids=["killed", "lost", "closed"],
    )
    def test_a_run_that_did_not_pass_says_why(self, run, tag, words):
        suite = suite_of(results(run))
        assert words in suite.find(f"testcase/{tag}").get("message")

    def test_a_verdict_for_no_reason_that_is_known_fails(self):
        assert suite_of(results(usual(), passed=False)).find("testcase/failure") is not None

    def test_faults_and_doubts_are_the_suites_output(self):
        suite = suite_of(results(usual()))
        assert "1 connect-refused: refuses TCP connections" in suite.find("system-out").text
        assert "percentiles lack" in suite.find("system-err").text

    @pytest.mark.parametrize("words", [NASTY, "]]>", "&amp;", "\ufffe\x7f\x85"])
    def test_no_words_of_a_target_break_it(self, words):
        suite = suite_of(results(nasty(), checks=[check(words, why=words, value=None)]))
        assert suite.get("failures") == "1"
        assert not re.search("[\x00-\x09\x0b-\x1f]", ET.tostring(suite, encoding="unicode"))

    @settings(max_examples=60, deadline=None)
    @given(st.text())
    def test_no_text_at_all_breaks_it(self, words):
        tally = Tally(opened=1, faults=Counter({"reset": 1}))
        made = recording(interval(tally, fault_examples={"reset": words}), target=f"ws://{words}")
        suite_of(results(made, checks=[check(words or "x")]))


# --- A page for people ---


def html(text):
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


class TestPage:
    def test_it_has_verdict_requests_times_faults_and_doubts(self):
        page = text_of("markdown", results(usual()))
        assert page.startswith("### ws-load-test: done, with 4 faults, 3 messages unanswered, 1 message dropped\n")
        assert "| due | sent | answered | unanswered | dropped | pushed | throughput |" in page
        assert "| 1,007 | 1,006 | 1,003 | 3 | 1 | 4 | 669/s |" in page
        assert re.search(r"\| response time \| \S+ ms \|.* 10 ms \|\n", page)
        assert "| service time |" in page
        assert "- 1 × `connect-refused`: `refuses TCP connections`" in page
        assert "- the percentiles lack 3 unanswered messages" in page
        assert len(page.splitlines()) < 40

    def test_tables_are_tables(self):
        rendered = html(text_of("markdown", results(usual())))
        assert rendered.count("<table>") == 2
        assert rendered.count("<tr>") == 2 + 4
        assert rendered.count("<ul>") == 2

    def test_a_clean_run_passed(self):
        made = recording(interval(answers(*[MILLI] * 1000, opened=1)), load="closed")
        page = text_of("markdown", results(made))
        assert page.startswith("### ws-load-test: done\n\n`ws://h/`, 2026-03-01T12:00:07.25Z, 1 s measured\n")
        assert "wrong" not in page
        assert "service" not in page, "a closed loop has the same"

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (results(usual(), checks=[check()]), "failed, 1 threshold did"),
            (results(usual(), checks=[check(), check("p50 > 1ms")]), "failed, 2 thresholds did"),
            (
                results(usual(), checks=[check(option="abort-if", aborted_at_ns=SECOND)]),
                "stopped early, because p99 \\>",
            ),
            (results(recording(interval(Tally(failed=1)))), "failed, could not open a single connection"),
            (results(usual(), passed=False), "failed, the verdict is that it failed"),
        ],
        ids=str,
    )
    def test_what_failed_stands_first(self, made, words):
        assert text_of("markdown", made).startswith(f"### ws-load-test: {words}")

    def test_checks_are_listed_with_what_was_found(self):
        page = text_of(
            "markdown", results(usual(), checks=[check(), check("p50 > 1ms", passed=True, value=MILLI // 2)])
        )
        assert "\n\n- **failed**: `fail if p99 > 50ms: 61 ms`\n- passed: `fail if p50 > 1ms: 500 µs`\n\n" in page

    def test_many_kinds_of_faults_are_cut(self):
        faults = Counter({f"closed:{code}": code for code in range(4000, 4015)})
        page = text_of("markdown", results(recording(interval(Tally(opened=1, faults=faults)))))
        assert page.count("\n- 4") == 10
        assert "- and 5 more kinds of faults" in page

    def test_nothing_that_a_target_says_is_markup(self):
        rendered = html(text_of("markdown", results(nasty(), checks=[check(NASTY)])))
        assert "<b>" not in rendered
        assert "<a " not in rendered
        # An at sign outside of code notifies somebody.
        assert "@" not in re.sub("(?s)<code>.*?</code>", "", rendered)
        assert rendered.count("<li>") == 3 + len(results(nasty()).warnings), (
            "the check, two kinds of faults, the doubts"
        )

    @settings(max_examples=100, deadline=None)
    @given(st.text())
    def test_a_span_is_one_span_of_what_was_said(self, words):
        import html as entities

        rendered = html(f"a {code(words)} b")
        found = re.fullmatch("(?s)<p>a <code>(.*)</code> b</p>\n", rendered)
        assert found
        assert entities.unescape(found[1]).strip() == sanitize(words).strip()

    @given(st.text(alphabet="`*_[]()<>#&|\\~@!$ab ", min_size=1))
    def test_prose_is_never_markup(self, words):
        import html as entities

        rendered = html(f"a {prose(words)} b").replace("<!-- -->", "")
        assert re.fullmatch(r"<p>a [^<>]* b</p>\n", rendered)
        shown = entities.unescape(rendered.removeprefix("<p>").removesuffix("</p>\n"))
        assert shown.split() == f"a {words} b".split()

    def test_prose_mentions_no_account(self):
        assert prose("ask @all") == "ask @<!-- -->all"
