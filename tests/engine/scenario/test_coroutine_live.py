"""Roles that are coroutines, over real sockets: what they ask for is counted as the steps of any role are."""

import asyncio

import pytest

from engine.fan_out.in_process import CHAT, measure, measure_in_time, together
from ws_load_test import SessionOver
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.common.errors import PlanError
from ws_load_test.common.faults import FaultKind
from ws_load_test.echo import EchoServer
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.scenario.python_role import Message, load_role
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

HEAD = "import asyncio, json\nfrom ws_load_test import Message, Session, SessionOver, role\n"
GAME = (
    HEAD
    + """
told = []

@role
async def player(session: Session) -> None:
    session.values["name"] = f"p{session.number}"
    join = '{"op": "join", "id": {seq}, "me": "{my.name}"}'
    joined = await session.exchange(join, until="json:id={seq}", name="join")
    assert joined.json("me") == session.values["name"], joined
    try:
        async for turn in session.iterations():
            await session.wait("5ms")
            move = {"op": "move", "turn": turn, "me": session.number}
            reply = await session.exchange(json.dumps(move), until=["json:op=move", f"json:turn={turn}"], name="move")
            assert json.loads(reply.text) == move
            await session.send('{"op": "note"}', name="note")
    finally:
        await session.exchange('{"op": "bye"}', until="json:op=bye", name="bye")

@player.on("json:op=note", name="noted")
def noted(session: Session, message: Message) -> None:
    told.append(message.json("op"))
"""
)
LISTENS = HEAD + "@role\nasync def player(session):\n    await session.send('x', name='hello')\n"
OVERDUE = HEAD + (
    "@role\nasync def player(session):\n"
    "    async for _ in session.iterations():\n"
    "        await session.exchange('a', until='contains:never', name='ask', timeout='100ms')\n"
)
RAISES = HEAD + (
    "@role\nasync def player(session):\n"
    "    async for turn in session.iterations():\n"
    "        await session.exchange('a{seq}', until='contains:a', name='ask')\n"
    "        if turn == 2:\n"
    "            raise KeyError('turn two')\n"
    "        await session.wait(0.005)\n"
)
ELSEWHERE = HEAD + (
    "@role\nasync def player(session):\n"
    "    async for _ in session.iterations():\n"
    "        await session.send('a')\n"
    "        await asyncio.sleep(60)\n"
)
BLOCKS = HEAD + (
    "import time\n"
    "@role\nasync def player(session):\n"
    "    async for turn in session.iterations():\n"
    "        await session.exchange('a{seq}', until='contains:a', name='ask')\n"
    "        if turn == 0 and session.number == 0:\n"
    "            time.sleep(0.12)\n"
    "        await asyncio.sleep(0.06)\n"
    "        await session.exchange('b{seq}', until='contains:b', name='other')\n"
)
TWICE = HEAD + (
    "@role\nasync def player(session):\n"
    "    async for turn in session.iterations():\n"
    "        await session.exchange('a{seq}', until='contains:a{seq}', name='ask')\n"
    "        await session.receive('contains:a', name='again')\n"
)
STREAMS = HEAD + (
    "told = []\n"
    "@role\nasync def player(session):\n"
    "    async for _ in session.iterations():\n"
    "        last = await session.exchange('{\"id\": {seq}}', until='json:done=true', first='any', name='ask',\n"
    "                                      each='json:id={seq}', count='json:index', on_part=told.append)\n"
    "        assert last.json('done') == 'true'\n"
)


async def answers_twice(peer):
    """Sends each message back twice, both in one write."""
    await peer.upgrade()
    async for message in peer.messages():
        frame = frames.encode_frame(frames.TEXT, message.payload)
        await peer.send_raw(frame + frame)


FILES = {
    "game": (GAME, {}),
    "game, two workers": (GAME, {"workers": 2}),
    "rate": (GAME, {"rate": "100/s"}),
    "some": (GAME, {"iterations": 3, "duration": "1s"}),
    "listens": (LISTENS, {}),
    "overdue": (OVERDUE, {}),
    "raises": (RAISES, {}),
    "elsewhere": (ELSEWHERE, {"longest": "200ms"}),
    "blocks": (BLOCKS, {}),
    "twice": (TWICE, {"server": lambda: FaultyServer(answers_twice)}),
    "streams": (STREAMS, {"query": "?stream=5"}),
}


async def play(path, text, **options):
    """Runs four sessions of a file's role for a moment, and again from another file where the machine was busy."""

    async def attempt(number):
        file = path.with_name(f"{path.stem}_{number}.py")
        file.write_text(text)
        return await play_once(file, **options)

    return await measure_in_time(attempt)


