"""`ws_load_test.testing.play`: a role's session is that of a run, with the test as its target."""

import asyncio
import re
import sys
import time
from pathlib import Path

import pytest

from ws_load_test import SessionOver, role
from ws_load_test.common.errors import PlanError
from ws_load_test.engine.scenario import coroutine_player, hold_ups
from ws_load_test.testing import ManualClock, play


@role
async def player(session):
    join = '{"op": "join", "id": {seq}, "me": "{my.name}"}'
    session.values["name"] = f"p{session.number}{session.room}"
    joined = await session.exchange(join, until="json:id={seq}", name="join", expect="json:op=joined")
    try:
        async for turn in session.iterations():
            await session.wait("1h")
            await session.send(f"move {turn} {joined.json('game')}", name="move")
            await session.receive(f"contains:moved {turn}", name="moved", timeout="2s")
    finally:
        await session.send(b"bye", name="bye")


told = []


@player.on("contains:typing", name="typing")
def typing(session, message):
    told.append(message.text)


async def joined(peer):
    assert await peer.sent() == f'{{"op": "join", "id": 0, "me": "{peer.name}"}}'
    peer.send('{"op": "joined", "id": 0, "game": 7}')


def played(scene, a_role=player, **options):
    async def run():
        async with play(a_role, **options) as peer:
            peer.name = f"p{options.get('number', 0)}{options.get('room', '')}"
            await scene(peer)
            return peer

    return asyncio.run(run())


def test_a_session_comes_plays_and_leaves_and_waits_take_no_time():
    async def scene(peer):
        await joined(peer)
        for turn in range(3):
            assert await peer.sent() == f"move {turn} 7"
            peer.send(f"moved {turn}")
        assert await peer.sent() == b"bye"
        assert await peer.closed() == 1000

    started = time.monotonic()
    peer = played(scene, iterations=3, number=5, room="lobby")
    assert time.monotonic() - started < 60, "three hours of waits"
    assert (peer.faults, peer.pushed) == ([], [])


def test_reactions_take_their_messages_and_others_are_pushes():
    async def scene(peer):
        await joined(peer)
        await peer.sent()
        peer.send("ann is typing")
        peer.send("noise")
        peer.send(b"\xff")
        peer.send("moved 0")
        assert await peer.sent() == b"bye"
        assert await peer.closed() == 1000

    told.clear()
    peer = played(scene)
    assert told == ["ann is typing"]
    assert peer.pushed == ["noise", b"\xff"]


def test_a_greeting_that_comes_with_the_upgrade_is_received():
    @role
    async def patient(session):
        greeting = await session.receive("contains:hello", name="greeting")
        assert greeting.text == "hello"
        async for _ in session.iterations():
            await session.send("done")

    async def scene(peer):
        peer.send("hello")
        assert await peer.sent() == "done"
        assert await peer.closed() == 1000

    assert played(scene, patient).pushed == []


def test_a_message_that_comes_with_a_reply_completes_the_next_step():
    async def scene(peer):
        assert await peer.sent() == "a"
        peer.send("a")
        peer.send("b")
        assert await peer.closed() == 1000

    @role
    async def twice(session):
        async for _ in session.iterations():
            await session.exchange("a", until="contains:a")
            await session.receive("contains:b")

    assert played(scene, twice).pushed == []


def test_what_comes_after_a_wait_completes_the_step_behind_it():
    @role
    async def patient(session):
        async for _ in session.iterations():
            await session.send("ready")
            await session.wait("1h")
            await session.receive("contains:go", name="go")

    async def scene(peer):
        assert await peer.sent() == "ready"
        await asyncio.sleep(0.01)
        peer.send("go")
        assert await peer.closed() == 1000

    assert played(scene, patient).pushed == []


def test_a_step_times_out_when_the_test_says():
    async def scene(peer):
        await joined(peer)
        await peer.sent()
        peer.time_out()
        await peer.closed()

    peer = played(scene)
    assert peer.faults == ['sent nothing that completes step "moved" of role "player" within 2 s']


def test_a_check_that_fails_is_a_fault():
    async def scene(peer):
        await peer.sent()
        peer.send('{"op": "refused", "id": 0}')
        await peer.sent()
        peer.send("moved 0")
        await peer.closed()

    (fault,) = played(scene).faults
    assert "fails expect json:op=joined" in fault


def test_the_end_of_the_run_lets_it_leave():
    async def scene(peer):
        await joined(peer)
        assert await peer.sent() == "move 0 7"
        peer.leave()
        peer.send("moved 0")
        assert await peer.sent() == b"bye"
        assert await peer.closed() == 1000

    played(scene, iterations=100)


