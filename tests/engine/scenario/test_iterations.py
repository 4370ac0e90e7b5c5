"""Iterations on a schedule, without sockets or time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scenario.scenes import MS, START_NS, S, role, step, wait, world
from ws_load_test.engine.scenario.role_schedule import RoleSchedule, sessions_by_worker


def test_each_goes_to_an_idle_session_and_is_measured_from_when_it_was_due():
    user = role(sessions=2, rate_per_s=10.0, steps=(step("a", "a", "contains:a"),))
    with world(user) as one:
        one.open(0)
        one.open(1)
        one.start()
        # Due at 50, 150, 250 ms and so on.
        one.now(250 * MS)
        assert (one.sent(0), one.sent(1)) == (["a"], ["a"])
        one.now(260 * MS)
        one.receive("a", which=1)
        # The third one, which waited since 250 ms.
        assert (one.sent(0), one.sent(1)) == ([], ["a"])
        one.receive("a", which=0)
        one.now(270 * MS)
        one.receive("a", which=1)
        one.now(349 * MS)
        assert (one.sent(0), one.sent(1)) == ([], [])
        counts = one.counts()
    assert counts.answered == 3
    # The third left 10 ms late because no session was free, and at once when one was.
    assert counts.send_lag_ns.max == counts.steps["user/a"].send_lag_ns.max == 0
    assert (counts.roles["user"].iteration_wait_ns.count, counts.roles["user"].iteration_wait_ns.max) == (1, 10 * MS)
    assert counts.response_time_ns.max == 210 * MS
    users = counts.roles["user"]
    assert (users.iterations_due, users.iterations_begun, users.iterations_completed) == (3, 3, 3)
    assert users.iteration_time_ns.max == 210 * MS


@pytest.mark.parametrize("awaits", [("contains:a",), ()], ids=["answered", "unawaited"])
def test_lateness_after_a_session_was_free_is_send_lag(awaits):
    steps = (step("think", wait=wait(100 * MS)), step("a", "a", *awaits), step("b", "b", "contains:b"))
    with world(role(rate_per_s=10.0, steps=steps), timeout="60s") as one:
        one.open()
        one.start()
        # Due at 50 ms, so the step is due at 150 ms.
        one.now(150 * MS)
        if awaits:
            one.receive("a")
        one.now(1000 * MS)
        # Done with it, the session takes up the iteration of 150 ms, whose first step was due at 250 ms.
        one.receive("b")
        one.late(1005 * MS)
        if awaits:
            one.receive("a")
        counts = one.counts()
    assert counts.steps["user/a"].send_lag_ns.count == 2
    assert counts.steps["user/a"].send_lag_ns.max == counts.send_lag_ns.max == 5 * MS
    assert counts.roles["user"].iteration_wait_ns.max == 850 * MS
    if awaits:
        assert counts.response_time_ns.max == pytest.approx(850 * MS, rel=0.001)


def test_waits_of_the_warm_up_are_not_counted():
    with world(role(rate_per_s=1.0, steps=(step("a", "a", "contains:a"),)), warmup_ns=10 * S, timeout="5s") as one:
        one.open()
        one.start()
        one.now(3 * S)
        one.receive("a")
        assert one.sent() == ["a", "a"]
        assert "user" not in one.counts().roles


def test_one_that_no_session_takes_up_in_time_is_dropped():
    user = role(rate_per_s=1.0, steps=(step("a", "a", "contains:a", timeout_ns=60 * S),))
    with world(user, timeout="3s") as one:
        one.open()
        one.start()
        one.now(10 * S)
        # Ten were due; one is under way, and those of the three seconds before the last wait.
        users = one.counts().roles["user"]
        assert (users.iterations_due, users.iterations_begun, users.iterations_dropped) == (10, 1, 5)
        one.load.end(one.clock.now_ns())
        one.load.give_up()
        users = one.counts().roles["user"]
    assert users.iterations_due == users.iterations_begun + users.iterations_dropped == 3600


def test_one_that_has_waited_too_long_is_not_begun_late():
    user = role(rate_per_s=0.1, steps=(step("a", "a", "contains:a", timeout_ns=60 * S),))
    with world(user, timeout="3s") as one:
        one.open()
        one.start()
        one.now(5 * S)
        assert one.sent() == ["a"]
        # Due at 15 s; nothing is due again before 25 s.
        one.now(19 * S)
        one.receive("a")
        assert one.sent() == []
        users = one.counts().roles["user"]
    assert (users.iterations_due, users.iterations_begun, users.iterations_dropped) == (2, 1, 1)


def test_nothing_begins_after_the_end():
    user = role(sessions=2, rate_per_s=10.0, steps=(step("a", "a"),))
    with world(user) as one:
        one.open(0)
        one.start(end_ns=2 * S)
        one.now(5 * S)
        users = one.counts().roles["user"]
    assert (users.iterations_due, users.iterations_completed, users.iterations_dropped) == (20, 20, 0)


def test_a_wait_before_the_first_step_counts_from_the_iteration():
    user = role(rate_per_s=1.0, steps=(step("a", "a", "contains:a", wait=wait(100 * MS)),))
    with world(user) as one:
        one.open()
        one.start()
        one.now(600 * MS)
        assert one.sent() == ["a"]
        one.now(610 * MS)
        one.receive("a")
        assert one.counts().response_time_ns.max == 10 * MS


@settings(max_examples=30, deadline=None)
@given(
    first=st.integers(0, 20),
    sessions=st.integers(1, 30),
    workers=st.integers(1, 7),
    rate=st.floats(0.5, 500),
    arrivals=st.sampled_from(["constant", "poisson"]),
)
def test_workers_share_a_schedule(first, sessions, workers, rate, arrivals):
    weights = sessions_by_worker(first, sessions, workers)
    assert sum(weights) == sessions

    def instants(weights, worker):
        schedule = RoleSchedule(rate, weights, worker, arrivals, 7)
        schedule.start(START_NS, START_NS + 2 * S)
        taken = []
        while (due_ns := schedule.next_due()) is not None and len(taken) < 40:
            taken.append(due_ns)
            schedule.take()
        return taken, schedule.take_all()

    whole, whole_left = instants((1,), 0)
    shares = [instants(weights, worker) for worker in range(workers)]
    together = sorted(due_ns for share, _ in shares for due_ns in share)
    assert sum(left + len(share) for share, left in shares) == whole_left + len(whole)
    if len(together) == len(whole):
        assert together == whole
    for weight, (share, left) in zip(weights, shares, strict=True):
        assert bool(share or left) <= bool(weight)
