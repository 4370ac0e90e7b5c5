"""The scenarios of `examples/scenarios`, each played for a moment: every count is that of the server's own log.

Against a real server: graphql (ariadne), json-rpc (pjrpc), socket-io (python-socketio) and stomp (coilmq). Against the
built-in server: game. Against a stand-in of `standins`: api-gateway, chat, language-model, market-data, phoenix and
rolling-deploy.
"""

import asyncio
import contextlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import standins

from conftest import Server
from engine.fan_out.in_process import ATTEMPTS, CHAT, measure, together, was_late
from ws_load_test.echo import EchoServer
from ws_load_test.plan.options.read_plan import read_plan_file

# Restarts, and think times of a short run, leave no room for the load of other tests.
pytestmark = pytest.mark.alone

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "examples" / "scenarios"
GAME = "game.py:player"
FEEDS = {
    "users.csv": "name,token\n" + "".join(f"n{number},t{number}\n" for number in range(40)),
    "tokens.csv": "token\n" + "".join(f"t{number}\n" for number in range(40)),
    "questions.jsonl": '{"question": "Why?"}\n',
}
SECRETS = ("TOKEN", "LOGIN", "PASSCODE", "MODEL", "API_KEY")
BASE = {**dict.fromkeys(CHAT), "duration": "1500ms", "timeout": "8s", "workers": 1, "connect_rate": 400}
HEADERS = (
    "Host: h,Connection: Upgrade,Upgrade: websocket,Sec-WebSocket-Version: 13,Sec-WebSocket-Key: " + "A" * 22 + "=="
)
REQUEST = "".join(f"{line}\\r\\n" for line in ("GET /restart HTTP/1.1", *HEADERS.split(","), ""))
RESTART = f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; printf \"{REQUEST}\" >&3; head -1 <&3'"
"""Command that restarts a node of `standins.Nodes`."""


class Echo(EchoServer):
    """The built-in server, with a log as stand-ins have it."""

    @property
    def address(self):
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def sessions(self):
        """Sessions that are open."""
        return self.open

    @property
    def log(self):
        """Its counts."""
        return {"sessions": self.connections, "messages": self.messages}


EXAMPLES = {
    "graphql": ("graphql_server", {"connections": 50, "rooms": 2}, {"40/s": "30/s"}),
    "json-rpc": ("jsonrpc_server", {"connections": 10}, {}),
    "socket-io": ("socketio_server", {"connections": 40, "rooms": 2}, {"normal:3s,1s": "normal:60ms,10ms"}),
    "stomp": ("stomp_server", {"rooms": 2}, {"10s": "150ms", "500/s": "30/s", 1000: 8, 100: 2}),
    "chat": (standins.Chat, {"connections": 40, "rooms": 2}, {"exp:4s": "exp:20ms"}),
    "rolling-deploy": (
        standins.Nodes,
        {"connections": 20, "rooms": 1, "duration": "1800ms", "reconnect": "exponential:50ms..200ms"},
        {49: 19},
    ),
    "game": (Echo, {"connections": 5}, {GAME: str(FOLDER / GAME)}),
    "api-gateway": (standins.Gateway, {"connections": 40, "rooms": 2}, {"9m": "150ms", "20/s": "40/s"}),
    "phoenix": (standins.Phoenix, {"connections": 20, "rooms": 1}, {99: 19, "30s": "150ms", "100/s": "20/s"}),
    "market-data": (standins.MarketData, {"connections": 4}, {}),
    "language-model": (standins.LanguageModel, {}, {"0.5/s": "20/s", "lognormal:8s,0.6": "lognormal:15ms,0.6"}),
}
OVER = {
    "graphql": ("watchers", "watchers gone"),
    "json-rpc": ("sessions", "over"),
    "socket-io": ("connected", "left: transport close"),
    "stomp": ("v12.stomp", "over"),
}
"""Counts of a real server that are equal once all sessions are over: then its log is complete."""
"""Server of each example, its options that are others here, and values in its roles that are."""


def quicker(value, changes, made):
    """Returns a value of a plan file with other values in it; adds those that were found to `made`."""
    if isinstance(value, dict):
        return {name: quicker(inner, changes, made) for name, inner in value.items()}
    if isinstance(value, list):
        return [quicker(inner, changes, made) for inner in value]
    if value in changes:
        made.add(value)
        return changes[value]
    return value


