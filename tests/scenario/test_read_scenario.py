"""Scenarios out of roles: every key becomes its field of the model."""

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.errors import PlanError
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.correlation import Check
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.load import RoleLoad
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.options.scenario.shares import largest_remainders
from ws_load_test.plan.options.scenario.values import iterations, wait_time
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.scenario.model import Capture, Reaction, Role, Step, Text, Timer
from ws_load_test.plan.scenario.wait_time import WaitTime

URL = "ws://localhost:3001"
S = 10**9


def roles_of(role, **options):
    return {one.name: one for one in make_plan(URL, role=role, **options).scenario.roles}


def problems(role, **options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, role=role, **options)
    return [str(one) for one in caught.value.problems]


def test_every_key_becomes_a_field():
    exchange = {
        "name": "ask",
        "wait": "1s..5s",
        "send": "{seq}",
        "binary": True,
        "await": ["json:id={seq}", "contains:x"],
        "capture": {"a": "json:a", "b": "regex:b=(.)"},
        "expect": "json:ok=true",
        "timeout": "2s",
        "weight": 2,
    }
    stream = {"send": "{marker}", "until": "json:end", "first": "json:d", "count": "json:n", "weight": 1}
    role = {
        "share": 1,
        "stay": "exp:10m",
        "iterations": "2..6",
        "rate": "50/s",
        "open": [{"await": "regex:^0"}],
        "steps": [exchange, {**stream, "deliver-to": "user", "self_delivery": "excluded"}],
        "leave": [{"send": "bye", "close": 1000}],
        "on": [
            {"when": "json:op=tick", "name": "tick", "sequence": "json:n", "per": "json:s", "age": "json:t"},
            {"when": ["json:a", "json:b"], "send": "pong", "restarts": "tick", "silence": "5s"},
            {"when": "json:error", "fault": "bad day", "capture": {"why": "json:error"}},
        ],
        "timer": [{"every": "30s", "send": "beat", "await": "json:beat"}],
    }
    plan = make_plan(URL, connections=7, rooms="a,b", stall="3s", duration="1m", role={"user": role})
    a, b = Check("json", "a"), Check("json", "b")
    assert plan.load == RoleLoad()
    assert (plan.connections, plan.scenario.rooms, plan.scenario.stall_ns) == (7, ("a", "b"), 3 * S)
    assert plan.scenario.audience == "user"
    assert plan.has_deliveries
    assert plan.scenario.roles == (
        Role(
            name="user",
            sessions=7,
            stay=WaitTime("exp", 600 * S),
            iterations=(2, 6),
            rate_per_s=50.0,
            open=(Step("open-1", awaits=(Check("regex", "^0"),)),),
            steps=(
                Step(
                    "ask",
                    wait=WaitTime("uniform", 1 * S, 5 * S),
                    send=Text(b"{seq}", binary=True, is_template=True),
                    awaits=(Check("json", "id", "{seq}"), Check("contains", "x")),
                    captures=(Capture("a", "json:a"), Capture("b", "regex:b=(.)")),
                    expect=(Check("json", "ok", "true"),),
                    timeout_ns=2 * S,
                    weight=2.0,
                ),
                Step(
                    "step-2",
                    send=Text(b"{marker}", is_template=True),
                    first=(Check("json", "d"),),
                    until=(Check("json", "end"),),
                    count="json:n",
                    weight=1.0,
                    deliver_to="user",
                    self_delivery="excluded",
                ),
            ),
            leave=(Step("leave-1", send=Text(b"bye"), close=1000),),
            reactions=(
                Reaction("tick", (Check("json", "op", "tick"),), sequence="json:n", per="json:s", age="json:t"),
                Reaction("json:a and json:b", (a, b), send=Text(b"pong"), restarts="tick", silence_ns=5 * S),
                Reaction(
                    "bad day", (Check("json", "error"),), captures=(Capture("why", "json:error"),), fault="bad day"
                ),
            ),
            timers=(Timer(30 * S, Step("timer-1", send=Text(b"beat"), awaits=(Check("json", "beat"),))),),
        ),
    )


