"""Fan-out between the roles of a scenario, over real sockets, against the exact counts of the built-in server."""

import asyncio
from pathlib import Path

import pytest

from engine.fan_out.in_process import CHAT, measure_rooms, together
from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file

JOIN = {"name": "join", "send": '{"op": "join", "room": "{room}"}', "await": "json:op=joined"}
LEAVE = {"name": "leave", "send": '{"op": "leave", "room": "{room}"}', "await": "json:op=left"}
SAY = {"name": "say", "send": '{"op": "say", "room": "{room}", "id": {seq}, "text": "{marker}"}'}
NONE_OF_THE_OTHERS = dict.fromkeys(CHAT)


def roles(*, writers=3, member=None, **step):
    """Returns a chat in which every writer says something twenty times a second."""
    says = {**SAY, "deliver-to": "reader", **step}
    return {
        "reader": {"sessions": 12, "open": [JOIN], "leave": [LEAVE], **(member or {})},
        "writer": {"sessions": writers, "rate": "60/s", "steps": [says]},
    }


def members(**step):
    """Returns a chat of one role, whose sessions read and write."""
    says = {**SAY, "deliver-to": "member", "await": "json:id={seq}", **step}
    return {"member": {"sessions": 12, "rate": "60/s", "open": [JOIN], "steps": [says]}}


BASE = {**NONE_OF_THE_OTHERS, "rooms": 3, "duration": "500ms", "timeout": "1s", "workers": 1}
EVERY = {**BASE, "role": members(**{"self-delivery": "expected"})}
LISTENERS = {"member": {"on": [{"name": "said", "when": "json:op=say", "sequence": "json:id"}]}}


async def kills_a_worker(fleets, server):
    """Ends the second worker amid the load."""
    while server.rooms.report().total.published < 10:  # noqa: ASYNC110 - the server's counts are no event
        await asyncio.sleep(0.001)
    fleets[0].lose(1)
    await asyncio.sleep(60)


EXAMPLE = Path(__file__).parents[3] / "examples" / "scenarios" / "built-in-chat.toml"


def example(**changes):
    """Returns the options of the example for the built-in server, which is run for a moment."""
    written = read_plan_file(str(EXAMPLE))
    return {
        **NONE_OF_THE_OTHERS,
        **{name: written[name] for name in written if name not in {"url", "fail_if"}},
        **changes,
    }


RUNS = {
    "example": ("", example(connections=40, rooms=2, duration="600ms", workers=1, timeout="2s")),
    "none": ("", {**BASE, "role": roles()}),
    "two workers": ("", {**BASE, "role": roles(), "workers": 2}),
    "lose": ("&lose=10%25", {**BASE, "role": roles()}),
    "duplicate": ("&duplicate=10%25", {**BASE, "role": roles()}),
    "swap": ("&swap=10%25", {**BASE, "rooms": 1, "role": roles(writers=1)}),
    "misdeliver": ("&misdeliver=10%25", {**BASE, "role": roles()}),
    "fewer senders": ("", {**BASE, "role": roles(writers=2)}),
    "reactions": ("", {**BASE, "role": roles(**LISTENERS)}),
    "stay": ("", {**BASE, "role": roles(member={"stay": "150ms"})}),
    "expected": ("", EVERY),
    "either": ("", {**BASE, "role": members()}),
    "excluded": ("", {**BASE, "role": members(**{"self-delivery": "excluded"})}),
    "expected, two workers": ("", {**EVERY, "workers": 2}),
    "killed": ("", {**BASE, "workers": 2, "duration": "1500ms", "role": roles(), "during": kills_a_worker}),
}


@pytest.fixture(scope="module")
def measured():
    """What was measured in each run: the tally, the counts of the server, the result."""
    return together(**{name: measure_rooms(query, **options) for name, (query, options) in RUNS.items()})


@pytest.mark.parametrize("name", ["none", "two workers", "lose", "duplicate", "swap", "misdeliver", "reactions"])
def test_every_delivery_is_in_one_count(measured, name):
    tally, counts, result = measured[name]
    assert not result.summary.faults
    # An iteration for which no session was idle at the end is dropped, on a busy machine.
    assert 0 < tally.sent == tally.unawaited == counts.published <= 30
    assert tally.deliveries_expected == counts.due == counts.published * 12 // RUNS[name][1]["rooms"]
    assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing
    # The server holds the last message back that it swaps.
    assert tally.deliveries_missing == counts.lost + counts.gone
    assert tally.deliveries_duplicate == counts.duplicated
    assert tally.deliveries_misdelivered == counts.misdelivered
    assert tally.deliveries_out_of_order == counts.swapped
    assert tally.deliveries_ambiguous == tally.deliveries_foreign == tally.deliveries_cut_off == 0
    assert tally.pushed == 0
    assert result.summary.fanout.publishes.followed == counts.published


