"""Ports, source addresses and memory: what there is enough for, said before anything is opened."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ws_load_test import make_plan
from ws_load_test.common import machine
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.engine.connect import source_addresses
from ws_load_test.engine.connect.source_addresses import (
    ephemeral_ports,
    loopback_sources,
    reserved_ports,
    routes,
)
from ws_load_test.fleet.preflight import host_check, memory, ports
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits
from ws_load_test.fleet.preflight.memory import MemoryHeadroom, check_memory, headrooms
from ws_load_test.fleet.preflight.ports import check_ports
from ws_load_test.fleet.preflight.shortage import Shortage

V4 = (socket.AF_INET, ("127.0.0.1", 80))
V6 = (socket.AF_INET6, ("::1", 80, 0, 0))
ELSEWHERE = (socket.AF_INET, ("198.51.100.1", 80))

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux tells")


@pytest.fixture
def range_of_ports(monkeypatch, tmp_path):
    """Sets the ports that the system says it has."""

    def set_to(first, last, reserved=""):
        (tmp_path / "range").write_text(f"{first}\t{last}\n")
        (tmp_path / "reserved").write_text(f"{reserved}\n")
        monkeypatch.setattr(source_addresses, "_PORT_RANGE", tmp_path / "range")
        monkeypatch.setattr(source_addresses, "_RESERVED_PORTS", tmp_path / "reserved")

    return set_to


@pytest.fixture
def addresses(monkeypatch):
    """Sets what every name resolves to; says how often it was asked."""
    asked = []

    def set_to(*found):
        def resolve(*arguments, **options):
            asked.append(arguments)
            if not found:
                raise socket.gaierror
            return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in found]

        monkeypatch.setattr(ports.socket, "getaddrinfo", resolve)
        return asked

    return set_to


def plan(connections, **options):
    return make_plan("ws://host", connections=connections, workers=10, **options)


# --- ports and addresses ---


@pytest.mark.parametrize(
    ("first", "last", "reserved", "count"),
    [
        (32768, 60999, "", 28232),
        (1000, 1009, "", 10),
        (1000, 1009, "80,1003", 9),
        (1000, 1009, "900-1001,1005-1006,1009-2000", 5),
    ],
)
def test_ephemeral_ports_are_counted_as_the_kernel_does(range_of_ports, first, last, reserved, count):
    range_of_ports(first, last, reserved)
    assert ephemeral_ports() == count
    assert reserved_ports(first, last) == last - first + 1 - count


def test_what_cannot_be_read_is_not_checked(monkeypatch, addresses):
    asked = addresses(ELSEWHERE)
    monkeypatch.setattr(source_addresses, "_PORT_RANGE", Path("/nowhere"))
    assert ephemeral_ports() is None
    assert check_ports(plan(10**6)) is None
    assert asked == []


@linux
def test_few_connections_to_loopback_are_not_bound(range_of_ports):
    range_of_ports(32768, 60999)
    assert routes(plan(8192), [V6, V4]) == [(*V6, ()), (*V4, ())]
    [one, other] = routes(plan(8193), [V6, V4])
    assert one == (*V6, ())
    assert other.sources == ("127.0.1.0", "127.0.1.1")
    assert routes(plan(8193), [ELSEWHERE]) == [(*ELSEWHERE, ())]


@linux
def test_where_ports_are_few_loopback_takes_more_addresses(range_of_ports):
    range_of_ports(50000, 50011)
    [route] = routes(plan(30), [V4])
    assert route.sources == tuple(f"127.0.1.{number}" for number in range(5))


def test_a_loopback_device_with_one_address_is_not_spread_over(monkeypatch):
    monkeypatch.setattr(source_addresses.sys, "platform", "darwin")
    assert routes(plan(60_000), [V4]) == [(*V4, ())]


def test_sources_go_on_beyond_the_last_octet():
    assert loopback_sources(257 * 8192)[-1] == "127.0.2.0"
    assert len(set(loopback_sources(10**7))) == -(-(10**7) // 8192)


def test_sources_of_another_family_are_skipped():
    mixed = plan(10, bind="127.0.0.5,::1,127.0.0.6")
    assert routes(mixed, [V6, V4]) == [(*V6, ("::1",)), (*V4, ("127.0.0.5", "127.0.0.6"))]
    assert routes(plan(10, bind="::1"), [V6, V4]) == [(*V6, ("::1",))]


def test_too_few_ports_say_what_to_change(range_of_ports, addresses):
    range_of_ports(32768, 60999, "8000-8099")
    addresses(ELSEWHERE)
    assert check_ports(plan(28_232)) is None
    with pytest.raises(HostError) as caught:
        check_and_raise_limits(plan(50_000))
    assert str(caught.value) == (
        "--connections: 50,000 connections need a port each, and 1 source address, 1 target address and 28,232 "
        'ephemeral ports make 28,232; widen the range with `sysctl -w net.ipv4.ip_local_port_range="1024 65535"` as '
        "root, which allows 64,412, or name 2 source addresses of this machine with --bind, or lower -c to 28,232"
    )


def test_a_range_that_is_as_wide_as_it_can_be_is_not_to_be_widened(range_of_ports, addresses):
    range_of_ports(1024, 65535)
    addresses(ELSEWHERE)
    shortage = check_ports(plan(65_000))
    assert shortage.max_connections == 64512
    assert shortage.remedies == ("name 2 source addresses of this machine with --bind",)


def test_source_and_target_addresses_multiply(range_of_ports, addresses):
    range_of_ports(1000, 1099)
    addresses(ELSEWHERE, (socket.AF_INET, ("198.51.100.2", 80)))
    bound = {"bind": "127.0.0.2,127.0.0.3,127.0.0.4"}
    assert check_ports(plan(600, **bound)) is None
    shortage = check_ports(plan(601, **bound))
    assert shortage.max_connections == 600
    assert "3 source addresses, 2 target addresses and 100 ephemeral ports make 600" in shortage.text
    assert "name 4 source addresses" in shortage.remedies[1]
    assert check_ports(plan(200)) is None
    assert check_ports(plan(201)).max_connections == 200


@linux
def test_loopback_takes_as_many_addresses_as_it_needs(range_of_ports, addresses):
    range_of_ports(32768, 60999)
    addresses(V4)
    assert check_ports(plan(10**6)) is None
    addresses(V6)
    assert check_ports(plan(10**6)).max_connections == 28_232


def test_a_name_is_looked_up_only_where_it_matters(range_of_ports, addresses):
    range_of_ports(1000, 1099)
    asked = addresses(ELSEWHERE)
    check_ports(plan(100))
    assert asked == []
    check_ports(plan(101))
    assert len(asked) == 1


def test_a_name_that_does_not_resolve_is_left_to_the_run(range_of_ports, addresses):
    range_of_ports(1000, 1099)
    addresses()
    assert check_ports(plan(1000)) is None
    assert check_ports(plan(1000, bind="127.0.0.1")) is None


def test_an_address_that_is_not_ours_is_named(addresses):
    addresses(V4)
    with pytest.raises(UsageError, match=r"--bind: 198\.51\.100\.7 is not an address of this machine"):
        check_and_raise_limits(plan(5, bind="127.0.0.1,198.51.100.7"))
    with pytest.raises(UsageError, match=r"--bind: 198\.51\.100\.1 is not .*, nor are 4 more of those named"):
        check_and_raise_limits(plan(5, bind="198.51.100.0/28"))
    check_and_raise_limits(plan(1, bind="127.0.0.1,198.51.100.7"))  # no connection would take the second


def test_addresses_of_the_wrong_family_are_refused(addresses):
    addresses(V6)
    with pytest.raises(UsageError) as caught:
        check_and_raise_limits(plan(5, bind="127.0.0.1"))
    assert str(caught.value) == (
        "--bind: 127.0.0.1 is an IPv4 address, and host has only IPv6 ones (::1); name source addresses of that kind"
    )


# --- memory ---


def test_too_little_memory_says_what_to_change(monkeypatch):
    monkeypatch.setattr(
        memory,
        "headrooms",
        lambda: iter([MemoryHeadroom(10**9, "free some"), MemoryHeadroom(5 * 10**8, "raise the limit")]),
    )
    one_each = memory.CONNECTION_BYTES + memory.SOCKET_BYTES
    most = (5 * 10**8 - 10 * (memory.WORKER_BYTES + 4)) // one_each
    assert check_memory(plan(most)) is None
    shortage = check_memory(plan(most + 1))
    assert shortage.max_connections == most
    assert shortage.remedies == ("raise the limit",)
    assert "need about 500 MB of memory" in shortage.text
    assert "500 MB are available" in shortage.text


def test_tls_and_messages_take_memory_too(monkeypatch):
    monkeypatch.setattr(memory, "headrooms", lambda: iter([MemoryHeadroom(10**9, "")]))
    assert check_memory(plan(50_000)) is None
    assert check_memory(make_plan("wss://host", connections=50_000, workers=10)) is not None
    assert check_memory(plan(10, size="1MB", in_flight=100)).max_connections == 0


@linux
def test_memory_is_read_from_the_system():
    found = list(headrooms())
    assert found
    assert all(room.free_bytes > 0 for room in found)


@pytest.mark.parametrize(
    ("line", "group", "files"),
    [
        (
            "0::/box/inner",
            "box",
            {"memory.max": "500", "memory.current": "300", "memory.stat": "anon 200\ninactive_file 50\n"},
        ),
        (
            "0::/box/inner",
            "box/inner",
            {"memory.max": "max", "memory.high": "500", "memory.current": "300", "memory.stat": "inactive_file 50\n"},
        ),
        # A container often sees a path of the world outside it, and its own group as the root.
        ("0::/outside", "", {"memory.max": "500", "memory.current": "250"}),
        (
            "4:cpu,memory:/box",
            "memory/box",
            {
                "memory.limit_in_bytes": "500",
                "memory.usage_in_bytes": "300",
                "memory.stat": "inactive_file 7\ntotal_inactive_file 50\n",
            },
        ),
    ],
)
def test_control_groups_limit_memory(monkeypatch, tmp_path, line, group, files):
    (tmp_path / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (tmp_path / group / name).write_text(text + "\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "cgroup")
    for module in (machine, memory):
        monkeypatch.setattr(module, "CGROUP_MOUNT", tmp_path)
    [room] = headrooms()
    assert room.free_bytes == 250
    assert str(tmp_path / group / "memory.") in room.remedy


# --- all together ---


def test_several_shortages_are_reported_at_once(monkeypatch):
    monkeypatch.setattr(host_check, "check_ports", lambda _: Shortage("ports", ("add some",), 30))
    monkeypatch.setattr(host_check, "check_memory", lambda _: Shortage("memory", (), 20))
    with pytest.raises(HostError) as caught:
        check_and_raise_limits(plan(100))
    assert str(caught.value) == (
        "--connections: this machine cannot carry 100 connections as it is:\n"
        "  ports; add some, or lower -c to 20\n"
        "  memory; lower -c to 20"
    )
    shaped = make_plan("ws://h", rate="1", connection_stages="1s:100")
    monkeypatch.setattr(host_check, "check_ports", lambda _: None)
    with pytest.raises(HostError, match=r"^--connection-stages: .*let it rise to no more than 20"):
        check_and_raise_limits(shaped)


PORTS = 12
_IN_A_NAMESPACE = [
    "unshare",
    "-rn",
    "sh",
    "-c",
    f'ip link set lo up && echo "50000 {50000 + PORTS - 1}" >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"',
    "sh",
]
# The echo server must stand in the same network as its client, so one program runs both; and it takes ports away
# that the machine seems to have.
_FLOOD_INSIDE = """
import socket, sys
from ws_load_test.cli import main
from ws_load_test.echo import EchoProcess
host, taken, *arguments = sys.argv[1:]
with EchoProcess(host=host, port=3001) as server:
    holding = [socket.create_connection((host, 3001), source_address=(host, 0)) for _ in range(int(taken))]
    code = main([server.url, *arguments])
    for connection in holding:
        connection.close()
