"""A cluster of network namespaces as hosts: separate addresses, added delay, clocks that differ, a link that is cut.

    sudo python benchmarks/namespaces.py

Makes a namespace for the target, the scheduler and the driver, and one for each of two hosts, joined by wires that
this program is: it carries packets between TUN devices, later or never. The second host has a monotonic clock of its
own, an hour ahead (a time namespace). Everything is removed in the end; the exit code is 1 if anything is not as it
should be. Linux only, needs root, iproute2, util-linux and the extra ``cluster``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test import Plan, make_plan
from ws_load_test.api import Run
from ws_load_test.common.certificates import CertificateAuthority
from ws_load_test.common.units import format_duration
from ws_load_test.echo import EchoProcess
from ws_load_test.fleet.cluster.spec import Cluster
from ws_load_test.fleet.factory import fleet_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Experiments = Callable[[EchoProcess, Cluster, "Host", "Host"], None]

HUB = "10.77.0.1"
AHEAD_S = 3600
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET = 1 << 16
MS = 10**6


def ip(*words: str) -> None:
    """Runs iproute2's program."""
    subprocess.run(["ip", *words], check=True)


def tun(name: str, address: str, peer: str) -> int:
    """A TUN device of this network namespace; returns its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    ip("address", "add", address, "peer", peer, "dev", name)
    ip("link", "set", name, "up", "mtu", "1400")
    return descriptor


# --- The wire: a process in the host's namespace that holds both ends -------------------------------------------------


async def wire(hub: int, address: str) -> None:
    """Carries packets both ways; standard input says how many ms later, there and back, or ``cut``."""
    host = tun("wire", address, HUB)
    delays: dict[int, float | None] = {hub: 0.0, host: 0.0}
    loop = asyncio.get_running_loop()

    def send(descriptor: int, packet: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, packet)

    def carry(source: int, to: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while packet := os.read(source, PACKET):
                delay = delays[source]
                if delay:
                    loop.call_later(delay, send, to, packet)
                elif delay is not None:
                    send(to, packet)

    loop.add_reader(hub, carry, hub, host)
    loop.add_reader(host, carry, host, hub)
    over = asyncio.Event()

    def obey() -> None:
        line = sys.stdin.readline()
        if not line:
            over.set()
        elif line.strip() == "cut":
            delays.update({hub: None, host: None})
        else:
            there, back = line.split()
            delays.update({hub: float(there) / 1000, host: float(back) / 1000})

    loop.add_reader(sys.stdin.fileno(), obey)
    print("ready", flush=True)
    await over.wait()


class Host:
    """A namespace with a wire, and a Dask worker in it."""

    def __init__(self, number: int, addresses: int = 1) -> None:
        self.number = number
        self.name = f"wlt-{number}"
        self.address = f"10.77.{number}.2"
        self.addresses = [f"10.77.{number}.{2 + more}" for more in range(addresses)]
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        device = tun(f"h{number}", HUB, self.address)
        os.set_inheritable(device, True)
        self.wire = subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, __file__, "wire", str(device), self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(device,),
        )
        os.close(device)
        assert self.wire.stdout is not None
        assert self.wire.stdout.readline() == "ready\n"
        for more in self.addresses[1:]:
            ip("-n", self.name, "address", "add", more, "dev", "wire")
            ip("route", "add", more, "dev", f"h{number}")
        self.worker: subprocess.Popen[bytes] | None = None

    def say(self, words: str) -> None:
        """Tells the wire."""
        assert self.wire.stdin is not None
        self.wire.stdin.write(f"{words}\n")
        self.wire.stdin.flush()

    def start(self, scheduler: str, tls: list[str], directory: Path, *prefix: str) -> None:
        """Starts a Dask worker that is reached at the host's address."""
        words = [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-dashboard"]
        words += ["--host", f"tls://{self.address}", "--nthreads", "1", "--no-nanny", "--memory-limit", "0", *tls]
        with (directory / f"{self.name}.txt").open("wb") as log:
            self.worker = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *words], cwd=directory, stdout=log, stderr=log
            )

    def load(self) -> list[int]:
        """The processes of load in it."""
        assert self.worker is not None
        task = Path(f"/proc/{self.worker.pid}/task/{self.worker.pid}/children")
        return [int(pid) for pid in task.read_text().split()] if task.exists() else []

    def remove(self) -> None:
        """Leaves nothing of it."""
        for process in (self.worker, self.wire):
            if process is not None:
                process.kill()
                process.communicate()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


