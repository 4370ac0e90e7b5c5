"""Steps, reactions and timers of sessions without sockets or time."""

from unittest import mock

import pytest

from engine.scenario.scenes import MS, S, on, role, step, timer, wait, world
from ws_load_test.metrics.scenario_metrics import AT_NO_STEP
from ws_load_test.plan.correlation import Check


def test_goes_once_through_open_again_and_again_through_steps_and_once_through_leave():
    user = role(
        open=(step("greet", None, "json:op=hello"), step("join", '{"join": {seq}}', "json:id={seq}")),
        steps=(step("say", '{"id": {seq}}', "json:id={seq}"), step("tell", "told"), step("think", wait=wait(2 * S))),
        leave=(step("bye", "bye", "contains:bye"),),
    )
    with world(user) as one:
        session = one.open()
        assert one.sent() == []
        assert session.receiver.blocks_load
        one.receive({"op": "hello"})
        assert one.sent() == ['{"join": 0}']
        one.receive({"id": 0})
        assert not session.receiver.blocks_load
        assert one.sent() == []
        one.start()
        assert one.sent() == ['{"id": 1}']
        one.now(5 * MS)
        one.receive({"id": 1})
        assert one.sent() == ["told"]
        one.now(2005 * MS - 1)
        assert one.sent() == []
        one.now(2005 * MS)
        assert one.sent() == ['{"id": 3}']
        one.load.end(one.clock.now_ns())
        assert session.sender.in_flight == 1
        one.receive({"id": 3})
        assert session.sender.in_flight == 0
        # What others publish may still come.
        assert one.idle == [session]
        assert one.sent() == []
        one.load.leave()
        assert one.sent() == ["bye"]
        one.receive("bye")
        assert session.sender.in_flight == 0
        assert one.idle == [session, session]
        session.close()
        one.lose()
        counts = one.counts()
    assert (counts.due, counts.sent, counts.answered, counts.unanswered, counts.unawaited) == (3, 3, 2, 0, 1)
    steps = {name: (one.sent, one.answered, one.unawaited) for name, one in counts.steps.items()}
    assert steps == {
        "user/greet": (1, 1, 0),
        "user/join": (1, 1, 0),
        "user/say": (2, 2, 0),
        "user/tell": (1, 0, 1),
        "user/bye": (1, 1, 0),
    }
    assert counts.steps["user/say"].response_time_ns.max == 5 * MS
    users = counts.roles["user"]
    assert (users.sessions_completed, users.failed_at) == (1, {})
    assert (users.iterations_due, users.iterations_begun, users.iterations_completed) == (2, 2, 1)
    assert users.iteration_time_ns.max == 2005 * MS


def test_due_is_when_the_step_before_was_complete_and_its_wait():
    """However late the loop wakes: response time counts from there, service time does not."""
    with world(role(steps=(step("say", "hi", "contains:ho", wait=wait(10 * MS)),))) as one:
        one.open()
        one.start()
        one.late(14 * MS)
        one.now(20 * MS)
        one.receive("ho")
        one.late(41 * MS)
        one.now(42 * MS)
        one.receive("ho")
        said = one.counts().steps["user/say"]
    # Due at 10 and at 30, sent at 14 and at 41, done at 20 and at 42.
    assert (said.response_time_ns.min, said.response_time_ns.max) == (10 * MS, 12 * MS)
    assert (said.service_time_ns.min, said.service_time_ns.max) == (1 * MS, 6 * MS)
    assert (said.send_lag_ns.min, said.send_lag_ns.max) == (4 * MS, 11 * MS)


def test_a_message_completes_no_step_that_was_sent_after_it_was_read():
    both = role(
        steps=(step("one", "one", "contains:x"), step("two", "two", "contains:x")), reactions=(on("x", "contains:x"),)
    )
    with world(both) as one:
        one.open()
        one.start()
        one.now(MS)
        # The second step is sent after both were read.
        one.clock.tick_ns = 1
        one.receive("x", "x")
        counts = one.counts()
        assert one.sent() == ["one", "two"]
        one.receive("x")
        assert one.sent() == ["one"]
    assert counts.steps["user/one"].answered == 1
    assert counts.reactions["user/x"].seen == 1


def test_steps_that_only_wait_for_a_message_take_what_was_read_together():
    user = role(open=(step("a", "a", "contains:1"), step("b", None, "contains:2"), step("c", None, "contains:3")))
    with world(user) as one:
        session = one.open()
        one.receive("1", "push", "2", "3", "3")
        assert not session.receiver.blocks_load
        counts = one.counts()
    assert {name: one.answered for name, one in counts.steps.items()} == {"user/a": 1, "user/b": 1, "user/c": 1}
    assert counts.pushed == 2
    assert counts.sent == 0


