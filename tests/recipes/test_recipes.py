"""The command lines of docs/recipes.md, as they stand there, against the real libraries where they install."""

import re
import shutil
from pathlib import Path

import pytest

SECRET = "s3cret-token"

needs_mosquitto = pytest.mark.skipif(
    not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()),
    reason="there is no MQTT broker: install mosquitto (apt-get install mosquitto)",
)


def against(name, *marks):
    """Gives a test the server of this name."""
    return pytest.mark.parametrize("server", [pytest.param(name, marks=marks)], indirect=True)


def all_went_well(result, *, greetings=0, setup_messages=0):
    """Checks what must hold for a run in which nothing went wrong; returns its messages.

    Greetings and first messages are those of one session.
    """
    messages, connections = result["messages"], result["connections"]
    assert not result["faults"], result["faults"]
    assert result["verdict"]["passed"], result["verdict"]
    assert messages["due"] == messages["sent"] == messages["answered"], messages
    assert (
        messages["unanswered"] == messages["dropped"] == messages["duplicate_replies"] == messages["late_replies"] == 0
    ), messages
    assert connections["failed"] == connections["lost"] == 0, connections
    assert messages["greetings"] == greetings * connections["opened"]
    assert result["opening"]["first_replies"] == setup_messages * connections["opened"]
    return messages


def each_took_20_ms(result):
    """Checks that nothing passed for a reply before the reply; these servers wait 30 ms for it, by coarse clocks."""
    assert result["response_time_ns"]["min"] >= 20_000_000


@pytest.fixture
def token(tmp_path):
    """A token in the file that a recipe reads it from."""
    (tmp_path / "token.txt").write_text(SECRET + "\n", encoding="utf-8")


def test_every_recipe_on_the_page_is_tested_here(recipes):
    tested = set(re.findall(r'recipe\("(\S+?)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert set(recipes) == tested


@against("graphql_server")
def test_graphql(recipe, play, play_preset, server):
    line = recipe("graphql")
    line.set("-d", None)
    line.set("-n", 40)
    messages = all_went_well(play(line, server), setup_messages=1)
    assert messages["answered"] == 40
    assert 38 <= messages["pushed"] - 2 <= 40, "a ping each, and a complete for each query, of which two may be late"
    tokens = {"token ann-s3cret": 1, "token bob-s3cret": 1}
    assert server.seen() == {"connection_init": 2, "pong": 2, "queries": 40, **tokens}
    steps = play_preset("graphql-transport-ws", server, fill={"payload": '{"token": "x"}'})
    seen = server.seen()
    assert (seen["listens 0"], seen["listens 1"], seen["posts"]) == (2, 2, steps["post"])


@against("graphql_server")
def test_graphql_subscriptions(recipe, play, server):
    line = recipe("graphql-subscription")
    line.set("-c", 5)
    line.set("-d", "700ms")
    result = play(line, server)
    messages = all_went_well(result, setup_messages=2)
    assert messages["answered"] == 0
    assert messages["pushed"] == 5 * 3, "a ping, another event, and the end"
    assert result["connections"]["opened"] == 5
    assert server.seen() == {"connection_init": 5, "pong": 5, "token s3cret": 5, "subscriptions": 5}


@against("socketio_server")
def test_socketio(recipe, play, play_preset, server):
    line = recipe("socketio")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 40)
    line.set("--rate", 40)  # a second, in which the server pings several times and hangs up on whoever is silent
    result = play(line, server)
    messages = all_went_well(result, greetings=1, setup_messages=1)
    each_took_20_ms(result)
    seen = server.seen()
    assert messages["answered"] == seen["say"] == seen["right"] == 40
    assert 40 < messages["pushed"] <= 40 + seen["pings"], "an event for each message, and pings"
    assert seen["pongs"] > 0
    assert seen["connected"] == 2
    assert "left: ping timeout" not in seen
    steps = play_preset("socket.io", server, path="/socket.io/?EIO=4&transport=websocket")
    seen = server.seen()
    assert (seen["joined 0"], seen["joined 1"]) == (2, 2)
    assert (seen["say"], seen["post"]) == (40 + steps["say"], steps["post"])
    assert "left: ping timeout" not in seen


@against("socketio_server 0.2")
def test_socketio_closes_a_session_that_leaves_its_pings_unanswered(recipe, play, server):
    line = recipe("socketio")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 60)
    line.set("--rate", 40)
    line.set("--protocol", None)
    line += ["--skip-first", "1", "--first-message", "40", "--match", r"regex:^4[23](\d+)\["]
    assert play(line, server)["connections"]["lost"] == 2
    assert server.seen()["left: ping timeout"] == 2


