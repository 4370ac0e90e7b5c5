"""Names in certificates: the same as Python and the library of the extra [tls] decode them, or none without it."""

import contextlib
import ssl
import sys

import pytest

from ws_load_test.cli import main
from ws_load_test.common.certificates import CertificateAuthority
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.echo.server import own_certificate
from ws_load_test.probe.certificate import certificate_facts


def handshaken(certificate, cacert=None):
    """The client's side of a TLS handshake in memory."""
    context = ssl.create_default_context(cadata=cacert)
    if cacert is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = certificate.server_context().wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client


def test_what_python_decodes_is_what_the_library_does():
    authority = CertificateAuthority()
    tls = handshaken(authority.issue("localhost", "127.0.0.1", "::1"), authority.certificate_pem.decode())
    encoded = tls.getpeercert(binary_form=True)
    found = certificate_facts(encoded, tls.getpeercert())
    assert found == certificate_facts(encoded, None)
    assert (found["subject"], found["names"]) == ("CN=localhost", ["localhost", "127.0.0.1", "::1"])
    assert found["issuer"] == "CN=ws-load-test private authority"


def test_names_are_written_from_the_last_part_on():
    checked = {
        "subject": ((("countryName", "DE"),), (("organizationName", "A"),), (("commonName", "x"), ("serial", "1"))),
        "notAfter": "Jun  1 12:00:00 2027 GMT",
    }
    found = certificate_facts(b"", checked)
    assert found["subject"] == "CN=x+serial=1,O=A,C=DE"
    assert (found["names"], found["expires"]) == ([], "2027-06-01T12:00:00+00:00")


@pytest.fixture
def without_library(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)


def test_without_the_library_a_certificate_that_was_not_verified_has_no_names(without_library):
    assert certificate_facts(b"x", {}) == {"subject": "", "issuer": "", "names": [], "expires": None}


def test_without_the_library_the_echo_server_has_a_sentence(without_library, capsys):
    with pytest.raises(UsageError, match=r"install it with pip install 'ws-load-test\[tls\]'"):
        own_certificate()
    assert main(["echo", "--port", "0", "--tls"]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("\n") == 1
