"""The options of an open load: from a command line, a plan file and a script alike; what excludes what."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import Plan, PlanError, make_plan
from ws_load_test.cli import main
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.load import ClosedLoop, OpenLoop
from ws_load_test.plan.schedule import LoadProfile, Stage
from ws_load_test.plan.values import connection_stages, rate_stages

URL = "ws://h:1/"
SECOND = 10**9
LINES = LoadProfile((Stage(30 * SECOND, 0, 1000), Stage(120 * SECOND, 1000, 5000), Stage(10 * SECOND, 5000, 0)))


def problems_of(**options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    return {problem.option: problem.text for problem in caught.value.problems}


def rate_of(plan):
    (stage,) = plan.load.rate.stages
    assert stage.start == stage.end
    return stage.end


@pytest.fixture
def planned(monkeypatch):
    """What the command line would run."""
    plans = []
    monkeypatch.setattr("ws_load_test.cli.run._run", lambda plan, ours: plans.append(plan) or 0)

    def plan_of(*arguments):
        assert main(arguments) == 0
        return plans.pop()

    return plan_of


# For each option: its words on a command line, its line in a plan file, its value in a script, what the plan has.
EVERY_OPTION = {
    "rate": ("-r 2k/s", 'rate = "2k/s"', {"rate": 2000}, lambda plan: rate_of(plan) == 2000),
    "rate per minute": ("--rate 90/m", 'rate = "90/m"', {"rate": "90/m"}, lambda plan: rate_of(plan) == 1.5),
    "rate 0": ("-r 0", "rate = 0", {"rate": 0}, lambda plan: plan.load.rate.peak == 0),
    "rate of each": (
        "--rate-per-connection 20 -c 30",
        "rate-per-connection = 20\nconnections = 30",
        {"rate_per_connection": 20, "connections": 30},
        lambda plan: rate_of(plan) == 600,
    ),
    "stages": (
        "--stages 30s:1000,2m:5000,10s:0",
        'stages = "30s:1000,2m:5000,10s:0"',
        {"stages": ["30s:1000", "2m:5000", "10s:0"]},
        lambda plan: plan.load.rate == LINES and plan.duration_ns == LINES.duration_ns,
    ),
    "steps": (
        "--stages 30s@1000,5s@0,1m@2k/s",
        'stages = ["30s@1000", "5s@0", "1m@2k/s"]',
        {"stages": "30s@1000, 5s@0, 1m@2k/s"},
        lambda plan: (
            plan.load.rate
            == LoadProfile((Stage(30 * SECOND, 1000, 1000), Stage(5 * SECOND, 0, 0), Stage(60 * SECOND, 2000, 2000)))
        ),
    ),
    "a line behind a step": (
        "--stages 1s@100,1s:200",
        'stages = "1s@100,1s:200"',
        {"stages": "1s@100,1s:200"},
        lambda plan: plan.load.rate.stages[1:] == (Stage(SECOND, 100, 200),),
    ),
    "connections in stages": (
        "--connection-stages 10s:50,5s:20 -r 5",
        'connection-stages = "10s:50,5s:20"\nrate = 5',
        {"connection_stages": "10s:50,5s:20", "rate": 5},
        lambda plan: (
            plan.connection_profile == LoadProfile((Stage(10 * SECOND, 0, 50), Stage(5 * SECOND, 50, 20)))
            and (plan.connections, plan.duration_ns) == (50, 15 * SECOND)
        ),
    ),
    "poisson": (
        "-r 5 --arrivals poisson --seed 7",
        'rate = 5\narrivals = "poisson"\nseed = 7',
        {"rate": 5, "arrivals": "poisson", "seed": 7},
        lambda plan: (plan.load.arrivals, plan.load.seed) == ("poisson", 7),
    ),
    "held back": (
        "-r 5 --max-in-flight 3",
        "rate = 5\nmax-in-flight = 3",
        {"rate": 5, "max_in_flight": 3},
        lambda plan: plan.load.max_in_flight == 3,
    ),
    "ping_interval": (
        "-r 0 --ping-interval 20s",
        'rate = 0\nping-interval = "20s"',
        {"rate": 0, "ping_interval": 20},
        lambda plan: plan.ping_interval_ns == 20 * SECOND,
    ),
}


@pytest.mark.parametrize("name", EVERY_OPTION)
def test_an_option_does_the_same_from_everywhere(name, planned, tmp_path):
    words, lines, options, holds = EVERY_OPTION[name]
    (tmp_path / "plan.toml").write_text(lines)
    by_hand = planned(*words.split(), URL)
    assert isinstance(by_hand.load, OpenLoop)
    assert holds(by_hand)
    assert planned("--plan", str(tmp_path / "plan.toml"), URL) == by_hand
    assert make_plan(URL, **options) == by_hand
    other = make_plan(URL, rate=77)
    assert not holds(other), "the option does nothing"


def test_without_a_rate_the_load_is_a_closed_loop():
    assert isinstance(make_plan(URL).load, ClosedLoop)


def test_a_worker_reads_the_plan_that_was_meant():
    for _, _, options, _ in EVERY_OPTION.values():
        plan = make_plan(URL, **options)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_a_rate_lasts_as_long_as_the_run_warm_up_included():
    plan = make_plan(URL, rate=10, duration="4s", warmup="1s")
    assert (plan.duration_ns, plan.load.rate.duration_ns) == (4 * SECOND, 5 * SECOND)


def test_stages_are_the_whole_run_warm_up_included():
    plan = make_plan(URL, stages="4s:10", warmup="1s")
    assert (plan.duration_ns, plan.load.rate.duration_ns) == (3 * SECOND, 4 * SECOND)


def test_a_number_of_messages_has_no_time():
    plan = make_plan(URL, rate=10, messages=5)
    assert (plan.messages, plan.duration_ns) == (5, None)
    assert plan.load.rate.duration_ns > 300 * 24 * 3600 * SECOND


def test_connections_in_stages_may_have_another_length_than_the_run():
    plan = make_plan(URL, rate=10, connection_stages="4s:10", duration="9s")
    assert (plan.duration_ns, plan.connection_profile.duration_ns) == (9 * SECOND, 4 * SECOND)
    plan = make_plan(URL, stages="7s:10", connection_stages="4s:10")
    assert plan.duration_ns == 7 * SECOND


def test_a_seed_that_is_not_given_is_chosen_and_reported():
    first, second = (make_plan(URL, rate=5, arrivals="poisson") for _ in range(2))
    assert first.load.seed != second.load.seed
    assert f"seed {first.load.seed}" in dict(describe_plan(first))["load"]
    assert make_plan(URL, rate=5).load.seed == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 500}, "open: 500/s"),
        ({"rate": 0}, "none: the connections are held open"),
        ({"stages": "1s:10,2s@4"}, "open: from 0/s to 10/s in 1 s, then 4/s for 2 s"),
        ({"rate": 5, "max_in_flight": 2}, "open: 5/s, at most 2 in flight on each connection"),
        ({"rate": 5, "arrivals": "poisson", "seed": 3}, "open: 5/s, Poisson arrivals of seed 3"),
    ],
)
def test_the_load_in_words(options, words):
    assert dict(describe_plan(make_plan(URL, **options)))["load"] == words


def test_connections_in_words():
    lines = dict(describe_plan(make_plan(URL, rate=0, connection_stages="10s:50,5s:0", ping_interval="1s")))
    assert lines["connections"] == "from 0 to 50 in 10 s, then to 0 in 5 s"
    assert lines["keep-alive"] == "a ping on each connection every 1 s"


RIVALS = [
    {"rate": 5, "rate_per_connection": 5},
    {"stages": "1s:5", "rate": 5},
    {"stages": "1s:5", "rate_per_connection": 5},
    {"stages": "1s:5", "duration": "3s"},
    {"stages": "1s:5", "messages": 3},
    {"connection_stages": "1s:5", "connections": 5, "rate": 1},
    {"connection_stages": "1s:5", "ramp": "1s", "rate": 1},
    {"connection_stages": "1s:5", "connect_rate": 5, "rate": 1},
    {"connection_stages": "1s:5", "rate_per_connection": 5},
    {"connection_stages": "5s:5", "warmup": "1s", "rate": 1},
    {"ping_interval": "1s", "ping": True, "rate": 1},
]


@pytest.mark.parametrize("options", RIVALS, ids=["-".join(list(options)[:2]) for options in RIVALS])
def test_rivals_cannot_stand_beside_each_other(options):
    one, other = list(options)[:2]
    named = {"--" + name.replace("_", "-") for name in (one, other)}
    told = [(option, text) for option, text in problems_of(**options).items() if "cannot stand beside" in text]
    assert any({option, text.split()[3].rstrip(":")} == named for option, text in told), told
    kept = {name: value for name, value in options.items() if name != other}
    if other != "rate_per_connection":
        make_plan(URL, **kept)


@pytest.mark.parametrize(
    "options",
    [
        {"arrivals": "poisson"},
        {"seed": 3},
        {"max_in_flight": 3},
        {"ping_interval": "1s"},
        {"connection_stages": "1s:5"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_needs_a_schedule_says_so(options):
    (name,) = options
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    first = caught.value.problems[0]
    assert first.option == "--" + name.replace("_", "-")
    assert "needs a schedule" in first.text


@pytest.mark.parametrize(
    ("options", "option", "part"),
    [
        ({"rate": 5, "in_flight": 2}, "--in-flight", "--max-in-flight"),
        ({"rate": 5, "seed": 2}, "--seed", "poisson"),
        ({"rate": 5, "seed": 2, "arrivals": "constant"}, "--seed", "poisson"),
        ({"rate": 0, "messages": 2}, "--messages", "--rate 0"),
        ({"stages": "1s:5", "warmup": "1s"}, "--warmup", "--stages"),
        ({"rate": -5}, "--rate", "2k/s"),
        ({"rate": "fast"}, "--rate", "2k/s"),
        ({"rate": True}, "--rate", "2k/s"),
        ({"rate": "5/d"}, "--rate", "2k/s"),
        ({"rate": "nan"}, "--rate", "2k/s"),
        ({"rate_per_connection": 0}, "--rate-per-connection", "500"),
        ({"rate": 5, "arrivals": "random"}, "--arrivals", "poisson"),
        ({"rate": 5, "arrivals": "poisson", "seed": -1}, "--seed", "whole number"),
        ({"rate": 5, "max_in_flight": 0}, "--max-in-flight", "at least 1"),
        ({"rate": 5, "ping_interval": 0}, "--ping-interval", "too short"),
        ({"stages": ""}, "--stages", "30s:1000"),
        ({"stages": "30s"}, "--stages", "30s:1000"),
        ({"stages": "30s:"}, "--stages", "not a rate"),
        ({"stages": ":5"}, "--stages", "duration"),
        ({"stages": "0s:5"}, "--stages", "too short"),
        ({"stages": "1s:5,"}, "--stages", "30s:1000"),
        ({"stages": "1s:-5"}, "--stages", "not a rate"),
        ({"stages": "1s:0,2s:0"}, "--stages", "nothing would happen"),
        ({"stages": 5}, "--stages", "not text"),
        ({"stages": [5]}, "--stages", "not text"),
        ({"stages": []}, "--stages", ""),
        ({"rate": 1, "connection_stages": "1s:2.5"}, "--connection-stages", "whole number"),
        ({"rate": 1, "connection_stages": "1s:0"}, "--connection-stages", "nothing would happen"),
    ],
    ids=str,
)
def test_a_mistake_is_reported_with_what_to_write(options, option, part):
    assert part in problems_of(**options)[option]


amounts = st.integers(0, 10**6)
points = st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from(":@"), amounts), min_size=1, max_size=6).filter(
    lambda found: any(amount for _, _, amount in found)
)


@given(points)
def test_stages_are_read_as_they_are_written(found):
    shape = rate_stages(",".join(f"{length}ms{mark}{amount}" for length, mark, amount in found))
    assert shape.duration_ns == sum(length for length, _, _ in found) * 10**6
    assert shape.peak == max(amount for _, _, amount in found)
    at_ns, before = 0, 0
    for length, mark, amount in found:
        assert shape.value_at(at_ns) == (before if mark == ":" else amount)
        at_ns += length * 10**6
        before = amount
    assert shape.value_at(at_ns) == before
    assert connection_stages([f"{length}ms{mark}{amount}" for length, mark, amount in found]) == shape


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"rate": 0.1, "duration": "1s"},
            "--rate: sends nothing: 0.10/s is 0.1 of a message in the measured 1 s; make",
        ),
        (
            {"rate_per_connection": 0.1, "connections": 3, "duration": "1s"},
            "--rate-per-connection: sends nothing: 0.30/s",
        ),
        ({"rate": 0.1, "warmup": "6s", "duration": "5s"}, "is 0.5 of a message in the measured 5 s"),
        ({"stages": "1s@0,1s:0.5"}, "--stages: sends nothing"),
        ({"rate": 0.1, "duration": "1s", "arrivals": "poisson"}, "--rate: sends nothing"),
    ],
)
def test_a_rate_that_sends_nothing_is_refused(options, says):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"rate": 0.1, "duration": "6s"}, {"rate": 0, "duration": "1s"}, {"rate": 0.1, "messages": 2}]
)
def test_a_rate_that_sends_a_message_or_is_to_send_none_is_taken(options):
    make_plan(URL, **options)