def test_deliveries_are_in_the_excerpt_of_a_session_that_is_followed(measured):
    tally, _, _ = measured["none"]
    # The four that are followed of twelve readers are in three rooms, each with its share of the deliveries.
    entries = tally.roles["reader"].excerpts.first.entries
    assert [one.kind for one in entries] == ["open", "delivery", "leave"]
    assert entries[1].count == tally.deliveries // 12
    assert {one.kind for one in tally.roles["writer"].excerpts.first.entries} == {"step"}


def test_the_example_for_the_built_in_server_counts_what_the_server_counts(measured):
    tally, counts, result = measured["example"]
    assert not result.summary.faults
    assert 0 < tally.sent == tally.answered == counts.published
    assert 0 < tally.deliveries == tally.deliveries_expected
    # Each writer's room has a member more, which is a writer: of it no delivery is expected.
    assert tally.deliveries + tally.deliveries_ambiguous + tally.deliveries_to_publisher == counts.deliveries


def test_fewer_senders_than_rooms_publish_to_all_in_turn(measured):
    tally, counts, result = measured["fewer senders"]
    assert not result.summary.faults
    assert 3 < tally.sent == counts.published
    assert tally.deliveries == tally.deliveries_expected == counts.due == 4 * counts.published
    assert len(tally.delivery_groups) == 3
    assert not read_plan({"url": "ws://h/", "rooms": 3, "role": roles(writers=2)}).warnings
    joins = roles(writers=2)
    joins["writer"]["open"] = [JOIN]
    (warning,) = read_plan({"url": "ws://h/", "rooms": 3, "role": joins}).warnings
    assert "each sends to all rooms in turn, though it joins one" in warning
    assert tally.deliveries_misdelivered == 0


def test_the_faults_were_there(measured):
    found = {name: measured[name][1] for name in RUNS}
    assert found["lose"].lost
    assert found["duplicate"].duplicated
    assert found["swap"].swapped
    assert found["misdeliver"].misdelivered


def test_a_delivery_is_offered_to_reactions_as_well(measured):
    tally, counts, _ = measured["reactions"]
    ((_, reaction),) = tally.reactions.items()
    assert reaction.seen == counts.deliveries == tally.deliveries


@pytest.mark.parametrize("name", ["expected", "expected, two workers"])
def test_a_delivery_to_its_sender_is_an_acknowledgment_as_well(measured, name):
    tally, counts, _ = measured[name]
    assert 0 < tally.sent == tally.answered == counts.published
    assert tally.deliveries == tally.deliveries_expected == counts.deliveries == 4 * counts.published


def test_what_a_sender_gets_of_its_own(measured):
    tally, counts, _ = measured["either"]
    sent = counts.published
    assert (tally.deliveries, tally.deliveries_to_publisher, tally.deliveries_misdelivered) == (3 * sent, sent, 0)
    tally, counts, _ = measured["excluded"]
    assert (tally.deliveries, tally.deliveries_misdelivered) == (3 * counts.published, counts.published)


def test_sessions_that_come_and_go_are_expected_to_receive_while_they_are_there(measured):
    tally, counts, result = measured["stay"]
    assert tally.recycled
    assert not result.summary.faults
    assert tally.deliveries_missing == tally.deliveries_cut_off == tally.deliveries_duplicate == 0
    assert 0 < tally.deliveries == tally.deliveries_expected
    assert tally.deliveries + tally.deliveries_ambiguous >= counts.deliveries - counts.gone


def test_a_worker_that_is_killed_leaves_the_counts_of_the_others_right(measured):
    tally, _, result = measured["killed"]
    assert result.summary.verdict.reason == "worker-lost"
    assert tally.deliveries == tally.deliveries_expected
    assert tally.deliveries_missing == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"open": [{**SAY, "deliver-to": "reader"}]}, "move the step to [[role.NAME.steps]]"),
        ({"leave": [{**SAY, "deliver-to": "reader"}]}, "move the step to [[role.NAME.steps]]"),
        ({"timer": [{"every": "1s", **SAY, "deliver-to": "reader"}]}, "move the step to [[role.NAME.steps]]"),
        (
            {"steps": [{**SAY, "deliver-to": "reader"}, {**SAY, "deliver-to": "reader", "self-delivery": "excluded"}]},
            '"excluded" here, and "either" in another step; write the same in all',
        ),
    ],
)
def test_steps_that_cannot_publish_are_problems(changes, problem):
    scenario = roles()
    scenario["writer"] |= changes
    with pytest.raises(PlanError) as raised:
        read_plan({"url": "ws://h/", "rooms": 3, "role": scenario})
    (found,) = raised.value.problems
    assert problem in found.text
