"""Roles in Python that publish, and that are the audience: the accounting is that of files, the counts the server's."""

import pytest

from engine.fan_out.in_process import CHAT, measure_rooms, together
from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options.read_plan import make_plan, read_plan
from ws_load_test.plan.scenario.explain import explain_scenario

CODE = """
from ws_load_test import Session, role

JOIN = '{"op": "join", "room": "{room}"}'
SAY = '{"op": "say", "room": "{room}", "id": {seq}, "text": "{marker}"}'

@role(deliver_to="reader")
async def writer(session: Session) -> None:
    async for _ in session.iterations():
        await session.send(SAY, name="say")

@role
async def reader(session: Session) -> None:
    await session.exchange(JOIN, until="json:op=joined", name="join")
    async for _ in session.iterations():
        await session.wait("1h")
    await session.exchange('{"op": "leave", "room": "{room}"}', until="json:op=left", name="leave")

reader.on("json:op=say", name="said", sequence="json:id", per="json:room")

@role(deliver_to="member", self_delivery="expected")
async def member(session: Session) -> None:
    await session.exchange(JOIN, until="json:op=joined", name="join")
    async for _ in session.iterations():
        await session.exchange(SAY, until="json:id={seq}", name="say")

@role
async def lacks(session: Session) -> None:
    async for _ in session.iterations():
        await session.send(SAY, name="say")

@role(deliver_to="early")
async def early(session: Session) -> None:
    await session.send(SAY, name="say")
"""
JOIN = {"name": "join", "send": '{"op": "join", "room": "{room}"}', "await": "json:op=joined"}
SAY = {"send": '{"op": "say", "room": "{room}", "id": {seq}, "text": "{marker}"}', "deliver-to": "reader"}
READER = {"sessions": 12, "open": [JOIN]}
WRITER = {"sessions": 3, "rate": "60/s"}
BASE = {**dict.fromkeys(CHAT), "rooms": 3, "duration": "500ms", "timeout": "10s", "workers": 1}
LOSES = "&lose=1%25&duplicate=2%25"


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "chat.py"
    path.write_text(CODE)
    return path


def runs_of(chat):
    """Query, and options, of each run."""
    writer, reader = ({**table, "python": f"{chat}:{name}"} for table, name in ((WRITER, "writer"), ({}, "reader")))
    reader["sessions"] = 12
    both = {"reader": reader, "writer": writer}
    many = {"reader": READER, "writer": {**writer, "rate": "600/s"}}
    return {
        "writer": ("", {**BASE, "role": {"reader": READER, "writer": writer}}),
        "reader": ("", {**BASE, "role": {"reader": reader, "writer": {**WRITER, "steps": [SAY]}}}),
        "both, two workers": ("", {**BASE, "role": both, "workers": 2}),
        "faults": (LOSES, {**BASE, "rooms": 1, "timeout": "2s", "role": many}),
        "itself": ("", {**BASE, "role": {"member": {"sessions": 12, "rate": "60/s", "python": f"{chat}:member"}}}),
        "lacks": ("", {**BASE, "rooms": 1, "role": {"lacks": {"sessions": 1, "python": f"{chat}:lacks"}}}),
        "early": ("", {**BASE, "rooms": 1, "role": {"early": {"sessions": 1, "python": f"{chat}:early"}}}),
    }


@pytest.fixture(scope="module")
def measured(chat):
    """What was measured in each run: the tally, the counts of the server, the result."""
    return together(**{name: measure_rooms(query, **options) for name, (query, options) in runs_of(chat).items()})


@pytest.mark.parametrize("name", ["writer", "reader", "both, two workers", "faults"])
def test_every_delivery_is_in_one_count(measured, chat, name):
    tally, counts, result = measured[name]
    assert not result.summary.faults
    assert 0 < tally.sent == tally.unawaited == counts.published
    rooms = runs_of(chat)[name][1]["rooms"]
    assert tally.deliveries_expected == counts.due == counts.published * 12 // rooms
    assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing
    assert tally.deliveries_missing == counts.lost + counts.gone
    assert tally.deliveries_duplicate == counts.duplicated
    if name == "faults":
        # A busy machine publishes fewer, of which one in a thousand may be none.
        assert counts.lost > 0 or counts.due < 2000
        assert counts.duplicated > 0 or counts.due < 400
    assert tally.deliveries_misdelivered == tally.deliveries_foreign == tally.deliveries_ambiguous == 0
    assert tally.pushed == 0
    publishes = result.summary.fanout.publishes
    assert publishes.sent == counts.published
    assert publishes.followed > 0


