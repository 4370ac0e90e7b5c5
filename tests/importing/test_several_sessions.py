"""Several sessions of a capture in one plan file: their roles, their rooms, and what comes from one to the others."""

import asyncio
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from engine.fan_out.in_process import CHAT, measure_rooms
from factories.captures import STARTED_S, capture, har, har_entry
from importing.test_replay import MESSAGES
from ws_load_test.cli import main
from ws_load_test.importing.import_capture import import_captures
from ws_load_test.importing.read_capture import choose_sessions
from ws_load_test.importing.session_lines import (
    SESSION_SCHEMA,
    MessageLine,
    SessionLine,
    encode_lines,
    read_session_lines,
)
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file


class Chat:
    """Sessions of a chat, all on one clock."""

    def __init__(self, *names, url="wss://chat.example/ws"):
        self.url = url
        self.events = {name: [] for name in names}

    def at(self, name, at_s, mark, content):
        self.events[name].append((at_s, mark, content))

    def ask(self, name, at_s, content, reply):
        self.at(name, at_s, ">", content)
        self.at(name, at_s + 0.02, "<", reply)

    def join(self, *names, at_s=0.0, room="lobby", **more):
        for name in names:
            self.ask(name, at_s, {"op": "join", "room": room, **more}, {"op": "joined", "room": room})

    def say(self, name, at_s, number, text, *, to, room="lobby", **more):
        self.ask(
            name, at_s, {"op": "say", "id": number, "room": room, "text": text, **more}, {"op": "ack", "id": number}
        )
        for other in to:
            self.at(other, at_s + 0.03, "<", {"op": "said", "by": name, "text": text})

    def captures(self):
        found = []
        for events in self.events.values():
            before_s, messages = 0.0, []
            for at_s, mark, content in sorted(events, key=lambda one: one[0]):
                messages.append((mark, at_s - before_s, content))
                before_s = at_s
            found.append(capture(*messages, url=self.url))
        return found

    def plan(self, **options):
        return import_captures(self.captures(), **options)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan_of(imported):
    """The plan file as it is read: as TOML, and as a plan."""
    Path("scenario.toml").write_text(imported.text)
    for name, data in imported.files.items():
        Path(name).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        for variable in imported.variables:
            patch.setenv(variable, "secret")
        return tomllib.loads(imported.text), read_plan(read_plan_file("scenario.toml"))


def talk(*, speakers=("ann",), listeners=("bob", "cid"), back=False):
    chat = Chat(*speakers, *listeners)
    everyone = (*speakers, *listeners)
    chat.join(*everyone)
    for place, name in enumerate(speakers):
        for number in range(1, 4 - place):
            others = [one for one in everyone if one != name or back]
            chat.say(name, number + place / 10, number, f"text {number} of {name}", to=others)
    return chat


def test_sessions_that_do_the_same_are_one_role():
    chat = Chat("ann", "bob", "cid")
    for place, name in enumerate(chat.events):
        chat.ask(name, 0, {"op": "login", "as": name}, {"op": "welcome"})
        for number in range(1, place + 2):
            chat.ask(name, number * (place + 1), {"op": "get", "id": number}, {"op": "got", "id": number})
    table, plan = plan_of(chat.plan())
    (role,) = plan.scenario.roles
    assert (role.name, role.sessions, role.iterations) == ("user", 3, (1, 3))
    assert [(step.send.payload, step.weight) for step in role.open] == [
        (f'{{"op": "login", "as": "{name}"}}'.encode(), 1) for name in chat.events
    ]
    assert [step.send.payload for step in role.steps] == [b'{"op": "get", "id": {seq}}']
    assert "share" not in table["role"]["user"]
    assert not plan.scenario.rooms
    assert "{marker}" not in str(table)


def test_sessions_that_differ_are_roles_with_shares():
    chat = Chat("ann", "bob", "cid")
    for name in chat.events:
        chat.ask(name, 0, {"op": "login"}, {"op": "welcome"})
    for number in (1, 2):
        chat.ask("ann", number, {"op": "get", "id": number}, {"op": "got", "id": number})
        chat.ask("bob", number, {"op": "put", "id": number}, {"op": "done", "id": number})
        chat.ask("cid", number + 0.5, {"op": "put", "id": number}, {"op": "done", "id": number})
    imported = chat.plan()
    _, plan = plan_of(imported)
    assert [(role.name, role.sessions) for role in plan.scenario.roles] == [("user", 2), ("user2", 1)]
    assert "# sessions 2 and 3 of the capture\n[role.user]" in imported.text
    assert "Imported from 3 sessions of 2.5 s: 9 messages sent, 9 received." in imported.text


