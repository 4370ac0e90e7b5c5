"""Costs of live metrics: with --metrics-port scraped each second and --otlp, beside a run without.

    python benchmarks/metrics.py --rounds 5

Both kinds of run take turns against one echo server; the collector (tests/otlp_collector.py, over gRPC) and the scraper
share the machine with them. The processor time is that of the workers for each message, which other programs on the
machine change least. Then the recording of a watched run is drawn up again, step by step.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from ws_load_test import make_plan
from ws_load_test.echo import EchoProcess
from ws_load_test.live.telemetry.otlp_encoding import OtlpEncoder
from ws_load_test.live.telemetry.prometheus import _Collector
from ws_load_test.live.telemetry.publisher import MetricsPublisher
from ws_load_test.live.telemetry.snapshot import RunMetrics
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording_file import read_recording

COLLECTOR = Path(__file__).parent.parent / "tests" / "otlp_collector.py"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("options", nargs="*", default=["-c", "100", "--in-flight", "4"])
    arguments = parser.parse_args()
    load = [*arguments.options, "-d", f"{arguments.seconds}s", "--json"]
    ratios: dict[str, list[float]] = {"throughput": [], "processor time": []}
    with tempfile.TemporaryDirectory() as name, EchoProcess() as server:
        folder = Path(name)
        command = [sys.executable, str(COLLECTOR), name, "takes"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as collector:
            assert collector.stdout is not None
            url = f"http://127.0.0.1:{int(collector.stdout.readline())}"
            shown = ["--metrics-port", "0", "--otlp", url]
            for number in range(arguments.rounds):
                kinds = [[], shown] if number % 2 else [shown, []]
                found = {bool(kind): _figures([server.url, *load, *kind], folder / "run.jsonl") for kind in kinds}
                for word, values in ratios.items():
                    values.append(found[True][word] / found[False][word])
            collector.kill()
        for word, values in ratios.items():
            middle = statistics.median(values)
            print(f"{word}: watched / unwatched {middle:.3f} ({min(values):.3f} to {max(values):.3f})")
        print(f"{len(list(folder.glob('*.pb')))} pushes came")
        _steps(folder / "run.jsonl")


def _figures(words: list[str], path: Path) -> dict[str, float]:
    summary = _run([*words, "-o", str(path)])
    measured = [interval for interval in read_recording(path).intervals if interval.phase == "measured"]
    cpu_ns = sum(load.cpu_ns for interval in measured for load in interval.workers)
    return {
        "throughput": summary["throughput_per_s"],
        "processor time": cpu_ns / sum(interval.tally.answered for interval in measured),
    }


def _run(words: list[str]) -> dict[str, Any]:
    environ = {**os.environ, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
    command = [sys.executable, "-m", "ws_load_test", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        thread = threading.Thread(target=_scrape, args=(process.stderr,))
        if "--metrics-port" in words:
            thread.start()
        assert process.stdout is not None
        summary: dict[str, Any] = json.loads(process.stdout.read())
        if "--metrics-port" in words:
            thread.join()
    return summary


def _scrape(told: Any) -> None:
    """Reads the metrics each second until there are none."""
    found = re.search(r"http\S+", told.readline())
    assert found is not None
    while True:
        try:
            with urllib.request.urlopen(found[0]) as answer:  # noqa: S310 - its own
                answer.read()
        except OSError:
            return
        time.sleep(1)


def _steps(path: Path) -> None:
    recording = read_recording(path)
    live = RunMetrics(make_plan("ws://localhost/"), "benchmark")
    registry = CollectorRegistry()
    registry.register(_Collector(live))
    translator = OtlpEncoder(live.info)
    took: dict[str, list[float]] = {"drawing": [], "text": [], "translation": [], "the watcher's call": []}

    def timed(step: str, work: Any) -> None:
        began = time.perf_counter()
        work()
        took[step].append((time.perf_counter() - began) * 1e3)

    events = [IntervalEvent.decode(interval) for interval in recording.intervals]
    for event in events:
        timed("drawing", lambda event=event: live.add_interval(event))
        timed("text", lambda: generate_latest(registry))
        timed("translation", lambda: translator.translate(live.latest))
    watcher = MetricsPublisher(RunMetrics(make_plan("ws://localhost/"), "benchmark"), ())
    for event in events:
        timed("the watcher's call", lambda event=event: watcher(event))
        time.sleep(0.05)
    watcher.close()
    for step, times_ms in took.items():
        print(f"{step}: {statistics.median(times_ms):.3f} ms, {max(times_ms):.3f} ms at most")


if __name__ == "__main__":
    main()
