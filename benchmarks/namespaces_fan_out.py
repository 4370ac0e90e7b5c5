"""Deliveries between two hosts whose path is slower one way, beside deliveries on one host.

    sudo python benchmarks/namespaces_fan_out.py

The hosts are those of ``namespaces.py``, the rooms those of the built-in server in the hub's namespace. One publisher
is on the near host, and 10 subscribers are on each. So a delivery to the near host meets no delay, and one to the far
host just what its wire adds, by which the times and the stated error are judged. The exit code is 1 if anything is not
as it should be.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from namespaces import MS, Host, check, main, run
from ws_load_test import make_plan
from ws_load_test.common.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.echo import EchoProcess
    from ws_load_test.fleet.cluster.spec import Cluster

SUBSCRIBERS, RATE_PER_S, DURATION_S = 20, 100, 8
SLACK_NS = 5 * MS
"""Time in ns that the wires, the server and a busy machine add to a delivery at its median."""
COLUMNS = ("delivery_time_ns", "same_host_delivery_time_ns", "first_time_ns", "last_time_ns", "spread_ns")
LIMIT_NS = 10**9


def fan_out(url: str, cluster: Cluster, meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
    """Runs the fan-out, prints its figures, and checks what is the same on every path. Returns its summary."""
    plan = make_plan(
        f"{url}?chat",
        subscribers=SUBSCRIBERS,
        rate=RATE_PER_S,
        duration=DURATION_S,
        first_message='{"op": "join", "room": "{room}"}',
        message='{"op": "say", "room": "{room}", "text": "{marker}"}',
        fail_if=[f"delivery.p99 > {LIMIT_NS}ns", f"delivery.all.p99 > {LIMIT_NS}ns"],
    )
    summary = run(plan, cluster, meanwhile)
    found: dict[str, Any] = summary["fanout"]
    counts = found["deliveries"]
    for name in COLUMNS:
        times = found[name]
        print(f"    {name:28} p50 {format_duration(times['p50']):>8}  p99 {format_duration(times['p99']):>8}")
    print(f"    between hosts ±{format_duration(found['clock_error_ns'])}, {counts['negative']:,} negative")
    print(f"    reach {found['reach']}, {counts['delivered']:,} of {counts['expected']:,} delivered")
    due = SUBSCRIBERS * RATE_PER_S * DURATION_S
    check(f"{due:,} deliveries are expected, and all have come", counts["expected"] == counts["delivered"] == due)
    check("each of them is timed", found["delivery_time_ns"]["count"] == due)
    check("half of them are on one host", found["same_host_delivery_time_ns"]["count"] == due // 2)
    judged = [one["value"] for one in summary["verdict"]["checks"]]
    p99 = [found[name]["p99"] for name in ("same_host_delivery_time_ns", "delivery_time_ns")]
    check("delivery.p99 judges the same host, delivery.all.p99 both", judged == p99)
    return found


def is_right(found: dict[str, Any], far_ns: int) -> bool:
    """Returns True if the times of both hosts agree with the wires, but for what is stated."""
    within_ns = found["clock_error_ns"] + SLACK_NS
    return bool(abs(found["last_time_ns"]["p50"] - far_ns) <= within_ns)


def experiments(server: EchoProcess, cluster: Cluster, near: Host, far: Host) -> None:
    """All of them, one after another."""
    del near
    print("no delay")
    even = fan_out(server.url, cluster)
    check("nothing is negative", even["deliveries"]["negative"] == 0)
    check("the last delivery is as the wires are, within the stated error", is_right(even, 0))
    usual_ns = even["same_host_delivery_time_ns"]["p50"]

    print("20 ms there and none back on the far host's wire")
    far.say("20 0")
    uneven = fan_out(server.url, cluster)
    check("the last delivery is as the wires are, within the stated error", is_right(uneven, 20 * MS))
    moved_ns = uneven["same_host_delivery_time_ns"]["p50"] - usual_ns
    check(f"same host has moved by {format_duration(abs(moved_ns))}", abs(moved_ns) < SLACK_NS)

    print("60 ms there and none back until the load begins, none from then on")
    far.say("60 0")
    ahead = fan_out(server.url, cluster, lambda: far.say("0 0"))
    half = SUBSCRIBERS * RATE_PER_S * DURATION_S // 2
    check("nearly all deliveries to the far host are negative", ahead["deliveries"]["negative"] > 0.9 * half)
    check("the stated error is not less than that", ahead["clock_error_ns"] > 25 * MS)
    check("the last delivery is as the wires are, within the stated error", is_right(ahead, 0))
    moved_ns = ahead["same_host_delivery_time_ns"]["p50"] - usual_ns
    check(f"same host has moved by {format_duration(abs(moved_ns))}", abs(moved_ns) < SLACK_NS)


if __name__ == "__main__":
    sys.exit(main(__file__, experiments))