def test_what_comes_to_all_listeners_is_for_them():
    imported = talk().plan()
    _, plan = plan_of(imported)
    listener, user = plan.scenario.roles
    assert (listener.name, listener.sessions, user.sessions) == ("listener", 2, 1)
    assert [step.send.payload for step in listener.open] == [b'{"op": "join", "room": "{room}"}']
    assert (plan.scenario.rooms, plan.scenario.audience) == (("lobby",), "listener")
    (say,) = user.steps
    assert say.send.payload == b'{"op": "say", "id": {seq}, "room": "{room}", "text": "{marker}"}'
    assert (say.deliver_to, say.self_delivery, user.iterations) == ("listener", "either", (3, 3))
    assert [str(check) for check in say.awaits] == ["json:id={seq}"]


@pytest.mark.parametrize(("back", "self_delivery"), [(False, "excluded"), (True, "expected")])
def test_a_role_can_be_its_own_audience(back, self_delivery):
    _, plan = plan_of(talk(speakers=("ann", "bob"), listeners=(), back=back).plan())
    (role,) = plan.scenario.roles
    assert (role.steps[0].deliver_to, role.steps[0].self_delivery) == ("user", self_delivery)
    assert role.iterations == (2, 3)


def test_a_second_audience_is_named_in_a_comment():
    imported = talk(speakers=("ann", "bob"), listeners=("cid",)).plan()
    _, plan = plan_of(imported)
    assert [role.name for role in plan.scenario.roles] == ["user", "listener"]
    assert plan.scenario.audience == "user"
    assert "# it came to those of listener as well; a scenario has one audience" in imported.text


def test_what_comes_to_some_alone_stays_and_says_so():
    chat = talk()
    del chat.events["cid"][-1]
    chat.at("cid", 9, "<", {"op": "bye"})
    imported = chat.plan()
    _, plan = plan_of(imported)
    assert plan.scenario.audience == ""
    user = plan.scenario.roles[-1]
    assert sorted(step.send.payload for step in user.steps) == [
        f'{{"op": "say", "id": {{seq}}, "room": "{{room}}", "text": "text {number} of ann"}}'.encode()
        for number in (1, 2, 3)
    ]
    assert (
        '# "text" of it came to 2 sessions of the capture; if others must receive it, write {marker}' in imported.text
    )


@pytest.mark.parametrize("joins_s", [1.5, 2.5])
def test_who_comes_later_need_not_have_received_what_was_said_before(joins_s):
    chat = Chat("ann", "bob", "cid")
    chat.join("ann", "bob")
    chat.join("cid", at_s=joins_s)
    for number in (1, 2, 3):
        chat.say("ann", number, number, f"text {number}", to=["bob", *["cid"][: number > joins_s]])
    _, plan = plan_of(chat.plan())
    assert plan.scenario.audience == "listener"


def test_the_name_of_a_sender_is_no_marker():
    chat = Chat("ann", "bob")
    chat.join("ann", "bob")
    for number in (1, 2, 3):
        chat.say("ann", number, number, "the same text", to=["bob"], nick="ann42x")
    _, plan = plan_of(chat.plan())
    (say,) = plan.scenario.roles[0].steps
    assert b'"text": "{marker}", "nick": "ann42x"' in say.send.payload


def test_an_id_that_comes_to_others_is_the_marker_where_there_is_no_text():
    chat = Chat("ann", "bob")
    chat.join("ann", "bob")
    for number in range(3):
        move = {"op": "move", "move": f"m{number}x{number}7f", "x": number}
        chat.at("ann", 1 + number, ">", move)
        chat.at("bob", 1.03 + number, "<", {**move, "op": "moved"})
    table, plan = plan_of(chat.plan())
    moves = [step["send"] for role in table["role"].values() for step in role.get("steps", [])]
    assert all('"move": "{marker}"' in move for move in moves)
    assert plan.scenario.audience == "listener"


def test_rooms_are_those_that_sessions_share():
    chat = Chat("ann", "bob", "cid", "dan")
    for names, room in ((("ann", "bob"), "red"), (("cid", "dan"), "blue")):
        chat.join(*names, room=room)
        for number in (1, 2):
            chat.say(names[0], number, number, f"text {number} of {room}", to=[names[1]], room=room)
            chat.say(names[1], number + 0.5, number, f"answer {number} of {room}", to=[names[0]], room=room)
    _, plan = plan_of(chat.plan())
    assert plan.scenario.rooms == ("red", "blue")
    (role,) = plan.scenario.roles
    assert (role.sessions, plan.scenario.audience) == (4, "user")
    assert role.open[0].send.payload == b'{"op": "join", "room": "{room}"}'


@pytest.mark.parametrize(
    ("join", "written"),
    [
        ('42["join","lobby"]', '42["join","{room}"]'),
        (["1", "1", "room:lobby", "phx_join", {}], '["1", "1", "room:{room}", "phx_join", {}]'),
        ({"op": "join", "room": 17}, '{"op": "join", "room": {room}}'),
    ],
)
def test_rooms_of_other_forms(join, written):
    chat = Chat("ann", "bob")
    for name in chat.events:
        chat.at(name, 0, ">", join)
    table, plan = plan_of(chat.plan())
    assert written in [step["send"] for step in table["role"]["user"]["steps"]]
    assert plan.scenario.rooms in {("lobby",), ("17",)}


