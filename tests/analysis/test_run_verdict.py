"""Runs that must not pass whatever their conditions say: nothing was measured, or nothing could be judged."""

from collections import Counter

import msgspec
import pytest

from factories.printed import exit_code, summarize
from factories.results import results
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.recording import Header, Interval, LostWorker, Recording, Trailer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.report.content.outcome import headline

SECOND, MS = 10**9, 10**6
OPENED = Tally(attempted=2, opened=2)
LOST = "Every session was lost"


def recording(*tallies, phases=None, interrupted=False, lost=(), **options):
    """Sessions that opened, then the measured seconds, or intervals of these phases."""
    plan = make_plan("ws://h:1/", workers=1, **{"connections": 2, "duration": 60, **options})
    intervals = [
        Interval.of(
            made,
            index=number,
            phase=phase,
            from_ns=number * SECOND,
            to_ns=(number + 1) * SECOND,
            measured_ns=SECOND * (phase == "measured"),
        )
        for number, (made, phase) in enumerate(
            zip((OPENED, *tallies), ("opening", *(phases or ["measured"] * len(tallies))), strict=True)
        )
    ]
    header = Header(
        tool="t",
        started_at="2026-03-01T12:00:00Z",
        plan=msgspec.to_builtins(plan.redacted()),
        target="ws://h:1/",
        host={},
        workers=1,
    )
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, lost_workers=lost, summary={})
    return Recording(header, tuple(intervals), trailer)


def answered(count=50, **counts):
    made = Tally(**{"due": count, "sent": count, "answered": count, "answered_in_window": count, **counts})
    made.response_time_ns.record(5 * MS, count)
    made.service_time_ns.record(5 * MS, count)
    return made


def silent(**counts):
    return Tally(due=9, sent=9, unanswered=9, **counts)


def gone(code="1011", count=2):
    return {"lost": count, "faults": Counter({f"closed:{code}": count}), "closed": Counter({code: count})}


def verdict(made):
    summary = summarize([made])
    lost = len(made.trailer.lost_workers)
    return summary["verdict"]["reason"], exit_code(summary, lost), headline(results(made))[0]


@pytest.mark.parametrize(
    ("made", "reason", "words"),
    [
        (recording(silent()), "nothing-answered", "No message was answered"),
        (
            recording(silent(faults=Counter({"reply-timeout": 2}))),
            "nothing-answered",
            "No message was answered (reply-timeout)",
        ),
        (recording(answered(**gone())), "all-sessions-lost", "Every session was lost (closed:1011)"),
        (
            recording(silent(**gone("1008"))),
            "all-sessions-lost",
            "Every session was lost (closed:1008), and no message was answered",
        ),
        # Replies had ceased before the end.
        (
            recording(answered(), silent(), Tally(**gone()), phases=["measured", "measured", "closing"]),
            "all-sessions-lost",
            "Every session was lost (closed:1011)",
        ),
        # In their set-up, before anything was sent.
        (recording(Tally(**gone())), "all-sessions-lost", "Every session was lost (closed:1011)"),
        (recording(Tally(**gone()), rate=0), "all-sessions-lost", "Every session was lost (closed:1011)"),
        (recording(silent(**gone()), match="none", rate=1), "all-sessions-lost", f"{LOST} (closed:1011)"),
        (recording(answered(**gone()), reconnect="now"), "all-sessions-lost", "Every session was lost (closed:1011)"),
        (recording(Tally(due=5, dropped=5), rate=5), "nothing-sent", "No message was sent"),
        (recording(Tally(), rate=5), "nothing-sent", "No message fell due in the measured time"),
        (
            recording(answered(faults=Counter({"check-failed": 50})), expect="contains:ok"),
            "all-replies-wrong",
            "No reply was right (check-failed)",
        ),
        (
            recording(answered(faults=Counter({"reply-timeout": 1})), rate=5, fail_if="p99 > 1s"),
            "not-judged",
            "Not judged, because replies are perhaps not those of their messages",
        ),
    ],
)
def test_a_run_that_measured_nothing_has_failed_and_says_why(made, reason, words):
    assert verdict(made) == (reason, ExitCode.NOTHING_OPENED, words)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (recording(answered()), "Done"),
        (recording(answered(), fail_if="p99 > 1s"), "Passed"),
        (recording(answered(), slo="p99 < 1s"), "Passed"),
        (recording(answered(unanswered=3, sent=53, due=53)), "Done, with 3 messages unanswered"),
        (
            recording(answered(unanswered=3, sent=53, due=53), fail_if=["p99 > 1s", "errors > 10%"]),
            "Passed, with 3 messages unanswered",
        ),
        # Nothing is awaited, or nothing is sent; what comes are pushes.
        (recording(silent(), match="none", rate=9), "Done"),
        (recording(Tally(pushed=9, surplus_replies=9), rate=0), "Held 2 connections for 1 s"),
        (recording(answered(lost=1, faults=Counter({"reset": 1}))), "Done, with 1 fault"),
        # One good reply is enough, and so is one session.
        (recording(answered(faults=Counter({"check-failed": 49})), expect="contains:ok"), "Done, with 49 faults"),
        (recording(answered(**gone(), reconnected=1), reconnect="now"), "Done, with 2 faults"),
        # The target closed in order after all that it was asked.
        (recording(answered(**gone("1000")), messages=50, duration=None), "Done, with 2 faults"),
        # Sessions that end while the last replies are awaited have carried the load to its end.
        (recording(answered(), Tally(**gone()), phases=["measured", "closing"]), "Done, with 2 faults"),
    ],
)
def test_a_run_that_measured_something_passes(made, words):
    assert verdict(made) == (None, ExitCode.PASSED, words)


