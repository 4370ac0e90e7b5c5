"""Presets of protocols: each against its server, in one line and as a plan with roles, and what they are made of."""

import re
from pathlib import Path

import pytest

from ws_load_test.api import run as run_plan
from ws_load_test.cli import main
from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options.read_plan import make_plan, read_plan
from ws_load_test.plan.presets import preset_names, preset_text, read_preset
from ws_load_test.plan.scenario.explain import explain_scenario

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")


def against(name):
    """Gives a test the server of this name."""
    return pytest.mark.parametrize("server", [name], indirect=True)


def all_answered(result, count):
    """Checks that each message was answered, and nothing went wrong."""
    assert not result["faults"], result["faults"]
    messages = result["messages"]
    assert messages["sent"] == messages["answered"] == count, messages
    return messages


@against("actioncable_standin")
def test_action_cable(play, play_preset, server):
    messages = all_answered(play(["ws://h/cable", "--protocol", "actioncable", "-n", "20", "-c", "2"], server), 20)
    assert messages["greetings"] == 2
    steps = play_preset("actioncable", server)
    assert server.seen() == {"actioncable-v1-json": 6, "subscribed": 6, "speak": 20 + steps["speak"]}


@against("pusher_standin")
def test_pusher(play, play_preset, server):
    all_answered(play(["ws://h/app/key", "--protocol", "pusher", "-n", "20", "--rate", "60", "-c", "2"], server), 20)
    pongs = server.seen()["pusher:pong"]
    assert pongs >= 1
    steps = play_preset("pusher", server)
    seen = server.seen()
    assert seen["pusher:subscribe"] == 6
    assert seen["pusher:ping"] == 20 + steps["alive"]
    assert seen["pusher:pong"] > pongs


@against("centrifugo_standin")
def test_centrifugo(play, play_preset, server):
    messages = all_answered(play(["ws://h/connection", "--protocol", "centrifugo", "-n", "20", "-c", "2"], server), 20)
    assert messages["unknown_id"] == 0
    pongs = server.seen().get("pong", 0)
    steps = play_preset("centrifugo", server, fill={"channel": "load:{room}"})
    seen = server.seen()
    assert (seen["connect"], seen["subscribe"], seen["publish"]) == (6, 6, 20 + steps["publish"])
    assert "without id" not in seen
    assert seen["pong"] > pongs


@against("phoenix_standin")
def test_phoenix_heartbeats(play, server):
    all_answered(play(["ws://h/", "--protocol", "phoenix", "--fill", "topic=room:{connection}", "-n", "8"], server), 8)
    assert server.seen() == {"joined room:0": 1, "heartbeats": 8}


# --- Their files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_complete_and_documented(name):
    preset = read_preset(name, {place: f"<{place}>" for place in read_preset(name).places})
    assert "{fill." not in str(preset)
    assert preset.line.keys().isdisjoint(preset.options)
    tested = preset.tested.replace("a stand-in", "**a stand-in**")
    assert f"| `{name}` | {preset.about} | {tested} |" in PAGE
    tests = "".join((HERE / file).read_text(encoding="utf-8") for file in ("test_presets.py", "test_recipes.py"))
    assert f'play_preset("{name}", server' in tests
    for place in preset.places:
        assert f"<{place}>" in str(preset), "a place that is nowhere"


def test_the_page_has_no_other_presets():
    section = PAGE.partition("## Presets\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `([a-z][a-z.-]+)` \|", section, re.MULTILINE)) == preset_names()


def test_the_preset_is_printed(capsys):
    assert main(["--protocol", "stomp", "--explain"]) == 0
    assert capsys.readouterr().out == preset_text("stomp")
    assert main(["--protocol", "stomps", "--explain"]) == 2
    assert "did you mean stomp?" in capsys.readouterr().err


# --- Under the options of a run --------------------------------------------------------------------------------------

CALL = '{"id": {seq}}'


def test_a_preset_stands_for_its_options():
    preset = make_plan("ws://h/", protocol="graphql-transport-ws", fill='payload={"token": "a=b"}')
    same = make_plan(
        "ws://h/",
        subprotocol="graphql-transport-ws",
        first_message='{"type": "connection_init", "payload": {"token": "a=b"}}',
        expect_first="json:type=connection_ack",
        message='{"id": "{seq}", "type": "subscribe", "payload": {"query": "{ __typename }"}}',
        match="json:id",
        ignore="json:type=complete",
        expect="json:payload.data",
        auto_reply='json:type=ping=>{"type": "pong"}',
    )
    assert preset == same


def test_options_of_the_user_count():
    plan = make_plan("ws://h/", protocol="graphql-transport-ws", message=CALL, first_message="x", ignore="json:a")
    assert plan.message.payload == CALL.encode()
    assert [one.payload[:8] for one in plan.setup_messages] == [b'{"type":', b"x"]
    assert list(map(str, plan.correlation.ignore)) == ["json:type=complete", "json:a"]
    assert plan.correlation.expect_first == ()
    plan = make_plan("ws://h/", protocol="jsonrpc", message="x", match="order")
    assert (plan.correlation.rule, plan.correlation.expect) == ("order", ())
    plan = make_plan("ws://h/", protocol="jsonrpc", message=CALL, expect="json:result.ok")
    assert list(map(str, plan.correlation.expect)) == ["json:result.ok"]


