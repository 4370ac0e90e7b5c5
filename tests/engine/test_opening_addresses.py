"""Names with several addresses: dead ones, black holes, new ones after a loss, each in turn; and which was which."""

import asyncio
import contextlib
import socket

import pytest
from test_opening import dial, dialled, fault_of, plan_of

from ws_load_test.common.faults import classify_host_error
from ws_load_test.engine.connect import dns, tcp
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.dns import fixed_addresses
from ws_load_test.engine.connect.source_addresses import Route
from ws_load_test.engine.connect.tcp import Attempts, interleaved
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import Certificates, FaultyServer, behaviors, unused_port


def named(port, addresses, **options):
    """A plan for a name with these addresses."""
    url = f"ws://several.example:{port}/"
    return plan_of(url, resolve=f"several.example:{port}:{addresses}", **options)


@contextlib.contextmanager
def black_hole(port):
    """Takes no more connections at 127.0.0.3: its backlog is full, so that SYNs stay without an answer."""
    with socket.socket() as listening, contextlib.ExitStack() as fillers:
        listening.bind(("127.0.0.3", port))
        listening.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield


def noted(plan, count=1):
    """Dials so many sessions, one after another; returns the connect times in ns and the tally."""

    async def main():
        dialler, tally = Dialer(plan), Tally()
        took = [(await dial(dialler, number)).tcp_ns for number in range(count)]
        dialler.take_notes(tally)
        return took, tally

    return asyncio.run(main())


@pytest.mark.parametrize("addresses", ["127.0.0.2,127.0.0.1", "[::1],127.0.0.1", "127.0.0.2,::1,127.0.0.1"])
def test_a_dead_first_address_is_not_the_end(addresses):
    with FaultyServer(behaviors.echoes) as server:
        _, tally = noted(named(server.port, addresses), count=3)
        assert server.seen.upgraded == 3
        assert server.seen.requests[0].headers["host"] == f"several.example:{server.port}"
    dead = addresses.replace("[", "").replace("]", "").split(",")[:-1]
    shown = [f"[{one}]" if ":" in one else one for one in dead]
    expected = {f"{one}:{server.port} connect-refused": 1 for one in shown}
    assert tally.failed_addresses == expected, "each once: what has failed is tried last from then on"


def test_a_black_hole_is_overtaken_after_the_attempt_delay(monkeypatch):
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_S", 0.05)
    with FaultyServer(behaviors.echoes) as server, black_hole(server.port):
        (first, second), tally = noted(named(server.port, "127.0.0.3,127.0.0.1"), count=2)
    assert first >= 49_000_000
    assert second < first, "the next dial begins with the address that answered"
    assert tally.failed_addresses == {f"127.0.0.3:{server.port} overtaken": 1}


def test_the_delay_is_that_of_rfc_8305():
    assert tcp.ATTEMPT_DELAY_S == 0.25


def test_a_fault_names_the_addresses():
    with unused_port() as port:
        fault = fault_of(named(port, "127.0.0.1,127.0.0.2"))
        assert fault.key == "connect-refused"
        assert fault.text.startswith(f"refuses connections at 127.0.0.1:{port} and 127.0.0.2:{port}: nothing listens")
        assert f" at 127.0.0.1:{port}:" in fault_of(plan_of(f"ws://localhost:{port}/", connect_to="127.0.0.1")).text
        both = fault_of(named(port, "255.255.255.255,127.0.0.1"))
    assert both.key == "unreachable"
    assert both.text.startswith(
        f"cannot be reached at 255.255.255.255:{port} and 127.0.0.1:{port} (Connection refused): "
    )


def test_a_time_out_names_the_addresses_too(monkeypatch):
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_S", 0.02)
    with unused_port() as port, black_hole(port):
        fault = fault_of(named(port, "127.0.0.3,127.0.0.1", connect_timeout_ns=150_000_000))
    assert fault.key == "connect-timeout"
    assert fault.text == (
        f"did not take the TCP connection within 150 ms at 127.0.0.3:{port} and 127.0.0.1:{port} (Connection refused)"
    )


def test_addresses_take_turns_on_request():
    with FaultyServer(behaviors.echoes) as one, socket.socket() as other:
        other.bind(("127.0.0.2", one.port))
        plan = named(one.port, "127.0.0.1,127.0.0.2", rotate_addresses=True)
        _, tally = noted(plan, count=4)
        assert one.seen.upgraded == 4, "an address that is dead is still not the end"
    # The second begins with the dead one; the fourth knows it.
    assert tally.failed_addresses == {f"127.0.0.2:{one.port} connect-refused": 1}


def test_every_address_gets_its_share():
    reached = []

    async def main(plan):
        dialler = Dialer(plan)
        dialler.tcp._trace = lambda phase, address: reached.append(address[0]) if phase == "connect" else None
        for number in range(6):
            await dial(dialler, number)

    with FaultyServer(behaviors.echoes, host="0.0.0.0") as server:
        asyncio.run(main(named(server.port, "127.0.0.1,127.0.0.2,127.0.0.3", rotate_addresses=True)))
        assert reached == ["127.0.0.1", "127.0.0.2", "127.0.0.3"] * 2
        reached.clear()
        asyncio.run(main(named(server.port, "127.0.0.2,127.0.0.1")))
        assert set(reached) == {"127.0.0.2"}, "the first that answers, if nothing else is asked for"


