"""Which addresses of a cluster may be used, before anything is sent there."""

import builtins
import json
import sys

import pytest

from ws_load_test.common.errors import UsageError
from ws_load_test.fleet.cluster.spec import Cluster, is_loopback
from ws_load_test.fleet.factory import fleet_factory

TLS = {"ca": "ca.pem", "cert": "c.pem", "key": "k.pem"}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1", "tls://far:8786"])
def test_what_no_other_user_reaches_or_reads_is_taken(address):
    assert Cluster(address).resolve_address() == address
    assert Cluster("tls://far:8786", **TLS).resolve_address() == "tls://far:8786"


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.5:8786",
        "tcp://scheduler:8786",
        "tcp://0.0.0.0:8786",
        "tcp://127.0.0.1.example:1",
        "tcp://[fe80::1]:1",
    ],
)
def test_a_scheduler_without_tls_elsewhere_is_refused_unless_allowed(address):
    with pytest.raises(UsageError, match="no encryption") as caught:
        Cluster(address).resolve_address()
    assert "--insecure-cluster" in str(caught.value)
    assert Cluster(address, insecure=True).resolve_address() == address


@pytest.mark.parametrize("address", ["ws://h:1", "inproc://1", "ucx://h:1", "tls://", "http://h", "tcp://[1"])
def test_what_is_no_address_of_a_scheduler(address):
    with pytest.raises(UsageError, match="neither a tls:// nor a tcp:// address"):
        Cluster(address, insecure=True).resolve_address()


@pytest.mark.parametrize("missing", ["ca", "cert", "key"])
def test_tls_takes_all_three_files(missing):
    with pytest.raises(UsageError, match=f"--cluster-{missing}: missing"):
        Cluster("tls://h:1", **{name: path for name, path in TLS.items() if name != missing}).resolve_address()


def test_certificates_for_what_is_no_tls_are_not_ignored():
    with pytest.raises(UsageError, match=r"--cluster-ca: tcp://127.0.0.1:1 is not TLS"):
        Cluster("tcp://127.0.0.1:1", **TLS).resolve_address()


def test_a_scheduler_file_is_read_and_its_address_judged(tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tls://10.0.0.5:8786"}))
    assert Cluster(str(path)).resolve_address() == "tls://10.0.0.5:8786"
    path.write_text(json.dumps({"address": "tcp://10.0.0.5:8786"}))
    with pytest.raises(UsageError, match="no encryption"):
        Cluster(str(path)).resolve_address()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 3}', "\xff"])
def test_what_is_no_scheduler_file(text, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match="is not a scheduler file"):
        Cluster(str(path)).resolve_address()


def test_neither_address_nor_file():
    with pytest.raises(UsageError, match='"nowhere" is neither an address nor a scheduler file'):
        Cluster("nowhere").resolve_address()


def test_own_addresses_are_known_without_a_look_up():
    assert [is_loopback(host) for host in ("127.8.9.1", "::1", "localhost", "example.org", "")] == [1, 1, 1, 0, 0]


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def missing(name, *rest):
        if name.partition(".")[0] == "distributed":
            raise ModuleNotFoundError("No module named 'distributed'", name="distributed")
        return original(name, *rest)

    for name in [name for name in sys.modules if name.startswith("ws_load_test.fleet.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'ws-load-test\[cluster\]'"):
        fleet_factory(Cluster("tcp://127.0.0.1:1"))
