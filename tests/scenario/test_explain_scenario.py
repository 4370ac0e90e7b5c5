"""Words for scenarios: what `--explain` says of each role, and of the load to expect."""

import pytest

from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.scenario.estimate import estimate, mean_of
from ws_load_test.plan.scenario.explain import explain_scenario

URL = "ws://localhost:3001"
CHAT = {
    "reader": {
        "share": 9,
        "stay": "exp:10m",
        "open": [{"name": "join", "send": '{"op": "join", "room": "{room}"}', "await": "json:op=joined"}],
        "on": [
            {"when": "json:op=typing", "name": "typing"},
            {"when": "json:op=ping", "send": "pong"},
            {"when": "json:error", "fault": "refused"},
        ],
    },
    "writer": {
        "share": 1,
        "steps": [
            {"wait": "exp:4s"},
            {
                "name": "say",
                "weight": 3,
                "send": '{"id": {seq},\n  "token": "s3cretf0r", "text": "{marker}"}',
                "await": "json:id={seq}",
                "capture": {"last": "json:n"},
                "expect": "json:ok=true",
                "deliver-to": "reader",
            },
            {"name": "type", "weight": 1, "send": "typing", "timeout": "2s", "await": ["contains:a", "contains:b"]},
        ],
        "timer": [{"every": "30s", "send": "beat"}],
        "leave": [{"wait": "1s", "close": 1000}],
    },
}
EXPECTED = """
reader: 90 sessions, in 4 rooms (22 or 23 in each); each stays a random time, on average 10 min
  (exponential), then another takes its place
  opens    join    sends {"op": "join", "room": "{room}"}
                   awaits a message with json:op=joined, at most 10 s
  listens          and sends nothing more
  reacts   typing  to messages with json:op=typing
                   to messages with json:op=ping
                   sends pong
                   to messages with json:error: each is the fault "refused"

writer: 10 sessions, in 4 rooms (2 or 3 in each)
  repeats           waits a random time, on average 4 s (exponential)
           say      75 % of the times, one of 2 steps
                    sends {"id": {seq}, "token": "***", "text": "{marker}"}
                    must reach the reader sessions of its room: 22.5
                    awaits a message with json:id={seq}, at most 10 s
                    which must have json:ok=true, or it is a fault
                    keeps last (json:n)
           type     or 25 % of the times
                    sends typing
                    awaits a message with contains:a and contains:b, at most 2 s
  timer    timer-1  every 30 s
                    sends beat
  leaves   leave-1  waits 1 s
                    closes the session with 1000

expected load, with all sessions there (messages of steps and timers)
  writer      at most 2.83/s in 2.50/s iterations, if the target answered at once
  deliveries  some 42.2/s, by the same reckoning
"""


def explained(role, width=100, **options):
    return "\n".join(explain_scenario(make_plan(URL, role=role, **options), width))


def test_a_chat_is_explained_role_by_role_and_step_by_step():
    assert explained(CHAT, connections=100, rooms=4) + "\n" == EXPECTED


@pytest.mark.parametrize("width", [20, 60, 80, 300])
def test_no_line_is_longer_than_the_width(width):
    lines = explained(CHAT, width=width, connections=100, rooms=4).splitlines()
    assert max(map(len, lines)) <= min(max(width, 60), 120)
    assert all(line == line.rstrip() for line in lines)


def test_streamed_answers_and_numbered_messages_are_explained():
    role = {
        "arrive": "2/s",
        "arrivals": "poisson",
        "seed": 5,
        "at-most": 9,
        "iterations": 3,
        "steps": [
            {
                "wait": 1,
                "send": "ask",
                "until": "json:end",
                "first": "json:word",
                "count": "json:n",
                "expect": "json:ok",
            }
        ],
        "on": [
            {
                "when": "json:t",
                "name": "tick",
                "sequence": "json:n",
                "per": "json:s",
                "age": "json:at",
                "silence": "5s",
            },
            {"when": "json:x", "name": "reset", "restarts": "tick"},
        ],
    }
    text = " ".join(explained({"user": role}, stall="2s").split())
    for words in (
        "user: sessions that arrive at random (Poisson, seed 5), 2/s, at most 9 at the same time; more are dropped",
        "each leaves after 3 iterations",
        "awaits an answer that ends with json:end, at most 10 s",
        "its first message is the one with json:word",
        "a gap of more than 2 s in it is a stall",
        "counts the number at json:n of its last message",
        "the number at json:n grows by one, for each json:s by itself: gaps and repeats are counted",
        "its age is taken from json:at",
        "5 s without one are a stall",
        "the numbers of tick begin anew",
        "user at most 6/s in 6/s iterations",
    ):
        assert words in text


def test_what_nothing_bounds_is_said():
    assert "as many messages as the target answers" in explained(
        {"user": {"steps": [{"send": "a", "await": "json:a"}]}}
    )


def test_an_estimate_is_that_of_waits_rates_and_timers():
    def of(role, **options):
        scenario = make_plan(URL, role={"user": role}, **options).scenario
        return estimate(scenario, scenario.roles[0])

    steps = [{"wait": "1s..3s", "send": "{marker}", "deliver-to": "user"}, {"wait": "lognormal:2s,0", "send": "x"}]
    found = of({"steps": steps}, connections=40, rooms=4)
    assert (found.iterations_per_s, found.is_upper_bound) == (10.0, True)
    assert (found.sent_per_s, found.delivered_per_s) == (20.0, 90.0)
    steps[0]["self-delivery"] = "expected"
    found = of({"steps": steps, "rate": "5/s", "timer": [{"every": "4s", "send": "x"}]}, connections=40, rooms=4)
    assert (found.iterations_per_s, found.is_upper_bound) == (5.0, False)
    assert (found.sent_per_s, found.delivered_per_s) == (20.0, 50.0)
    assert of({"on": [{"when": "json:a"}]}).sent_per_s == 0.0


def test_a_choice_counts_by_its_weights():
    role = {"steps": [{"weight": 3, "wait": 1}, {"weight": 1, "wait": 5}, {"wait": 2}]}
    steps = make_plan(URL, role={"user": role}).scenario.roles[0].steps
    assert mean_of(steps, lambda step: step.wait.mean_ns / 1e9) == 3 / 4 * 1 + 1 / 4 * 5 + 2