def test_a_plan_with_roles_travels_to_workers():
    plan = make_plan(URL, role={"user": {"steps": [{"wait": "lognormal:8s,0.6", "send": "{seq}"}]}})
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_like_takes_what_opens_reacts_and_leaves_and_no_steps():
    base = {
        "open": [{"send": "a"}],
        "steps": [{"wait": 1}],
        "leave": [{"send": "z"}],
        "on": [{"when": "json:a"}],
        "timer": [{"every": 1, "send": "t"}],
    }
    middle = {"like": "base", "open": [{"send": "b"}], "on": [{"when": "json:b"}], "leave": [{"send": "y"}]}
    found = roles_of({"base": base, "middle": middle, "last": {"like": "middle"}}, connections=3)
    for name in ("middle", "last"):
        role = found[name]
        assert [(step.name, step.send.payload) for step in role.open] == [("open-1", b"a"), ("open-2", b"b")]
        assert [step.send.payload for step in role.leave] == [b"y", b"z"]
        assert [one.when[0].operand for one in role.reactions] == ["b", "a"]
        assert [one.step.send.payload for one in role.timers] == [b"t"]
        assert role.steps == ()


def test_a_role_that_only_receives_deliveries_needs_no_contents():
    say = {"wait": "1s", "send": "{marker}", "deliver-to": "reader"}
    roles = roles_of({"reader": {"share": 9}, "writer": {"steps": [say]}}, connections=10)
    assert roles["reader"] == Role("reader", 9)
    silent = problems({"reader": {"share": 9}, "writer": {"steps": [{"wait": "1s"}]}}, connections=10)
    assert silent == ["role.reader: does nothing; give it steps, open, on, timer or like"]


def test_without_a_number_of_connections_no_share_of_them_is_too_small():
    steps = [{"wait": "1s"}]
    found = problems({"reader": {"share": 9, "steps": steps}, "writer": {"steps": steps}})
    assert len(found) == 1
    assert "nothing says how many; add connections = 1000" in found[0]


def test_the_command_line_of_a_run_has_no_option_that_a_plan_with_roles_refuses():
    say = {"wait": "1s", "send": "{marker} {room}", "await": "json:id", "deliver-to": "user"}
    plan = make_plan(URL, role={"user": {"open": [{"send": "{room}"}], "steps": [say]}}, connections=10, rooms=2)
    line = command_line(plan, with_workers=False)
    assert line == f"ws-load-test {URL} --plan FILE -c 10 -d 10s --rooms 2"


def test_sessions_that_arrive_have_a_bound_and_a_seed_that_is_kept():
    role = {"arrive": "20/s", "arrivals": "poisson", "at-most": 50, "stay": 3, "on": [{"when": "json:a"}]}
    plan = make_plan(URL, role={"user": role})
    (one,) = plan.scenario.roles
    assert (plan.connections, one.sessions, one.arrive_per_s, one.arrivals) == (50, 50, 20.0, "poisson")
    assert one.stay == WaitTime("fixed", 3 * S)
    assert len({make_plan(URL, role={"user": role}).scenario.roles[0].seed for _ in range(3)}) > 1
    assert make_plan(URL, role={"user": {**role, "seed": 7}}).scenario.roles[0].seed == 7


