"""The table of hosts at a terminal: made of the summary alone, and within 80 columns."""

from types import SimpleNamespace

import pytest

from ws_load_test.report.terminal.tables import host_table

MILLI = 10**6


def host(name="alpha", **more):
    row = {
        "name": name,
        "workers": 4,
        "lost_workers": 0,
        "throughput_per_s": 12_345.6,
        "sent_per_s": 12_000.0,
        "deliveries_per_s": None,
        "cpu_share": 0.456,
        "send_lag_ns": SimpleNamespace(p99=123_000),
        "response_time_ns": SimpleNamespace(p50=1_234_567),
        "path_time_ns": 456_789,
        "clock_ahead_ns": 3_210_000,
        "clock_error_ns": 210_000,
        "saturated": False,
    }
    return SimpleNamespace(**{**row, **more})


def lines_of(*hosts, spread_ns=300_000):
    summary = SimpleNamespace(hosts=hosts, generator=SimpleNamespace(start_spread_ns=spread_ns))
    return [line.plain for line in host_table(summary)]


def test_a_row_for_each_host():
    lines = lines_of(host(), host("beta", clock_ahead_ns=-5 * MILLI, clock_error_ns=2 * MILLI))
    assert [" ".join(line.split()) for line in lines[:3]] == [
        "hosts workers rate core send lag p50 path clock",
        "alpha 4 12,346/s 46 % 123 µs 1.23 ms 457 µs +3.21 ms ±210 µs",
        "beta 4 12,346/s 46 % 123 µs 1.23 ms 457 µs -5 ms ±2 ms",
    ]
    assert lines[3] == "  all workers began within 300 µs; the clocks agree to ±2 ms"
    assert len({len(line) for line in lines[:3]}) == 1


def test_nothing_where_there_was_one_machine():
    assert lines_of() == []


def test_what_is_not_known_is_a_dash_and_what_is_lost_is_reported():
    empty = dict.fromkeys(("throughput_per_s", "sent_per_s", "cpu_share", "send_lag_ns", "response_time_ns"))
    lines = lines_of(host(**empty, path_time_ns=None, lost_workers=1), spread_ns=None)
    assert lines[1].split() == ["alpha", "3", "of", "4", "–", "–", "–", "–", "–", "+3.21", "ms", "±210", "µs"]
    assert len(lines) == 2


def test_where_no_reply_is_awaited_the_rate_is_that_of_sending():
    assert "12,000/s" in lines_of(host(throughput_per_s=0.0))[1]


def test_a_machine_of_subscribers_has_the_rate_of_its_deliveries():
    silent = {"throughput_per_s": 0.0, "sent_per_s": 0.0}
    lines = lines_of(
        host(throughput_per_s=0.0, deliveries_per_s=500.0),
        host("beta", **silent, deliveries_per_s=9_000.0),
        host("gamma", **silent),
    )
    assert [line.split()[2] for line in lines[1:4]] == ["12,000/s", "9,000/s*", "0/s"]
    assert lines[-1] == "  * deliveries: this machine has no publishers"
    assert not any("deliveries" in line for line in lines_of(host()))


@pytest.mark.parametrize("name", ["ip-10-20-30-40.eu-central-1.compute.internal", "x" * 300, "a\x1b[31mb"])
def test_no_line_is_wider_than_the_terminal(name):
    wide = host(name, clock_ahead_ns=-400 * 3600 * 10**9, clock_error_ns=998 * MILLI, throughput_per_s=1_234_567.0)
    lines = lines_of(wide, host("b", lost_workers=2), spread_ns=998 * MILLI)
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)


def test_a_long_name_keeps_its_end():
    assert lines_of(host(f"{'a' * 60}-17"))[1].split()[0].endswith("-17")