async def play(name, address):
    """Plays an example against the server at an address; returns the result and the tally."""
    _, changes, values = EXAMPLES[name]
    written = read_plan_file(str(FOLDER / f"{name}.toml"))
    made = set()
    roles = quicker(written.pop("role").value, values, made)
    assert made == values.keys(), "a value that the example no longer has"
    url = re.sub(r"^wss?://[^/?]+", f"ws://{address}", written.pop("url"))
    if "run_at" in written:
        changes = changes | {"run_at": "250ms: " + RESTART.replace("PORT", address.rpartition(":")[2])}
    return await measure(url, **(written | BASE | {"role": roles} | changes))


async def play_standin(name):
    """Plays an example against its stand-in; returns the result, the tally and the log."""
    async with EXAMPLES[name][0]() as server:
        result, tally = await play(name, server.address)
        async with asyncio.timeout(60):
            while server.sessions:  # noqa: ASYNC110 - the server's log is no event
                await asyncio.sleep(0.005)
        return result, tally, server.log


async def play_real(name, server):
    """Plays an example against a server in a process of its own; returns the result, the tally and the log."""
    result, tally = await play(name, server.address)
    begun, over = OVER[name]
    async with asyncio.timeout(60):
        while (log := server.seen())[begun] != log.get(over):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    return result, tally, log


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Results and logs of all examples, by their names."""
    folder = tmp_path_factory.mktemp("examples")
    for file, text in FEEDS.items():
        (folder / file).write_text(text)
    found, left = {}, EXAMPLES.keys()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for secret in SECRETS:
            patch.setenv(secret, f"{secret.lower()}-of-mine")
        for _ in range(ATTEMPTS):
            found |= play_all(left, folder)
            # Alone, as a busy machine has left them too little of their time.
            left = {name for name in left if was_late(found[name][1])}
            if not left:
                break
    return found


def play_all(names, folder):
    """Plays examples side by side; returns the result, the tally and the log of each by its name."""
    with contextlib.ExitStack() as stack:
        programs = {name: server for name in names if isinstance(server := EXAMPLES[name][0], str)}
        servers = {name: stack.enter_context(serving(server, folder)) for name, server in programs.items()}
        # All start at once, and only then is each waited for.
        for server in servers.values():
            server.address = f"127.0.0.1:{server.process.stdout.readline().strip()}"
        runs = {name: play_standin(name) for name in names - servers.keys()}
        runs |= {name: play_real(name, server) for name, server in servers.items()}
        return together(at_once=10, **runs)


@contextlib.contextmanager
def serving(name, folder):
    """Starts a server of `servers`, whose address is not known yet, and ends it."""
    command = [sys.executable, str(HERE / "servers" / f"{name}.py")]
    with (folder / f"{name}.log").open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield Server(process, "")
        process.stdin.close()
        assert process.wait(timeout=60) == 0, (folder / f"{name}.log").read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


# --- All of them -----------------------------------------------------------------------------------------------------


def sent_by(tally, name):
    """Messages of a step of all roles that have it."""
    return sum(row.sent for key, row in tally.steps.items() if key.endswith(f"/{name}"))


def taken_by(tally, name):
    """Messages that a reaction of all roles that have it took."""
    return sum(row.seen for key, row in tally.reactions.items() if key.endswith(f"/{name}"))


SESSIONS_OF = {"graphql": "connection_init", "socket-io": "connected", "stomp": "v12.stomp"}
"""Count of a server's log that has its sessions, where that is not `sessions`."""
FAULTS = {"rolling-deploy": {"closed:1012"}, "api-gateway": {"reported:integration failed"}}
"""Faults that a server is there for."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_due_is_in_one_count(played, name):
    result, tally, log = played[name]
    assert result.summary.faults.keys() == FAULTS.get(name, set())
    sessions = result.summary.sessions
    # At the end, sessions that have just arrived may still be on their way in.
    on_their_way = range(4) if name == "language-model" else (0,)
    opened = result.summary.connections.opened
    assert opened <= log[SESSIONS_OF.get(name, "sessions")] <= sessions.begun
    assert sessions.begun - opened == result.summary.connections.cancelled
    assert sessions.begun - opened in on_their_way
    assert sessions.completed + sessions.failed == sessions.begun
    assert not sessions.dropped or was_late(tally)
    assert sessions.failed == log.get("closed", 0)
    for step in result.summary.steps:
        assert step.due == step.sent + step.dropped
        assert step.unanswered in (on_their_way if step.place == "open" else (0,))
        assert step.sent == step.answered + step.unanswered + step.unawaited
        # A timer lets one pass while the one before is on its way, and an iteration may find no session at the end.
        assert step.place in {"timer", "steps"} or not step.dropped
        assert step.sent or was_late(tally)
    for role in result.summary.roles:
        if role.iterations is not None:
            assert role.iterations.due == role.iterations.begun + role.iterations.dropped
    assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing + tally.deliveries_cut_off
    odd = ("duplicate", "misdelivered", "out_of_order", "foreign", "negative", "replayed")
    assert [getattr(tally, f"deliveries_{one}") for one in odd] == [0] * len(odd)


@pytest.mark.parametrize("name", ["graphql", "chat"])
def test_all_was_delivered_where_the_file_asks_for_it(played, name):
    checks = {check.metric: check.passed for check in played[name][0].summary.verdict.checks}
    assert checks["reach"]


def test_every_example_is_played():
    # One is played where fan-out is tested, against the counts of the built-in server.
    assert EXAMPLES.keys() | {"built-in-chat"} == {path.stem for path in FOLDER.glob("*.toml")}


# --- Real servers ----------------------------------------------------------------------------------------------------


def test_graphql(played):
    _, tally, log = played["graphql"]
    assert log["token token-of-mine"] == sent_by(tally, "init") == 50
    assert log["watchers"] == log["watchers gone"] == sent_by(tally, "subscribe") == 48
    assert 0 < log["edits"] == tally.answered == taken_by(tally, "json:type=complete")
    assert log["changes"] == taken_by(tally, "change") == tally.deliveries == 24 * log["edits"]
    change = tally.reactions["watcher/change"]
    assert change.gaps == change.repeats == change.unnumbered == tally.pushed == 0
    pongs = [row.sent for key, row in tally.reactions.items() if key.endswith("ping")]
    assert log["pong"] == sum(pongs) == 50


def test_json_rpc(played):
    _, tally, log = played["json-rpc"]
    assert log["subscribed to newHeads"] == log["unsubscribed"] == sent_by(tally, "subscribe") == 8
    assert 0 < log["calls"] == tally.answered
    head = tally.reactions["listener/head"]
    assert 0 < log["heads"] == head.seen
    assert head.gaps == head.repeats == head.unnumbered == 0
    assert log["news"] == tally.pushed


def test_socket_io(played):
    _, tally, log = played["socket-io"]
    assert log["joined"] == log["joined by its own name"] == sent_by(tally, "join") == 40
    assert 0 < log["messages"] == tally.answered
    assert log["sent on"] == tally.deliveries == tally.deliveries_expected
    pings, answers = taken_by(tally, "ping"), sum(row.sent for row in tally.reactions.values())
    # One that is on its way when its session ends is not answered, and the library reads no more once it cannot send.
    assert 0 < log["pongs"] <= answers <= pings <= log["pings"] <= log["pongs"] + log["connected"]
    assert tally.pushed == tally.deliveries_to_publisher == 0


def test_stomp(played):
    _, tally, log = played["stomp"]
    assert log["CONNECTED"] == sent_by(tally, "connect") == 10
    assert 0 < log["published"] == sent_by(tally, "send") == tally.answered
    assert log["RECEIPT"] == log["published"] + sent_by(tally, "subscribe")
    assert log["MESSAGE"] == tally.deliveries == tally.deliveries_expected
    assert 0 < log["heart-beats"] == sent_by(tally, "timer-1") + tally.warmup_sent
    assert tally.pushed == 0


def test_a_game(played):
    result, tally, log = played["game"]
    assert log["messages"] == sum(row.sent for row in tally.steps.values())
    assert sent_by(tally, "join") == sent_by(tally, "give up") == 5
    assert 0 < sent_by(tally, "move") == tally.answered
    # It sends back what it gets: that of the last message comes after the session has ended, or is a push.
    assert tally.pushed <= 5
    assert not result.summary.sessions.failed


# --- Stand-ins -------------------------------------------------------------------------------------------------------


def test_chat(played):
    _, tally, log = played["chat"]
    assert log["join"] == log["nicks"] == sent_by(tally, "join") == 40
    assert [log[kind] for kind in ("say", "history", "typing", "leave")] == [
        sent_by(tally, kind) for kind in ("say", "history", "typing", "leave")
    ]
    assert log["history"] == log["history before 41"]
    assert 0 < log["say"] == log["published"] == tally.answered - log["history"]
    # Of two writers in a room, one gets what the other says, which nobody expects.
    assert log["deliveries"] == tally.deliveries + tally.deliveries_to_publisher
    assert tally.deliveries == tally.deliveries_expected
    assert log["typing sent on"] == taken_by(tally, "typing") + tally.pushed


def test_a_rolling_deploy(played):
    result, tally, log = played["rolling-deploy"]
    (wave,) = result.summary.waves
    assert wave.closed == {"1012": log["closed"]}
    assert result.summary.faults == {"closed:1012": log["closed"]}
    assert (log["restarts"], log["closed"], wave.abrupt, wave.bounced) == (1, 10, 0, 0)
    assert {row.name: row.opened for row in result.summary.nodes.rows} == {
        node: log[f"opened on {node}"] for node in "ab"
    }
    assert log["join"] == sent_by(tally, "join") == log["sessions"]
    assert 0 < log["say"] == log["published"] == tally.sent == tally.unawaited
    to_readers = log["deliveries"] - tally.deliveries_to_publisher
    # Sessions that were closing or just back may get what is said meanwhile, or not.
    assert tally.deliveries <= to_readers <= tally.deliveries + tally.deliveries_ambiguous
    assert tally.deliveries_missing == 0
    assert result.recording.trailer.commands[0].status == 0


def test_an_api_gateway(played):
    result, tally, log = played["api-gateway"]
    assert log["join"] == log["tokens"] == sent_by(tally, "join") == 40
    assert 0 < log["keepalive"] == sent_by(tally, "keep-alive") + tally.warmup_sent
    assert log["send"] == sent_by(tally, "send") == log["published"] + log["errors"]
    assert 0 < log["errors"] == taken_by(tally, "integration failed")
    assert result.summary.faults == {"reported:integration failed": log["errors"]}
    assert log["deliveries"] == tally.deliveries + tally.deliveries_to_publisher
    assert tally.deliveries == 19 * log["published"]
    assert tally.deliveries_missing == 19 * log["errors"]
    assert tally.pushed == taken_by(tally, "no such route") == 0


def test_phoenix(played):
    _, tally, log = played["phoenix"]
    assert log["phx_join"] == sent_by(tally, "join") == 20
    assert 0 < log["heartbeat"] == sent_by(tally, "heartbeat") + tally.warmup_sent
    assert 0 < log["shout"] == sent_by(tally, "shout")
    assert log["presence"] == taken_by(tally, "presence") == 190
    assert log["deliveries"] == tally.deliveries + tally.deliveries_to_publisher
    assert tally.deliveries == tally.deliveries_expected == 19 * log["shout"]
    assert tally.pushed == taken_by(tally, "the channel crashed") == 0


def test_market_data(played):
    result, tally, log = played["market-data"]
    assert log["subscribe"] == log["deflated"] == sent_by(tally, "subscribe") == 4
    tick = tally.reactions["listener/tick"]
    assert (tick.seen, tick.gaps, tick.missed, tick.repeats, tick.restarts) == tuple(
        log[kind] for kind in ("ticks", "gaps", "left out", "repeats", "snapshots")
    )
    assert min(tick.gaps, tick.repeats, tick.restarts) > 0
    assert tick.ages == log["ticks"]
    assert tick.out_of_order == tick.unnumbered == tick.undated == tick.stalls == tally.pushed == 0
    assert taken_by(tally, "snapshot") == log["snapshots"]
    checks = {check.metric: check.passed for check in result.summary.verdict.checks}
    assert (checks["on.tick.gaps"], checks["on.tick.repeats"]) == (False, False)


def test_a_language_model(played):
    result, tally, log = played["language-model"]
    assert log["keys"] == log["models"] == log["sessions"]
    assert sent_by(tally, "question") == log["questions"] == log["conversation.item.create"] > 0
    assert sent_by(tally, "answer") == log["response.create"] == log["answers"] == tally.steps["user/answer"].answered
    assert sent_by(tally, "configure") == log["session.update"]
    (stream,) = (step.stream for step in result.summary.steps if step.name == "answer")
    # What is acknowledged comes before the first message that counts, and is counted with the answer.
    assert stream.streamed == log["of answers"] + log["events beside"]
    assert round(stream.answer_count.mean * stream.answer_count.count) == log["tokens"]
    assert (stream.answer_messages.count, stream.without_first, stream.broken_off) == (log["answers"], 0, 0)
    assert tally.pushed == 0