# --- The experiments --------------------------------------------------------------------------------------------------

failed: list[str] = []


def check(what: str, passed: bool) -> None:  # noqa: FBT001 - reads like an assertion
    """Prints a line, and remembers."""
    print(f"  {'yes' if passed else 'NO '}  {what}", flush=True)
    if not passed:
        failed.append(what)


def rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Prints the rows of hosts, and returns them."""
    for host in summary["hosts"]:
        drift = "" if host["clock_drift_ppm"] is None else f" drifts {host['clock_drift_ppm']:+.1f} ppm"
        drift += "" if host["clock_drift_ppm"] is None else f" ±{host['clock_drift_error_ppm']:.1f} ppm"
        ahead, error = format_duration(host["clock_ahead_ns"]), format_duration(host["clock_error_ns"])
        path, half = format_duration(host["path_time_ns"]), format_duration((host["response_time_ns"] or {}).get("p50"))
        clock = f"clock {ahead} ±{error}{drift}"
        print(f"    {host['address']}: {clock}, path {path}, response p50 {half}, {host['sent']} sent")
    spread = format_duration(summary["generator"]["start_spread_ns"])
    print(f"    began within {spread}")
    found: list[dict[str, Any]] = sorted(summary["hosts"], key=lambda host: host["address"])
    return found


def run(
    plan: Plan, cluster: Cluster, meanwhile: Callable[[], None] | None = None, after_s: float = 0
) -> dict[str, Any]:
    """Runs a plan, and something else some seconds after its load has begun."""

    async def both() -> dict[str, Any]:
        running = Run(plan, make_fleet=fleet_factory(cluster))
        task = asyncio.create_task(running.execute())
        while meanwhile and (running.fleet is None or not running.fleet.coordinator.ready):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
        if meanwhile:
            await asyncio.sleep(after_s)
            meanwhile()
        result = await task
        return {**msgspec.to_builtins(result.summary), "exit_code": int(result.exit_code)}

    return asyncio.run(both())


def experiments(server: EchoProcess, cluster: Cluster, near: Host, far: Host) -> None:
    """All of them, one after another."""
    url = server.url
    print("exact counts over two hosts, source addresses of each its own")
    before = server.counts().messages
    sources = [*near.addresses, *far.addresses]
    summary = run(make_plan(url, connections=20, messages=20_000, bind=sources), cluster)
    first, second = rows(summary)
    check("20,000 messages counted at the target", server.counts().messages - before == 20_000)
    parts = sorted((first["answered"], second["answered"]))
    check("both hosts have their part in that, and nothing twice", sum(parts) == 20_000 and parts[0] > 1000)
    within = abs(second["clock_ahead_ns"] - AHEAD_S * 10**9) <= second["clock_error_ns"]
    check("the far host's clock is an hour ahead, within the stated error", within)
    check("the near host's clock is ours, within it", abs(first["clock_ahead_ns"]) <= first["clock_error_ns"])
    check("all began within 20 ms", summary["generator"]["start_spread_ns"] < 20 * MS)

    print("20 ms there and back on the far host's wire")
    far.say("10 10")
    first, second = rows(summary := run(make_plan(url, connections=20, rate=400, duration=3), cluster))
    check(
        "the far path takes 20 ms, the near one does not",
        first["path_time_ns"] < 10 * MS < 19 * MS < second["path_time_ns"],
    )
    check("so do its replies", second["response_time_ns"]["p50"] > 20 * MS)
    check("all began within 20 ms", summary["generator"]["start_spread_ns"] < 20 * MS)
    check("nothing was lost", summary["messages"]["answered"] == 1200)

    for there_ms in (20, 60):
        print(f"{there_ms} ms there and none back: the worst that comparing clocks can meet")
        far.say(f"{there_ms} 0")
        first, second = rows(run(make_plan(url, connections=4, rate=40, duration=8), cluster))
        error_ns = second["clock_ahead_ns"] - AHEAD_S * 10**9
        check(
            f"the comparison is wrong by {format_duration(abs(error_ns))}, and says that it may be",
            abs(error_ns) <= second["clock_error_ns"],
        )
    far.say("0 0")

    print("the far host's link cut after 2 s of 8")
    parties: list[list[int]] = []
    cut_s: list[float] = []

    def cut() -> None:
        parties.append(far.load())
        cut_s.append(time.monotonic())
        far.say("cut")

    first, second = rows(summary := run(make_plan(url, connections=20, rate=400, duration=8), cluster, cut, 2))
    [lost] = summary["generator"]["lost"]
    print(f"    {lost['reason']}, {format_duration(lost['at_ns'])} after the start, with {lost['share']:.0%}")
    check("exit code 4", summary["exit_code"] == 4)
    check("the near host went on to the end", first["sent"] == 1600)
    check("its duration is what was asked", abs(summary["duration_s"] - 8) < 0.5)
    check("the lost host's processes of load have ended", bool(parties[0]) and not any(map(is_running, parties[0])))


def is_running(pid: int) -> bool:
    """True if a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def scheduler(directory: Path, tls: list[str]) -> Iterator[str]:
    """A scheduler that listens on the hub's address under TLS."""
    place = directory / "scheduler.json"
    words = ["--host", f"tls://{HUB}", "--port", "0", "--no-dashboard", "--scheduler-file", str(place), *tls]
    with (directory / "scheduler.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", *words], cwd=directory, stdout=log, stderr=log
        )
    try:
        while not place.exists() or not place.read_text().endswith("}"):
            time.sleep(0.05)
        yield json.loads(place.read_text())["address"]
    finally:
        process.kill()
        process.wait()