async def play_once(path, *, workers=1, longest="2s", server=None, query="", duration="500ms", **role):
    """Runs them against the built-in server, or another."""
    options = {**dict.fromkeys(CHAT), "duration": duration, "timeout": longest, "workers": workers}
    options["role"] = {"player": {"sessions": 4, "python": f"{path}:player", **role}}
    if server is not None:
        with server() as one:
            return await measure(one.url, **options)
    async with EchoServer() as echo:
        return await measure(echo.url + query, **options)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The result and the tally of each run."""
    folder, runs = tmp_path_factory.mktemp("scenarios"), {}
    for number, (name, (text, options)) in enumerate(FILES.items()):
        runs[name] = play(folder / f"game{number}.py", text, **options)
    return together(at_once=3, **runs)


def steps(tally):
    """The rows of steps by the name of the step."""
    return {key.rpartition("/")[2]: row for key, row in tally.steps.items()}


@pytest.mark.parametrize("name", ["game", "game, two workers", "rate"])
def test_a_coroutine_is_counted_as_steps_are(played, name):
    result, tally = played[name]
    rows, role = steps(tally), tally.roles["player"]
    assert not result.summary.faults
    assert set(rows) == {"join", "move", "note", "bye"}
    assert rows["join"].answered == rows["bye"].answered == 4
    assert 4 < rows["move"].answered == rows["move"].sent == rows["move"].response_time_ns.count
    assert rows["move"].answered - 4 <= rows["note"].unawaited <= rows["move"].answered
    assert tally.sent == rows["move"].sent + rows["note"].sent
    assert tally.sent == tally.answered + tally.unawaited
    assert (role.sessions_begun, role.sessions_completed, role.sessions_failed) == (4, 4, 0)
    assert rows["move"].answered - 4 <= role.iterations_completed <= rows["move"].answered
    ((_, reaction),) = tally.reactions.items()
    assert rows["note"].sent - 4 <= reaction.seen <= rows["note"].sent
    assert tally.pushed == 0


def test_reactions_call_their_functions(played):
    path = played["game"][0].recording.header.plan["scenario"]["roles"][0]["python"]
    assert load_role(path).functions.keys() == {"noted"}
    told = load_role(path).functions["noted"].__globals__["told"]
    ((_, reaction),) = played["game"][1].reactions.items()
    assert told == ["note"] * reaction.seen


def test_so_many_iterations_and_then_another_session(played):
    _, tally = played["some"]
    role = tally.roles["player"]
    assert role.sessions_completed > 4
    assert role.iterations_completed >= 3 * (role.sessions_completed - 4)
    assert steps(tally)["bye"].answered >= role.sessions_completed - 4


def test_a_coroutine_without_iterations_stays_to_the_end(played):
    result, tally = played["listens"]
    assert not result.summary.faults
    assert steps(tally)["hello"].sent == 4
    assert (tally.roles["player"].sessions_begun, tally.roles["player"].sessions_completed) == (4, 4)


def test_a_step_that_takes_too_long_fails_its_session(played):
    result, tally = played["overdue"]
    assert tally.roles["player"].failed_at == {"ask": 4}
    assert result.summary.faults == {"reply-timeout": 4}
    assert steps(tally)["ask"].unanswered == tally.unanswered == 4


def test_an_exception_fails_its_session_and_names_its_line(played):
    result, tally = played["raises"]
    kind = f"{FaultKind.SCENARIO_FAILED}:KeyError"
    assert result.summary.faults == {kind: 4}
    assert tally.roles["player"].failed_at == {"ask": 4}
    assert steps(tally)["ask"].answered == 12
    text = next(one.fault_examples[kind] for one in result.recording.intervals if kind in one.fault_examples)
    assert "raises KeyError in line 8: 'turn two'" in text
    assert 'role "player"' in text


def test_what_a_coroutine_awaits_besides_does_not_hold_up_the_end(played):
    result, tally = played["elsewhere"]
    assert not result.summary.faults
    assert tally.unawaited == tally.sent == 4
    assert tally.roles["player"].sessions_completed == 4


def test_code_that_keeps_the_loop_is_named_and_what_it_awaits_is_not(played):
    result, tally = played["blocks"]
    # A busy machine may keep other stretches of it from ending.
    assert tally.held_up_at["player/ask"] >= 120_000_000
    assert tally.hold_up_ns.count < steps(tally)["ask"].answered
    assert any(
        'code of role "player" behind step "ask" held up' in one.text
        for one in diagnose([result.recording], result.aggregate)
    )


def test_what_comes_together_with_a_reply_is_received(played):
    result, tally = played["twice"]
    assert not result.summary.faults
    rows = steps(tally)
    assert 4 < rows["again"].answered <= rows["ask"].answered
    # At the end, the second copy may come to a session that has left its loop.
    assert tally.pushed <= 4


def test_an_answer_of_many_messages_is_counted_as_one(played):
    result, tally = played["streams"]
    path = result.recording.header.plan["scenario"]["roles"][0]["python"]
    assert not result.summary.faults
    for row in (steps(tally)["ask"], tally):
        assert 4 < row.answered == row.sent == row.first_time_ns.count == row.answer_count.count
        assert row.streamed == 5 * row.answered == row.gap_ns.count + row.answered
        assert (row.broken_off, row.answer_messages.max) == (0, 5)
    assert len(load_role(path).coroutine.__globals__["told"]) == tally.streamed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "there is no such file"),
        ("def x(:\n", "is no Python, in line 1"),
        (HEAD + "\n1 / 0\n", "raises ZeroDivisionError in line 4: division by zero"),
        (HEAD, 'has no role "player"; write @role above a coroutine'),
        (HEAD + "@role\nasync def plyer(session): pass\n", 'has no role "player"; it has plyer'),
        (HEAD + "async def player(session): pass\n", "player is no role; write @role above it"),
        (HEAD + "@role\ndef player(session): pass\n", "raises TypeError in line 3: @role takes a coroutine function"),
        (
            HEAD + "@role\nasync def player(session): pass\nplayer.on('jsn:a', name='x')\n",
            'raises ValueError in line 5: "',
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "game.py").write_text(text)
    with pytest.raises(PlanError) as raised:
        make_plan("ws://h/", role={"user": {"sessions": 1, "python": f"{tmp_path / 'game.py'}:player"}})
    (found,) = raised.value.problems
    assert problem in found.text
    assert "\n" not in found.text


def test_a_message_is_read_as_text_or_json():
    message = Message(b'{"a": [1, "x"], "b": null}')
    assert (message.json("a[0]"), message.json("a[1]"), message.json("b")) == ("1", "x", None)
    assert message.text == '{"a": [1, "x"], "b": null}'
    assert Message(b"\xff").text == "�"


def test_sessions_end_by_an_exception_that_is_no_cancellation():
    assert not issubclass(SessionOver, asyncio.CancelledError)
