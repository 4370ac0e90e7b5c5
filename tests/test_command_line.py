"""The command line that repeats a plan: it reads back to the same plan, without secrets to the same but for them."""

import shlex
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.analysis.repeat import repeat_command
from ws_load_test.cli.arguments import app
from ws_load_test.common.units import format_bytes, parse_bytes, parse_duration_ns, parse_rate_per_s
from ws_load_test.messages import Message, SetupMessage
from ws_load_test.metrics.recording import Header, Recording
from ws_load_test.plan.command_line import command_line, options_of
from ws_load_test.plan.option_texts import write_duration, write_number, write_share, write_size, write_value
from ws_load_test.plan.options.catalog import PARSERS
from ws_load_test.plan.options.read_plan import make_plan, read_plan
from ws_load_test.plan.options.session_values import share

URL = "ws://127.0.0.1:3001/chat?room=7"
SECRET = "hunter2-9f8e7d6c5b4a"
GAME = f"{Path(__file__).parents[1] / 'examples/scenarios/game.py'}:player"
OPEN = {"rate": 100}
FAN_OUT = {**OPEN, "message": "{marker}", "subscribers": 2}
SAMPLES = {
    "url": [{"url": ["ws://h:1/a", "wss://h/{seq}"]}, {"url": f"wss://ann:{SECRET}@h/t?token={SECRET}&a='b'"}],
    "header": [{"header": ["A: -b", f"X-Api-Key: {SECRET}", 'C: "it\'s"']}, {"header": {"D": "1"}}],
    "subprotocol": [{"subprotocol": ["v1", "v2"]}],
    "user": [{"user": f"ann:{SECRET}"}],
    "bearer": [{"bearer": SECRET}],
    "cookie": [{"cookie": [f"sid={SECRET}", "b=1"]}],
    "origin": [{"origin": "https://h"}],
    "connect_to": [{"connect_to": ["127.0.0.1:9", "[::1]:9"]}],
    "resolve": [{"resolve": ["h:443:10.0.0.1,::1", "g:*:10.0.0.2"]}],
    "dns_ttl": [{"dns_ttl": 0}, {"dns_ttl": "24h"}],
    "rotate_addresses": [{"rotate_addresses": True}],
    "unix_socket": [{"unix_socket": "/run/a b.sock"}],
    "proxy": [{"proxy": f"socks5://ann:{SECRET}@h:1"}, {"proxy": "env"}, {"proxy": "none"}, {"proxy": "http://h:1"}],
    "bind": [{"bind": "10.0.0.0/28"}, {"bind": ["10.0.0.1", "10.0.0.3"]}, {"bind": "::1"}, {"bind": "10.0.0.5"}],
    "follow_redirects": [{"follow_redirects": True}],
    "deflate": [{"deflate": "on"}, {"deflate": "client_max_window_bits=10; server_no_context_takeover"}],
    "insecure": [{"url": "wss://h", "insecure": True}],
    "cacert": [{"url": "wss://h", "cacert": __file__}],
    "cert": [{"url": "wss://h", "cert": __file__}],
    "key": [{"url": "wss://h", "cert": __file__, "key": __file__}],
    "sni": [{"url": "wss://h", "sni": "other.example"}],
    "tls_min": [{"url": "wss://h", "tls_min": "1.3"}],
    "ciphers": [{"url": "wss://h", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}],
    "tls_resume": [{"url": "wss://h", "tls_resume": True}],
    "connections": [{"connections": "10_000"}],
    "in_flight": [{"in_flight": 4}],
    "rate": [{"rate": 0}, {"rate": "2k/s"}, {"rate": "1.5"}, {"rate": "7/m", "messages": 3}],
    "rate_per_connection": [{"rate_per_connection": "0.1", "connections": 7}],
    "stages": [{"stages": "30s:1000,2m@5000,1500ms:0"}, {"stages": "10s@7", "warmup": "1s"}],
    "arrivals": [{**OPEN, "arrivals": "poisson"}],
    "seed": [{**OPEN, "arrivals": "poisson", "seed": 7}],
    "max_in_flight": [{**OPEN, "max_in_flight": 3}],
    "duration": [{"duration": "90s"}, {"duration": "1h"}, {"duration": 0.001, "rate": 1e6}],
    "messages": [{"messages": 10**6}],
    "warmup": [{"warmup": 2.5}],
    "connect_rate": [{"connect_rate": "90/m"}],
    "ramp": [{"ramp": "3s", "connections": 10}],
    "connection_stages": [{**OPEN, "connection_stages": ["10s:50", "5s:20"]}, {**OPEN, "connection_stages": "1s@5"}],
    "ping_interval": [{**OPEN, "ping_interval": "20s"}],
    "message": [
        {"message": ["-", "b{seq}"]},
        {"message": '{"token": "x"}'},
        {"message": ""},
        {"message": "it's {{}"},
        {"message": "PING"},
    ],
    "weights": [{"message": ["a", "b"], "weights": "3,1"}],
    "size": [{"size": 512}, {"size": "100..1000"}, {"size": "normal:1kB,200B"}, {"size": "exp:1MiB"}, {"size": 0}],
    "binary": [{"binary": True, "size": "1kB"}, {"binary": True, "message": "x{seq}"}],
    "ping": [{"ping": True}, {"ping": True, "match": "echo"}],
    "first_message": [{"first_message": ["-x", "{seq}", ""]}],
    "match": [{"match": "json:id", "message": '{"id": {seq}}'}, {**OPEN, "match": "none"}, {"match": "echo"}],
    "skip_first": [{"skip_first": 2}],
    "ignore": [{"ignore": ["regex:^x=>", "json:a.b"]}],
    "auto_reply": [{"auto_reply": "contains:ping=>pong=>"}],
    "expect": [{"expect": ["contains:ok", "json:a.b=1"]}],
    "until": [{"until": ["json:done=true", "contains:[DONE]"]}],
    "first": [{"until": "contains:x", "first": "json:delta"}],
    "stall": [{"until": "contains:x", "stall": "250ms"}],
    "count": [{"until": "contains:x", "count": "json:usage.tokens"}],
    "expect_first": [{"first_message": "x", "expect_first": "json:ok"}],
    "scenario": [{"scenario": GAME}, {"scenario": GAME, "connections": 6, "rate": 2.5, "rooms": 3, "workers": 1}],
    "protocol": [{"protocol": "pusher"}],
    "fill": [{"protocol": "pusher", "fill": "channel=a=b"}],
    "trace": [{"message": "{traceparent}", "trace": "0.5%"}, {"header": "traceparent: {traceparent}", "trace": 0}],
    "first_wait": [{"first_message": "x", "first_wait": "250ms"}],
    "check_utf8": [{"check_utf8": True}],
    "reconnect": [{"reconnect": "now"}, {"reconnect": "1500ms"}, {"reconnect": "exponential:100ms..30s"}],
    "lifetime": [{"lifetime": "10s"}],
    "run_at": [{"run_at": ["1500ms: ./deploy.sh 'a b'", "2s: true"]}],
    "node": [{"node": "header:X-Node"}, {"node": "json:server.name"}],
    "disconnect": [{"disconnect": "30%@1s", "connections": 10}, {"disconnect": "0.333@1s", "reconnect": "exponential"}],
    "slow_readers": [{"slow_readers": "5%:1kB/s", "connections": 50}],
    "stalled_readers": [{"stalled_readers": 0.0123, "connections": 500}],
    "no_pong_clients": [{"no_pong_clients": "1%", "connections": 50}],
    "fail_if": [{"fail_if": ["p99 > 50ms", "errors > 0.1%"]}],
    "slo": [{"slo": "p99 < 50ms"}],
    "abort_if": [{"abort_if": "any errors > 5%"}],
    "abort_grace": [{"abort_if": "any errors > 5%", "abort_grace": "1s"}],
    "timeout": [{"timeout": "3s"}],
    "connect_timeout": [{"connect_timeout": "500ms"}],
    "open_timeout": [{"open_timeout": "30s"}],
    "subscribers": [{**FAN_OUT, "subscribers": 5}, {**FAN_OUT, "match": "order"}],
    "publishers": [{**FAN_OUT, "publishers": 3}],
    "everyone": [{**OPEN, "message": "{marker}", "everyone": True, "connections": 4}],
    "rooms": [{**FAN_OUT, "rooms": 7, "subscribers": 9}, {**FAN_OUT, "rooms": "lobby,a b"}],
    "marker": [{**FAN_OUT, "message": '{"id": {seq}}', "marker": "json:id=data.id", "workers": 1}],
    "self_delivery": [{**OPEN, "message": "{marker}", "everyone": True, "connections": 4, "self_delivery": "expected"}],
    "recovery": [{**FAN_OUT, "recovery": "expected", "reconnect": "1s"}],
    "timed": [{**FAN_OUT, "subscribers": 9, "timed": 2}],
    "publish_url": [{**FAN_OUT, "publish_url": f"PUT http://h:1/{{room}}?token={SECRET}"}],
    "publish_header": [{**FAN_OUT, "publish_url": "http://h:1/", "publish_header": [f"X-Api-Key: {SECRET}", "A: b"]}],
    "engine": [{"engine": "portable"}],
    "reply_instant": [{"reply_instant": "kernel"}],
    "max_message_size": [{"max_message_size": 1000}],
    "name": [{"name": "-a b"}],
    "workers": [{"workers": 3, "connections": 9}],
}
"""Options of `make_plan`: values that are not the default, with what they need beside them."""
TAKEN_BY_STAGES = {"rate", "stages", "rate_per_connection", "duration", "messages", "warmup", "in_flight"}
ALL = [options for samples in SAMPLES.values() for options in samples]


