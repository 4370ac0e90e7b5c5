"""Redirects: refused unless they are to be followed, and then not without limits."""

import pytest
from test_opening import SECRET, dialled, fault_of, plan_of

from ws_load_test.testing import Certificates, FaultyServer, behaviors

certificates = Certificates()


def sends(location, *, status=302, cookie=None):
    async def behave(peer):
        await peer.upgrade(status=status, headers={"Location": location, "Set-Cookie": cookie})

    return behave


def test_by_default_a_redirect_is_a_fault_that_names_the_remedy():
    with FaultyServer(behaviors.redirects(f"wss://ann:{SECRET}@other.example/x?token={SECRET}")) as server:
        fault = fault_of(plan_of(server.url))
        assert server.seen.accepted == 1
    assert fault.key == "upgrade-rejected:302"
    assert fault.text == "answered the upgrade with 302 Found to wss://other.example/x; --follow-redirects goes there"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/there?x=1", "/there?x=1"),
        ("there", "/a/there"),
        ("?y=2", "/a/b?y=2"),
        ("http://127.0.0.1:{port}/c#part", "/c"),
        ("WS://127.0.0.1:{port}/c", "/c"),
        ("//127.0.0.1:{port}", "/"),
        ("/ä b", "/%C3%A4%20b"),
    ],
)
def test_redirects_are_followed(status, location, target):
    async def moves(peer):
        where = location.format(port=server.port).encode().decode("latin-1")
        await peer.upgrade(status=status, headers={"Location": where})

    with FaultyServer(moves, behaviors.echoes) as server:
        (took,) = dialled(plan_of(server.url + "a/b", follow_redirects=True, header="X-Room: 7"))
        first, second = server.seen.requests
    assert first.target == "/a/b"
    assert second.target == target
    assert second.headers["x-room"] == "7"
    assert took.total_ns > took.tcp_ns + took.upgrade_ns


def test_credentials_stay_with_their_host():
    with FaultyServer(behaviors.echoes) as other:
        with FaultyServer(sends(f"http://joe:x@localhost:{other.port}/", cookie="sid=1")) as server:
            plan = plan_of(
                server.url,
                follow_redirects=True,
                bearer="abc.def",
                cookie="own=1",
                header=["X-Api-Key: k", "X-Room: 7", "Host: virtual.example"],
                subprotocol="v1",
            )
            dialled(plan)
            assert server.seen.requests[0].headers["authorization"] == "Bearer abc.def"
            assert server.seen.requests[0].headers["host"] == "virtual.example"
        headers = other.seen.requests[0].headers
    assert headers.keys().isdisjoint({"authorization", "cookie", "x-api-key"})
    assert headers["host"] == f"localhost:{other.port}"
    assert headers["x-room"] == "7"
    assert headers["sec-websocket-protocol"] == "v1"


def test_cookies_of_the_chain_are_sent_within_it():
    chain = [
        sends("/login", cookie="a=1; Path=/; HttpOnly"),
        sends("/", cookie="a=2; Secure"),
        sends("/", cookie="a=; Max-Age=0"),
        behaviors.echoes,
    ]
    with FaultyServer(*chain) as server:
        dialled(plan_of(server.url, follow_redirects=True, cookie=["own=1", "a=0"]))
        cookies = [request.headers["cookie"] for request in server.seen.requests]
    assert cookies == ["own=1; a=0", "own=1; a=1", "own=1; a=2", "own=1"]


def test_user_info_stays_for_the_same_host():
    with FaultyServer(sends("/x"), behaviors.echoes) as server:
        dialled(plan_of(server.url.replace("//", "//joe:pass@"), follow_redirects=True))
        first, second = (request.headers["authorization"] for request in server.seen.requests)
    assert first == second


def test_a_redirect_into_tls(tmp_path):
    with FaultyServer(behaviors.echoes, tls=certificates.trusted()) as secure:
        with FaultyServer(sends(f"https://127.0.0.1:{secure.port}/x")) as server:
            cacert = str(certificates.write_ca(tmp_path))
            (took,) = dialled(plan_of(server.url, follow_redirects=True, cacert=cacert))
        assert secure.seen.requests[0].target == "/x"
    assert took.tls_ns > 0


def test_a_redirect_elsewhere_leaves_the_address_that_was_given():
    with FaultyServer(behaviors.echoes) as other, FaultyServer(sends(f"http://localhost:{other.port}/")) as server:
        dialled(plan_of("ws://service.example/", connect_to=f"127.0.0.1:{server.port}", follow_redirects=True))
        assert other.seen.upgraded == 1


@pytest.mark.parametrize(
    ("behaviour", "key", "words", "requests"),
    [
        (sends("/"), "upgrade-rejected:302", "in a loop", 1),
        (sends("/b", status=307), "upgrade-rejected:307", "in a loop", 2),
        (sends(None), "upgrade-invalid", "without a Location", 1),
        (sends("ftp://h/x"), "upgrade-invalid", "no http or WebSocket URL", 1),
        (sends("http://[h/"), "upgrade-invalid", "no http or WebSocket URL", 1),
        (sends(f"http://h:{SECRET}/"), "upgrade-invalid", "no http or WebSocket URL", 1),
        (sends("http://nobody.invalid/"), "dns", "nobody.invalid", 1),
    ],
)
def test_redirects_that_lead_nowhere(behaviour, key, words, requests):
    with FaultyServer(behaviour) as server:
        fault = fault_of(plan_of(server.url, follow_redirects=True))
        assert len(server.seen.requests) == requests
    assert fault.key == key
    assert words in fault.text


def test_too_many_redirects():
    with FaultyServer(*(sends(f"/{number}") for number in range(9))) as server:
        fault = fault_of(plan_of(server.url, follow_redirects=True))
        assert len(server.seen.requests) == 6, "the first and five that were followed"
    assert fault.key == "upgrade-rejected:302"
    assert "more than 5 times" in fault.text


def test_a_redirect_out_of_tls_is_refused(tmp_path):
    with FaultyServer(sends("http://127.0.0.1:9/"), tls=certificates.trusted()) as server:
        plan = plan_of(server.url, follow_redirects=True, cacert=str(certificates.write_ca(tmp_path)))
        fault = fault_of(plan)
    assert fault.key == "upgrade-rejected:302"
    assert "gives up TLS" in fault.text