def test_all_checks_of_a_step_must_hold():
    with world(role(steps=(step("s", '["{seq}"]', "json:[0]=ok", "json:[1]={seq}"),))) as one:
        one.open()
        one.start()
        one.receive(["ok", 7], ["no", 0], ["ok", 0])
        assert one.sent() == ['["0"]', '["1"]']
        assert one.counts().pushed == 2


def test_captures_fill_messages_and_checks():
    user = role(
        sessions=2,
        open=(step("in", "in", "json:key", capture={"key": "json:key", "tail": 'regex:"tail": "(.*?)"'}),),
        steps=(step("use", "{my.key}/{my.tail}/{connection}", "json:of={my.key}", "contains:<{my.tail}>"),),
    )
    with world(user) as one:
        for number in range(2):
            one.open(number)
            one.receive({"key": f"k{number}", "tail": "t."}, which=number)
        one.start()
        assert [one.sent(number) for number in range(2)] == [["in", f"k{number}/t./{number}"] for number in range(2)]
        one.receive({"of": "k1", "<t.>": 1}, which=0)
        one.receive({"of": "k0", "<tx>": 1}, which=0)
        assert one.sent(0) == []
        one.receive({"of": "k0", "<t.>": 1}, which=0)
        assert one.sent(0) == ["k0/t./0"]


@pytest.mark.parametrize(
    ("check", "sent", "right", "wrong"),
    [
        ("json:id={seq}", '{"id": {seq}}', '{"id": 0}', '{"id": 1}'),
        ("json:id=a{seq}b{connection}", "{seq}", '{"id": "a0b0"}', '{"id": "a0b1"}'),
        ("contains:<{seq}>", "{seq}", "<0>", "<1>"),
        ('regex:"id": *{seq}[,}]', "{seq}", '{"id": 1, "id": 0}', '{"id": 10}'),
        ("regex:^(a|b){seq}$", "{seq}", "b0", "b1"),
        ("regex:^{room}:{seq}$", "{seq}", "a.c:0", "abc:0"),
        ("regex:^{room}$", "{seq}", "a.c", "abc"),
        (Check("json", "[{connection}]", "x"), "{seq}", '["x"]', '["y", "x"]'),
        (Check("json", "[{connection}]"), "{seq}", '["x"]', "[null]"),
    ],
)
def test_checks_with_fields(check, sent, right, wrong):
    with world(role(steps=(step("s", sent, check), step("end", "done", "contains:never"))), rooms=("a.c",)) as one:
        one.open()
        one.start()
        one.sent()
        one.now(MS)
        one.receive(wrong)
        assert one.sent() == []
        one.receive(right)
        assert one.sent() == ["done"]


def test_a_step_that_is_overdue_ends_its_session():
    user = role(steps=(step("say", "hi", "contains:ho", timeout_ns=2 * S),), leave=(step("bye", "bye"),))
    with world(user) as one:
        session = one.open()
        one.start()
        one.now(S)
        one.receive("ho")
        one.now(3 * S - 1)
        assert not session.closing
        one.now(3 * S)
        assert session.closing
        assert one.sent() == ["hi", "hi", "<1000>"]
        one.receive("ho")
        one.lose()
        counts = one.counts()
    assert (counts.sent, counts.answered, counts.unanswered) == (2, 1, 1)
    assert counts.faults == {"reply-timeout": 1}
    assert counts.steps["user/say"].faults == {"reply-timeout": 1}
    assert counts.unanswered_wait_ns.max == counts.steps["user/say"].unanswered_wait_ns.max == 2 * S
    assert counts.roles["user"].failed_at == {"say": 1}
    assert counts.roles["user"].sessions_completed == 0
    assert one.ended[0].text == 'sent nothing that completes step "say" of role "user" within 2 s'


def test_each_step_has_its_own_time_out():
    steps = (step("long", "l", "contains:l", timeout_ns=10 * S), step("short", "s", "contains:s", timeout_ns=S))
    with world(role(steps=steps)) as one:
        session = one.open()
        one.start()
        for _ in range(3):
            one.clock.advance(MS)
            one.receive("l")
            one.clock.advance(MS)
            one.receive("s")
        one.clock.advance(MS)
        one.receive("l")
        one.now(S + 7 * MS - 1)
        assert not session.closing
        one.now(S + 7 * MS)
        assert session.closing
        one.lose()
        assert one.counts().roles["user"].failed_at == {"short": 1}


