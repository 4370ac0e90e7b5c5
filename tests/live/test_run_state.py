from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.run_states import MILLI, SECOND, answers, damaged, histogram, interval, load, opening, plan, scene
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.findings import FindingKind
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.live import run_state as scenes
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import (
    Header,
    Host,
    HostInterval,
    LostWorker,
    Recording,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.plan.session_policy import DisconnectStorm


def ramp(to=1000.0, seconds=10):
    return OpenLoop(LoadProfile((Stage(seconds * SECOND, 0.0, to),)))


class TestSessions:
    def test_open_is_what_opened_and_has_not_ended(self):
        made = scene(
            opening(90, failed=4),
            interval(Tally(closed=Counter({"1006": 30}), lost=30, misbehaving=Tally(closed=Counter({"1008": 5})))),
            interval(Tally(attempted=20, opened=20, reconnected=20), at_s=1),
        )
        assert made.open == 90 - 30 - 5 + 20
        assert list(made.open_history) == [90, 55, 75]

    def test_sessions_of_a_lost_worker_are_not_open(self):
        made = scene(opening(100))
        made.lost_workers = [LostWorker(1, "killed", 5, open_sessions=50)]
        assert made.open == 50

    def test_what_is_asked_follows_the_shape_from_the_start_of_the_load(self):
        shape = LoadProfile((Stage(10 * SECOND, 0, 100), Stage(10 * SECOND, 100, 100)))
        made = scene(opening(0), asked=plan(connection_profile=shape))
        assert made.requested_open(9 * SECOND) == 0
        made.on_interval(interval(at_s=2))
        assert made.requested_open(7 * SECOND) == 50
        assert made.requested_open(40 * SECOND) == 100
        assert scene().requested_open(SECOND) == 100

    def test_a_storm_goes_down_and_up(self):
        made = scene(
            opening(100),
            interval(Tally(closed=Counter({"1006": 50}), storm_disconnected=50)),
            interval(Tally(attempted=50, opened=50, reconnected=50), at_s=1),
            asked=plan(disconnect_storm=DisconnectStorm(0.5, SECOND)),
        )
        assert list(made.open_history) == [100, 50, 100]


class TestMessages:
    def test_asked_is_the_mean_of_the_schedule_over_the_interval(self):
        made = scene(
            opening(), *(interval(Tally(sent=k), at_s=1 + k) for k in range(3)), asked=plan(load=ramp(1000, 10))
        )
        assert [one.requested_per_s for one in made.history] == pytest.approx([50, 150, 250])
        assert [one.sent_per_s for one in made.history] == [0, 1, 2]

    def test_the_schedule_begins_with_the_warm_up(self):
        asked = plan(load=ramp(1000, 10), warmup_ns=2 * SECOND)
        made = scene(
            opening(),
            interval(Tally(warmup_sent=7, warmup_answered=5), "warmup", at_s=1),
            interval(at_s=2),
            asked=asked,
        )
        first, second = made.history
        assert (first.requested_per_s, first.sent_per_s, first.answered_per_s) == (pytest.approx(50), 7, 5)
        assert second.requested_per_s == pytest.approx(150)

    def test_a_flood_asks_for_nothing(self):
        assert scene(interval(answers(MILLI))).history[0].requested_per_s is None

    def test_intervals_too_short_to_tell_a_rate_are_in_no_history(self):
        made = scene(
            opening(), interval(answers(MILLI)), interval(answers(MILLI), at_s=1, length_s=0.01), interval(length_s=0)
        )
        assert [one.answered_per_s for one in made.history] == [1]
        assert made.tally.answered == 2

    def test_a_history_has_an_end(self):
        made = scene(*(interval(at_s=k) for k in range(scenes.MAX_HISTORY + 5)))
        assert len(made.history) == len(made.open_history) == scenes.MAX_HISTORY
        assert sum(len(one.intervals) for one in made._diagnosed) <= 2 * scenes.DIAGNOSED_INTERVALS

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.lists(st.integers(0, 10**12), max_size=3), min_size=1, max_size=12), st.integers(1, 8))
    def test_the_last_seconds_are_the_last_intervals_and_the_whole_is_all(self, values, seconds):
        made = scene(*(interval(answers(*some), at_s=k) for k, some in enumerate(values)), recent_ns=seconds * SECOND)
        assert made.recent_response_ns == histogram(*(value for some in values[-seconds:] for value in some))
        assert made.tally.response_time_ns == histogram(*(value for some in values for value in some))

    def test_one_interval_that_is_longer_than_the_last_seconds_still_counts(self):
        assert scene(interval(answers(MILLI), length_s=20)).recent_response_ns.count == 1

    def test_waiting_is_neither_answered_nor_given_up(self):
        assert scene(interval(Tally(sent=10, answered=6, unanswered=1))).in_flight == 3