@against("jsonrpc_server")
def test_jsonrpc(recipe, play, play_preset, server):
    line = recipe("jsonrpc")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 200)
    messages = all_went_well(play(line, server))
    assert messages["answered"] == server.seen()["add"] == 200
    assert messages["out_of_order"] > 0
    assert messages["pushed"] == 200, "a notification before each response"
    assert play_preset("jsonrpc", server)["call"] == server.seen()["add"] - 200


@against("stomp_server")
def test_stomp(recipe, play, play_preset, server):
    line = recipe("stomp")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 40)
    messages = all_went_well(play(line, server), setup_messages=1)
    assert messages["answered"] == 40
    assert messages["pushed"] == 0
    seen = server.seen()
    assert (seen["v12.stomp"], seen["published"], seen["right"], seen["RECEIPT"]) == (2, 40, 40, 40)
    assert play_preset("stomp", server)["send"] == server.seen()["published"] - 40


def all_were_delivered(line, play, server, *, messages=10, subscribers=6, publishers=2, rooms=2):
    """Runs a fan-out; checks that each message came to all subscribers of its room, once. Returns the result."""
    line.set("-d", "500ms")
    line.set("--subscribers", subscribers)
    line.set("--publishers", publishers)
    line.set("--rooms", rooms)
    line.set("--rate", 2 * messages)
    result = play(line, server)
    assert not result["faults"], result["faults"]
    assert result["messages"]["sent"] == messages
    deliveries = result["fanout"]["deliveries"]
    assert deliveries["expected"] == deliveries["delivered"] == messages * subscribers / rooms, deliveries
    assert deliveries["misdelivered"] == deliveries["duplicate"] == 0
    return result


@against("graphql_server")
def test_graphql_rooms(recipe, play, server):
    result = all_were_delivered(recipe("graphql-rooms"), play, server)
    assert result["messages"]["answered"] == 10
    seen = server.seen()
    assert (seen["posts"], seen["listens 0"], seen["listens 1"]) == (10, 4, 4)


@against("graphql_server")
def test_graphql_feed(recipe, play, server):
    line = recipe("graphql-feed")
    line.replace("https://api.example", f"http://{server.address}")
    result = all_were_delivered(line, play, server)
    assert result["messages"]["answered"] == 10
    seen = server.seen()
    assert (seen["posts"], seen["listens 0"], seen["listens 1"]) == (10, 3, 3)


@against("socketio_server")
def test_socketio_rooms(recipe, play, server):
    all_were_delivered(recipe("socketio-rooms"), play, server)
    seen = server.seen()
    assert (seen["post"], seen["joined 0"], seen["joined 1"]) == (10, 4, 4)


@against("phoenix_standin")
def test_phoenix_channels(recipe, play, play_preset, server):
    result = all_were_delivered(recipe("phoenix"), play, server)
    assert result["opening"]["first_replies"] == 8
    assert server.seen() == {"joined room:0": 4, "joined room:1": 4, "new_msg": 10}
    steps = play_preset("phoenix", server, fill={"topic": "room:{room}"})
    assert server.seen() == {"joined room:0": 6, "joined room:1": 6, "new_msg": 10 + steps["shout"]}


@against("stomp_server")
def test_stomp_topics(recipe, play, server):
    all_were_delivered(recipe("stomp-topics"), play, server)
    assert server.seen()["published"] == 10


