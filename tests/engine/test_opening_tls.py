"""TLS: client certificates, names, versions, ciphers, and sessions that are resumed."""

import asyncio
import contextlib
import ssl
import threading

import pytest
import trustme
from test_opening import SECRET, dial, dialled, fault_of, new_loop, plan_of
from websockets.sync.server import serve

from ws_load_test.common.errors import UsageError
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.tls import new_context
from ws_load_test.testing import Certificates, FaultyServer, behaviors

certificates = Certificates()


class Serving:
    """A certificate whose server has settings of its own."""

    def __init__(self, *hosts, **settings):
        self.certificate, self.settings = certificates.trusted(*hosts), settings

    def server_context(self):
        context = self.certificate.server_context()
        for name, value in self.settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture
def cacert(tmp_path):
    return str(certificates.write_ca(tmp_path))


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Files of client certificates: of the authority that the server knows, and of another one."""
    directory = tmp_path_factory.mktemp("clients")
    known, other = trustme.CA(), trustme.CA()
    for name, authority in (("good", known), ("wrong", other)):
        issued = authority.issue_cert("client.example")
        (directory / f"{name}.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        (directory / f"{name}.key").write_bytes(issued.private_key_pem.bytes())
        issued.private_key_and_cert_chain_pem.write_to_path(directory / f"{name}-both.pem")
    known.cert_pem.write_to_path(directory / "ca.pem")
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((directory / "good.key").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(SECRET.encode()),
    )
    (directory / "locked.key").write_bytes(locked)
    return directory


@contextlib.contextmanager
def echoing(context, port=0):
    """An independent server; unlike asyncio's, it says what is wrong before it goes."""

    def echo(connection):
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", port, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"wss://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def asks_for_certificate(request, clients):
    """An independent server that wants a client's certificate."""
    context = certificates.trusted().server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients / "ca.pem")
    context.maximum_version = request.param
    with echoing(context) as url:
        yield url


def test_a_client_certificate_opens(asks_for_certificate, clients, cacert):
    cert, key = str(clients / "good.pem"), str(clients / "good.key")
    dialled(plan_of(asks_for_certificate, cert=cert, key=key, cacert=cacert))
    dialled(plan_of(asks_for_certificate, cert=str(clients / "good-both.pem"), cacert=cacert))


@pytest.mark.parametrize("name", [None, "wrong"])
@pytest.mark.parametrize("loop", ["ours", "asyncio"])
def test_none_or_a_wrong_client_certificate(asks_for_certificate, clients, cacert, name, loop):
    given = {} if name is None else {"cert": str(clients / f"{name}-both.pem")}
    fault = fault_of(plan_of(asks_for_certificate, cacert=cacert, **given))
    assert fault.key == "tls"
    assert "certificate" in fault.text or "handshake failure" in fault.text


@pytest.mark.parametrize(
    ("cert", "key", "words"),
    [
        ("good.pem", "locked.key", '--key: the key in ".*locked.key" is protected by a password'),
        ("good.pem", "wrong.key", '--key: the key in ".*wrong.key" does not belong to the certificate'),
        ("good.pem", None, '--cert: cannot use ".*good.pem": the file needs a PEM certificate and its key'),
        ("good.key", "good.key", '--cert: cannot use ".*good.key"'),
        ("good.pem", "ca.pem", "--cert"),
    ],
)
def test_certificates_that_cannot_be_used(clients, cert, key, words):
    plan = plan_of("wss://h/", cert=str(clients / cert), **({"key": str(clients / key)} if key else {}))
    with pytest.raises(UsageError, match=words):
        new_context(plan.target)


def test_the_name_that_is_asked_for(cacert):
    names = []
    serving = Serving("other.example", sni_callback=lambda tls, name, context: names.append(name))
    with FaultyServer(behaviors.echoes, tls=serving) as server:
        url = f"wss://service.example:{server.port}/"
        dialled(plan_of(url, connect_to="127.0.0.1", sni="other.example", cacert=cacert))
        fault = fault_of(plan_of(url, connect_to="127.0.0.1", cacert=cacert))
    assert names == ["other.example", "service.example"]
    assert fault.key == "tls"
    assert "a certificate for another name" in fault.text, "the certificate must be the URL's host's"


def test_a_target_of_an_older_tls(cacert):
    with echoing(Serving(maximum_version=ssl.TLSVersion.TLSv1_2).server_context()) as url:
        (took,) = dialled(plan_of(url, cacert=cacert, tls_min="1.2"))
        fault = fault_of(plan_of(url, cacert=cacert, tls_min="1.3"))
    assert took.tls_ns > 0
    assert fault.key == "tls"
    assert "--tls-min" in fault.text