class TestHowFar:
    def test_nothing_is_known_before_the_first_interval(self):
        made = scene()
        assert (made.phase, made.progress(0), made.remaining_ns(0)) == (None, None, None)

    def test_opening_by_sessions(self):
        made = scene(opening(40, failed=10))
        assert made.progress(5 * SECOND) == 0.5
        assert made.remaining_ns(5 * SECOND) is None

    def test_warm_up_and_what_comes_behind_it(self):
        made = scene(opening(), interval(phase="warmup", at_s=1), asked=plan(warmup_ns=4 * SECOND))
        assert made.progress(3 * SECOND) == 0.5
        assert made.remaining_ns(3 * SECOND) == 62 * SECOND

    def test_measured_by_time(self):
        made = scene(opening(), interval(at_s=1), interval(at_s=2))
        assert made.progress(16 * SECOND) == 0.25
        assert made.remaining_ns(16 * SECOND) == 45 * SECOND
        assert (made.progress(99 * SECOND), made.remaining_ns(99 * SECOND)) == (1, 0)

    def test_a_number_of_messages_by_how_fast_they_are_answered(self):
        asked = plan(duration_ns=None, messages=1000)
        made = scene(
            interval(answers(*[MILLI] * 100)), interval(answers(*[MILLI] * 150, dropped=50), at_s=1), asked=asked
        )
        assert made.progress(2 * SECOND) == 0.3
        assert made.remaining_ns(2 * SECOND) == 700 * SECOND // 125
        assert made.remaining_ns(3 * SECOND) == 700 * SECOND // 125 - SECOND
        assert scene(interval(), asked=asked).remaining_ns(SECOND) is None

    def test_a_number_of_messages_that_stay_unanswered(self):
        asked = plan(duration_ns=None, messages=100, correlation=Correlation("none"))
        made = scene(interval(Tally(sent=20)), asked=asked)
        assert (made.progress(SECOND), made.remaining_ns(SECOND)) == (0.2, 4 * SECOND)

    def test_closing(self):
        made = scene(interval(phase="closing"))
        assert (made.progress(SECOND), made.remaining_ns(SECOND)) == (None, None)


class TestReasons:
    def test_none_where_all_is_well(self):
        assert scene(*(interval(answers(MILLI), at_s=k, workers=[load()]) for k in range(5))).findings() == []

    def test_a_worker_that_needs_its_core_binds(self):
        made = scene(*(interval(answers(MILLI), at_s=k, workers=[load(cpu=0.99)]) for k in range(5)))
        assert [(one.kind, one.saturates) for one in made.findings()] == [(FindingKind.PROCESSOR, True)]

    def test_what_is_long_ago_is_forgotten(self):
        busy = [interval(answers(MILLI), at_s=k, workers=[load(cpu=0.99)]) for k in range(5)]
        calm = [interval(answers(MILLI), at_s=5 + k, workers=[load()]) for k in range(2 * scenes.DIAGNOSED_INTERVALS)]
        assert scene(*busy, *calm).findings() == []

    def test_replies_that_are_left_over_under_load_are_reported(self):
        made = scene(opening(10), interval(answers(MILLI, surplus_replies=25)))
        assert [one.kind for one in made.findings()] == [FindingKind.PAIRING]

    def test_of_a_cluster_each_machine_is_judged_by_itself_as_in_the_report(self):
        hosts = tuple(
            Host(name=name, first_worker=2 * place, workers=2, facts={"cores": cores})
            for place, (name, cores) in enumerate([("a", 8), ("b", 2)])
        )
        header = Header(tool="", started_at="", plan={}, target="", host={"cores": 2}, workers=4, hosts=hosts)
        seconds = [
            msgspec.structs.replace(
                interval(answers(MILLI), at_s=k, workers=[load(0), load(1), load(2), load(3, cpu=0.99)]).interval,
                hosts=tuple(HostInterval(place, k * SECOND, answers(MILLI).to_record()) for place in range(2)),
            )
            for k in range(5)
        ]
        made = scene(*map(IntervalEvent.decode, seconds), asked=plan(workers=4), header=header)
        (reason,) = made.findings()
        assert (reason.kind, reason.saturates) == (FindingKind.PROCESSOR, True)
        assert reason.text.startswith("host b: worker 3 used 99 % of a core")
        assert "with more cores" in reason.text
        recordings = [Recording(header, tuple(seconds))]
        assert reason in diagnose(recordings, aggregate(recordings))

    def test_what_only_the_end_can_show_is_not_shown(self):
        asked = plan(load=OpenLoop(LoadProfile.constant(100, 60 * SECOND)))
        made = scene(*(interval(answers(MILLI, due=100, sent=90, unanswered=5), at_s=k) for k in range(5)), asked=asked)
        assert made.findings() == []


def test_examples_are_the_first_of_each_kind():
    made = scene(
        interval(fault_examples={"reset": "first"}), interval(fault_examples={"reset": "later", "dns": "other"}, at_s=1)
    )
    assert made.examples == {"reset": "first", "dns": "other"}


def test_a_damaged_interval_changes_nothing():
    made = scene(opening())
    with pytest.raises(ValueError, match="there is no host 7"):
        made.on_interval(damaged())
    assert (made.phase, made.intervals, made.open) == ("opening", 1, 100)
