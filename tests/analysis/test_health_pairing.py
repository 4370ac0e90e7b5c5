"""Doubts about which reply belongs to which message, and what odd and short-lived sessions are no sign of."""

import msgspec
import pytest

from ws_load_test.analysis.aggregate import RunAggregator, aggregate
from ws_load_test.analysis.findings import FindingKind as Kind
from ws_load_test.analysis.findings import awaits_replies, correlation_of, misbehaving_counts
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.summary import summarize
from ws_load_test.messages import Message
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import AutoReply, Check, Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.plan.session_policy import MisbehavingClients
from ws_load_test.plan.target import Target

SECOND = 10**9
MILLI = 10**6
MANY = 100_000
LOAD = OpenLoop(LoadProfile((Stage(60 * SECOND, 100, 100),)))
CHECK = Check("contains", "tick")


def recording(*tallies, rule="order", plan=None, phases=(), workers=(), **matching):
    if plan is None:
        asked = Plan(Target("ws://a"), load=LOAD, correlation=Correlation(rule, **matching))
        plan = msgspec.to_builtins(asked.redacted())
    phases = phases or ["measured"] * len(tallies)
    intervals = [
        Interval.of(
            made,
            index=number,
            phase=phase,
            from_ns=number * SECOND,
            to_ns=(number + 1) * SECOND,
            measured_ns=SECOND if phase == "measured" else 0,
            workers=workers,
        )
        for number, (made, phase) in enumerate(zip(tallies, phases, strict=True))
    ]
    header = Header(
        tool="t",
        started_at="2026-03-01T12:00:00Z",
        plan=plan,
        target="ws://a",
        host={"cores": 8},
        workers=1,
    )
    return Recording(header, tuple(intervals), Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, summary={}))


def answered(count=MANY, **counts):
    made = Tally(**{"opened": 7, "due": count, "sent": count, "answered": count, "answered_in_window": count} | counts)
    made.response_time_ns.record(MILLI, count)
    made.service_time_ns.record(MILLI, count)
    return made


def silence(sent=300, **counts):
    return Tally(**{"opened": 7, "due": sent, "sent": sent, "unanswered": sent} | counts)


def reasons(*recordings):
    return diagnose(recordings, aggregate(recordings))


def found(*recordings, kind=Kind.PAIRING):
    of_kind = [reason for reason in reasons(*recordings) if reason.kind == kind]
    assert len(of_kind) <= 1
    return of_kind[0].text if of_kind else None