def parsed(line):
    """The options of a command line, as the program reads them."""
    words = shlex.split(line)
    assert words[0] == "ws-load-test"
    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    options = bound.arguments.get("options")
    return {"url": bound.arguments["url"], **({} if options is None else options.given())}


def plan_of(options):
    return make_plan(**{"url": URL, **options})


def without_warnings(plan):
    """What depends on the moment and the environment, and is no option."""
    return msgspec.structs.replace(plan, warnings=())


def without_contents(plan):
    """A plan as recordings have it, and without what follows from the contents of messages."""
    plan = without_warnings(plan.redacted())
    message = plan.message
    if not (message.generated or message.sizes):
        message = Message(message.kind, weights=message.weights, feed=message.feed)
    return msgspec.structs.replace(plan, message=message, setup_messages=(SetupMessage(),) * len(plan.setup_messages))


def test_there_is_a_sample_of_every_option():
    feeds = {"feed", "feed_order"}
    assert sorted(SAMPLES.keys() | feeds) == sorted(PARSERS), "add a sample that is not the default"


@pytest.mark.parametrize("options", ALL, ids=str)
def test_it_reads_back_to_the_same_plan(options):
    plan = plan_of(options)
    assert without_warnings(read_plan(options_of(plan))) == without_warnings(plan)