@against("mqtt_server", needs_mosquitto)
def test_mqtt(recipe, play, server):
    line = recipe("mqtt")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 20)
    messages = all_went_well(play(line, server), setup_messages=1)
    assert messages["answered"] == 20
    assert messages["pushed"] == 0
    seen = server.seen()
    assert seen["connected"] == 2
    assert seen["PUBLISH"] == seen["right"] == 20


@against("mqtt_server", needs_mosquitto)
def test_mqtt_topics(recipe, play, server):
    result = all_were_delivered(recipe("mqtt-topics"), play, server)
    assert result["opening"]["first_replies"] == 2 * 8
    seen = server.seen()
    assert (seen["connected"], seen["SUBSCRIBE"], seen["PUBLISH"]) == (8, 8, 10)


@against("signalr_standin")
def test_signalr(recipe, play, play_preset, server):
    line = recipe("signalr")
    line.set("-d", None)
    line.set("-c", 2)
    line.set("-n", 20)
    line.set("--rate", 40)  # half a second, in which the server pings
    result = play(line, server)
    messages = all_went_well(result, setup_messages=1)
    each_took_20_ms(result)
    seen = server.seen()
    assert messages["answered"] == seen["invocations"] == 20
    assert seen["handshakes"] == 2
    assert messages["pushed"] - 20 >= seen["pings"] >= 1, "calls of the server, and pings, answered with pings"
    assert play_preset("signalr", server)["invoke"] == server.seen()["invocations"] - 20


@against("aws_standin")
def test_aws(recipe, play, server):
    line = recipe("aws")
    line.set("-c", 2)
    line.set("-d", "1.5s")
    line.replace("6/m", "4/s")
    result = play(line, server)
    messages = all_went_well(result)
    each_took_20_ms(result)
    seen = server.seen()
    assert messages["answered"] == seen["echo"] == 12
    assert "idle" not in seen


@pytest.mark.usefixtures("token")
@against("llm_standin")
def test_realtime_api_of_a_language_model(recipe, play, server):
    line = recipe("llm")
    line.set("-c", 2)
    result = play(line, server)
    messages = all_went_well(result, greetings=1, setup_messages=1)
    each_took_20_ms(result)
    assert SECRET not in str(result)
    seen = server.seen()
    assert messages["answered"] == seen["response.done"] == 20
    assert 18 <= messages["pushed"] <= seen["rate_limits.updated"] == 20, "the last of a session may come too late"
    streams = result["streams"]
    assert streams["streamed"] == 20 * 6
    assert streams["broken_off"] == streams["without_first"] == streams["without_count"] == 0
    # A head, four words 8 ms apart by a coarse clock, and the end: a busy machine closes up what it was late for.
    assert streams["first_time_ns"]["count"] == 20
    assert streams["first_time_ns"]["min"] >= 6_000_000
    assert streams["gap_ns"]["count"] == 20 * 4
    assert streams["gap_ns"]["max"] >= 6_000_000
    assert (streams["answer_count"]["min"], streams["answer_count"]["max"]) == (4, 4)
    assert seen["model"] == seen["session.created"] == seen["session.updated"] == 2
    assert "error" not in seen


@pytest.mark.parametrize(
    ("server", "change"),
    [
        ("graphql_server", ("graphql", "room(", "rooom(")),
        ("jsonrpc_server", ("jsonrpc", '"add"', '"subtract"')),
        ("signalr_standin", ("signalr", '"Echo"', '"Shout"')),
        ("llm_standin", ("llm", "MODEL", "BROKEN")),
    ],
    indirect=["server"],
    ids=["graphql", "jsonrpc", "signalr", "llm"],
)
@pytest.mark.usefixtures("token")
def test_a_reply_that_tells_of_a_failure_is_a_mismatch(recipe, play, server, change):
    name, right, wrong = change
    line = recipe(name)
    line.set("-d", None)
    line.set("-c", 1)
    line.set("-n", 5)
    line.replace(right, wrong)
    assert play(line, server)["faults"].keys() == {"check-failed"}