@pytest.mark.parametrize("at", ["open", "wait", "step", "leave", "none"])
def test_a_session_that_is_lost_has_failed_at_its_step(at):
    user = role(
        open=(step("open", "o", "contains:o"),),
        steps=() if at == "none" else (step("wait", wait=wait(S)), step("step", "s", "contains:s")),
        leave=(step("leave", "l", "contains:l"),),
    )
    with world(user) as one:
        one.open()
        if at != "open":
            one.receive("o")
            one.start()
        if at in {"step", "leave"}:
            one.now(S)
        if at == "leave":
            one.receive("s")
            one.load.end(one.clock.now_ns())
            one.load.leave()
        one.lose(error=ConnectionResetError())
        counts = one.counts()
    assert counts.roles["user"].failed_at == {AT_NO_STEP if at == "none" else at: 1}
    assert counts.lost == 1
    assert counts.sent == counts.answered + counts.unanswered
    assert counts.unanswered == (at == "step")
    for name, row in counts.steps.items():
        assert row.sent == row.answered + row.unanswered, name


def test_a_session_that_we_end_has_not_failed():
    with world(role(steps=(step("step", "s", "contains:s"),))) as one:
        session = one.open()
        one.start()
        session.abort()
        counts = one.counts()
    assert counts.roles["user"].sessions_completed == 1
    assert not counts.roles["user"].failed_at
    assert counts.unanswered == 1


def test_expect_that_fails_is_a_fault_and_the_session_goes_on():
    with world(role(steps=(step("say", "hi", "contains:ho", expect=("json:ok=true", "json:a")),))) as one:
        session = one.open()
        one.start()
        one.now(MS)
        one.receive({"ho": 1, "ok": False}, which=0)
        assert not session.closing
        assert one.sent() == ["hi", "hi"]
        counts = one.counts()
    assert [fault.text for fault in one.faults] == [
        'completed step "say" of role "user" with a message that fails expect json:ok=true'
    ]
    assert counts.answered == 1
    assert counts.steps["user/say"].faults == {"check-failed": 1}


def test_a_capture_that_finds_nothing_is_a_fault():
    user = role(
        open=(step("in", "in", "json:op", capture={"key": "json:key"}),),
        steps=(step("s", "<{my.key}>", "contains:never"),),
    )
    with world(user) as one:
        one.open()
        one.receive({"op": 1})
        one.start()
        one.now(MS)
        assert one.sent() == ["in", "<>"]
    assert [fault.text for fault in one.faults] == [
        'completed step "in" of role "user" with a message that has no json:key to capture'
    ]


def test_choices_are_taken_by_their_weights():
    steps = (
        step("a", "a", weight=8.0),
        step("b", "b", weight=1.0),
        step("c", "c", weight=1.0),
        step("think", wait=wait(MS)),
    )
    with world(role(steps=steps)) as one:
        one.open()
        one.start()
        one.now(2000 * MS - 1)
        sent = one.sent()
    assert len(sent) == 2000
    shares = {name: sent.count(name) / len(sent) for name in "abc"}
    # Three times the standard deviation of 2,000 draws: sqrt(p * (1 - p) / 2000).
    assert shares["a"] == pytest.approx(0.8, abs=0.027)
    assert shares["b"] == pytest.approx(0.1, abs=0.021)


def test_iterations_that_take_no_time_let_the_loop_turn():
    with world(role(sessions=2, steps=(step("a", "a"),))) as one:
        one.open(0)
        one.open(1)
        one.start()
        assert (one.sent(0), one.sent(1)) == ([], [])
        for _ in range(10):
            one.clock.advance(1)
            one.ring()
        assert (one.sent(0), one.sent(1)) == (["a"] * 10, ["a"] * 10)


def test_close_ends_the_session_on_purpose():
    user = role(
        iterations=(5, 5), steps=(step("a", "a", "contains:a"), step("quit", "q", close=4001)), leave=(step("l", "l"),)
    )
    with world(user) as one:
        session = one.open()
        one.start()
        one.now(MS)
        one.receive("a")
        assert one.sent() == ["a", "q", "<4001>"]
        assert one.retired == [(0, True)]
        one.lose()
        counts = one.counts()
    assert session.ended
    assert not counts.faults
    assert counts.roles["user"].sessions_completed == 1


