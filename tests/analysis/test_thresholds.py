"""What a run must not be, judged on what was recorded."""

import re
from collections import Counter
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.printed import exit_code, summarize
from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.analysis.thresholds import AbortMonitor
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.catalog import CONDITION_METRICS, WHOLE_RUN
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import AbortEvent, Header, Interval, LostWorker, Recording, Trailer
from ws_load_test.metrics.recording_file import RecordingWriter, read_recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.thresholds import (
    DENOMINATORS,
    OF_FAN_OUT,
    RATES,
    SIZES,
    STATISTICS,
    TIME_METRICS,
    parse_condition,
)

SECOND, MS = 10**9, 10**6
OPENING = Tally(attempted=10, opened=9, failed=1, faults=Counter({"connect-refused": 1}))
OPEN_LOAD = {"rate": 100, "duration": 60}
BY_ID = {"message": '{"id":{seq}}', "match": "json:id"}


def plan_of(**options):
    return make_plan("ws://h:1/", workers=1, **{**OPEN_LOAD, **options})


def header(plan=None, second=0):
    return Header(
        tool="ws-load-test 0.1.0",
        started_at=f"2026-03-01T12:00:{second:02}Z",
        plan=msgspec.to_builtins((plan or plan_of()).redacted()),
        target="ws://h:1/",
        host={},
        workers=1,
    )