def test_a_file_is_sent_as_it_is_but_for_its_fields(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbf{seq} \xc3\xa9")
    (tmp_path / "bytes").write_bytes(b"\xff{seq}")
    sends = [{"send": f"@{tmp_path}/text"}, {"send": f"@{tmp_path}/bytes", "binary": True, "wait": 1}]
    steps = roles_of({"user": {"steps": sends}})["user"].steps
    assert [step.send for step in steps] == [
        Text("{seq} é".encode(), is_template=True),
        Text(b"\xff{seq}", binary=True, is_template=True),
    ]
    (problem,) = problems({"user": {"steps": [sends[0], {"send": f"@{tmp_path}/bytes", "wait": 1}]}})
    assert problem.endswith("is not UTF-8 text; add binary = true to send it as it is")


def test_captures_of_reactions_and_timers_can_be_used_by_anything():
    role = {
        "open": [{"send": "{my.a} {my.b}"}],
        "on": [{"when": "json:x={my.c}", "capture": {"a": "json:a"}}],
        "timer": [{"every": 1, "send": "{my.c}", "await": "json:b", "capture": {"b": "json:b"}}],
        "leave": [{"send": "x", "await": "json:c", "capture": {"c": "json:c"}}],
    }
    assert roles_of({"user": role})["user"].open[0].send.is_template


def test_a_capture_of_a_choice_counts_behind_it_and_not_within():
    choice = [
        {"weight": 1, "send": "a", "await": "json:a", "capture": {"a": "json:a"}},
        {"weight": 1, "send": "{my.a}"},
    ]
    assert problems({"user": {"steps": choice}}) == [
        "role.user.steps[1].send: {my.a} is used before a step of role user captures it; capture it in an earlier step"
    ]
    assert roles_of({"user": {"steps": [choice[0], {**choice[1], "send": "b"}, {"send": "{my.a}"}]}})


def test_the_values_of_variables_and_of_feeds_reach_the_plan_and_no_recording(monkeypatch, tmp_path):
    monkeypatch.setenv("PHRASE", "open sesame")
    (tmp_path / "feed.csv").write_text("name,unused\nx,y\n")
    role = {"user": {"steps": [{"send": "{env.PHRASE} {feed.name}", "await": "contains:{env.PHRASE}"}]}}
    plan = make_plan(URL, feed=str(tmp_path / "feed.csv"), header="X-A: {env.PHRASE}", role=role)
    assert plan.message.environment == {"PHRASE": "open sesame"}
    assert plan.message.feed.used == ("name",)
    shown = [msgspec.json.encode(plan.redacted()).decode(), str(describe_plan(plan)), command_line(plan)]
    assert not [text for text in shown if "sesame" in text]


def test_a_misspelled_field_is_a_warning_at_its_place():
    plan = make_plan(URL, role={"user": {"steps": [{"wait": 1, "send": "{sequ}"}]}})
    assert plan.warnings == ("role.user.steps[0].send: {sequ} is sent as it is; did you mean {seq}?",)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2s", WaitTime("fixed", 2 * S)),
        (0.5, WaitTime("fixed", S // 2)),
        ("1s..1m", WaitTime("uniform", S, 60 * S)),
        ("exp:3s", WaitTime("exp", 3 * S)),
        ("normal: 3s, 500ms", WaitTime("normal", 3 * S, deviation_ns=S // 2)),
        ("lognormal:8s,0.6", WaitTime("lognormal", 8 * S, sigma=0.6)),
    ],
)
def test_the_grammar_of_waits(written, read):
    assert wait_time(written) == read
    times = [read.draw_ns(random.Random(seed)) for seed in range(400)]
    assert min(times) >= 0
    assert math.isclose(
        sum(times) / len(times), {"uniform": 30.5 * S, "lognormal": 9.6 * S}.get(read.kind, read.ns), rel_tol=0.2
    )


@pytest.mark.parametrize(
    "text", ["", "x", "-1s", "1s..", "exp:", "exp:0s", "normal:1s", "lognormal:1s,x", "lognormal:1s,-1", True]
)
def test_what_is_no_wait(text):
    with pytest.raises(ValueError, match=r"write for example 2s, 1s\.\.5s|is not a time"):
        wait_time(text)


def test_numbers_of_iterations():
    assert [iterations(one) for one in (3, "3", "2..6", "1_000")] == [(3, 3), (3, 3), (2, 6), (1000, 1000)]


@given(st.integers(0, 10**6), st.lists(st.floats(0.001, 1000), min_size=1, max_size=12))
def test_shares_add_up_and_are_within_one_of_their_part(total, shares):
    parts = largest_remainders(total, shares)
    assert sum(parts) == total
    assert all(abs(part - total * share / sum(shares)) < 1 + 1e-6 for part, share in zip(parts, shares, strict=True))