def test_leaves_after_its_iterations():
    user = role(iterations=(2, 2), steps=(step("a", "a", "contains:a"),), leave=(step("l", "l", "contains:l"),))
    with world(user) as one:
        session = one.open()
        one.start()
        for _ in range(2):
            one.clock.advance(MS)
            one.receive("a")
        assert one.sent() == ["a", "a", "l"]
        assert one.retired == [(0, True)]
        assert not session.closing
        one.clock.advance(MS)
        one.receive("l")
        assert one.sent() == ["<1000>"]
        counts = one.counts()
    assert counts.roles["user"].iterations_completed == 2


def test_number_of_iterations_is_drawn():
    user = role(sessions=60, iterations=(2, 4), steps=(step("a", "a", "contains:a"),))
    with world(user) as one:
        for number in range(60):
            one.open(number)
        one.start()
        for _ in range(4):
            one.clock.advance(MS)
            for number in range(60):
                if not one.sessions[number].closing:
                    one.receive("a", which=number)
        assert {one.sent(number).count("a") for number in range(60)} == {2, 3, 4}
        assert all(session.closing for session in one.sessions)


def test_leaves_when_it_has_stayed():
    user = role(
        sessions=2,
        stay=wait(10 * S),
        steps=(step("a", "a", "contains:a", timeout_ns=60 * S), step("w", wait=wait(60 * S))),
    )
    with world(user) as one:
        one.open(0)
        one.open(1)
        one.start()
        one.now(MS)
        one.receive("a", which=0)
        # Those of the start leave one after the other.
        one.now(5 * S)
        assert one.retired == [(0, True)]
        assert one.sessions[0].closing
        one.now(9 * S)
        assert one.retired == [(0, True)]
        one.open(0)
        one.load.add(one.sessions[2].sender)
        one.now(10 * S)
        # A step in flight is awaited.
        assert one.retired == [(0, True), (1, True)]
        assert not one.sessions[1].closing
        one.receive("a", which=1)
        assert one.sessions[1].closing
        one.receive("a", which=2)
        one.now(19 * S - 1)
        assert not one.sessions[2].closing
        one.now(19 * S)
        assert one.sessions[2].closing


def test_timers_send_beside_the_steps():
    user = role(
        steps=(step("a", "a", "contains:a", timeout_ns=60 * S),),
        timers=(timer(30 * S, "beat", "b{seq}", "regex:^b{seq}$", timeout_ns=10 * S), timer(20 * S, "tick", "t")),
    )
    with world(user) as one:
        session = one.open()
        one.start()
        one.now(20 * S)
        assert one.sent() == ["a", "t"]
        one.now(30 * S)
        assert one.sent() == ["b2"]
        one.now(31 * S)
        one.receive("b2", "a")
        assert one.sent() == ["a"]
        one.now(60 * S)
        assert one.sent() == ["t", "t", "b6"] or one.sent() == []
        one.now(70 * S)
        assert session.closing
        one.lose()
        counts = one.counts()
    assert counts.roles["user"].failed_at == {"beat": 1}
    assert counts.steps["user/beat"].response_time_ns.max == S
    assert counts.steps["user/tick"].unawaited == 3
    assert (counts.answered, counts.unanswered, counts.unawaited) == (2, 2, 3)
    assert counts.sent == 7
    assert counts.faults == {"reply-timeout": 1}


def test_a_timer_that_is_due_while_it_awaits_its_reply_is_dropped():
    with world(role(timers=(timer(S, "beat", "b", "contains:b"),))) as one:
        one.open()
        one.start()
        one.now(3 * S)
        assert one.sent() == ["b"]
        counts = one.counts()
    assert (counts.due, counts.sent, counts.dropped) == (3, 1, 2)
    assert counts.steps["user/beat"].dropped == 2


def test_reactions_in_their_order_answer_capture_and_are_faults():
    user = role(
        reactions=(
            on("hot", "json:op=x", "json:hot=true", fault="too hot"),
            on("x", "json:op=x", send='{"seen": {seq}, "was": "{my.v}"}', capture={"v": "json:v"}),
        ),
        steps=(step("w", wait=wait(S)), step("s", "s", "json:v=3")),
    )
    with world(user) as one:
        one.open()
        one.receive({"op": "x", "v": 1})
        one.start()
        one.receive({"op": "x", "hot": True}, {"op": "x", "v": 2}, {"op": "y"})
        assert one.sent() == ['{"seen": 0, "was": "1"}', '{"seen": 1, "was": "2"}']
        one.now(2 * S)
        # What a step awaits is none of a reaction's.
        one.receive({"op": "x", "v": 3})
        assert one.sent() == ["s"]
        counts = one.counts()
    assert (counts.reactions["user/x"].seen, counts.reactions["user/x"].sent) == (2, 2)
    assert counts.reactions["user/hot"].seen == 1
    assert counts.pushed == 1
    assert [(fault.key, fault.text) for fault in one.faults] == [
        ("reported:too hot", 'sent a message for reaction "hot" of role "user": too hot')
    ]
    assert (counts.due, counts.sent, counts.unawaited) == (1, 1, 0)


