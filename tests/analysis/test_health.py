"""Every reason is provoked, and every threshold stands where it says."""

from collections import Counter

import msgspec
import pytest

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.findings import FindingKind
from ws_load_test.analysis.findings import FindingKind as Kind
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.summary import summarize
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.scenario_metrics import AT_NO_STEP
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.plan.schedule import LoadProfile, Stage

SECOND = 10**9
MILLI = 10**6
RATE = 10_000
CLOSED = ClosedLoop(4)
MANY = 100_000


def open_load(rate=RATE, **options):
    return OpenLoop(LoadProfile((Stage(60 * SECOND, rate, rate),)), **options)


def tally(*, response=MILLI, count=MANY, lag=None, loop=None, **counts):
    """Answers that all took `response`; lags are {ns: how many}."""
    numbers = {"due": count, "sent": count, "answered": count, "answered_in_window": count, "opened": 10}
    made = Tally(**{**numbers, **counts})
    made.response_time_ns.record(response, count)
    made.service_time_ns.record(response, count)
    for histogram, values in ((made.send_lag_ns, lag), (made.loop_lag_ns, loop)):
        for value, many in (values or {}).items():
            histogram.record(value, many)
    return made


def recording(*seconds, load=None, host=None, workers=1):
    """A run of (tally, worker loads) or tallies, one a second."""
    intervals = []
    for number, second in enumerate(seconds):
        made, loads = second if isinstance(second, tuple) else (second, [])
        intervals.append(
            Interval.of(
                made,
                index=number,
                phase="measured",
                from_ns=number * SECOND,
                to_ns=(number + 1) * SECOND,
                measured_ns=SECOND,
                workers=loads,
            )
        )
    header = Header(
        tool="t",
        started_at="2026-03-01T12:00:00Z",
        plan={"load": msgspec.to_builtins(load or open_load())},
        target="ws://a",
        host={"cores": 8} if host is None else host,
        workers=workers,
    )
    return Recording(header, tuple(intervals), Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, summary={}))


def load(cpu=0.1, *, delay=0.0, throttled=0.0, gc=0.0, worker=0):
    return WorkerUsage(worker, *(round(part * SECOND) for part in (cpu, 1, delay, throttled, gc)))


def reasons(*recordings):
    return diagnose(recordings, aggregate(recordings))


def found(*recordings, kind):
    """The one reason of a kind, or None."""
    of_kind = [reason for reason in reasons(*recordings) if reason.kind == kind]
    assert len(of_kind) <= 1
    return of_kind[0] if of_kind else None


def working(*loads, made=None, seconds=2, **options):
    return recording(*[(made or tally(), list(loads))] * seconds, **options)


LATE = tally(lag={2 * MILLI: 100})


def test_nothing_is_to_be_said_of_a_healthy_run():
    calm = tally(lag={30_000: 990, 9 * MILLI: 10}, loop={50_000: 49, 9 * MILLI: 1})
    assert reasons(recording(*[(calm, [load(0.6, delay=0.2, gc=0.009, throttled=0.009)])] * 10)) == []
    assert reasons(recording(*[(tally(), [load(0.7)])] * 10, load=CLOSED)) == []


def test_an_empty_recording_has_no_reasons():
    assert reasons(recording()) == []
    assert reasons(recording((Tally(), [WorkerUsage(0, 0, 0)]))) == []