ON_A_COMMAND_LINE = ("url", "header", "deflate", "message", "first_message", "auto_reply", "name", "size", "ping")
"""Options whose values a shell and the parser of arguments could take for something else, and some without a value."""


@pytest.mark.parametrize("options", [options for name in ON_A_COMMAND_LINE for options in SAMPLES[name]], ids=str)
def test_a_shell_and_the_program_read_it_back(options):
    plan = plan_of(options)
    assert without_warnings(read_plan(parsed(command_line(plan)))) == without_warnings(plan)


@pytest.mark.parametrize("options", ALL, ids=str)
def test_without_secrets_it_reads_back_to_the_same_but_for_them(options):
    plan = plan_of(options)
    written = options_of(plan.redacted())
    assert SECRET not in command_line(plan.redacted())
    if {str(options.get(name, "")).partition(":")[0] for name in ("match", "marker")} & {"json"}:
        # The contents that are missing have the id, or the marker.
        written["message"] = '{"id": {seq}}'
    elif plan.fan_out is not None:
        written["message"] = "{marker}"
    elif {"message", "trace"} <= options.keys():
        written["message"] = "{traceparent}"
    assert without_contents(read_plan(written)) == without_contents(plan)


def test_a_feed_is_in_it(tmp_path):
    (tmp_path / "a b.csv").write_text("name\nann\n")
    plan = plan_of({"feed": str(tmp_path / "a b.csv"), "feed_order": "random", "message": "{feed.name}"})
    assert without_warnings(read_plan(parsed(command_line(plan)))) == without_warnings(plan)


def test_it_is_brief():
    plan = plan_of({"connections": 200, "rate": 5000, "duration": "5s", "workers": 1, "slo": "p99 < 50ms"})
    expected = "ws-load-test 'ws://127.0.0.1:3001/chat?room=7' -c 200 -r 5000 -d 5s --slo 'p99 < 50ms'"
    assert command_line(plan, with_workers=False) == expected
    assert command_line(plan) == f"{expected} -w 1"


def test_contents_that_no_option_takes_are_a_file(tmp_path):
    (tmp_path / "raw").write_bytes(b"\xff{seq}")
    (tmp_path / "braces").write_bytes(b"{seq}")
    plan = plan_of({"binary": True, "message": [f"@{tmp_path / 'raw'}", f"@{tmp_path / 'braces'}"]})
    assert options_of(plan)["message"] == ["@FILE", "@FILE"]


def test_a_recording_with_numbers_that_no_option_takes_has_no_command_line():
    plan = msgspec.structs.replace(plan_of({"connections": 5, "connect_rate": 1}), connect_rate_per_s=1e-300)
    header = Header(tool="x", started_at="", plan=msgspec.to_builtins(plan), target="", host={}, workers=1)
    assert repeat_command([Recording(header, ())]) == ""


def test_a_kind_of_value_that_no_rule_writes_is_an_error():
    with pytest.raises(TypeError, match="no rule writes dict"):
        write_value({}, "x")


@given(st.integers(0, 10**17))
def test_durations_and_sizes_read_back(number):
    assert parse_duration_ns(write_duration(number % (366 * 86400 * 10**9))) == number % (366 * 86400 * 10**9)
    assert parse_bytes(write_size(number)) == number, format_bytes(number)


@given(st.floats(1e-8, 1e12) | st.integers(1, 10**12).map(float))
def test_rates_read_back(per_s):
    assert parse_rate_per_s(write_number(per_s)) == per_s


@given(st.floats(1e-9, 1) | st.integers(1, 1000).map(lambda tenths: tenths / 1000))
def test_shares_read_back(part):
    assert share(write_share(part)) == part


@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.sampled_from(":@"), st.integers(0, 10**9)), max_size=4),
    st.sampled_from([one for one in ALL if not {"scenario", *TAKEN_BY_STAGES} & one.keys()]),
)
@settings(max_examples=25, deadline=None)
def test_stages_beside_any_option_read_back(stages, options):
    written = ",".join(f"{length}ns{mark}{amount / 1000!r}" for length, mark, amount in [*stages, (10**10, "@", 1000)])
    plan = plan_of({**options, "stages": written})
    assert without_warnings(read_plan(options_of(plan))) == without_warnings(plan)