def tally(*times, **counts):
    many = len(times)
    made = Tally(**{"due": many, "sent": many, "answered": many, "answered_in_window": many, **counts})
    for time in times:
        made.response_time_ns.record(time)
        made.service_time_ns.record(time // 2)
    return made


def recording(
    *tallies, plan=None, aborted=msgspec.UNSET, lost=(), interrupted=False, second=0, lengths_ns=None, closing=None
):
    intervals = [Interval.of(OPENING, index=0, phase="opening", from_ns=0, to_ns=SECOND, measured_ns=0)]
    at_ns = SECOND
    for index, (one, length_ns) in enumerate(zip(tallies, lengths_ns or [SECOND] * len(tallies), strict=True)):
        intervals.append(
            Interval.of(
                one, index=index, phase="measured", from_ns=at_ns, to_ns=at_ns + length_ns, measured_ns=length_ns
            )
        )
        at_ns += length_ns
    if closing is not None:
        intervals.append(
            Interval.of(closing, index=0, phase="closing", from_ns=at_ns, to_ns=at_ns + SECOND, measured_ns=0)
        )
    trailer = Trailer(
        ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, lost_workers=lost, aborted=aborted, summary={}
    )
    return Recording(header(plan, second), tuple(intervals), trailer)


def check(text, *recordings):
    (one,) = summarize(recordings, fail_if=[text])["verdict"]["checks"]
    return one


def value(text, *recordings):
    one = check(text, *recordings)
    # The very value is neither more nor less than itself.
    return one["value"]


RUN = recording(
    tally(*range(1 * MS, 101 * MS, MS), bytes_sent=1000, bytes_received=2000, pushed=3),
    tally(
        200 * MS,
        due=7,
        sent=5,
        unanswered=4,
        dropped=2,
        lost=3,
        faults=Counter({"closed:1011": 2, "closed:1006": 1, "check-failed": 1, "closed-not": 5}),
    ),
)


@pytest.mark.parametrize(
    ("metric", "limit", "expected"),
    [
        # The highest value of its bucket.
        ("p0", "1ms", 1_000_447),
        ("p100", "1ms", 200 * MS),
        ("min", "1ms", 1 * MS),
        ("max", "1ms", 200 * MS),
        ("mean", "1ms", round((5050 + 200) * MS / 101)),
        ("service.max", "1ms", 100 * MS),
        ("due", "1", 107),
        ("sent", "1", 105),
        ("sent", "1%", 105 / 107),
        ("answered", "1%", 101 / 105),
        ("unanswered", "1", 4),
        ("unanswered", "1%", 4 / 105),
        ("dropped", "1%", 2 / 107),
        ("pushed", "1", 3),
        ("opened", "1%", 9 / 10),
        ("failed", "1%", 1 / 10),
        ("lost", "1%", 3 / 9),
        ("reconnected", "1%", 0.0),
        ("faults", "1", 10),
        ("faults", "1%", 10 / 117),
        ("faults.closed", "1", 3),
        ("faults.closed:1011", "1", 2),
        ("faults.connect-refused", "1", 1),
        ("faults.reset", "1", 0),
        # 4 unanswered, 2 dropped, 1 mismatch, 1 failed, 3 lost.
        ("errors", "1", 11),
        ("errors", "1%", 11 / 117),
        ("rate", "1", 50.5),
        ("sent_rate", "1", 52.5),
        ("bytes_sent", "1B", 1000),
        ("bytes_received", "1B", 2000),
    ],
)
def test_what_each_metric_is(metric, limit, expected):
    found = value(f"{metric} > {limit}", RUN)
    assert found == expected
    assert type(found) is type(expected)


def test_a_check_says_all_that_a_report_needs():
    assert check("p100>50ms", RUN) == {
        "check": "p100 > 50ms",
        "value": 200 * MS,
        "passed": False,
        "option": "fail-if",
        "metric": "p100",
        "operator": ">",
        "limit": 50 * MS,
        "unit": "ns",
    }
    assert check("errors > 50%", RUN)["limit"] == 0.5


@pytest.mark.parametrize(
    ("sign", "failing"),
    [(">", [6]), (">=", [5, 6]), ("<", [4]), ("<=", [4, 5]), ("==", [5]), ("!=", [4, 6])],
)
def test_a_condition_that_holds_fails(sign, failing):
    for count in (4, 5, 6):
        one = check(f"due {sign} 5", recording(tally(due=count)))
        assert one["passed"] == (count not in failing)


@given(times=st.lists(st.integers(0, 2**40), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_values_are_those_of_the_summary(times):
    statistics = [*STATISTICS, "p5", "p50", "p99", "p99.9", "p99.99"]
    conditions = ["answered > 0", *(f"{statistic} > 0ms" for statistic in statistics)]
    summary = summarize([recording(tally(*times))], fail_if=conditions)
    values = {one["check"]: one["value"] for one in summary["verdict"]["checks"]}
    assert values.pop("answered > 0") == len(times)
    assert values == {f"{name} > 0ms": summary["response_time_ns"][name] for name in statistics}


@given(
    parts=st.lists(st.lists(st.integers(0, 10**9), max_size=8), min_size=1, max_size=5),
    cut=st.integers(0, 5),
    percentile=st.decimals(0, 100, places=2),
)
@settings(max_examples=30, deadline=None)
def test_percentiles_are_those_of_all_answers_together(parts, cut, percentile):
    text = f"p{percentile} > 5ms"
    together = check(text, recording(tally(*(time for part in parts for time in part))))
    assert check(text, recording(*(tally(*part) for part in parts))) == together
    both = recording(*(tally(*part) for part in parts[:cut])), recording(*(tally(*part) for part in parts[cut:]))
    assert check(text, *both) == together


def test_a_share_is_compared_exactly():
    for whole in (3000, 7000, 9000):
        due, unanswered = whole - 10, whole // 1000 - 1
        at = recording(tally(due=due, sent=due, answered=due - unanswered, unanswered=unanswered))
        assert value("errors > 0", at) == whole // 1000
        assert check("errors > 0.1%", at)["passed"]
        assert not check("errors >= 0.1%", at)["passed"]


@given(
    st.fixed_dictionaries({name: st.integers(0, 9) for name in ("answered", "unanswered", "dropped")}),
    st.fixed_dictionaries({name: st.integers(0, 9) for name in ("opened", "failed")}),
    st.data(),
)
def test_errors_count_each_message_and_each_session_once(messages, sessions, data):
    wrong = data.draw(st.integers(0, messages["answered"]))
    lost = data.draw(st.integers(0, sessions["opened"]))
    sent = messages["answered"] + messages["unanswered"]
    due, attempted = sent + messages["dropped"], sum(sessions.values())
    made = Tally(
        **messages,
        **sessions,
        sent=sent,
        due=due,
        lost=lost,
        attempted=attempted,
        faults=Counter({"check-failed": wrong, "reset": lost, "reply-timeout": messages["unanswered"]}),
    )
    found = ConditionScope(made, SECOND).value(parse_condition("errors > 1%"))
    right = messages["answered"] - wrong + sessions["opened"] - lost
    if due + attempted:
        assert found == 1 - right / (due + attempted) or abs(float(found) - 1 + right / (due + attempted)) < 1e-12
        assert 0 <= found <= 1
    else:
        assert found is None


# --- Nothing to judge ---

EVERY = [
    *(f"{name}.p99 > 1ms" for name in TIME_METRICS),
    *(f"{name} > 1%" for name, whole in DENOMINATORS.items() if whole and name not in WHOLE_RUN),
    *(f"{name} > 1" for name in RATES if name not in WHOLE_RUN),
]


FAN_OUT = {"subscribers": 2, "message": '{"id":{seq},"text":"{marker}"}', "match": "json:id"}


@pytest.mark.parametrize("options", [BY_ID, FAN_OUT], ids=["replies", "fan-out"])
@pytest.mark.parametrize("anywhere", ["", "any "])
@pytest.mark.parametrize("text", EVERY)
def test_what_has_no_value_fails_and_says_why(text, anywhere, options):
    empty = Recording(header(plan_of(**options)), (), recording().trailer)
    one = check(anywhere + text, empty)
    assert (one["passed"], one["value"]) == (False, None)
    assert re.search(r"\b(no|nothing|without|when)\b", one["why"])


COUNTS = [
    name
    for name in DENOMINATORS
    if name != "reach" and not CONDITION_METRICS[name].needs_stream and not CONDITION_METRICS[name].needs_scenario
]


@pytest.mark.parametrize("text", [f"{name} > 0" for name in COUNTS] + [f"{name} > 0B" for name in SIZES])
def test_counts_of_nothing_are_nought(text):
    assert check(text, Recording(header(plan_of(**FAN_OUT)), (), recording().trailer))["value"] == 0


@pytest.mark.parametrize("name", sorted(OF_FAN_OUT))
def test_metrics_of_deliveries_have_failed_where_there_is_no_fan_out(name):
    limit = {"time": ".p99 > 1ms", "ratio": " > 2"}.get(
        CONDITION_METRICS[name].kind, " > 1%" if name == "reach" else " > 0"
    )
    one = check(name + limit, recording(tally(5)))
    assert (one["passed"], one["value"]) == (False, None)
    assert "there is no fan-out without --subscribers" in one["why"]


def deliveries(**changes):
    counts = {"deliveries_expected": 200, "deliveries": 197, "deliveries_missing": 2, "deliveries_cut_off": 1}
    return Tally(**{**counts, "delivery_gaps": Counter({"1": 2, "9": 1, "10": 1}), **changes})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("reach > 99%", Fraction(197, 200)),
        ("delivered > 0", 197),
        ("missing > 1%", Fraction(1, 100)),
        ("cut_off > 0", 1),
        ("late > 0", 3),
        ("out_of_order > 0", 7),
        ("out_of_order > 1%", Fraction(7, 210)),
        ("gaps > 0", 4),
        ("gaps.longest > 5", 10),
        ("subscribers.skew > 1.5", 3),
        ("delivery.max > 1ms", 5 * MS),
        ("delivery.all.max > 1ms", 90 * MS),
        ("first.p50 > 1ms", 2 * MS),
    ],
)
def test_values_of_a_fan_out(text, found):
    counts = {"deliveries_late": 3, "out_of_order": 3, "deliveries_out_of_order": 4, "answered": 10}
    made = deliveries(**counts)
    for mean_ns in (3 * MS, *[MS] * 50):
        made.subscriber_mean_time_ns.record(mean_ns)
    made.same_host_delivery_time_ns.record(5 * MS)
    made.delivery_time_ns.record(90 * MS)
    made.first_time_ns.record(2 * MS)
    value = ConditionScope(made, SECOND).value(parse_condition(text))
    assert value == pytest.approx(found, rel=1e-3)
    run = recording(made, plan=plan_of(**FAN_OUT))
    assert check(f"any {text}", run)["value"] == pytest.approx(float(found), rel=1e-3)


def test_deliveries_of_a_run_on_one_host_are_all_of_the_same():
    made = Tally()
    made.delivery_time_ns.record(90 * MS)
    scope = ConditionScope(made, SECOND)
    assert scope.value(parse_condition("delivery.max > 1ms")) == scope.value(parse_condition("delivery.all.max > 1ms"))


def test_the_skew_of_nothing_has_no_value():
    run = recording(deliveries(), plan=plan_of(**FAN_OUT))
    one = check("subscribers.skew > 2", run)
    assert (one["value"], one["passed"], one["why"]) == (None, False, "no subscriber's deliveries were timed")


@pytest.mark.parametrize("text", ["p99 > 1s", "service.max > 1s", "rate < 1", "unanswered > 0", "answered < 100%"])
def test_where_no_reply_was_awaited_nothing_is_said_of_replies(text):
    sends = recording(tally(due=5, sent=5, unanswered=5), plan=plan_of(match="none"))
    one = check(text, sends)
    assert (one["value"], one["passed"], one["why"]) == (None, False, "no reply was awaited (--match none)")
    assert value("errors > 0", sends) == 1
    assert value("sent_rate > 1", sends) == 5.0


def test_a_flood_has_one_histogram_for_both_times():
    made = tally(5 * MS, due_when_sent=True)
    made.service_time_ns.clear()
    assert value("service.max > 1ms", recording(made)) == 5 * MS
    assert value("any service.max > 1ms", recording(made)) == 5 * MS
    made.due_when_sent = False
    assert value("service.max > 1ms", recording(made)) is None


def test_what_this_version_cannot_read_fails():
    plan = msgspec.structs.replace(plan_of(), fail_if=("p99 is fine",))
    (one,) = summarize([recording(tally(5), plan=plan)])["verdict"]["checks"]
    assert (one["check"], one["passed"]) == ("p99 is fine", False)
    assert "cannot read" in one["why"]


# --- In any interval ---


def test_any_finds_the_worst_interval():
    run = recording(tally(5 * MS), tally(90 * MS, 1 * MS), tally(), tally(95 * MS), closing=tally(999 * MS))
    assert check("any p99 > 80ms", run) == {
        "check": "any p99 > 80ms",
        "value": 95 * MS,
        "passed": False,
        "option": "fail-if",
        "metric": "p99",
        "operator": ">",
        "limit": 80 * MS,
        "unit": "ns",
        "intervals": 3,
        "failed_intervals": 2,
        "from_ns": 4 * SECOND,
    }
    passed = check("any p99 > 100ms", run)
    assert (passed["passed"], passed["value"], passed["failed_intervals"]) == (True, 95 * MS, 0)
    least = check("any max < 92ms", run)
    assert least["failed_intervals"] == 2
    assert (least["passed"], least["value"], least["from_ns"]) == (False, 5 * MS, SECOND)


def test_any_is_not_the_whole():
    run = recording(*[tally(*[MS] * 99)] * 9, tally(*[90 * MS] * 5))
    assert check("p99 > 80ms", run)["passed"]
    assert not check("any p99 > 80ms", run)["passed"]
    assert not check("any answered < 6", run)["passed"]
    assert check("answered < 6", run)["passed"]


def test_a_second_without_a_single_reply_has_a_rate():
    assert check("any rate < 1", recording(tally(5), tally(), tally(5)))["value"] == 0.0


def test_a_short_end_has_no_rate_of_its_own():
    run = recording(tally(5, 5), tally(5, 5), tally(unanswered=1), lengths_ns=[SECOND, SECOND + 5, SECOND // 3])
    assert check("any rate < 1", run)["passed"]
    assert not check("any unanswered > 0", run)["passed"]


def test_a_share_of_an_interval_that_sent_nothing():
    late = recording(tally(5, 5), tally(unanswered=2), tally())
    one = check("any unanswered > 50%", late)
    assert (one["value"], one["intervals"]) == (1.0, 2)


def test_any_of_several_recordings_is_any_of_each():
    one, other = recording(tally(5 * MS)), recording(tally(6 * MS), tally(90 * MS), second=9)
    found = check("any p99 > 80ms", one, other)
    assert (found["intervals"], found["failed_intervals"], found["value"]) == (3, 1, 90 * MS)


# --- The verdict ---


def test_the_conditions_of_the_plan_are_judged():
    plan = plan_of(fail_if=["p99 > 50ms", "errors > 0"], abort_if=["due > 9"])
    summary = summarize([recording(tally(60 * MS), plan=plan)])
    told = [(one["check"], one["option"], one["passed"]) for one in summary["verdict"]["checks"]]
    assert told == [
        ("p99 > 50ms", "fail-if", False),
        ("errors > 0", "fail-if", False),
        ("due > 9", "abort-if", True),
    ]
    assert not summary["verdict"]["passed"]
    assert exit_code(summary, 0) == ExitCode.THRESHOLD_FAILED


def test_a_run_that_meets_none_of_them_has_passed():
    summary = summarize([recording(tally(5 * MS), plan=plan_of(fail_if=["p99 > 50ms"]))])
    assert summary["verdict"]["passed"]
    assert exit_code(summary, 0) == ExitCode.PASSED


def test_other_conditions_take_their_place():
    run = recording(tally(60 * MS), plan=plan_of(fail_if=["p99 > 50ms"], abort_if=["p99 > 1ms"]))
    summary = summarize([run], fail_if=["p99 > 80ms", "p99 > 80ms"])
    assert [one["check"] for one in summary["verdict"]["checks"]] == ["p99 > 80ms"]
    assert summary["verdict"]["passed"]


def test_conditions_of_several_recordings_are_judged_on_all_together():
    one = recording(tally(*[5 * MS] * 9), plan=plan_of(fail_if=["p50 > 50ms", "p99 > 1s"]))
    other = recording(tally(60 * MS), plan=plan_of(fail_if=["p50 > 50ms", "max > 1s"]), second=9)
    checks = summarize([one, other])["verdict"]["checks"]
    assert [check["check"] for check in checks] == ["p50 > 50ms", "p99 > 1s", "max > 1s"]
    assert checks[0]["value"] < 6 * MS
    assert not summarize([other])["verdict"]["passed"]


@pytest.mark.parametrize(
    ("spoilt", "lost", "code"),
    [
        ({"interrupted": True}, 0, ExitCode.INTERRUPTED),
        ({"lost": (LostWorker(0, "killed", 1),)}, 1, ExitCode.WORKER_LOST),
    ],
)
def test_what_spoils_a_run_more_is_reported_first(spoilt, lost, code):
    run = recording(tally(60 * MS), plan=plan_of(fail_if=["p99 > 50ms"]), **spoilt)
    assert exit_code(summarize([run]), lost) == code


# --- Stopped early ---


def test_a_stopped_run_has_failed_with_what_was_found_then(tmp_path):
    plan = plan_of(abort_if=["p99 > 50ms", "errors > 50%"], abort_grace="0s")
    stopped = AbortEvent("p99 > 50ms", 60 * MS, 2 * SECOND)
    # What came afterwards was faster, and does not change why the run was stopped.
    run = recording(tally(*[5 * MS] * 999), plan=plan, aborted=(stopped,))
    with RecordingWriter(tmp_path / "run.jsonl") as writer:
        writer.write_header(run.header)
        for interval in run.intervals:
            writer.write_interval(interval)
        writer.write_trailer(run.trailer)
    summary = summarize([read_recording(tmp_path / "run.jsonl")])
    first, second = summary["verdict"]["checks"]
    assert (first["check"], first["value"], first["passed"]) == ("p99 > 50ms", 60 * MS, False)
    assert (first["aborted_at_ns"], first["limit"], first["unit"]) == (2 * SECOND, 50 * MS, "ns")
    assert (second["check"], second["passed"]) == ("errors > 50%", True)
    assert not summary["interrupted"]
    assert exit_code(summary, 0) == ExitCode.THRESHOLD_FAILED
    again = summarize([run], fail_if=["p99 > 1s"])["verdict"]
    assert [one["passed"] for one in again["checks"]] == [False, True]


def test_a_condition_that_stops_is_judged_at_the_end_as_well():
    plan = plan_of(abort_if=["p99 > 50ms"], abort_grace="30s")
    assert not summarize([recording(tally(60 * MS), plan=plan)])["verdict"]["passed"]


def test_the_grace_is_left_out_of_any_at_the_end():
    plan = plan_of(abort_if=["any p99 > 50ms"], abort_grace="2s")
    slow_start = [tally(90 * MS), tally(90 * MS), tally(5 * MS)]
    (one,) = summarize([recording(*slow_start, plan=plan)])["verdict"]["checks"]
    assert (one["passed"], one["intervals"]) == (True, 1)


def watched(run, plan):
    """What the run's watch says at the end of each measured interval."""
    watch, so_far, told = AbortMonitor.of(plan, Recording(run.header, ())), Tally(), []
    for interval in run.intervals:
        so_far.merge(interval.tally)
        found = watch.add_event(IntervalEvent.decode(interval), so_far)
        if interval.phase == "measured":
            told.append([one.condition for one in found])
        else:
            assert found == ()
    return told


def test_a_run_is_watched_after_its_grace():
    plan = plan_of(abort_if=["p50 > 50ms", "any max > 80ms", "due > 99"], abort_grace="2s")
    run = recording(tally(60 * MS), tally(90 * MS), tally(*[MS] * 9), tally(90 * MS), plan=plan)
    assert watched(run, plan) == [[], ["p50 > 50ms"], [], ["any max > 80ms"]]


def test_what_was_found_is_kept_with_its_moment():
    plan = plan_of(abort_if=["errors > 5%"], abort_grace="0s")
    run = recording(tally(5, due=9), plan=plan)
    watch, so_far = AbortMonitor.of(plan, Recording(run.header, ())), Tally()
    for interval in run.intervals:
        so_far.merge(interval.tally)
        found = watch.add_event(IntervalEvent.decode(interval), so_far)
    assert found == (AbortEvent("errors > 5%", 1 / 19, 2 * SECOND),)


def test_a_run_that_is_over_is_not_stopped():
    plan = plan_of(abort_if=["p50 > 1ms"], abort_grace="0s", duration="2s")
    run = recording(tally(5 * MS), tally(5 * MS), plan=plan)
    assert watched(run, plan) == [["p50 > 1ms"], []]


def test_what_has_no_value_yet_stops_nothing():
    plan = plan_of(abort_if=["p50 > 1ms", "any p50 > 1ms"], abort_grace="0s")
    assert watched(recording(tally(), tally(), plan=plan), plan) == [[], []]


def test_a_flood_and_a_run_without_replies_are_watched_as_they_are():
    closed = make_plan("ws://h:1/", workers=1, abort_if=["service.max > 1ms", "any service.max > 1ms"], abort_grace=0)
    made = tally(5 * MS, due_when_sent=True)
    made.service_time_ns.clear()
    assert watched(recording(made, plan=closed), closed) == [["service.max > 1ms", "any service.max > 1ms"]]
    sends = plan_of(match="none", abort_if=["unanswered > 0", "any unanswered > 0", "due > 4"], abort_grace=0)
    assert watched(recording(tally(due=5, unanswered=5), plan=sends), sends) == [["due > 4"]]


@given(
    st.lists(st.lists(st.integers(1, 100 * MS), max_size=4), min_size=1, max_size=6),
    st.integers(0, 5),
    st.sampled_from(["max > 50ms", "p50 > 50ms", "any p50 > 50ms", "rate < 2", "any rate < 2", "errors > 5%"]),
)
@settings(max_examples=30, deadline=None)
def test_a_watch_says_what_a_report_of_the_run_so_far_would(seconds, grace_s, text):
    plan = plan_of(abort_if=[text], abort_grace=grace_s)
    tallies = [tally(*times) for times in seconds]
    told = watched(recording(*tallies, plan=plan), plan)
    condition = parse_condition(text)
    for number, found in enumerate(told, 1):
        so_far = recording(*tallies[:number], plan=plan)
        (one,) = summarize([so_far])["verdict"]["checks"]
        judged = one["value"] is not None and number >= grace_s + condition.per_interval
        if condition.per_interval:
            before = recording(*tallies[: number - 1], plan=plan)
            (earlier,) = summarize([before])["verdict"]["checks"]
            failed = one["failed_intervals"] - earlier["failed_intervals"]
            assert bool(found) == bool(failed)
        else:
            assert bool(found) == (judged and not one["passed"])