sys.exit(code)
"""


def flood_inside(at, taken, *arguments):
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("there are no tools to make a network namespace")
    if subprocess.run([*_IN_A_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("making a network namespace is not permitted here")
    command = [*_IN_A_NAMESPACE, sys.executable, "-c", _FLOOD_INSIDE, at, str(taken), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_on_loopback_ports_never_run_out():
    done = flood_inside("127.0.0.1", 0, "-c", "100", "-n", "100", "-w", "2", "--json")
    assert done.returncode == 0, done.stderr
    connections = json.loads(done.stdout)["connections"]
    assert (connections["opened"], connections["failed"]) == (100, 0)


@pytest.mark.parametrize(("at", "bind"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
def test_as_many_open_as_the_machine_said(at, bind):
    one_more = flood_inside(at, 0, "-c", str(PORTS + 1), "-w", "1", "--bind", bind)
    assert one_more.returncode == 2
    assert f"lower -c to {PORTS}\n" in one_more.stderr
    done = flood_inside(at, 0, "-c", str(PORTS), "-n", "100", "-w", "1", "--bind", bind, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["connections"]["opened"] == PORTS


def test_sources_of_both_families_serve_their_targets():
    done = flood_inside("::1", 0, "-c", str(PORTS), "-n", "50", "-w", "1", "--bind", "127.0.0.9,::1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["connections"]["opened"] == PORTS


def test_no_ports_left_is_this_machines_trouble():
    taken = PORTS // 2
    asked = ("-c", str(PORTS), "-n", "100", "-w", "1", "--bind", "127.0.0.1", "--json")
    done = flood_inside("127.0.0.1", taken, *asked)
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stdout
    summary = json.loads(done.stdout)
    connections = summary["connections"]
    assert summary["faults"] == {}
    assert [connections[name] for name in ("attempted", "opened", "failed")] == [PORTS, PORTS - taken, taken]
    assert summary["messages"]["answered"] == 100
    assert summary["generator"]["saturated"]
    assert any(
        f"out-of-ports {taken} times" in reason and "ip_local_port_range" in reason
        for reason in summary["generator"]["reasons"]
    )