class TestProcessor:
    def test_a_run_that_is_over_at_once_tells_nothing(self):
        def used(length_ns):
            busy = WorkerUsage(0, length_ns, length_ns)
            return found(recording((tally(), [busy])), kind=FindingKind.PROCESSOR)

        assert used(499_999_999) is None
        assert used(500_000_000) is not None

    @pytest.mark.parametrize(("cpu", "delay"), [(0.95, 0), (1.02, 0), (0.85, 0.10), (0.75, 0.20)])
    def test_a_worker_that_needs_its_whole_core_binds(self, cpu, delay):
        reason = found(working(load(cpu, delay=delay), made=LATE), kind=Kind.PROCESSOR)
        assert reason.saturates
        assert reason.text.startswith(f"the worker used {min(cpu, 1):.0%} of a core: ".replace("%", " %"))
        assert reason.text.endswith("add workers with -w, lower the rate, or use another machine")

    @pytest.mark.parametrize(("cpu", "delay"), [(0.94, 0), (0.75, 0.25), (0.9, 0.1), (0.5, 0.5)])
    def test_one_that_has_time_to_spare_does_not(self, cpu, delay):
        assert not any(reason.saturates for reason in reasons(working(load(cpu, delay=delay))))

    def test_a_flood_says_whose_limit_the_throughput_is(self):
        reason = found(working(load(0.99), load=CLOSED), kind=Kind.PROCESSOR)
        assert "so the throughput is the generator's limit and not the target's: add workers" in reason.text
        assert "lower" not in reason.text

    def test_workers_are_named_and_counted(self):
        quiet, busy, busier = load(0.2, worker=0), load(0.96, worker=1), load(0.98, worker=2)
        text = found(working(quiet, busy, workers=2), kind=Kind.PROCESSOR).text
        assert text.startswith("worker 1 used 96 % of a core")
        text = found(working(quiet, busy, busier, workers=3), kind=Kind.PROCESSOR).text
        assert text.startswith("2 of 3 workers used up to 98 % of a core")
        text = found(working(busy, busier, workers=2), kind=Kind.PROCESSOR).text
        assert text.startswith("all of 2 workers used up to 98 %")
        text = found(working(load(0.99)), working(load(0.1)), kind=Kind.PROCESSOR).text
        assert text.startswith("one of 2 workers used 99 %")

    def test_more_workers_than_cores_are_no_remedy(self):
        text = found(working(load(0.99), host={"cores": 1}), kind=Kind.PROCESSOR).text
        assert text.endswith(": lower the rate or use a machine with more cores")
        assert "add workers" in found(working(load(0.99), host={}), kind=Kind.PROCESSOR).text

    def test_a_load_that_reaches_the_limit_near_its_end(self):
        rising = [(tally(), [load(cpu)]) for cpu in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.97, 0.98)]
        reason = found(recording(*rising), kind=Kind.PROCESSOR)
        assert reason.saturates
        assert "98 %" in reason.text
        assert found(recording(*rising[:6]), kind=Kind.PROCESSOR) is None

    def test_too_few_seconds_tell_nothing_of_the_course(self):
        assert found(recording((tally(), [load(0.5)]), (tally(), [load(0.96)])), kind=Kind.PROCESSOR) is None


class TestStarved:
    def test_wanting_all_of_a_core_that_others_have_binds(self):
        reason = found(working(load(0.6, delay=0.36), made=LATE), kind=Kind.STARVED)
        assert reason.saturates
        assert "wanted a whole core and waited for it 36 % of the time" in reason.text

    def test_a_schedule_that_is_kept_has_enough(self):
        reason = found(working(load(0.5, delay=0.5), made=tally(lag={MILLI: 50}, loop={MILLI: 50})), kind=Kind.STARVED)
        assert not reason.saturates

    def test_a_schedule_that_waits_for_room_is_judged_by_the_loop(self):
        held = open_load(max_in_flight=1)
        for made, binding in ((tally(lag={SECOND: 50}), False), (tally(loop={2 * MILLI: 50}), True)):
            assert found(working(load(0.5, delay=0.5), made=made, load=held), kind=Kind.STARVED).saturates == binding

    def test_waiting_with_time_to_spare_is_reported(self):
        reason = found(working(load(0.3, delay=0.21)), kind=Kind.STARVED)
        assert not reason.saturates
        assert "waited for a core 21 % of the time" in reason.text
        assert found(working(load(0.3, delay=0.2)), kind=Kind.STARVED) is None

    def test_a_flood_wants_all_it_can_get(self):
        assert found(working(load(0.5, delay=0.41), load=CLOSED), kind=Kind.STARVED).saturates
        assert not found(working(load(0.5, delay=0.41)), kind=Kind.STARVED).saturates
        assert not found(working(load(0.5, delay=0.39), load=CLOSED), kind=Kind.STARVED).saturates