def test_a_fan_out_takes_what_opens_a_session():
    plan = make_plan("ws://h/", protocol="socket.io", subscribers=2, rate=1, message='42["post", "{marker}"]')
    assert plan.correlation.rule == "none"
    assert [one.payload for one in plan.setup_messages] == [b"40"]
    assert plan.correlation.auto_replies


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"protocol": "socketio"}, '--protocol: there is no preset "socketio"; did you mean socket.io?'),
        ({"protocol": "mqtt"}, '--protocol: there is no preset "mqtt"; there are actioncable, centrifugo'),
        ({"protocol": "stomp", "fill": "hots=/"}, '--fill: "hots" is no place of the preset stomp; it has host'),
        ({"protocol": "jsonrpc", "fill": {"a": "b"}}, '--fill: "a" is no place of the preset jsonrpc; it has none'),
        (
            {"protocol": "stomp", "fill": "s3cret"},
            "--fill: takes a place and its text; write for example",
        ),
        ({"protocol": "stomp", "fill": {"host": 1}}, "--fill: takes a text for each place"),
        ({"fill": "a=b"}, "--fill: fills a place of a preset; add --protocol NAME"),
        ({"protocol": "jsonrpc", "message": "x"}, "or mend the path (--protocol jsonrpc sets it)"),
    ],
)
def test_what_is_wrong_with_a_preset(options, text):
    with pytest.raises(PlanError) as raised:
        make_plan("ws://h/", **options)
    assert text in str(raised.value)
    assert "s3cret" not in str(raised.value)


QUIET = "from ws_load_test import Session, role\n\n@role\nasync def player(session: Session) -> None: ...\n"


def test_every_role_does_first_what_the_preset_has(tmp_path):
    game = tmp_path / "game.py"
    game.write_text(QUIET)
    roles = {
        "reader": {"open": [{"name": "own", "send": "a"}], "on": [{"when": "contains:b", "name": "own"}]},
        "writer": {"like": "reader", "steps": [{"wait": "1s"}]},
        "coder": {"python": f"{game}:player"},
    }
    plan = read_plan(
        {"url": "ws://h/", "protocol": "socket.io", "fill": {"auth": "{env.HOME}"}, "role": roles, "connections": 3}
    )
    reader, writer, coder = plan.scenario.roles
    assert plan.scenario.protocol == "socket.io"
    assert [step.name for step in reader.open] == [step.name for step in writer.open] == ["greeting", "connect", "own"]
    assert reader.open[1].send.payload == b"40{env.HOME}"
    assert [one.name for one in reader.reactions] == [one.name for one in writer.reactions] == ["ping", "own"]
    assert (coder.open, coder.reactions) == (reader.open[:2], reader.reactions[:1])
    text = " ".join(" ".join(explain_scenario(plan, 120)).split())
    assert "opens greeting awaits" in text.partition("coder:")[2]


def test_a_reaction_of_code_with_the_name_of_the_preset_is_a_problem(tmp_path):
    (tmp_path / "game.py").write_text(f"{QUIET}player.on('contains:a', name='ping')\n")
    with pytest.raises(PlanError) as raised:
        make_plan("ws://h/", protocol="socket.io", scenario=f"{tmp_path / 'game.py'}:player")
    assert 'its reaction "ping" has the name of one of the preset' in str(raised.value)


CODE = """
from ws_load_test import Session, role

EVENT = '42{seq}["say", {"room": "{room}", "text": "{feed.text}", "by": "{env.PLAYER}", "trace": "{traceparent}"}]'

@role(deliver_to="player", self_delivery="excluded")
async def player(session: Session) -> None:
    print("hello from", session.number)
    joined = await session.exchange('42{seq}["join", "{room}"]', until='regex:^43{seq}\\\\[', name="join")
    async for turn in session.iterations():
        await session.wait("20ms")
        await session.exchange(EVENT, until='regex:^43{seq}\\\\[', name="say")
        await session.send('42["post", {"room": "{room}", "text": "{marker}"}]', name="post")
"""


@against("socketio_server")
def test_code_speaks_behind_the_preset(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYER", "s3cret-player")
    (tmp_path / "game.py").write_text(CODE)
    (tmp_path / "texts.csv").write_text("text,other\nhello,x\n")
    plan = make_plan(
        f"ws://{server.address}/socket.io/?EIO=4&transport=websocket",
        protocol="socket.io",
        scenario=f"{tmp_path / 'game.py'}:player",
        feed=str(tmp_path / "texts.csv"),
        trace=1,
        connections=4,
        rooms=2,
        duration="600ms",
        timeout="2s",
        workers=1,
    )
    summary = run_plan(plan).summary
    assert not summary.faults, summary.faults
    steps, seen = {one.name: one for one in summary.steps}, server.seen()
    assert list(steps)[:2] == ["greeting", "connect"]
    assert steps["greeting"].answered == steps["connect"].answered == steps["join"].answered == 4
    assert 0 < steps["say"].answered == seen["say"]
    assert 0 < steps["post"].sent == seen["post"] == summary.fanout.publishes.sent
    assert summary.fanout.publishes.acknowledged == 0
    assert summary.fanout.deliveries.delivered == summary.fanout.deliveries.expected == seen["post"]
    assert sum(one.seen for one in summary.on if one.name == "ping") > 0
    assert "left: ping timeout" not in seen
    assert len(summary.traces.slowest_sampled) == min(20, seen["say"])


def test_a_role_is_wrong_at_its_own_line(tmp_path, capsys):
    file = tmp_path / "plan.toml"
    lines = [
        'url = "ws://h/"',
        'protocol = "phoenix"',
        'fill = { topic = "{room}" }',
        "",
        "[[role.a.open]]",
        'sent = "x"',
    ]
    file.write_text("\n".join(lines))
    assert main(["--plan", str(file), "--explain"]) == 2
    shown = capsys.readouterr().err
    assert f"{file}:2: protocol[0].send: {{room}} has no name without rooms" in shown
    assert f"{file}:6: role.a.open[0].sent: " in shown
