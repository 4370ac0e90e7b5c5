"""Ports where connections go to several hosts, to a proxy, or to none."""

import socket

import pytest
from test_opening import plan_of

from ws_load_test.common.errors import UsageError
from ws_load_test.engine.connect import source_addresses
from ws_load_test.fleet.preflight import ports
from ws_load_test.fleet.preflight.ports import check_ports

PORTS = 10


@pytest.fixture(autouse=True)
def names(monkeypatch, tmp_path):
    """Ten ephemeral ports, and a name for each of these addresses."""
    (tmp_path / "range").write_text(f"1024\t{1024 + PORTS - 1}\n")
    (tmp_path / "reserved").write_text("\n")
    monkeypatch.setattr(source_addresses, "_PORT_RANGE", tmp_path / "range")
    monkeypatch.setattr(source_addresses, "_RESERVED_PORTS", tmp_path / "reserved")
    known = {"a": ["198.51.100.1"], "b": ["198.51.100.2", "198.51.100.3"], "p": ["198.51.100.4"], "v6": ["2001:db8::1"]}

    def resolve(host, port, **_):
        if host not in known:
            raise socket.gaierror
        family = socket.AF_INET6 if host == "v6" else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(ports.socket, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("urls", "options", "most"),
    [
        (["ws://a/"], {}, PORTS),
        (["ws://b/"], {}, 2 * PORTS),
        (["ws://a/", "ws://b/"], {}, 2 * PORTS),
        (["ws://a/x", "ws://a/y"], {}, PORTS),
        (["ws://a/x", "ws://a:81/x"], {}, 2 * PORTS),
        (["ws://a/x", "ws://a/y", "ws://b/"], {}, PORTS * 3 // 2),
        (["ws://nobody/"], {"connect_to": "a,b"}, 2 * PORTS),
        (["ws://nobody/"], {"proxy": "http://p:1"}, PORTS),
        (["ws://nobody/"], {"unix_socket": "/x"}, None),
        (["ws://nobody/"], {}, None),
        (["ws://{feed.host}/"], {}, None),
    ],
)
def test_the_host_with_the_least_room_for_its_turns_decides(urls, options, most):
    enough = most or 10 * PORTS
    assert check_ports(with_connections(plan_of(*urls, **options), enough)) is None
    if most is not None:
        shortage = check_ports(with_connections(plan_of(*urls, **options), most + 1))
        assert shortage.max_connections == most


def with_connections(plan, connections):
    import msgspec

    return msgspec.structs.replace(plan, connections=connections)


def test_the_host_that_no_source_reaches_is_named(monkeypatch):
    monkeypatch.setattr(ports, "_check_sources", lambda plan: None)
    with pytest.raises(UsageError, match="v6 has only IPv6 ones"):
        check_ports(plan_of("ws://a/", "ws://v6/", bind=("198.51.100.9",)))
