"""Sessions and times by node of the target."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import PlanError, make_plan, run
from ws_load_test.analysis.nodes import NodeTracker, skew_of
from ws_load_test.common.sharding import Shard
from ws_load_test.echo import EchoProcess, NodeOptions
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.nodes import MAX_NODES, OTHER
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.node import LONGEST_NAME, NodeRule, node_rule


@pytest.mark.parametrize("text", ["header:X-Node", "cookie:SERVERID", "json:server.name"])
def test_rules_are_read(text):
    assert str(node_rule(text)) == text


@pytest.mark.parametrize("text", ["X-Node", "header:", "header:a b", "cookie:a=b", "json:", "json:a..b", "body:x", ""])
def test_others_are_refused(text):
    with pytest.raises(PlanError, match="--node"):
        make_plan("ws://h/", node=text)


@pytest.mark.parametrize(
    ("rule", "headers", "name"),
    [
        ("header:X-Node", {"x-node": ["a"]}, "a"),
        ("header:X-Node", {"x-node": ["  a \x1b[31m b"]}, "a ?[31m b"),
        ("header:X-Node", {"x-other": ["a"]}, ""),
        ("header:Via", {"via": ["1.1 a", "1.1 b"]}, "1.1 a, 1.1 b"),
        ("header:X-Node", {"x-node": ["n" * 100]}, "n" * LONGEST_NAME),
        ("cookie:SERVERID", {"set-cookie": ["id=7; Path=/", "SERVERID=blue; Path=/; HttpOnly"]}, "blue"),
        ("cookie:SERVERID", {"set-cookie": ['SERVERID="blue"']}, "blue"),
        ("cookie:SERVERID", {"set-cookie": ["XSERVERID=blue"]}, ""),
        ("json:id", {"id": ["a"]}, ""),
    ],
)
def test_names_are_found_in_headers(rule, headers, name):
    assert node_rule(rule).of_headers(headers) == name


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000), min_size=1))
def test_skew_is_the_largest_share_over_an_even_one(sessions):
    skew = skew_of(Counter(sessions), sessions)
    if not sum(sessions.values()):
        assert skew is None
    else:
        assert skew == Fraction(max(sessions.values()), sum(sessions.values())) / Fraction(1, len(sessions))
        assert 1 <= skew <= len(sessions)


def test_sessions_are_counted_at_the_start_and_the_end_of_the_load():
    tracker = NodeTracker()
    for phase, name, opened, ended in (
        ("opening", "a", 5, 0),
        ("opening", "b", 5, 1),
        ("measured", "a", 0, 5),
        ("measured", "b", 5, 0),
        ("closing", "b", 0, 9),
    ):
        tracker.add_interval(phase, Tally(nodes={name: Tally(opened=opened, closed=Counter({"1000": ended}))}))
    assert (tracker.start, tracker.end) == (Counter(a=5, b=4), Counter(a=0, b=9))
    assert skew_of(tracker.end, tracker.open) == 2


def test_tallies_of_nodes_merge_and_travel():
    one, other = Tally(nodes={"a": Tally(opened=2)}), Tally(nodes={"a": Tally(opened=3), "b": Tally(opened=1)})
    one.nodes["a"].response_time_ns.record(1000)
    one.merge(other)
    assert {name: part.opened for name, part in one.nodes.items()} == {"a": 5, "b": 1}
    assert Tally.from_wire(one.to_wire()) == Tally.from_record(one.to_record()) == one
    with pytest.raises(ValueError, match="no 'nodes' of its own"):
        Tally.from_record({"nodes": {"a": {"nodes": {"b": {}}}}})


def test_the_number_of_nodes_is_bounded():
    plan = make_plan("ws://h/", connections=MAX_NODES + 5, node="header:X-Node")
    pool = ConnectionPool(plan, Shard(0, 1))
    for number in range(MAX_NODES + 5):
        connection = pool.new_connection(number)
        connection.node = f"node-{number}"
        pool._place(connection)
    tally, _ = pool.collect()
    pool.factory.close()
    assert len(tally.nodes) == MAX_NODES + 1
    assert tally.nodes[OTHER].opened == 5


def test_a_plan_without_nodes_has_no_part_of_it():
    pool = ConnectionPool(make_plan("ws://h/"), Shard(0, 1))
    assert pool._nodes is None
    assert type(pool.new_connection(0)).__name__ == "Connection"
    pool.factory.close()


@pytest.mark.parametrize("load", [{"rate": 200}, {"in_flight": 2}])
def test_each_node_has_a_row(load):
    with EchoProcess(node=NodeOptions("blue")) as blue, EchoProcess(node=NodeOptions("green")) as green:
        urls = [f"{blue.url}?node", f"{green.url}?node&delay=20ms", blue.url + "?node"]
        result = run(make_plan(urls, connections=9, duration="1s", node="header:x-node", workers=2, **load))
    summary = result.summary
    rows = {row.name: row for row in summary.nodes.rows}
    assert {name: (row.sessions_at_start, row.sessions_at_end, row.opened) for name, row in rows.items()} == {
        "blue": (6, 6, 6),
        "green": (3, 3, 3),
    }
    assert summary.nodes.skew == summary.nodes.skew_at_start == pytest.approx(4 / 3)
    assert summary.nodes.unnamed == 0
    # All that is measured on nodes is in the totals as well, and nothing is counted twice.
    assert sum(row.answered for row in rows.values()) == summary.messages.answered
    assert summary.response_time_ns.count == summary.messages.answered
    assert rows["green"].response_p50_ns >= 20_000_000
    assert rows["blue"].response_p50_ns < rows["green"].response_p50_ns


def test_a_message_can_name_the_node():
    message = ['{"server": {"name": "a"}}', '{"server": {"name": "a"}}']
    with EchoProcess() as server:
        plan = make_plan(
            server.url, connections=4, messages=40, message=message, node="json:server.name", fail_if=["nodes.skew > 1"]
        )
        result = run(plan)
    (row,) = result.summary.nodes.rows
    assert (row.name, row.opened, row.answered, row.sessions_at_end) == ("a", 4, 40, 4)
    assert result.passed


def test_a_condition_without_nodes_is_foreseen():
    plan = make_plan("ws://h/", fail_if="nodes.skew > 2")
    assert any("no session shows its node without --node" in warning for warning in plan.warnings)
    assert NodeRule("json", "a").in_messages