def test_families_take_turns():
    kinds = "664464"
    routes = [
        Route(socket.AF_INET6 if kind == "6" else socket.AF_INET, (place,), ()) for place, kind in enumerate(kinds)
    ]
    assert [route.address[0] for route in interleaved(routes)] == [0, 2, 1, 3, 4, 5]
    assert interleaved([]) == []


def test_this_machines_own_error_comes_before_the_targets():
    def error_of(*failures):
        attempts = Attempts()
        attempts.failures += failures
        return attempts.error()

    refused, files = ConnectionRefusedError(111, "refused"), OSError(24, "Too many open files")
    ports = OSError(99, "Cannot assign requested address")
    assert error_of(("a", refused), ("b", files)) is files
    assert error_of(("[::1]:1", ports), ("127.0.0.1:1", refused)) is refused, "no way to IPv6 is no lack of ports"
    assert error_of(("[::1]:1", refused), ("127.0.0.1:1", ports)) is ports
    assert error_of(("[::1]:1", ports)) is ports
    assert classify_host_error(ports) is not None


@pytest.mark.parametrize(("ttl", "lookups"), [("0s", 3), ("1h", 1)])
def test_a_name_is_looked_up_again_when_a_session_is_dialed_later(monkeypatch, ttl, lookups):
    asked = []

    async def answers(self, host, port, **_):
        asked.append(host)
        # The name moves after each look-up.
        return [(socket.AF_INET, 1, 6, "", (f"127.0.0.{len(asked)}", 0))]

    async def main(plan):
        dialler, tally, reached = Dialer(plan), Tally(), []
        dialler.tcp._trace = lambda phase, address: reached.append(address[0]) if phase == "connect" else None
        for number in range(3):
            await dial(dialler, number)
        dialler.take_notes(tally)
        return reached, tally.resolve_time_ns.count

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", answers)
    runner = asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
    with FaultyServer(behaviors.echoes, host="0.0.0.0") as server, runner:
        reached, count = runner.run(main(plan_of(f"ws://moves.example:{server.port}/", dns_ttl=ttl)))
    assert len(asked) == count == lookups
    assert reached == [f"127.0.0.{place}" for place in ([1, 2, 3] if lookups == 3 else [1, 1, 1])]


def test_a_name_that_does_not_resolve_may_later(monkeypatch):
    answers = iter([OSError("not now"), [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]])

    async def first_none(self, host, port, **_):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def main(plan):
        dialler = Dialer(plan)
        with pytest.raises(DialError, match="does not resolve"):
            await dial(dialler)
        await dial(dialler)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", first_none)
    with FaultyServer(behaviors.echoes) as server, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main(plan_of(f"ws://later.example:{server.port}/", dns_ttl="0s")))


def test_addresses_that_are_given_are_for_their_port_and_need_no_look_up():
    with FaultyServer(behaviors.echoes) as server:
        dialled(plan_of(f"ws://nobody.invalid.:{server.port}/", resolve="NOBODY.invalid:*:127.0.0.1"))
        assert (
            fault_of(plan_of(f"ws://nobody.invalid:{server.port}/", resolve="nobody.invalid:1:127.0.0.1")).kind == "dns"
        )
    assert fixed_addresses(("h:80:127.0.0.1", "h:80:::1"))["h", "80"] == [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0, 0, 0)),
    ]


def test_a_fault_names_some_of_many_addresses():
    with unused_port() as port:
        text = fault_of(named(port, ",".join(f"127.0.0.{last}" for last in range(1, 8)))).text
    assert f"127.0.0.4:{port} and 3 more: nothing listens there" in text


def test_a_link_local_address_needs_its_zone():
    fault = fault_of(plan_of("ws://[fe80::1]:1/"))
    assert fault.key == "unreachable"
    assert "needs its zone, for example [fe80::1%eth0]" in fault.text


def test_a_zone_that_is_no_interface():
    fault = fault_of(plan_of("ws://[fe80::1%nothing0]:1/"))
    assert fault.key == "unreachable"
    assert fault.text == 'cannot be reached at fe80::1%nothing0: no interface here is named "nothing0"'


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("fe80::1", 80, 0, socket.if_nametoindex("lo")), "[fe80::1%lo]:80"),
        (("fe80::1", 80, 0, 2**31 - 1), f"[fe80::1%{2**31 - 1}]:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("127.0.0.1", 80), "127.0.0.1:80"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_an_address_is_shown_with_its_zone(address, text):
    assert tcp.address_text(address) == text


def test_what_is_known_of_names_is_bounded(monkeypatch):
    async def answers(self, host, port, **_):
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]

    async def main(plan):
        resolver = Dialer(plan).names
        for number in range(9):
            await resolver.routes(f"{number}.example", 80)
        return len(resolver._lookups), len(resolver._routes), len(resolver.lookup_ns), len(resolver.take_times())

    monkeypatch.setattr(dns, "MAX_NAMES", 3)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", answers)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main(plan_of("ws://h/"))) == (3, 3, 3, 9)


def test_a_name_with_a_last_dot(tmp_path):
    certificates = Certificates()
    with FaultyServer(behaviors.echoes, tls=certificates.trusted("localhost")) as server:
        url = f"wss://localhost.:{server.port}/"
        dialled(plan_of(url, cacert=str(certificates.write_ca(tmp_path)), connect_to="127.0.0.1"))
        assert server.seen.requests[0].headers["host"] == f"localhost.:{server.port}"
    with FaultyServer(behaviors.echoes) as server:
        dialled(plan_of(f"ws://localhost.:{server.port}/"))
