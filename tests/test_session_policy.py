"""Who comes back, who is cut off, who reads slowly: arithmetic, and the options that ask for it."""

import random
import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options import session_values
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.session_policy import (
    DisconnectStorm,
    MisbehavingClients,
    ReconnectPolicy,
    pick_evenly,
    pick_share,
)

MS, S = 10**6, 10**9

# --- who -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 20_000), st.data())
@settings(deadline=None)
def test_so_many_are_spread_evenly_over_the_run_and_its_workers(total, data):
    count = data.draw(st.integers(0, total))
    numbers = pick_evenly(count, total)
    assert len(numbers) == len(set(numbers)) == count
    assert numbers == sorted(numbers)
    assert all(0 <= number < total for number in numbers)
    for workers in (1, 2, 3, 4, 8):
        for index in range(workers):
            share = len(range(index, total, workers))
            theirs = sum(number % workers == index for number in numbers)
            assert abs(theirs - count * share / total) <= 2 * workers
    halves = sum(number < total // 2 for number in numbers)
    assert abs(halves - count * (total // 2) / total) <= 4


def test_a_part_is_always_part_of_a_larger_part():
    assert pick_evenly(0, 10) == []
    assert pick_evenly(10, 10) == list(range(10))
    for count in range(100):
        assert set(pick_evenly(count, 100)) < set(pick_evenly(count + 1, 100))


def test_half_of_all_is_half_of_each_worker():
    for workers in (2, 3, 4):
        numbers = pick_evenly(120, 240)
        theirs = Counter(number % workers for number in numbers)
        assert max(theirs.values()) - min(theirs.values()) <= 3


@pytest.mark.parametrize(
    ("share", "total", "count"),
    [(0.0, 10, 0), (0.001, 10, 1), (0.3, 10, 3), (0.26, 10, 3), (1.0, 7, 7), (0.5, 1, 1), (0.999, 10, 10)],
)
def test_a_share_stands_for_at_least_one(share, total, count):
    numbers = pick_share(share, total)
    assert numbers == frozenset(pick_evenly(count, total))
    assert len(numbers) == count


def some(share, total):
    """How many a share stands for, in tenths of a percent."""
    return max(1, round(share / 1000 * total)) if share else 0


@given(st.integers(3, 5000), *[st.integers(0, 300)] * 3)
@example(3, 0, 0, 1)
@settings(deadline=None)
def test_the_unkind_are_as_many_as_asked_and_mixed_evenly(connections, slow, deaf, mute):
    wanted = {
        kind: some(share, connections)
        for kind, share in (("slow_reader", slow), ("stalled_reader", deaf), ("no_pong", mute))
        if share
    }
    manners = MisbehavingClients(
        slow_reader=slow / 1000, slow_reader_bytes_per_s=1.0, stalled_reader=deaf / 1000, no_pong=mute / 1000
    ).assign(connections)
    assert Counter(manners.values()) == wanted
    everybody = sum(wanted.values())
    assert sorted(manners) == pick_evenly(everybody, connections)
    for place in range(1, everybody + 1):
        so_far = Counter(list(manners.values())[:place])
        assert all(abs(so_far[kind] - place * count / everybody) < 2 for kind, count in wanted.items())


def test_the_unkind_take_turns():
    manners = MisbehavingClients(slow_reader=0.1, slow_reader_bytes_per_s=1.0, stalled_reader=0.1).assign(60)
    assert list(manners) == pick_evenly(12, 60)
    assert list(manners.values()) == ["slow_reader", "stalled_reader"] * 6
    assert MisbehavingClients(no_pong=0.5).assign(4) == dict.fromkeys(pick_evenly(2, 4), "no_pong")
    assert MisbehavingClients().assign(100) == {}


def test_the_unkind_in_words():
    assert MisbehavingClients(slow_reader=0.05, slow_reader_bytes_per_s=1000.0, no_pong=1 / 3).describe() == (
        "5 % of the connections read 1 kB/s, 33.3 % of the connections never pong"
    )
    assert MisbehavingClients(stalled_reader=0.5).describe() == "50 % of the connections stop reading"


# --- when ------------------------------------------------------------------------------------------------------------


class Chance(random.Random):
    """A die that always falls on the same side."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def random(self):
        return self.value


def test_waits_double_until_they_are_the_longest():
    policy = ReconnectPolicy("exponential", 100 * MS, 3 * S)
    always_most = [policy.backoff_ns(attempt, Chance(1.0)) for attempt in range(7)]
    assert always_most == [100 * MS, 200 * MS, 400 * MS, 800 * MS, 1600 * MS, 3 * S, 3 * S]
    assert [policy.backoff_ns(attempt, Chance(0.5)) for attempt in range(3)] == [50 * MS, 100 * MS, 200 * MS]
    assert [policy.backoff_ns(attempt, Chance(0.0)) for attempt in (0, 9)] == [0, 0]


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**9), st.integers())
def test_no_wait_is_longer_than_it_may_be(first_ns, more_ns, attempt, seed):
    longest_ns = first_ns + more_ns
    wait_ns = ReconnectPolicy("exponential", first_ns, longest_ns).backoff_ns(attempt, random.Random(seed))
    assert type(wait_ns) is int
    # Above the 64th attempt the doubled wait is far beyond a year, whatever the first one.
    assert 0 <= wait_ns <= min(longest_ns, first_ns * 2 ** min(attempt, 64))


def test_waits_are_spread_over_all_that_they_may_be():
    chance, policy = random.Random(1), ReconnectPolicy("exponential", S, S)
    waits = [policy.backoff_ns(0, chance) for _ in range(2000)]
    tenths = Counter(wait_ns * 10 // S for wait_ns in waits)
    assert set(tenths) == set(range(10))
    assert min(tenths.values()) > 140, "some 200 in each tenth"


def test_the_other_policies_leave_nothing_to_chance():
    assert [ReconnectPolicy("now").backoff_ns(attempt, Chance(0.7)) for attempt in (0, 5)] == [0, 0]
    assert [ReconnectPolicy("delay", 3 * S).backoff_ns(attempt, Chance(0.7)) for attempt in (0, 5)] == [3 * S, 3 * S]


@pytest.mark.parametrize(
    ("text", "policy", "words"),
    [
        ("none", ReconnectPolicy(), "not dialled again"),
        ("now", ReconnectPolicy("now"), "dialled again at once"),
        (" now ", ReconnectPolicy("now"), "dialled again at once"),
        ("1.5s", ReconnectPolicy("delay", 1500 * MS), "dialled again after 1.50 s"),
        (2, ReconnectPolicy("delay", 2 * S), "dialled again after 2 s"),
        (
            "exponential",
            ReconnectPolicy("exponential", 100 * MS, 30 * S),
            "dialled again after a random time, at first up to 100 ms, doubling up to 30 s",
        ),
        (
            "exponential:1s..1m30s",
            ReconnectPolicy("exponential", S, 90 * S),
            "dialled again after a random time, at first up to 1 s, doubling up to 90 s",
        ),
        (
            "exponential:1s..1s",
            ReconnectPolicy("exponential", S, S),
            "dialled again after a random time, at first up to 1 s, doubling up to 1 s",
        ),
    ],
)
def test_a_policy_is_read_and_reported(text, policy, words):
    assert session_values.reconnect(text) == policy
    assert policy.describe() == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("later", '"later" is no policy; write none, now, a delay such as 1s, or exponential'),
        ("", '"" is no policy'),
        ("0s", '"0s" is no policy'),
        ("-1s", '"-1s" is no policy'),
        ("now:1s", '"now:1s" is no policy'),
        (True, '"True" is not a policy'),
        ("exponential:", '"exponential:" names no bounds; write for example exponential:100ms..30s'),
        ("exponential:1s", '"exponential:1s" names no bounds'),
        ("exponential:1s..", "is not a duration"),
        ("exponential:0s..1s", "0 is too short"),
        ("exponential:2s..1s", "the longest wait, 1s, is shorter than the first, 2s"),
    ],
)
def test_what_is_no_policy_is_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        session_values.reconnect(text)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("5%", 0.05),
        ("0.05", 0.05),
        (0.05, 0.05),
        (".5", 0.5),
        ("12.5 %", 0.125),
        ("100%", 1.0),
        (1, 1.0),
        (" 1% ", 0.01),
    ],
)
def test_a_share_is_a_percentage_or_a_part(text, part):
    assert session_values.share(text) == pytest.approx(part, rel=1e-12)


@pytest.mark.parametrize("text", ["", "%", "0", "0%", "101%", "1.01", "-5%", "5 per cent", "5%%", "nan", "٥%", True])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a share; write for example 5% or 0\.05") as raised:
        session_values.share(text)
    assert f'"{text}"' in str(raised.value)


@pytest.mark.parametrize(
    ("text", "pair"),
    [("5%:1kB/s", (0.05, 1000.0)), ("0.5:64KiB", (0.5, 65536.0)), ("1%: 10 / s", (0.01, 10.0))],
)
def test_who_is_slow_and_how_slow(text, pair):
    assert session_values.slow_reader(text) == pair


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5%", '"5%" names no speed; write for example 5%:1kB/s'),
        ("5%:1kB/m", "names no speed"),
        ("5%:1kB/", "names no speed"),
        ("5%:fast", '"fast" is not a size'),
        ("5%:", '"" is not a size'),
        ("5%:0/s", "0 B/s is not slow but deaf; did you mean --stalled-readers?"),
        ("0%:1kB/s", '"0%" is not a share'),
        (":1kB/s", '"" is not a share'),
    ],
)
def test_what_names_no_speed_is_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        session_values.slow_reader(text)


def test_a_storm_is_a_share_and_a_moment():
    assert session_values.disconnect_storm("30%@10s") == DisconnectStorm(0.3, 10 * S)
    assert session_values.disconnect_storm("0.5@0s") == DisconnectStorm(0.5, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30%", '"30%" names no moment; write for example 30%@10s'),
        ("30%@", "is not a duration"),
        ("@10s", '"" is not a share'),
        ("0%@10s", '"0%" is not a share'),
    ],
)
def test_what_names_no_moment_is_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        session_values.disconnect_storm(text)


def plan(**options):
    return make_plan("ws://127.0.0.1:1/", **{"connections": 20, "duration": "30s", **options})


def test_options_become_conduct():
    made = plan(
        reconnect="1s",
        lifetime="5s",
        disconnect="30%@10s",
        slow_readers="5%:1kB/s",
        stalled_readers="10%",
        no_pong_clients=0.2,
    )
    assert made.reconnect == ReconnectPolicy("delay", S)
    assert (made.lifetime_ns, made.disconnect_storm) == (5 * S, DisconnectStorm(0.3, 10 * S))
    assert made.misbehaving == MisbehavingClients(
        slow_reader=0.05, slow_reader_bytes_per_s=1000.0, stalled_reader=0.1, no_pong=0.2
    )
    assert plan().reconnect == ReconnectPolicy()
    assert plan().misbehaving is plan().disconnect_storm is plan().lifetime_ns is None


def test_whom_a_storm_cuts_off_comes_back_at_once_unless_something_else_is_said():
    assert plan(disconnect="30%@10s").reconnect == ReconnectPolicy("now")
    assert plan(disconnect="30%@10s", reconnect="exponential").reconnect.policy == "exponential"


STAGES = {"connection_stages": "10s:20", "connections": None, "rate": 10}


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"disconnect": "30%@10s", "reconnect": "none"}, ["--disconnect: needs a --reconnect other than none"]),
        ({"disconnect": "30%@30s"}, ["--disconnect: comes after the end of the run"]),
        ({"disconnect": "30%@40s", "reconnect": "none"}, ["--disconnect: needs a", "--disconnect: comes after"]),
        (
            {"reconnect": "now", "lifetime": "5s", "disconnect": "3%@1s", **STAGES},
            [f"--{name}: cannot stand beside --connection-stages" for name in ("reconnect", "lifetime", "disconnect")],
        ),
        ({"lifetime": "0s"}, ["--lifetime: 0 is too short"]),
        ({"stalled_readers": "95%"}, ["--stalled-readers: too few of the connections (-c 20) are left healthy"]),
        (
            {"slow_readers": "40%:1kB", "no_pong_clients": "51%"},
            ["--slow-readers: too few of the connections (-c 20) are left healthy"],
        ),
        ({"stalled_readers": "10%", "connections": 1}, ["--stalled-readers: too few of the connections (-c 1)"]),
        (
            {"slow_readers": "1%:1kB", "stalled_readers": "1%", "no_pong_clients": "1%", "connections": 3},
            ["--slow-readers: too few of the connections (-c 3)"],
        ),
        (
            {"slow_readers": "1%:1kB", "stalled_readers": "1%", "no_pong_clients": "1%", "connections": 2},
            ["--slow-readers: too few of the connections (-c 2)"],
        ),
        (
            {"stalled_readers": "1%", "no_pong_clients": "1%", "connections": 1},
            ["--stalled-readers: too few of the connections (-c 1)"],
        ),
    ],
)
def test_what_does_not_fit_is_a_problem(options, problems):
    options = {name: value for name, value in {"connections": 20, "duration": "30s", **options}.items() if value}
    with pytest.raises(PlanError) as raised:
        make_plan("ws://127.0.0.1:1/", **options)
    found = [str(problem) for problem in raised.value.problems]
    assert len(found) == len(problems)
    for problem, words in zip(found, problems, strict=True):
        assert problem.startswith(words)


@pytest.mark.parametrize(
    "options",
    [
        {"disconnect": "30%@29s"},
        {"stalled_readers": "90%"},
        {"slow_readers": "1%:1kB", "stalled_readers": "1%", "no_pong_clients": "1%"},
    ],
)
def test_what_fits_is_none(options):
    plan(**options)
    plan(connections=4, slow_readers="1%:1kB", stalled_readers="1%", no_pong_clients="1%")