@pytest.mark.parametrize(("ends", "code"), [("close", 1001), ("lose", 1006)])
def test_a_session_that_the_target_ends_raises_session_over(ends, code):
    seen = []

    @role
    async def waits(session):
        try:
            await session.receive("contains:never")
        except SessionOver:
            seen.append("over")
            raise

    async def scene(peer):
        await asyncio.sleep(0)
        if ends == "close":
            peer.close(code)
        else:
            peer.lose()
        assert await peer.closed() == code
        with pytest.raises(AssertionError, match="sent nothing more, and the session is over: the target closed"):
            await peer.sent()
        with pytest.raises(ValueError, match="the session is over"):
            peer.send("x")

    played(scene, waits)
    assert seen == ["over"]


def test_an_exception_of_the_role_is_the_test_s():
    @role
    async def fails(session):
        await session.exchange("a", until="contains:a")
        raise KeyError("here")

    async def scene(peer):
        await peer.sent()
        peer.send("a")
        await peer.sent()

    with pytest.raises(KeyError, match="here"):
        played(scene, fails)


def test_an_exception_is_raised_at_the_end_of_the_block():
    @role
    async def fails(session):
        raise KeyError("there")

    async def scene(peer):
        await asyncio.sleep(0)

    with pytest.raises(KeyError, match="there"):
        played(scene, fails)


def test_a_role_that_sends_nothing_is_a_sentence():
    @role
    async def silent(session):
        await session.receive("contains:never", name="greeting")

    async def scene(peer):
        with pytest.raises(AssertionError, match=r'sent nothing within 0.02 s; it is at step "greeting"'):
            await peer.sent()
        with pytest.raises(AssertionError, match=r"not over after 0.02 s; it is at step"):
            await peer.closed()

    played(scene, silent, patience_s=0.02)


def test_an_answer_of_many_messages_is_played():
    words = []

    @role
    async def asks(session):
        async for _ in session.iterations():
            last = await session.exchange(
                "ask", first="json:word", until="json:done=true", on_part=words.append, name="ask"
            )
            assert last.json("tokens") == "2"

    async def scene(peer):
        assert await peer.sent() == "ask"
        for message in ('{"word": "a"}', '{"word": "b"}', '{"done": true, "tokens": 2}'):
            peer.send(message)
        assert await peer.closed() == 1000

    peer = played(scene, asks)
    assert [one.json("word") for one in words] == ["a", "b", None]
    assert (peer.completed, peer.pushed, peer.faults) == (["ask"], [], [])


@role(deliver_to="writer")
async def writer(session):
    async for _ in session.iterations():
        await session.exchange('{"room": "{room}", "text": "{marker}"}', until="contains:ok", name="say")


@pytest.mark.parametrize("room", ["lobby", ""])
def test_what_is_for_others_has_a_marker_and_the_room(room):
    async def scene(peer):
        texts = []
        for _ in range(2):
            texts.append(await peer.sent())
            peer.send("ok")
        assert texts == [f'{{"room": "{room or "0"}", "text": "{marker}"}}' for marker in peer.markers]
        assert len(set(peer.markers)) == 2
        assert await peer.closed() == 1000

    played(scene, writer, iterations=2, room=room)


def test_a_preset_opens_beats_and_reacts():
    @role
    async def shouts(session):
        async for _ in session.iterations():
            await session.exchange('["1", "{seq}", "room:a", "shout", {}]', until="json:[1]={seq}", name="shout")

    async def scene(peer):
        assert await peer.sent() == '["1", "1", "room:a", "phx_join", {"token": 7}]'
        with pytest.raises(AssertionError, match=r'has no timer now; it is at step "join"'):
            peer.tick()
        peer.send('["1", "1", "room:a", "phx_reply", {"status": "ok"}]')
        assert await peer.sent() == '["1", "1", "room:a", "shout", {}]'
        peer.tick()
        assert await peer.sent() == '[null, "2", "phoenix", "heartbeat", {}]'
        peer.send('[null, "2", "phoenix", "phx_reply", {"status": "ok"}]')
        peer.send('["1", null, "room:a", "phx_error", {}]')
        peer.send('["1", "1", "room:a", "phx_reply", {"status": "ok"}]')
        assert await peer.closed() == 1000

    peer = played(scene, shouts, protocol="phoenix", fill={"topic": "room:a", "params": '{"token": 7}'})
    assert peer.completed == ["join", "shout"]
    assert peer.pushed == []
    (fault,) = peer.faults
    assert fault.endswith("channel crashed")


