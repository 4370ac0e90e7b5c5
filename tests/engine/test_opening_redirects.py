"""Redirects: refused unless they are to be followed, and then not without limits."""

import asyncio
import ssl

import pytest
from test_opening import SECRET, dial, dialled, fault_of, plan_of

from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import Certificates, FaultyServer, behaviors

certificates = Certificates()


def sends(location, *, status=302, cookie=None):
    async def behave(peer):
        where = location() if callable(location) else location
        await peer.upgrade(status=status, headers={"Location": where, "Set-Cookie": cookie})

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


def dialled_with_notes(plan):
    """Dials one session, and returns what its dialer noted."""

    async def main():
        dialler, tally = Dialer(plan), Tally()
        await dial(dialler)
        dialler.take_notes(tally)
        return tally

    return asyncio.run(main())


SECRETS = {
    "bearer": "abc.def",
    "cookie": "own=1",
    "header": ["X-Api-Key: k", "X-Room: 7", "Host: virtual.example", "User-Agent: load/1", "Accept: a/b"],
    "subprotocol": ["v1", "token.0123456789abcdef0123"],
    "origin": "https://app.example",
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another host", "another port of the host"])
def test_what_is_secret_stays_with_its_origin(host):
    with FaultyServer(behaviors.echoes) as other:
        with FaultyServer(sends(f"http://joe:x@{host}:{other.port}/", cookie="sid=1")) as server:
            tally = dialled_with_notes(plan_of(server.url, follow_redirects=True, **SECRETS))
            assert server.seen.requests[0].headers["authorization"] == "Bearer abc.def"
            assert server.seen.requests[0].headers["host"] == "virtual.example"
        headers = other.seen.requests[0].headers
    kept = {name: value for name, value in headers.items() if name != "sec-websocket-key"}
    assert kept == {
        "host": f"{host}:{other.port}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "v1",
        "origin": "https://app.example",
        "user-agent": "load/1",
        "accept": "a/b",
    }
    expected = ["1 of the subprotocols", "Authorization", "Cookie", "X-Api-Key", "X-Room", "Host"]
    assert tally.left_out_by_redirects == dict.fromkeys(expected, 1)


def test_a_secret_that_a_field_gives_stays_too():
    def fill(number):
        return lambda text: text.replace("{seq}", "ticket")

    with FaultyServer(behaviors.echoes) as other:
        with FaultyServer(sends(f"http://127.0.0.1:{other.port}/")) as server:
            url = server.url.replace("//", "//joe:{seq}@") + "?token={seq}"
            dialled(plan_of(url, follow_redirects=True, subprotocol="t.{seq}", header="X-A: {seq}"), fill=fill)
        assert "ticket" not in str(other.seen.requests[0])
        assert "authorization" not in other.seen.requests[0].headers


def test_what_was_left_out_does_not_come_back_and_cookies_stay_with_their_origins():
    places = {}
    first = (sends(lambda: places["there"], cookie="ours=1"), sends("/last", cookie="more=2"), behaviors.echoes)
    with FaultyServer(*first) as server, FaultyServer(sends(f"{server.url}back", cookie="theirs=1")) as other:
        places["there"] = other.url
        tally = dialled_with_notes(plan_of(server.url, follow_redirects=True, cookie="own=1", header="X-A: 1"))
        assert "cookie" not in other.seen.requests[0].headers
        _, back, last = (request.headers for request in server.seen.requests)
    assert (back["cookie"], last["cookie"]) == ("ours=1", "ours=1; more=2")
    assert "x-a" not in last
    assert tally.left_out_by_redirects == {"Cookie": 1, "X-A": 1}, "once for each dial"


def test_within_an_origin_everything_goes_along():
    with FaultyServer(sends("/x"), behaviors.echoes) as server:
        tally = dialled_with_notes(plan_of(server.url, follow_redirects=True, **SECRETS))
        first, second = (dict(request.headers, **{"sec-websocket-key": ""}) for request in server.seen.requests)
    assert first == second
    assert not tally.left_out_by_redirects


class Asking:
    """A certificate whose server asks for the client's, and takes none as well."""

    def server_context(self):
        context = certificates.trusted().server_context()
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=certificates.ca_pem.decode())
        return context


def test_a_client_certificate_stays_with_its_origin(tmp_path):
    shown = []

    def looks(then):
        async def behave(peer):
            shown.append(bool(peer._writer.get_extra_info("peercert")))
            await then(peer)

        return behave

    ours = certificates.authority.issue("client.example", mutual=True)
    (tmp_path / "ours.pem").write_bytes(ours.key_pem + ours.certificate_pem)
    files = {"cacert": str(certificates.write_ca(tmp_path)), "cert": str(tmp_path / "ours.pem")}
    places = {}
    first, second = looks(sends(lambda: places["there"])), looks(behaviors.echoes)
    with FaultyServer(second, tls=Asking()) as other, FaultyServer(first, tls=Asking()) as server:
        places["there"] = other.url
        tally = dialled_with_notes(plan_of(server.url, follow_redirects=True, **files))
    assert shown == [True, False]
    assert tally.left_out_by_redirects == {"the client certificate": 1}


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