@pytest.mark.parametrize(
    ("held", "kind", "words"),
    [
        ("throttled", Kind.THROTTLED, "stood still 3 % of the time"),
        ("gc", Kind.GARBAGE, "spent 3 % of the time in garbage collections"),
    ],
)
def test_pauses_bind_from_one_per_cent(held, kind, words):
    reason = found(working(load(**{held: 0.03})), kind=kind)
    assert reason.saturates
    assert words in reason.text
    assert found(working(load(**{held: 0.01})), kind=kind) is None


def test_what_the_machine_refuses_binds_the_most_frequent_first():
    failing = tally(host_errors=Counter({"gremlins": 1, "too-many-open-files": 1200, "none": 0}))
    made = reasons(recording(failing))
    assert [(reason.kind, reason.saturates) for reason in made] == [(Kind.HOST, True)] * 2
    assert "too-many-open-files 1,200 times: raise the limit" in made[0].text
    assert made[1].text.endswith("gremlins once")


class TestSendLag:
    def test_half_of_the_messages_late_binds(self):
        reason = found(recording(tally(lag={1_100_000: 51, 0: 49})), kind=Kind.SEND_LAG)
        assert reason.saturates
        assert reason.text.startswith("half of the messages left more than 1.10 ms late")
        assert found(recording(tally(lag={MILLI: 51, 0: 49})), kind=Kind.SEND_LAG) is None
        assert found(recording(tally(lag={1_100_000: 49, 0: 51})), kind=Kind.SEND_LAG) is None

    def test_a_quarter_of_the_seconds_late_binds(self):
        calm, late = tally(lag={0: 1000}), tally(lag={2 * MILLI: 100})
        reason = found(recording(calm, calm, late, calm), kind=Kind.SEND_LAG)
        assert reason.saturates
        assert reason.text.startswith("in 25 % of the seconds half of the messages left more than 1 ms late")
        assert found(recording(calm, calm, calm, late, calm), kind=Kind.SEND_LAG) is None
        assert found(recording(calm, late), kind=Kind.SEND_LAG) is None

    def test_a_tail_binds_where_it_lasts_and_is_reported_where_it_does_not(self):
        calm = tally(lag={0: 1000}, response=15 * MILLI)
        tail = tally(lag={0: 900, 11 * MILLI: 100}, response=15 * MILLI)
        lasting = found(recording(calm, tail, tail, calm), kind=Kind.SEND_LAG)
        assert lasting.saturates
        assert lasting.text.startswith("one message in a hundred left more than 11 ms late")
        for once in ([calm, calm, tail, calm], [tail, calm, tail]):
            told = found(recording(*once), kind=Kind.SEND_LAG)
            assert not told.saturates
            assert "read the service times" in told.text

    @pytest.mark.parametrize(("lag", "response"), [(10, 15), (11, 23), (100, 201)])
    def test_a_tail_that_is_short_or_small_beside_the_times_says_nothing(self, lag, response):
        tail = tally(lag={0: 900, lag * MILLI: 100}, response=response * MILLI)
        assert found(recording(*[tail] * 5), kind=Kind.SEND_LAG) is None

    def test_what_waits_for_room_waits_for_the_target(self):
        late = tally(lag={900 * MILLI: 100})
        assert found(recording(*[late] * 5, load=open_load(max_in_flight=1)), kind=Kind.SEND_LAG) is None
        assert found(recording(*[late] * 5), kind=Kind.SEND_LAG).saturates