def test_a_recording_that_measured_nothing_does_not_hide_among_others():
    summary = summarize([recording(answered()), recording(silent())])
    assert exit_code(summary, 0) == ExitCode.NOTHING_OPENED
    assert summary["verdict"]["why"] == "recording 2: no message was answered"
    assert summarize([recording(answered()), recording(answered())])["verdict"]["passed"]


def test_what_spoils_a_run_more_comes_first():
    lost = [LostWorker(0, "gone", 1)]
    assert verdict(recording(silent(), lost=lost, interrupted=True))[:2] == ("interrupted", ExitCode.INTERRUPTED)
    assert verdict(recording(silent(), lost=lost))[:2] == ("worker-lost", ExitCode.WORKER_LOST)
    assert verdict(recording(silent(), fail_if="errors > 0"))[:2] == ("nothing-answered", ExitCode.NOTHING_OPENED)
    failed = recording(answered(unanswered=3, sent=53, due=53), fail_if="errors > 0")
    assert verdict(failed)[:2] == ("condition-failed", ExitCode.THRESHOLD_FAILED)


def test_a_doubted_pairing_leaves_only_times_of_replies_unjudged():
    # A push was taken for a reply, so later replies are those of other messages.
    made = recording(answered(pushed=1, surplus_replies=1), rate=50)
    conditions = ["p99 > 1h", "any service.max > 1h", "connect.p99 > 1h", "errors > 0"]
    checks = summarize([made], fail_if=conditions, slo=["p50 < 1h"])["verdict"]["checks"]
    assert {one["check"]: (one["passed"], one.get("judged", True)) for one in checks} == {
        "p99 > 1h": (False, False),
        "any service.max > 1h": (False, False),
        "connect.p99 > 1h": (False, True),
        "errors > 0": (True, True),
        "p50 < 1h": (False, False),
    }
    assert "by their id with --match" in checks[0]["why"]
    # Its value stays for people to look at.
    assert checks[0]["value"] > 0


def test_an_objective_must_hold():
    made = recording(answered())
    checks = summarize([made], slo=["p99 < 6ms", "p99 < 4ms", "errors == 0", "tls.p99 < 1s"])["verdict"]["checks"]
    assert [(one["option"], one["check"], one["passed"]) for one in checks] == [
        ("slo", "p99 < 6ms", True),
        ("slo", "p99 < 4ms", False),
        ("slo", "errors == 0", True),
        ("slo", "tls.p99 < 1s", False),
    ]


@pytest.mark.parametrize("text", ["late_replies > 0", "duplicate_replies > 0", "faults.check-failed > 0"])
def test_what_nothing_would_notice_has_no_value(text):
    (one,) = summarize([recording(answered())], fail_if=[text])["verdict"]["checks"]
    assert (one["value"], one["passed"]) == (None, False)
    noticed = recording(answered(), message='{"id":{seq}}', match="json:id", expect="json:id")
    assert summarize([noticed], fail_if=[text])["verdict"]["passed"]


def test_a_target_that_takes_no_more_connections_fails_the_run():
    opening = Tally(attempted=1000, failed=600, opened=400, faults=Counter({"connect-timeout": 256, "not-dialed": 344}))
    made = recording(opening, answered(), phases=["opening", "measured"], connections=1002)
    words = "The target takes no more connections: 402 of 1,002 opened"
    assert verdict(made) == ("not-all-dialed", ExitCode.NOTHING_OPENED, words)
    back = recording(opening, answered(opened=600, reconnected=600), connections=1002, reconnect="now")
    assert verdict(back)[0] is None, "they opened later"