def inside(perform: Experiments) -> int:
    """Performs experiments in the hub's namespace; returns the exit code."""
    ip("link", "set", "lo", "up")
    ip("address", "add", HUB, "dev", "lo")
    with contextlib.ExitStack() as leaving:
        directory = Path(leaving.enter_context(tempfile.TemporaryDirectory()))
        certificate = (authority := CertificateAuthority()).issue(HUB, mutual=True)
        files = {"ca": authority.certificate_pem, "cert": certificate.certificate_pem, "key": certificate.key_pem}
        for name, content in files.items():
            (directory / name).write_bytes(content)
        tls = ["--tls-ca-file", f"{directory}/ca", "--tls-cert", f"{directory}/cert", "--tls-key", f"{directory}/key"]
        address = leaving.enter_context(scheduler(directory, tls))
        near = Host(1, addresses=2)
        leaving.callback(near.remove)
        far = Host(2)
        leaving.callback(far.remove)
        near.start(address, tls, directory)
        far.start(address, tls, directory, "unshare", "--time", "--monotonic", str(AHEAD_S))
        server = leaving.enter_context(EchoProcess(host=HUB))
        cluster = Cluster(address, hosts=2, **{name: f"{directory}/{name}" for name in files})
        perform(server, cluster, near, far)
    print("all as it should be" if not failed else f"{len(failed)} not as it should be")
    return int(bool(failed))


def main(program: str, perform: Experiments) -> int:
    """Makes the hub's namespace, and runs the program again in it, to perform its experiments."""
    if sys.argv[1:2] == ["wire"]:
        asyncio.run(wire(int(sys.argv[2]), sys.argv[3]))
        return 0
    if sys.argv[1:] == ["inside"]:
        return inside(perform)
    ip("netns", "add", "wlt-hub")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(
            ["ip", "netns", "exec", "wlt-hub", sys.executable, program, "inside"], check=False
        ).returncode
    finally:
        ip("netns", "delete", "wlt-hub")


if __name__ == "__main__":
    sys.exit(main(__file__, experiments))