@pytest.mark.parametrize("why", ["each its own", "several", "received", "secret"])
def test_names_that_are_no_rooms_stay(why):
    chat = Chat("ann", "bob")
    for name in chat.events:
        if why == "received":
            chat.at(name, 0, "<", {"op": "rooms", "names": ["lobby"]})
        room = {"each its own": f"{name}-room", "secret": "sk_live_51H8xYzAbCdEfGhIjKlMn"}.get(why, "lobby")
        chat.join(name, at_s=1, room=room)
        if why == "several":
            chat.join(name, at_s=2, room="other")
    _, plan = plan_of(chat.plan())
    assert plan.scenario.rooms == ()


def test_sessions_of_other_targets_are_chosen_among():
    entries = [har_entry((">", 0, "a"), url=f"wss://{host}.example/ws?n={n}") for host in "ab" for n in (1, 2)]
    Path("app.har").write_bytes(har(*entries))
    assert main(["import", "app.har"]) == 2
    assert main(["import", "app.har", "--socket", "b.example", "-o", "b"]) == 0
    written = Path("b/scenario.toml").read_text()
    assert 'url = "wss://b.example/ws?n=1"  # other sessions had another one' in written
    assert "connections = 2" in written


def test_the_error_says_how_to_choose(capsys):
    Path("app.har").write_bytes(
        har(har_entry((">", 0, "a"), url="wss://a/x"), har_entry((">", 0, "a"), url="wss://b/x"))
    )
    assert main(["import", "app.har"]) == 2
    assert "there are 2 sessions with 2 targets, and a plan has one; choose with --socket" in capsys.readouterr().err


def test_roles_of_a_session_file_keep_their_names():
    lines = []
    for number, name in enumerate(("reader", "writer", "writer")):
        lines.append(SessionLine(SESSION_SCHEMA, number, name, "ws://h/", started_ns=STARTED_S * 10**9))
        lines.append(MessageLine(0, "sent", "text", text="hello", session=number))
    captures = choose_sessions(read_session_lines(encode_lines(lines)), None, "x")
    _, plan = plan_of(import_captures(captures))
    assert [(role.name, role.sessions) for role in plan.scenario.roles] == [("writer", 2), ("reader", 1)]


def test_no_secret_of_any_session_is_in_the_file():
    chat = Chat("ann", "bob")
    tokens = {name: f"eyJhbGciOi.{name}1234567890abcdef.sig{name}99" for name in chat.events}
    for name, token in tokens.items():
        chat.ask(name, 0, {"op": "login", "password": f"pass-{name}-word-1", "token": token}, {"op": "in"})
    # What is a secret in one session stands in another as text.
    chat.at("bob", 1, ">", {"op": "paste", "text": f"look: {tokens['ann']}"})
    imported = chat.plan()
    plan_of(imported)
    assert not any(word in imported.text for name in chat.events for word in (tokens[name], f"pass-{name}"))
    assert set(imported.variables) == {"PASSWORD", "PASSWORD_2", "TOKEN", "TOKEN_2"}


@settings(max_examples=25, deadline=None)
@given(one=MESSAGES, other=MESSAGES)
def test_any_sessions(one, other):
    captures = [capture(*one), capture(*other), capture(*one)]
    _, plan = plan_of(import_captures(captures))
    assert plan.scenario.sessions == 3
    moved = [msgspec.structs.replace(each, started_ns=None) for each in captures]
    assert plan_of(import_captures(moved))[1].scenario.audience == ""


def built_in_chat(*, readers):
    """A capture of the built-in server: a writer and readers of one room; each receives what is said."""
    chat = Chat("writer", *(f"reader{number}" for number in range(readers)))
    for name in chat.events:
        chat.ask(name, 0, {"op": "join", "room": "lobby"}, {"op": "joined", "room": "lobby", "members": 1})
    for number in range(1, 4):
        said = {"op": "say", "room": "lobby", "id": number, "text": f"hello {number}"}
        chat.at("writer", number * 0.02, ">", said)
        for name in chat.events:
            chat.at(name, number * 0.02 + 0.01, "<", said)
    return chat


def test_an_imported_chat_runs_and_every_delivery_comes():
    Path("scenario.toml").write_text(built_in_chat(readers=3).plan().text)
    written = read_plan_file("scenario.toml")
    options = {name: written[name] for name in written if name not in {"url", "duration"}}
    options = {**dict.fromkeys(CHAT), **options, "duration": "400ms", "timeout": "1s", "workers": 1}
    tally, counts, result = asyncio.run(measure_rooms("", **options))
    assert not result.summary.faults
    assert 3 < tally.sent == tally.answered == counts.published
    assert tally.deliveries == tally.deliveries_expected == 3 * counts.published
    assert tally.deliveries_ambiguous == tally.deliveries_misdelivered == 0