def test_ciphers(cacert):
    suites = []

    async def tells(peer):
        suites.append(peer._writer.get_extra_info("cipher")[0])
        await behaviors.echoes(peer)

    with FaultyServer(tells, tls=Serving(maximum_version=ssl.TLSVersion.TLSv1_2)) as server:
        dialled(plan_of(server.url, cacert=cacert, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
        fault = fault_of(plan_of(server.url, cacert=cacert, ciphers="ECDHE-RSA-AES128-GCM-SHA256"))
    assert suites == ["ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert fault.key == "tls", "the server's key is of another kind"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("loop", [new_loop, asyncio.new_event_loop], ids=["ours", "asyncio"])
def test_sessions_are_resumed_where_that_is_asked_for(cacert, version, loop):
    with FaultyServer(behaviors.echoes, tls=Serving(maximum_version=version)) as server:
        took = dialled(plan_of(server.url, cacert=cacert, tls_resume=True), 4, loop=loop)
        fresh = dialled(plan_of(server.url, cacert=cacert), 2, loop=loop)
    assert [one.tls_resumed for one in took] == [False, True, True, True]
    assert not any(one.tls_resumed for one in fresh)
    assert all(one.tls_ns > 0 and one.total_ns >= one.tcp_ns + one.tls_ns + one.upgrade_ns for one in took)


def test_sessions_of_one_server_are_not_shown_to_another(cacert):
    with (
        FaultyServer(behaviors.echoes, tls=Serving("a.example")) as a,
        FaultyServer(behaviors.echoes, tls=Serving("b.example")) as b,
    ):
        urls = [f"wss://a.example:{a.port}/", f"wss://b.example:{b.port}/"]
        dialler_plan = plan_of(urls[0], urls[1], cacert=cacert, tls_resume=True, connect_to="127.0.0.1")
        took = dialled(dialler_plan, 4)
    assert [one.tls_resumed for one in took] == [False, False, True, True]


def one_by(dialler):
    """Dials once, in a loop of its own."""

    async def main():
        await dialler.resolve()
        return await dial(dialler, 0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(asyncio.wait_for(main(), 10))


def without_tickets(context):
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def test_sessions_that_are_offered_in_vain_are_reported_from_those_that_never_came(cacert):
    """A server that starts anew has other keys for its tickets, as several behind one address have."""
    serving = Serving(maximum_version=ssl.TLSVersion.TLSv1_3)

    contexts = iter([serving.server_context(), serving.server_context()])
    with echoing(next(contexts)) as url:
        plan = plan_of(url, cacert=cacert, tls_resume=True)
        dialler = Dialer(plan)
        first = one_by(dialler)
        port = dialler.target.port
    with echoing(next(contexts), port) as url:
        second, third = one_by(dialler), one_by(dialler)
    assert (first.not_granted, second.not_granted, third.not_granted) == ((), ("tls-resumption",), ())
    assert third.tls_resumed
    with echoing(without_tickets(serving.server_context())) as url:
        dialler = Dialer(plan_of(url, cacert=cacert, tls_resume=True))
        assert [one_by(dialler).not_granted for _ in range(2)] == [("tls-ticket",)] * 2


def test_tls_over_a_unix_socket(tmp_path, cacert):
    from test_opening import listener

    from ws_load_test.testing import Peer, ServerObservations

    seen = ServerObservations()

    async def handle(reader, writer):
        peer = Peer(reader, writer, seen)
        await peer.upgrade()
        await peer.until_gone()

    path = str(tmp_path / "socket")
    context = certificates.trusted("service.example").server_context()
    with listener(handle, path=path, ssl=context):
        (took,) = dialled(plan_of("wss://service.example/", unix_socket=path, cacert=cacert))
    assert took.tls_ns > 0


def test_keys_are_logged_where_the_environment_asks_for_it(tmp_path, monkeypatch):
    log, certificates = tmp_path / "keys.log", Certificates()
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with FaultyServer(behaviors.echoes, tls=certificates.trusted()) as server:
        dialled(plan_of(server.url, cacert=str(certificates.write_ca(tmp_path))), 2)
    lines = log.read_text().splitlines()
    assert sum(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines) == 2
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "none" / "keys.log"))
    with pytest.raises(UsageError, match=r'SSLKEYLOGFILE: cannot write ".*": No such file'):
        new_context(plan_of("wss://h/").target)
