"""Faults of TLS: each cause has its own words and its own remedy. OpenSSL is on both sides."""

import asyncio
import contextlib
import socket
import ssl
import threading

import pytest
from test_opening import fault_of, new_loop, plan_of

from ws_load_test import make_plan
from ws_load_test.engine.connect.tls import new_context
from ws_load_test.engine.connect.tls_faults import tls_fault
from ws_load_test.testing import Certificates

pytestmark = pytest.mark.every_engine

certificates = Certificates()
clients = Certificates()
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The authority that clients trust, and the certificate and key of a client whom no server knows."""
    directory = tmp_path_factory.mktemp("tls")
    certificates.write_ca(directory)
    stranger = Certificates().trusted("client.example")
    (directory / "stranger.pem").write_bytes(stranger.certificate_pem + stranger.key_pem)
    (directory / "clients.pem").write_bytes(clients.ca_pem)
    return directory


def server(certificate=None, *, asks_for=None, ciphers=None, **settings):
    context = (certificate or certificates.trusted()).server_context()
    for name, value in settings.items():
        setattr(context, name, value)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    return context


def error_of(plan, context):
    """The error that a client meets with a server, and its end of the connection; both are in memory."""
    wires = [ssl.MemoryBIO() for _ in range(4)]
    ours = new_context(plan.target).wrap_bio(wires[0], wires[1], server_hostname="127.0.0.1")
    theirs = context.wrap_bio(wires[2], wires[3], server_side=True)
    for _ in range(4):
        try:
            ours.do_handshake()
            ours.read(1)
        except ssl.SSLWantReadError:
            wires[2].write(wires[1].read())
        except ssl.SSLError as error:
            return error, ours
        with contextlib.suppress(ssl.SSLError):
            theirs.do_handshake()
        wires[0].write(wires[3].read())
    raise AssertionError("the handshake did not fail")


def words_of(files, context, **options):
    given = {"cacert": str(files / "ca.pem"), **options}
    plan = plan_of("wss://127.0.0.1/", **{name: value for name, value in given.items() if value is not None})
    error, ours = error_of(plan, context)
    fault = tls_fault(error, plan.target, ours)
    assert fault.key == "tls"
    return fault.text


UNTRUSTED = {
    "expired": (certificates.expired, "has a certificate that has expired: renew it there"),
    "early": (certificates.not_yet_valid, "that is not yet valid: compare the clocks of both machines"),
    "another name": (certificates.wrong_host, "a certificate for another name (IP address mismatch"),
    "self-signed": (certificates.self_signed, "has a self-signed certificate, not one of those in"),
    "another authority": (lambda: Certificates().trusted(), "of an unknown authority, not one of those in"),
}


@pytest.mark.parametrize(("certificate", "words"), UNTRUSTED.values(), ids=UNTRUSTED)
def test_a_certificate_that_is_not_trusted(files, certificate, words):
    text = words_of(files, server(certificate()))
    assert words in text
    assert ("--sni" if "another name" in text else "--insecure") in text
    assert ("--cacert" in text) == ("not one of" in text)


def test_without_authorities_of_ones_own_it_is_this_machine_that_does_not_trust(files):
    assert "unknown authority, which this machine does not trust" in words_of(files, server(), cacert=None)


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_a_client_certificate_that_is_missing_or_wrong(files, version):
    context = server(asks_for=files / "clients.pem", maximum_version=version)
    assert words_of(files, context).startswith("wants a client certificate (alert ")
    assert words_of(files, context).endswith("; --cert FILE gives one")
    text = words_of(files, context, cert=str(files / "stranger.pem"))
    assert text == (
        f'does not take the client certificate in "{files}/stranger.pem" (alert unknown ca); --cert FILE gives another'
    )


def test_no_version_in_common(files):
    text = words_of(files, server(maximum_version=V12), tls_min="1.3")
    assert text == "speaks no version of TLS from 1.3 on (alert protocol version); --tls-min 1.2 takes an older one"


def test_no_cipher_in_common(files):
    context = server(maximum_version=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    text = words_of(files, context, ciphers="ECDHE-RSA-AES256-GCM-SHA384")
    assert text.startswith("shares no cipher or key exchange with us (alert handshake failure)")
    assert text.endswith('; ours are --ciphers "ECDHE-RSA-AES256-GCM-SHA384"')


ALERTS = {
    120: "does not take HTTP/1.1 (ALPN, alert no application protocol)",
    112: "has no host of the name that is asked for (unrecognized name); --sni NAME",
    116: "wants a client certificate (alert certificate required); --cert FILE gives one",
    48: "wants a client certificate (alert unknown ca); --cert FILE gives one",
    71: "shares no cipher or key exchange with us (alert insufficient security); --ciphers names others",
    70: "speaks no version of TLS from 1.2 on (alert protocol version); older ones are not taken",
    80: "failed the TLS handshake: alert internal error",
}


@pytest.mark.parametrize("alert", ALERTS)
def test_alerts(files, alert):
    class Alerting:
        """A server that answers a greeting with an alert."""

        def wrap_bio(self, incoming, outgoing, *, server_side):
            outgoing.write(b"\x15\x03\x03\x00\x02\x02" + bytes([alert]))
            return self

        def do_handshake(self):
            pass

    assert words_of(files, Alerting()).startswith(ALERTS[alert])


def test_what_is_no_tls(files):
    class Talking:
        def wrap_bio(self, incoming, outgoing, *, server_side):
            outgoing.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return self

        def do_handshake(self):
            pass

    assert words_of(files, Talking()) == "does not speak TLS; is it ws:// instead of wss://?"


# --- over sockets ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(answer, context=None):
    """A port that reads something of each connection, writes an answer, and goes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        if context is None:
                            connection.recv(4096)
                            connection.sendall(answer)
                        else:
                            with context.wrap_socket(connection, server_side=True) as tls:
                                tls.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("loop", [new_loop, asyncio.new_event_loop], ids=["ours", "asyncio"])