class TestLoopLag:
    def test_half_of_the_time_late_binds_where_it_is_most_of_what_is_measured(self):
        late = {1_200_000: 26, 0: 24}
        reason = found(recording(tally(loop=late, response=2 * MILLI), load=CLOSED), kind=Kind.LOOP_LAG)
        assert reason.saturates
        assert "late, at a median of 2 ms" in reason.text
        for made in (tally(loop=late, response=3 * MILLI), tally(loop={MILLI: 50}), tally(loop={1_200_000: 24, 0: 26})):
            assert found(recording(made, load=CLOSED), kind=Kind.LOOP_LAG) is None

    def test_one_in_ten_late_binds_where_it_lasts(self):
        late, calm = tally(loop={0: 44, 12 * MILLI: 6}), tally(loop={0: 50})
        reason = found(recording(calm, late, late, calm), kind=Kind.LOOP_LAG)
        assert reason.saturates
        assert reason.text.startswith("in 50 % of the seconds the event loop turned to replies more than 10 ms late")
        hiccup = tally(loop={0: 49, 12 * MILLI: 1})
        for seconds in ([calm, calm, late, calm], [late] * 3, [hiccup] * 10):
            assert found(recording(*seconds), kind=Kind.LOOP_LAG) is None

    def test_a_tail_is_reported_where_it_has_the_samples(self):
        hiccup = tally(loop={0: 49, 12 * MILLI: 1})
        reason = found(recording(*[hiccup] * 20), kind=Kind.LOOP_LAG)
        assert not reason.saturates
        assert "more than 12 ms late one time in a hundred" in reason.text
        assert found(recording(*[tally(loop={0: 49, 12 * MILLI: 1}, response=SECOND)] * 20), kind=Kind.LOOP_LAG) is None

    def test_a_loop_that_is_late_for_a_known_reason_is_reported_once(self):
        late = tally(loop={5 * MILLI: 50})
        assert found(working(load(0.2), made=late), kind=Kind.LOOP_LAG).saturates
        assert found(working(load(0.99), made=late), kind=Kind.LOOP_LAG) is None


class TestHoldUp:
    def held_up(self, at, *times):
        made = tally(held_up_at=Counter(at))
        for time_ns in times:
            made.hold_up_ns.record(time_ns)
        return found(recording(made), kind=Kind.HOLD_UP)

    def test_code_that_keeps_the_loop_is_named_by_the_step_that_took_the_most(self):
        reason = self.held_up({"player/move": 900 * MILLI, "player/join": 60 * MILLI}, 60 * MILLI, 900 * MILLI)
        assert not reason.saturates
        assert 'code of role "player" behind step "move" held up all sessions' in reason.text
        assert "kept the event loop 2 times for more than 50 ms, at most 900 ms" in reason.text

    def test_code_before_the_first_step_is_at_none(self):
        assert 'role "player" at no step held up' in self.held_up({f"player/{AT_NO_STEP}": 60 * MILLI}, 60 * MILLI).text

    def test_the_function_of_a_reaction_is_named(self):
        reason = self.held_up({"player/(on) tick": 60 * MILLI}, 60 * MILLI)
        assert 'code of role "player" in the function of reaction "tick" held up all sessions' in reason.text

    def test_without_any_there_is_nothing_to_report(self):
        assert self.held_up({}) is None