class TestInOrder:
    def test_more_replies_than_messages_cast_doubt_on_every_time(self):
        text = found(recording(answered(surplus_replies=1260)))
        assert text.startswith("1,260 messages came too many (101,260 for the 100,000 sent), and replies are paired in")
        assert "every response time may be wrong" in text
        for option in ("--match json:PATH", "--match regex:PATTERN", "--match echo", "--ignore CHECK"):
            assert option in text
        # 180 for each session.
        assert "--skip-first" not in text
        assert found(recording(answered())) is None

    @pytest.mark.parametrize(("pushed", "option"), [(7, "--skip-first 1"), (70, "--skip-first 10")])
    def test_as_many_for_each_session_may_be_greetings(self, pushed, option):
        assert found(recording(answered(surplus_replies=pushed))).endswith(
            f"if these are greetings, {option} is enough"
        )

    @pytest.mark.parametrize("pushed", [6, 8, 77])
    def test_others_are_not(self, pushed):
        assert "greetings" not in found(recording(answered(surplus_replies=pushed)))

    def test_what_came_before_the_load_has_spoilt_nothing(self):
        greeted = recording(Tally(opened=7, surplus_replies=7), answered(opened=0), phases=["opening", "measured"])
        assert found(greeted) is None
        text = found(greeted, kind=Kind.GREETINGS)
        assert text.startswith("7 messages came before the load began, and no time is wrong for it")
        assert "with --skip-first 1, because" in text
        odd = recording(Tally(opened=7, surplus_replies=8), answered(opened=0), phases=["opening", "measured"])
        assert "with --skip-first N, because" in found(odd, kind=Kind.GREETINGS)

    @pytest.mark.parametrize("phase", ["warmup", "measured", "closing"])
    def test_a_flood_finds_out_at_its_end(self, phase):
        made = recording(
            Tally(opened=7), answered(opened=0), Tally(surplus_replies=3), phases=["opening", "measured", phase]
        )
        assert found(made).startswith("3 messages came too many")
        assert found(made, kind=Kind.GREETINGS) is None

    def test_it_comes_first_of_what_does_not_bind(self):
        slow = [WorkerUsage(0, SECOND // 2, SECOND, run_delay_ns=SECOND // 4)]
        kinds = [reason.kind for reason in reasons(recording(answered(surplus_replies=9), workers=slow))]
        assert kinds == [Kind.PAIRING, Kind.STARVED]
        busy = [WorkerUsage(0, SECOND, SECOND)]
        kinds = [reason.kind for reason in reasons(recording(answered(surplus_replies=9), workers=busy))]
        assert kinds == [Kind.PROCESSOR, Kind.PAIRING]

    def test_pongs_are_reported_from_pushes_by_what_they_say(self):
        assert found(recording(answered(surplus_replies=1260), rule="ping")) is None

    def test_known_pushes_are_no_sign(self):
        assert found(recording(answered(pushed=1260), ignore=(CHECK,))) is None
        assert found(recording(answered(pushed=1260), auto_replies=(AutoReply(CHECK, "x"),))) is None
        assert found(recording(answered(surplus_replies=1260), rule="none")) is None

    def test_recordings_of_versions_that_knew_no_rules_are_in_order(self):
        old = {"load": msgspec.to_builtins(LOAD), "message": {"kind": "text"}}
        assert found(recording(answered(surplus_replies=9), plan=old)) is not None
        pings = {"load": msgspec.to_builtins(LOAD), "message": {"kind": "ping"}}
        assert correlation_of(recording(plan=pings)).rule == "ping"
        assert found(recording(answered(surplus_replies=9), plan=pings)) is None

    def test_of_a_rule_of_another_version_nothing_is_said(self):
        plan = {"load": msgspec.to_builtins(LOAD), "correlation": {"rule": "telepathy"}}
        assert correlation_of(recording(plan=plan)) is None
        assert found(recording(answered(surplus_replies=9), plan=plan)) is None
        assert awaits_replies([recording(plan=plan)])

    def test_several_recordings_with_different_rules_cannot_be_judged_as_one(self):
        one, other = (recording(answered(surplus_replies=9), rule=rule) for rule in ("order", "echo"))
        assert found(one, other) is None
        assert found(one, one) is not None


class TestById:
    def test_an_id_that_is_never_ours_is_looked_for_in_the_wrong_place(self):
        made = recording(silence(pushed=300, unknown_id=290), rule="json", selector="id")
        assert found(made) == (
            "not one of the 300 messages was answered, and 290 came whose id was none of theirs: it is probably not"
            " where --match json:id looks in a reply"
        )

    def test_replies_without_an_id(self):
        text = found(recording(silence(pushed=300), rule="regex", selector="x(.)"))
        assert text == (
            "not one of the 300 messages was answered, and 300 others came without an id where --match regex:x(.)"
            " looks for it"
        )

    def test_a_target_that_says_nothing_has_no_id_to_look_for(self):
        assert found(recording(silence(), rule="json", selector="id")) is None

    @pytest.mark.parametrize(("pushed", "words"), [(0, "contents: is"), (1, "contents, though 1 other came: is")])
    def test_an_echo_that_never_came(self, pushed, words):
        assert f"{words} it an echo server?" in found(recording(silence(pushed=pushed), rule="echo"))

    def test_a_rule_that_finds_replies_is_not_doubted(self):
        for rule in ("echo", "json", "regex"):
            counts = {"pushed": 50, "unknown_id": 9, "out_of_order": 80, "duplicate_replies": 4, "late_replies": 3}
            assert reasons(recording(answered(**counts), rule=rule, selector="id")) == []

    def test_nor_is_one_that_had_nothing_to_find(self):
        assert found(recording(Tally(opened=1, surplus_replies=9), rule="echo")) is None


class TestNone:
    def test_it_is_by_design_that_nothing_is_answered(self):
        made = recording(silence(pushed=1000), rule="none")
        assert reasons(made) == []
        assert not awaits_replies([made, made])
        assert awaits_replies([made, recording(silence())])
        assert summarize([made]).warnings == []

    def test_sending_late_is_reported_without_response_times(self):
        lag = Histogram()
        lag.record(2 * MILLI, 100)
        late = silence(send_lag_ns=lag)
        text = found(recording(late, rule="none"), kind=Kind.SEND_LAG)
        assert text.startswith("half of the messages left more than 2 ms late: ")
        tail = Histogram()
        tail.record(1000, 98)
        tail.record(20 * MILLI, 2)
        text = found(recording(silence(send_lag_ns=tail), rule="none"), kind=Kind.SEND_LAG)
        assert text == "one message in a hundred left more than 20 ms late: run longer on a quieter machine"


class TestUnkind:
    def test_what_fell_due_on_them_is_not_missing_elsewhere(self):
        aside = Tally(due=900, sent=900, answered=500, unanswered=400)
        aside.response_time_ns.record(9 * SECOND, 500)
        aside.send_lag_ns.record(SECOND, 900)
        aside.write_blocked_ns = 100 * SECOND
        assert reasons(*[recording(answered(misbehaving=aside))] * 2) == []

    def test_how_many_there_are_is_the_plans_to_say(self):
        plan = Plan(
            Target("ws://a"),
            connections=40,
            misbehaving=MisbehavingClients(slow_reader=0.1, slow_reader_bytes_per_s=10.0, no_pong=0.01),
        )
        counts = misbehaving_counts(msgspec.to_builtins(plan))
        assert list(counts.items()) == [("slow_reader", 4), ("no_pong", 1)]
        assert (
            misbehaving_counts({})
            == misbehaving_counts({"misbehaving": 5})
            == misbehaving_counts({"misbehaving": None})
            == {}
        )


class TestChurn:
    def test_sessions_that_follow_one_another_share_the_measured_time(self):
        def blocked(**counts):
            made = answered(opened=100, write_blocked_ns=SECOND // 5, **counts)
            return found(recording(made), kind=Kind.WRITE_BLOCKED)

        assert blocked() is None
        assert blocked(reconnected=45, recycled=45).startswith("the kernel's send buffers were full 2 % of the time")
        assert blocked(reconnected=100) is None

    def test_garbage_is_judged_all_the_same(self):
        held = [WorkerUsage(0, SECOND // 2, SECOND, gc_ns=SECOND // 50)]
        made = recording(answered(recycled=50, opened=57), workers=held)
        assert "2 % of the time in garbage collections" in found(made, kind=Kind.GARBAGE)


def test_openings_of_all_phases_are_kept_as_percentiles():
    first, second = Tally(opened=3), Tally(opened=1)
    for value in (1000, 2000, 9000):
        first.connect_time_ns.record(value)
    second.connect_time_ns.record(5000)
    run = recording(first, answered(opened=0), second, Tally(), phases=["opening", "measured", "measured", "closing"])
    gathered = RunAggregator()
    for one in run.intervals:
        gathered.add_interval(one)
    assert aggregate([run], [gathered]) == aggregate([run])
    (openings,) = aggregate([run, run]).connect_intervals[:1]
    assert [(one.from_ns, one.to_ns, one.opened) for one in openings] == [(0, SECOND, 3), (2 * SECOND, 3 * SECOND, 1)]
    assert [(one.connect_p50_ns, one.connect_p99_ns) for one in openings] == [(2000, 9000), (5000, 5000)]
    assert [one.sent for one in aggregate([run]).recordings[0]] == [MANY, 0]


def test_a_message_that_varies_has_a_rule_too():
    plan = Plan(Target("ws://a"), message=Message(fields=("seq",)), correlation=Correlation("json", "id"))
    assert correlation_of(recording(plan=msgspec.to_builtins(plan.redacted()))) == Correlation("json", "id")
