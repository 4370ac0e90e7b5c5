"""Excerpts of the sessions that a worker follows: what is noted, of whom, and which are kept."""

import pytest

from engine.scenario.scenes import MS, S, on, role, step, timer, wait, world
from ws_load_test.engine.scenario.followed_player import FollowedPlayer
from ws_load_test.engine.scenario.session_notes import ENTRIES_AFTER, MOST_FOLLOWED, evenly_picked
from ws_load_test.metrics.session_excerpts import MOST_ENTRIES

ASK = step("ask", '{"id": {seq}}', "json:id={seq}")


def excerpts(one, name="user"):
    found = one.counts().roles[name].excerpts
    return {} if found is None else dict(found.all())


def shown(entries):
    """Kind, name, due or read, sent, over, count and fate of each, in ms."""
    return [
        (
            *(one.kind, one.name),
            *(None if at is None else at // MS for at in (one.at_ns, one.sent_ns, one.until_ns)),
            *(one.count, one.fate),
        )
        for one in entries
    ]


def test_steps_messages_and_faults_are_noted_in_their_order_with_their_instants():
    user = role(
        open=(step("join", "join", "contains:joined"),),
        steps=(
            step("pause", wait=wait(1 * S)),
            step("say", '{"id": {seq}}', "json:id={seq}", expect=("json:ok",)),
            step("tell", "told"),
            step("story", "tell me", until=("json:end",)),
        ),
        leave=(step("bye", "bye", "contains:bye"),),
        timers=(timer(1500 * MS, "beat", "beat", "contains:beaten"),),
        reactions=(on("tick", "json:tick"), on("bad", "json:error", fault="refused")),
    )
    with world(user, follows=True) as one:
        session = one.open()
        one.now(5 * MS)
        one.receive("joined")
        one.start()
        one.now(1005 * MS)
        one.receive({"tick": 1})
        one.now(1010 * MS)
        one.receive({"tick": 2}, {"error": 1}, "what?")
        one.now(1020 * MS)
        one.receive({"id": 1})
        one.now(1505 * MS)
        one.receive("part", {"end": 1}, "beaten")
        one.load.end(one.clock.now_ns())
        one.load.leave()
        one.receive("bye")
        session.close()
        one.lose()
        found = excerpts(one)
    first = found["first"]
    assert shown(first.entries) == [
        ("open", "join", 0, 0, 5, 1, "completed"),
        ("step", "say", 1000, 1000, 1020, 1, "completed"),
        ("reaction", "tick", 1005, None, 1010, 2, ""),
        ("reaction", "bad", 1010, None, None, 1, ""),
        ("fault", "refused", 1010, None, None, 1, ""),
        ("push", "", 1010, None, None, 1, ""),
        ("fault", "check-failed", 1020, None, None, 1, ""),
        ("step", "tell", 1020, 1020, 1020, 1, "sent"),
        ("step", "story", 1020, 1020, 1505, 2, "completed"),
        ("timer", "beat", 1505, 1505, 1505, 1, "completed"),
        ("leave", "bye", 1505, 1505, 1505, 1, "completed"),
    ]
    assert (first.session, first.ready_ns // MS, first.ended_ns // MS, first.left_out) == (0, 5, 1505, 0)
    assert (first.failed_at, first.fault) == ("", "")
    assert found["slowest"].took_ns == 485 * MS
    assert found.keys() == {"first", "slowest"}


def test_a_session_that_is_overdue_ends_with_its_step_and_its_fault():
    with world(role(steps=(ASK,)), follows=True, timeout="2s") as one:
        one.open()
        one.start()
        one.now(2 * S)
        one.lose()
        failed = excerpts(one)["failed"]
    assert shown(failed.entries) == [
        ("step", "ask", 0, 0, 2000, 1, "unanswered"),
        ("fault", "reply-timeout", 2000, None, None, 1, ""),
    ]
    assert (failed.failed_at, failed.fault, failed.ended_ns, failed.is_partial) == (
        "ask",
        "reply-timeout",
        2 * S,
        False,
    )


def test_of_a_session_that_is_not_followed_its_last_step_is_known():
    with world(role(sessions=100, steps=(ASK,)), follows=True, timeout="2s") as one:
        for number in (0, 1):
            one.open(number)
        assert [isinstance(connection.sender, FollowedPlayer) for connection in one.sessions] == [True, False]
        one.start()
        one.now(1 * S)
        one.receive({"id": 1}, which=1)
        one.receive({"id": 0})
        one.now(1500 * MS)
        one.receive({"id": 3}, which=0)
        one.now(3 * S)
        one.lose(1)
        failed = excerpts(one)["failed"]
    assert failed.is_partial
    assert (failed.session, failed.failed_at, failed.opened_ns) == (1, "ask", 1 * S)
    assert shown(failed.entries) == [
        ("step", "ask", 0, 0, None, 1, "unanswered"),
        ("fault", "reply-timeout", 2000, None, None, 1, ""),
    ]


def test_one_that_was_followed_is_kept_rather_than_one_that_was_not():
    with world(role(sessions=100, steps=(ASK,)), follows=True, timeout="2s") as one:
        one.open(1)
        one.start()
        one.now(1 * S)
        one.open(0)
        one.load.add(one.sessions[1].sender)
        one.now(4 * S)
        for which in (0, 1):
            one.lose(which)
        failed = excerpts(one)["failed"]
    assert (failed.session, failed.is_partial) == (0, False)


def test_a_timer_that_fails_a_session_is_the_step_that_is_known_of_it():
    beat = timer(1 * S, "beat", "beat", "contains:beaten", timeout_ns=1 * S)
    with world(role(sessions=100, timers=(beat,), steps=(step("rest", wait=wait(60 * S)),)), follows=True) as one:
        one.open(1)
        one.start()
        one.now(2 * S)
        one.lose()
        failed = excerpts(one)["failed"]
    assert shown(failed.entries)[0] == ("timer", "beat", 0, 0, None, 1, "unanswered")
    assert failed.opened_ns == 1 * S


def test_a_long_session_has_its_beginning_and_the_stretch_around_its_slowest_step():
    with world(role(steps=(step("pause", wait=wait(10 * MS)), ASK)), follows=True) as one:
        one.open()
        one.start()
        for number in range(200):
            one.now((10 + 50 * number) * MS)
            one.receive("push")
            if number == 100:
                one.now((30 + 50 * number) * MS)
            one.receive({"id": number})
        found = excerpts(one)
    assert len(found["first"].entries) == MOST_ENTRIES
    assert found["first"].left_out == 0
    slowest = found["slowest"]
    assert slowest.took_ns >= 20 * MS
    assert len(slowest.entries) == MOST_ENTRIES
    assert slowest.left_out == 202 + ENTRIES_AFTER - MOST_ENTRIES
    longest = max(slowest.entries, key=lambda entry: (entry.until_ns or 0) - entry.at_ns if entry.is_step else 0)
    assert slowest.took_ns == longest.until_ns - longest.at_ns
    assert excerpts(one) == found


def test_the_slowest_step_is_in_its_excerpt_however_much_came_meanwhile():
    noisy = tuple(on(name, f"json:{name}") for name in ("a", "b"))
    with world(role(steps=(ASK,), reactions=noisy), follows=True) as one:
        session = one.open()
        one.start()
        for _ in range(MOST_ENTRIES):
            one.receive({"a": 1}, {"b": 1})
        one.now(5 * S)
        one.receive({"id": 0})
        session.close()
        one.lose()
        slowest = excerpts(one)["slowest"]
    assert shown(slowest.entries)[0] == ("step", "ask", 0, 0, 5000, 1, "completed")
    assert slowest.took_ns == 5 * S


def test_steps_of_the_warm_up_are_not_the_slowest():
    with world(role(steps=(step("pause", wait=wait(S)), ASK)), follows=True, warmup_ns=10 * S) as one:
        session = one.open()
        one.start()
        one.now(9 * S)
        one.receive({"id": 0})
        one.now(11 * S)
        one.receive({"id": 1})
        session.close()
        one.lose()
        assert excerpts(one)["slowest"].took_ns == 1 * S


@pytest.mark.parametrize("count", [1, 3, MOST_FOLLOWED, 1000])
def test_few_sessions_of_a_role_are_followed_the_first_among_them(count):
    numbers = list(range(7, 7 + 2 * count, 2))
    found = evenly_picked(numbers)
    assert found[0] == 7
    assert len(found) == len(set(found)) == min(count, MOST_FOLLOWED)
    assert set(found) <= set(numbers)