class TestReadLag:
    def delivered(self, lag, delivery):
        made = tally()
        made.delivery_time_ns.record(delivery, 100)
        made.read_lag_ns.record(lag, 100)
        return found(recording(made), kind=Kind.READ_LAG)

    def test_deliveries_that_were_read_late_bind_above_a_tenth_of_the_delivery_time(self):
        reason = self.delivered(MILLI, 9 * MILLI)
        assert reason.saturates
        assert "read more than 1 ms behind others that came with it, at a delivery p99 of 9 ms" in reason.text
        # Those that are only counted are read as well.
        assert "--timed" not in reason.text
        assert self.delivered(MILLI, 11 * MILLI) is None
        assert self.delivered(MILLI // 3, delivery=MILLI) is None, "a hundred reads in a row take that long"


class TestRate:
    def test_messages_that_were_never_sent_are_reported(self):
        reason = found(recording(tally(due=MANY * 2, dropped=MANY)), kind=Kind.RATE)
        assert not reason.saturates
        assert "100,000 of the 200,000 messages that were due, 50 %, were dropped" in reason.text
        assert "the run ended before they had left" in reason.text

    def test_one_per_cent_is_the_edge(self):
        assert found(recording(tally(due=1000, sent=990, dropped=10, count=990)), kind=Kind.RATE) is None
        assert found(recording(tally(due=1000, sent=989, dropped=11, count=989)), kind=Kind.RATE)

    def test_where_they_were_lost(self):
        lost = {"due": MANY * 2, "dropped": MANY}
        late = tally(**lost, lag={SECOND: 10})
        assert "because the generator could not send them in time:" in found(recording(late), kind=Kind.RATE).text
        gone = tally(**lost, lost=1)
        assert "because connections had failed or were lost:" in found(recording(gone), kind=Kind.RATE).text
        held = recording(tally(**lost, failed=1), load=open_load(max_in_flight=2))
        text = found(held, kind=Kind.RATE).text
        assert "because too few replies came to make room for them under --max-in-flight and connections" in text

    def test_a_flood_has_no_rate(self):
        assert found(recording(tally(due=MANY * 2, dropped=MANY), load=CLOSED), kind=Kind.RATE) is None

    def test_files_that_ran_out_do_not_make_the_generator_slow(self):
        made = tally(due=MANY * 2, dropped=MANY, host_errors=Counter({"too-many-open-files": 1}), failed=1)
        assert "in time" not in found(recording(made), kind=Kind.RATE).text


class TestQueue:
    def test_a_target_that_falls_behind_is_reported(self):
        growing = tally(response=2 * SECOND, sent=MANY, answered_in_window=MANY - 40_000)
        reason = found(recording(growing), kind=Kind.QUEUE)
        assert not reason.saturates
        assert "40,000 of the 100,000 messages sent, 40 %, were answered only after the measured time" in reason.text
        assert "growing: the target did not keep up" in reason.text

    def test_a_steady_queue_is_none(self):
        # 10,000 a second that take 2 s each: 20,000 are on their way at any time.
        for behind, told in ((20_000, False), (30_010, False), (30_011, True)):
            steady = tally(response=2 * SECOND, answered_in_window=MANY - behind)
            assert (found(recording(steady), kind=Kind.QUEUE) is not None) == told

    def test_unanswered_messages_and_the_edge_are_no_queue(self):
        assert found(recording(tally(unanswered=MANY // 2, answered_in_window=MANY // 2)), kind=Kind.QUEUE) is None
        assert found(recording(tally(answered_in_window=MANY * 99 // 100)), kind=Kind.QUEUE) is None
        assert found(recording(tally(answered_in_window=0), load=CLOSED), kind=Kind.QUEUE) is None

    def test_a_generator_that_is_late_itself_blames_no_target(self):
        late = tally(response=2 * SECOND, answered_in_window=0, lag={SECOND: 10})
        assert "the target or the generator" in found(recording(late), kind=Kind.QUEUE).text

    def test_a_load_of_another_version_is_no_crash(self):
        made = recording(tally(answered_in_window=0))
        for strange in ({"kind": "open"}, {"kind": "open", "rate": {"stages": []}}, {}, 5):
            header = msgspec.structs.replace(made.header, plan={"load": strange})
            assert found(Recording(header, made.intervals, made.trailer), kind=Kind.QUEUE)


class TestUnanswered:
    def test_the_percentiles_lack_them(self):
        made = tally(unanswered=1200)
        made.unanswered_wait_ns.record(3 * SECOND, 1200)
        reason = found(recording(made), kind=Kind.UNANSWERED)
        assert not reason.saturates
        assert "lack 1,200 unanswered messages, which had waited at least 3 s" in reason.text
        assert "lack 1 unanswered message:" in found(recording(tally(unanswered=1)), kind=Kind.UNANSWERED).text

    def test_there_are_no_percentiles_to_lack_them(self):
        assert found(recording(Tally(sent=1, unanswered=1)), kind=Kind.UNANSWERED) is None
        assert found(recording(tally()), kind=Kind.UNANSWERED) is None


@pytest.mark.parametrize(
    ("count", "which"),
    [
        (3, "all percentiles rest on fewer than 10 of 3 answers"),
        (9_999, "p99.9 and p99.99 rest on"),
        (99_999, "p99.99 rests on fewer than 10 of 99,999 answers"),
        (100_000, None),
    ],
)
def test_percentiles_of_too_few_samples(count, which):
    reason = found(recording(tally(count=count)), kind=Kind.FEW_SAMPLES)
    assert (reason is None) == (which is None)
    if reason is not None:
        assert reason.text.startswith(which)
        assert not reason.saturates


@pytest.mark.parametrize(
    ("fastest", "words"),
    [(0, "the clock's steps are coarser"), (1_999, "check that the target answers each message once"), (2_000, None)],
)
def test_times_that_cannot_be(fastest, words):
    made = tally()
    made.service_time_ns.record(fastest)
    reason = found(recording(made), kind=Kind.TOO_FAST)
    assert (reason is None) == (words is None)
    if reason is not None:
        assert words in reason.text
        assert not reason.saturates


def test_full_send_buffers_are_reported_from_one_per_cent_of_the_connections_time():
    # Ten connections for two seconds.
    for blocked_ns, told in ((SECOND // 5, False), (SECOND // 4, True)):
        reason = found(recording(tally(write_blocked_ns=blocked_ns), tally(opened=0)), kind=Kind.WRITE_BLOCKED)
        assert (reason is not None) == told
    assert not reason.saturates
    assert "full 1 % of the time" in reason.text


def test_what_was_asked_for_in_vain_is_reported_with_its_count():
    asked = Counter({"permessage-deflate": 10, "subprotocol": 3, "tls-resumption": 1})
    made = recording(tally(not_granted=asked))
    texts = [reason.text for reason in reasons(made) if reason.kind is Kind.NOT_GRANTED]
    compression, subprotocol, resumption = texts
    assert compression.startswith("compression was offered (--deflate), and not granted in 10 of 10 sessions: ")
    assert subprotocol.startswith(
        "a subprotocol was offered (--subprotocol), and none was chosen in 3 of 10 sessions: "
    )
    assert resumption.startswith("an earlier TLS session was offered, and not resumed in 1 of 10 sessions: ")
    assert not any(reason.saturates for reason in reasons(made))
    assert summarize([made]).opening.not_granted == asked


def test_the_summary_has_them_all():
    summary = summarize([working(load(0.99), made=tally(unanswered=1, sent=MANY + 1, due=MANY + 1))])
    generator = summary.generator
    assert generator.saturated is True
    assert generator.cpu_share == 0.99
    assert [text.split()[1] for text in generator.reasons] == ["worker"]
    assert [text.split()[1] for text in summary.warnings] == ["percentiles"]
    calm = summarize([working(load(0.2))])
    assert (calm.generator.saturated, calm.generator.reasons, calm.warnings) == (False, [], [])


def test_what_binds_comes_first():
    made = reasons(working(load(0.3, delay=0.3), made=tally(lag={SECOND: 9}, host_errors=Counter({"out-of-ports": 1}))))
    assert [(reason.kind, reason.saturates) for reason in made] == [
        (Kind.HOST, True),
        (Kind.SEND_LAG, True),
        (Kind.STARVED, False),
    ]


def test_a_stretch_is_what_the_measured_second_was_like():
    made = tally(response=3 * MILLI, count=100, answered_in_window=90, lag={5: 98, 7: 2}, loop={1: 94, 9: 6})
    made.faults["reset"] = 4
    run = recording((made, [load(0.5)]))
    (only,) = aggregate([run]).recordings[0]
    assert (only.from_ns, only.to_ns, only.length_ns, only.answered, only.faults) == (0, SECOND, SECOND, 90, 4)
    assert (only.response_p50_ns, only.response_p90_ns, only.response_p99_ns) == (3 * MILLI,) * 3
    assert (only.send_lag_p50_ns, only.send_lag_p99_ns, only.loop_lag_p90_ns) == (5, 7, 1)
    assert only.workers == (load(0.5),)


def test_every_sentence_can_stand_in_a_list():
    made = tally(
        due=MANY * 2,
        unanswered=2,
        lag={SECOND: 9},
        write_blocked_ns=9 * SECOND,
        host_errors=Counter({"out-of-ports": 1}),
    )
    made.service_time_ns.record(5)
    told = reasons(working(load(0.5, delay=0.5, gc=0.1, throttled=0.1), made=made))
    assert len(told) >= 9
    for reason in told:
        assert not reason.text.endswith(".")
        assert "  " not in reason.text
        assert not reason.text[:1].isupper()
    assert [reason.saturates for reason in told] == sorted((reason.saturates for reason in told), reverse=True)