def test_deliveries_are_offered_to_the_reactions_of_code(measured):
    for name in ("reader", "both, two workers"):
        tally, counts, _ = measured[name]
        assert tally.reactions["reader/said"].seen == counts.deliveries == tally.deliveries


def test_a_delivery_to_its_sender_is_its_acknowledgment(measured):
    tally, counts, result = measured["itself"]
    assert not result.summary.faults
    assert 0 < tally.sent == tally.answered == counts.published
    assert tally.deliveries == tally.deliveries_expected == counts.deliveries == 4 * counts.published


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lacks", 'ValueError in line 30: {marker} is for deliveries; write @role(deliver_to="ROLE")'),
        ("early", "RuntimeError in line 34: {marker} is of messages within session.iterations()"),
    ],
)
def test_a_marker_in_the_wrong_place_is_a_fault_with_its_line(measured, name, text):
    tally, counts, result = measured[name]
    (kind,) = result.summary.faults
    assert text in next(one.fault_examples[kind] for one in result.recording.intervals if kind in one.fault_examples)
    assert (tally.sent, counts.published) == (0, 0)


def test_it_is_explained_and_known_to_the_plan(chat):
    role = {"reader": READER, "writer": {**WRITER, "python": f"{chat}:writer"}}
    plan = make_plan("ws://h/", role=role, rooms=3, recovery="expected", reconnect="now")
    text = " ".join(" ".join(explain_scenario(plan, 120)).split())
    assert "a message with {marker} must reach the reader sessions of its room: 4" in text
    assert (plan.peak_publishes_per_s, plan.scenario.audience) == (None, "reader")
    alone = make_plan("ws://h/", scenario=f"{chat}:member", connections=12, rooms=3)
    assert alone.scenario.fan_out.self_delivery == "expected"


@pytest.mark.parametrize(
    ("role", "problem"),
    [
        ({}, 'there is no role "reader"; there are writer'),
        ({"raeder": {"sessions": 2, "open": [JOIN]}}, 'there is no role "reader"; did you mean raeder?'),
        ({"reader": {"arrive": "1/s", "at-most": 9, "stay": "1s", "open": [JOIN]}}, "the sessions of reader arrive"),
        (
            {"reader": {"sessions": 2, "open": [JOIN], "steps": [{**SAY, "self-delivery": "expected"}]}},
            '"either" here, and "expected" in another step',
        ),
        (
            {"reader": READER, "other": {"sessions": 1, "steps": [{**SAY, "deliver-to": "other", "wait": "1s"}]}},
            '"reader" would be a second audience beside "other"',
        ),
    ],
)
def test_an_audience_that_does_not_fit_is_a_problem(chat, role, problem):
    with pytest.raises(PlanError) as raised:
        read_plan({"url": "ws://h/", "role": {**role, "writer": {**WRITER, "python": f"{chat}:writer"}}, "rooms": 1})
    assert any(problem in one.text for one in raised.value.problems), raised.value.problems


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ('role(deliver_to="a", self_delivery="always")', "self_delivery is one of either, expected, excluded"),
        ('role(self_delivery="expected")', "add deliver_to"),
        ('role("reader")', "@role takes a coroutine function"),
    ],
)
def test_a_wrong_decorator_is_a_sentence(tmp_path, call, problem):
    path = tmp_path / "code.py"
    path.write_text(f"from ws_load_test import role\n@{call}\nasync def a(session): pass\n")
    with pytest.raises(PlanError) as raised:
        read_plan({"url": "ws://h/", "role": {"a": {"python": f"{path}:a"}}})
    (found,) = raised.value.problems
    assert problem in found.text