def test_sequences_each_by_themselves_and_anew_after_a_restart():
    user = role(
        reactions=(
            on("tick", "json:op=tick", sequence="json:n", per="json:of"),
            on("snapshot", "json:op=snapshot", restarts="tick"),
        )
    )

    def tick(of, *numbers):
        return [{"op": "tick", "of": of, "n": number} for number in numbers]

    with world(user) as one:
        one.open()
        one.receive(*tick("a", 5, 6, 9, 7), *tick("b", 1, 2, 2), {"op": "tick", "of": "b"})
        ticks = one.counts().reactions["user/tick"]
        assert (ticks.gaps, ticks.out_of_order, ticks.repeats, ticks.unnumbered, ticks.missed) == (1, 1, 1, 1, 0)
        one.receive({"op": "snapshot"}, *tick("a", 100, 101, 104))
        ticks = one.counts().reactions["user/tick"]
        assert (ticks.gaps, ticks.missed, ticks.restarts) == (2, 1, 1)
        one.lose()
        ticks = one.counts().reactions["user/tick"]
    # 8 was missed before the restart, 102 and 103 behind it.
    assert (ticks.seen, ticks.gaps, ticks.missed) == (11, 2, 3)


def test_silence_is_a_stall_once_until_the_next_message():
    with world(role(reactions=(on("tick", "contains:t", silence_ns=5 * S),))) as one:
        one.open()
        one.now(3 * S)
        one.receive("t")
        one.now(8 * S - 1)
        assert one.counts().reactions["user/tick"].stalls == 0
        one.now(20 * S)
        ticks = one.counts().reactions["user/tick"]
        assert (ticks.stalls, ticks.silence_ns.count) == (1, 0)
        one.receive("t")
        ticks = one.counts().reactions["user/tick"]
        assert (ticks.stalls, ticks.silence_ns.max) == (1, 17 * S)
        one.now(26 * S)
        one.lose()
        ticks = one.counts().reactions["user/tick"]
    assert (ticks.stalls, ticks.silence_ns.count, ticks.silence_ns.min) == (2, 2, 6 * S)


def test_the_longest_silence_is_that_of_the_measured_time():
    with world(role(reactions=(on("tick", "contains:t", silence_ns=5 * S),)), warmup_ns=10 * S) as one:
        one.open()
        one.now(9 * S)
        one.receive("t")
        one.now(12 * S)
        one.receive("t")
        # A stall is known before it ends, and one that began in the warm-up counts from the measured time on.
        one.now(17 * S)
        ticks = one.counts().reactions["user/tick"]
        assert (ticks.longest_silence_ns.max, ticks.silence_ns.max) == (5 * S, 9 * S)
        one.now(18 * S)
        one.receive("t")
        one.now(20 * S)
        one.receive("t")
        one.load.rows.set_window(until_ns=one.clock.now_ns() + 3 * S)
        one.now(60 * S)
        one.load.end(one.clock.now_ns())
        one.lose()
        ticks = one.counts().reactions["user/tick"]
    assert ticks.longest_silence_ns.max == 6 * S


def test_a_session_has_a_longest_silence_if_nothing_ever_came():
    with world(role(reactions=(on("tick", "contains:t", sequence="json:n"),))) as one:
        one.open()
        one.now(4 * S)
        one.lose()
        assert one.counts().reactions["user/tick"].longest_silence_ns.max == 4 * S


def test_age_is_by_the_wall_clock_when_the_message_was_read():
    with world(role(reactions=(on("tick", "contains:ms", age="json:ms"),))) as one:
        one.open()
        with mock.patch("time.time_ns", return_value=5000 * MS):
            one.receive({"ms": 4900}, {"ms": 5003}, {"ms": None})
        ticks = one.counts().reactions["user/tick"]
    assert (ticks.age_ns.max, ticks.age_ahead_ns.max, ticks.undated) == (100 * MS, 3 * MS, 1)


