"""The plan and its target: addresses, the request line, the words for people."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.machine import default_workers
from ws_load_test.common.sharding import Shard
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.target import Target, is_on_this_machine


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "resource"),
    [
        ("ws://localhost:3001", "localhost", 3001, "localhost:3001", "/"),
        ("ws://example.com", "example.com", 80, "example.com", "/"),
        ("ws://example.com:80/", "example.com", 80, "example.com", "/"),
        ("wss://example.com/live", "example.com", 443, "example.com", "/live"),
        ("wss://example.com:443/live", "example.com", 443, "example.com", "/live"),
        ("wss://example.com:80/live", "example.com", 80, "example.com:80", "/live"),
        ("WSS://Example.COM/Live", "example.com", 443, "example.com", "/Live"),
        ("ws://[::1]:3001/x", "::1", 3001, "[::1]:3001", "/x"),
        ("ws://[2001:DB8::7]/", "2001:db8::7", 80, "[2001:db8::7]", "/"),
        ("ws://user:pass@example.com:81/", "example.com", 81, "example.com:81", "/"),
        ("ws://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
        ("ws://例え.jp:90", "xn--r8jz45g.jp", 90, "xn--r8jz45g.jp:90", "/"),
        ("ws://h?a=1", "h", 80, "h", "/?a=1"),
        ("ws://h/?", "h", 80, "h", "/"),
        ("ws://h/a%20b?c=%2F", "h", 80, "h", "/a%20b?c=%2F"),
        ("ws://h/größe?q=ä", "h", 80, "h", "/gr%C3%B6%C3%9Fe?q=%C3%A4"),
        ('ws://h/a"b<c>|d', "h", 80, "h", "/a%22b%3Cc%3E%7Cd"),
        ("ws://h/?a=b&c[]=d;e=f", "h", 80, "h", "/?a=b&c[]=d;e=f"),
        ("ws://h/%23?x=%3F", "h", 80, "h", "/%23?x=%3F"),
        ("ws://my_service:8080/", "my_service", 8080, "my_service:8080", "/"),
    ],
)
def test_reads_an_address(url, host, port, authority, resource):
    target = make_plan(url).target
    assert (target.host, target.port, target.authority, target.resource) == (host, port, authority, resource)
    assert target.secure == url.lower().startswith("wss")


PRINTABLE = st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Co"), exclude_characters="?#")


@given(st.text(PRINTABLE, max_size=20))
def test_any_path_becomes_a_request_line_in_ascii(path):
    resource = Target(url=f"ws://h/{path}").resource
    assert resource.isascii()
    assert resource.isprintable()
    assert " " not in resource
    assert resource.startswith("/")


def test_user_info_is_kept_for_the_handshake():
    assert Target(url="ws://joe:s%40crt@h/").user_info == "joe:s%40crt"
    assert Target(url="ws://joe@h/").user_info == "joe"
    assert Target(url="ws://h/a@b").user_info is None


def test_a_plan_survives_the_way_to_a_worker():
    plan = make_plan(
        "wss://h/x",
        connections=7,
        in_flight=3,
        messages=99,
        warmup="2s",
        message="héllo",
        header=["A: b"],
        subprotocol=["p", "q"],
        insecure=True,
        ramp="3s",
        workers=2,
    )
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_a_binary_payload_survives_the_way_to_a_worker(tmp_path):
    (tmp_path / "payload").write_bytes(bytes(range(256)))
    plan = make_plan("ws://h", message=f"@{tmp_path / 'payload'}", binary=True)
    again = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    assert again.message.payload == bytes(range(256))
    assert again.message.size_bytes == 256


def test_a_plan_is_frozen():
    with pytest.raises(AttributeError):
        make_plan("ws://h").connections = 3


def test_describes_itself_in_words():
    words = dict(
        describe_plan(
            make_plan(
                "wss://h/x",
                connections=1200,
                in_flight=4,
                messages=100_000,
                warmup="2s",
                timeout="3s",
                connect_timeout="4s",
                connect_rate="100/s",
                binary=True,
                size="2kB",
                header=["A: b", "C: d"],
                subprotocol=["p", "q"],
                insecure=True,
                workers=1,
            )
        )
    )
    assert words["target"] == "wss://h/x"
    assert words["connections"].startswith("1,200, opened at 100/s")
    assert "4 in flight" in words["load"]
    assert words["message"] == "binary, 2 kB"
    assert "100,000 messages" in words["length"]
    assert "2 s" in words["length"]
    assert words["timeouts"].startswith("3 s for a reply, 4 s to open")
    assert words["workers"] == "1 process"
    assert words["headers"] == "A: b; C: d"
    assert words["subprotocols"] == "p, q"
    assert words["TLS"] == "trusts any certificate"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"first_message": "a"}, "1 is sent and its reply awaited before the load"),
        ({"first_message": ["a", "b"]}, "2 are sent, each after a reply before the load"),
        (
            {"first_message": "a", "first_wait": "1s"},
            "1 is sent before the load, which waits 1 s, as it is not answered",
        ),
        (
            {"first_message": ["a", "b"], "first_wait": "1s"},
            "2 are sent, each after a reply, before the load, which waits 1 s, as the last of them is not answered",
        ),
    ],
)
def test_describes_first_messages(options, words):
    assert dict(describe_plan(make_plan("ws://h", workers=1, **options)))["first"] == words


def test_describes_a_ping_and_the_default_load():
    words = dict(describe_plan(make_plan("ws://h", ping=True, workers=2, connections=2)))
    assert "ping frame" in words["message"]
    assert words["length"] == "10 s"
    assert words["workers"] == "2 processes"
    assert {"headers", "subprotocols", "TLS"}.isdisjoint(words)


def test_connections_of_shares_add_up():
    plan = make_plan("ws://h", connections=10, workers=3)
    assert sorted(plan.connections_in(Shard(index, 3)) for index in range(3)) == [3, 3, 4]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to a core")
def test_one_worker_for_each_core_that_may_be_used():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert default_workers() == 1
        assert make_plan("ws://h", connections=100).workers == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert default_workers() == len(allowed)


@pytest.mark.parametrize(
    ("url", "options", "here"),
    [
        ("ws://localhost:3001", {}, True),
        ("ws://LOCALHOST.", {}, True),
        ("ws://127.0.0.2:1/x", {}, True),
        ("ws://[::1]:1/", {}, True),
        ("ws://h/", {"connect_to": "127.0.0.1:5"}, True),
        ("ws://h/", {"unix_socket": "/tmp/s"}, True),
        ("ws://h/", {}, False),
        ("ws://10.0.0.1/", {}, False),
        (["ws://localhost/", "ws://h/"], {}, False),
        ("ws://localhost/", {"proxy": "http://p:1"}, False),
        ("ws://{connection}.localhost/", {}, False),
    ],
    ids=str,
)
def test_a_target_on_this_machine_is_left_half_of_the_cores(url, options, here, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    plan = make_plan(url, connections=100, **options)
    assert is_on_this_machine(plan.target) == here
    assert plan.workers == (3 if here else 6)
    assert make_plan(url, connections=100, workers=5, **options).workers == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert make_plan(url, connections=100, **options).workers == 1


def test_no_more_workers_than_connections():
    assert make_plan("ws://h", connections=3, workers=8).workers == 3