def test_causes_that_only_the_state_of_the_handshake_tells_apart(files, loop):
    options = {"cacert": str(files / "ca.pem")}
    with answering(b"", server(asks_for=files / "clients.pem", maximum_version=V12)) as port:
        asks = fault_of(plan_of(f"wss://127.0.0.1:{port}/", **options), loop=loop)
    with answering(b"\x15\x03\x03\x00\x02\x02\x28") as port:
        none = fault_of(plan_of(f"wss://127.0.0.1:{port}/", **options), loop=loop)
    assert asks.text == "wants a client certificate (alert handshake failure); --cert FILE gives one"
    assert none.text == "shares no cipher or key exchange with us (alert handshake failure); --ciphers names others"


def test_the_wrong_scheme():
    with answering(b"", server()) as port:
        assert fault_of(plan_of(f"ws://127.0.0.1:{port}/")).text.endswith("is it wss:// instead of ws://?")
    with answering(b"\x15\x03\x01\x00\x02\x02\x46") as port:
        assert fault_of(plan_of(f"ws://127.0.0.1:{port}/")).text.endswith("TLS; write wss:// instead of ws://")
    with answering(b"") as port:
        fault = fault_of(plan_of(f"wss://127.0.0.1:{port}/"))
    assert (fault.key, fault.text) == (
        "tls",
        "broke the connection in the TLS handshake; is it ws:// instead of wss://?",
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"wss://127.0.0.1:{silent.getsockname()[1]}/"
        fault = fault_of(make_plan(url, workers=1, connect_timeout="50ms"))
    assert fault.key == "tls-timeout"
    assert fault.text.endswith("within 50 ms; is it ws:// instead of wss://?")


def test_a_target_that_goes_away_after_the_handshake_may_want_a_certificate(files):
    with answering(b"", server()) as port:
        fault = fault_of(plan_of(f"wss://127.0.0.1:{port}/", cacert=str(files / "ca.pem")))
    assert fault.text.endswith("; a target that wants a client certificate may do that: --cert FILE")