def test_what_is_before_the_measured_time_is_no_part_of_it():
    user = role(open=(step("in", "i", "contains:i"),), steps=(step("a", "a", "contains:a"), step("w", wait=wait(S))))
    with world(user, warmup_ns=5 * S) as one:
        one.open()
        one.receive("i")
        one.start()
        for second in range(10):
            one.now(second * S + MS)
            one.receive("a")
        counts = one.counts()
    # Iterations begin at 0, at 1.001 s and so on; five of them before the measured time.
    assert (counts.sent, counts.warmup_sent) == (5, 5)
    assert counts.steps["user/a"].sent == counts.steps["user/a"].answered == 5
    assert counts.steps["user/in"].answered == 1
    assert counts.roles["user"].iterations_due == 5


def test_a_target_that_reads_nothing_drops_and_fails():
    with world(role(steps=(step("a", "x" * 60_000),))) as one:
        one.open()
        one.kernels[0].room = 0
        one.start()
        for _ in range(40):
            one.clock.advance(1)
            one.ring()
        counts = one.counts()
    assert counts.due == counts.sent + counts.dropped
    assert counts.dropped > 5
    assert counts.unawaited == counts.sent


def test_answers_of_many_messages():
    user = role(
        steps=(
            step(
                "ask",
                "ask",
                until=("json:done=true",),
                first=("json:word",),
                count="json:tokens",
                capture={"n": "json:n"},
            ),
            step("w", wait=wait(100 * S)),
        ),
        reactions=(on("noise", "json:noise"),),
    )
    with world(user) as one:
        session = one.open()
        one.receive({"word": "early"})
        one.start()
        assert session.sender.in_flight == 1
        for at_ms, message in (
            (100, {"created": 1}),
            (300, {"word": "a"}),
            (350, {"noise": 1}),
            (400, {"word": "b"}),
            (1900, {"other": 1}),
            (2000, {"done": True, "tokens": 7, "n": 1}),
        ):
            one.now(at_ms * MS)
            one.receive(message)
        one.now(3 * S)
        one.receive({"word": "late"})
        counts = one.counts()
        assert session.sender.values == {"n": "1"}
    for tally in (counts, counts.steps["user/ask"]):
        assert (tally.answered, tally.streamed, tally.stalls) == (1, 5, 1)
        assert tally.first_time_ns.max == 300 * MS
        assert tally.response_time_ns.max == 2000 * MS
        assert (tally.gap_ns.count, tally.gap_ns.max) == (3, 1500 * MS)
        assert (tally.answer_messages.max, tally.answer_count.max) == (5, 7)
    assert counts.reactions["user/noise"].seen == 1
    assert counts.pushed == 2


def test_a_message_that_left_before_the_start_was_known_is_not_answered_in_the_measured_time():
    with world(role(timers=(timer(S, "beat", "b", "contains:b"),)), warmup_ns=60 * S) as one:
        one.open()
        one.start()
        one.now(S)
        assert one.sent() == ["b"]
        start_ns = one.samples.measured_from_ns - 60 * S
        one.samples.measured_from_ns = start_ns
        one.load.rows.set_window(from_ns=start_ns)
        one.receive("b")
        counts = one.counts()
    assert (counts.warmup_sent, counts.sent, counts.answered) == (1, 0, 0)
    assert counts.steps["user/beat"].answered == 0


def test_a_timer_whose_answer_is_many_messages():
    with world(
        role(timers=(timer(S, "list", "l", until=("contains:end",)),), reactions=(on("x", "contains:x"),))
    ) as one:
        one.open()
        one.start()
        one.receive("part")
        one.now(S + MS)
        one.receive("part", "x", "part", "end", "part")
        counts = one.counts()
    assert (counts.steps["user/list"].streamed, counts.steps["user/list"].answered) == (3, 1)
    assert (counts.reactions["user/x"].seen, counts.pushed) == (1, 2)


def test_an_answer_that_breaks_off():
    with world(role(steps=(step("ask", "ask", until=("contains:end",)),))) as one:
        session = one.open()
        one.start()
        one.now(MS)
        one.receive("part")
        one.now(11 * S)
        assert session.closing
        one.lose()
        counts = one.counts()
    assert (counts.unanswered, counts.broken_off, counts.streamed) == (1, 1, 1)
    assert counts.steps["user/ask"].broken_off == 1
    assert counts.first_time_ns.max == MS