def test_rows_and_variables_are_given_by_the_test():
    @role
    async def logs_in(session):
        await session.exchange('{"as": "{feed.name}", "token": "{env.TOKEN}"}', until="contains:{feed.name}")

    async def scene(peer):
        assert await peer.sent() == '{"as": "ann", "token": "t0"}'
        peer.send("hello ann")

    played(scene, logs_in, feed={"name": "ann"}, env={"TOKEN": "t0"})
    with pytest.raises(ValueError, match=r"\{feed.name\} needs a feed"):
        played(lambda peer: peer.sent(), logs_in, env={"TOKEN": "t0"})
    with pytest.raises(ValueError, match=r"\{env.TOKEN\}"):
        played(lambda peer: peer.sent(), logs_in, feed={"name": "ann"})


def test_a_step_may_time_out_before_the_role_has_come_to_it():
    @role
    async def patient(session):
        await session.receive("contains:hello", name="greeting")

    async def scene(peer):
        peer.time_out()
        await peer.closed()

    (fault,) = played(scene, patient).faults
    assert fault.startswith('sent nothing that completes step "greeting"')


def test_a_call_that_is_cut_off_leaves_the_session_as_it_was():
    @role
    async def hurries(session):
        async for _ in session.iterations():
            for call in (session.wait("1h"), session.receive("contains:never")):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await call
            await session.exchange("b", until="contains:b", name="b")

    async def scene(peer):
        assert await peer.sent() == "b"
        peer.send("b")
        assert await peer.closed() == 1000

    peer = played(scene, hurries)
    assert (peer.completed, peer.faults) == (["b"], [])


def test_two_calls_at_once_are_an_error():
    @role
    async def hasty(session):
        await asyncio.gather(session.receive("contains:a"), session.receive("contains:b"))

    with pytest.raises(RuntimeError, match="takes one step after the other"):
        played(lambda peer: peer.closed(), hasty)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: played(None, lambda session: None), TypeError, "play takes a role, not <function"),
        (lambda: played(lambda peer: send(peer, {"id": 0})), TypeError, r"write json.dumps\(...\) for an object"),
        (lambda: played(None, protocol="socketio"), PlanError, r"did you mean socket.io\?"),
        (lambda: played(None, protocol="stomp", fill={"hots": "/"}), PlanError, '"hots" is no place of the preset'),
    ],
)
def test_wrong_uses_are_one_sentence(call, error, text):
    with pytest.raises(error, match=text):
        call()


async def send(peer, message):
    peer.send(message)


def test_reactions_of_one_name_are_refused():
    @role
    async def player(session):
        """Plays."""

    player.on("json:a", name="typing")
    with pytest.raises(ValueError, match='there is a reaction "typing" already'):
        player.on("json:b", name="typing")


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_messages_of_any_length_come_whole(length):
    @role
    async def long(session):
        async for _ in session.iterations():
            message = await session.exchange("x" * length, until="regex:.*")
            assert len(message.bytes) == length

    async def scene(peer):
        message = await peer.sent()
        assert message == "x" * length
        peer.send(message)
        assert await peer.closed() == 1000

    played(scene, long)


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    game, test = (
        next(one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if word in one)
        for word in ("@player.on", "from game import player")
    )
    (tmp_path / "game.py").write_text(game)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "game", raising=False)
    names = {}
    exec(compile(test, "test_game.py", "exec"), names)
    names["test_a_player_moves_and_leaves"]()
    monkeypatch.delitem(sys.modules, "game")


def test_a_reaction_whose_function_keeps_the_loop_is_named(monkeypatch):
    clock = ManualClock(10**12)

    @role
    async def reader(session):
        async for _ in session.iterations():
            await session.exchange("ready", until="contains:over", name="wait")

    @reader.on("contains:slow", name="slow")
    def slow(session, message):
        clock.advance(70_000_000)

    @reader.on("contains:quick", name="quick")
    def quick(session, message):
        clock.advance(50_000_000)

    async def scene(peer):
        for module in (coroutine_player, hold_ups):
            monkeypatch.setattr(module, "monotonic_ns", clock.now_ns)
        assert await peer.sent() == "ready"
        peer.send("quick")
        peer.send("slow")
        peer.send("slow")
        peer.send("over")
        assert await peer.closed() == 1000

    tally = played(scene, reader).connection.owner.tally
    assert tally.held_up_at == {"reader/(on) slow": 140_000_000}
    assert tally.hold_up_ns.count == 2
