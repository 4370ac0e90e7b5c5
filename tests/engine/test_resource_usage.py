"""A worker's own state: what it used, and what held it up, interval by interval."""

import gc
import sys
import time

import pytest

from ws_load_test.common import machine
from ws_load_test.metrics.recording import WorkerUsage
from ws_load_test.worker import resource_usage as module
from ws_load_test.worker.resource_usage import ResourceMonitor

MS = 1_000_000


@pytest.fixture
def monitor():
    made = ResourceMonitor()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _collector():
    yield
    gc.enable()


def burn(seconds):
    """Uses that much processor time, however long that takes."""
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass


def test_a_lap_has_the_processor_time_since_the_last(monitor):
    burn(0.05)
    first = monitor.sample()
    time.sleep(0.05)
    second = monitor.sample()
    assert 50 * MS <= first.cpu_ns < 200 * MS
    assert second.cpu_ns < 25 * MS


def test_a_lap_has_the_pauses_of_the_garbage_collector(monitor):
    gc.disable()
    kept = [[number] for number in range(200_000)]
    monitor.sample()
    from_ns = time.monotonic_ns()
    gc.collect()
    took_ns = time.monotonic_ns() - from_ns
    usage = monitor.sample()
    assert took_ns * 0.5 <= usage.gc_ns <= time.monotonic_ns() - from_ns
    assert kept
    assert monitor.sample().gc_ns == 0


def test_closed_it_hears_of_collections_no_more():
    before = list(gc.callbacks)
    made = ResourceMonitor()
    assert gc.callbacks != before
    made.close()
    assert gc.callbacks == before


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files of the kernel's, to be written by hand."""
    monkeypatch.setattr(module, "_SCHEDSTAT", tmp_path / "schedstat")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "CGROUP_MOUNT", tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("12:cpu:/elsewhere\n0::/a/b\n")
    (tmp_path / "schedstat").write_text("900 100 7\n")
    (tmp_path / "a" / "b" / "cpu.stat").write_text("usage_usec 9\nnr_throttled 1\nthrottled_usec 20\nburst_usec 0\n")
    return tmp_path


def test_waiting_for_a_core_and_throttling_are_read_from_the_kernel(kernel, request):
    monitor = request.getfixturevalue("monitor")
    (kernel / "schedstat").write_text("950 350 8\n")
    (kernel / "a" / "b" / "cpu.stat").write_text("usage_usec 9\nthrottled_usec 50\n")
    usage = monitor.sample()
    assert (usage.run_delay_ns, usage.throttled_ns) == (250, 30_000)
    usage = monitor.sample()
    assert (usage.run_delay_ns, usage.throttled_ns) == (0, 0)


@pytest.mark.parametrize("gone", ["schedstat", "cgroup", "a/b/cpu.stat"])
def test_what_the_kernel_does_not_tell_is_0(kernel, gone, request):
    (kernel / gone).unlink()
    monitor = request.getfixturevalue("monitor")
    usage = monitor.sample()
    assert (usage.run_delay_ns, usage.throttled_ns) == (0, 0)


@pytest.mark.parametrize("words", ["", "nonsense", "1"])
def test_what_cannot_be_read_is_0(kernel, words, request):
    (kernel / "schedstat").write_text(words)
    (kernel / "cgroup").write_text("11:cpu:/v1/only\n")
    monitor = request.getfixturevalue("monitor")
    assert monitor.sample().run_delay_ns == monitor.sample().throttled_ns == 0


def test_counters_that_go_away_do_not_count_backwards(kernel, request):
    monitor = request.getfixturevalue("monitor")
    (kernel / "schedstat").unlink()
    (kernel / "a" / "b" / "cpu.stat").unlink()
    usage = monitor.sample()
    assert (usage.run_delay_ns, usage.throttled_ns) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's files")
def test_the_real_files_never_count_backwards(monitor):
    for _ in range(3):
        burn(0.002)
        usage = monitor.sample()
        assert min(usage.cpu_ns, usage.run_delay_ns, usage.throttled_ns, usage.gc_ns) >= 0
        assert usage != WorkerUsage(0, 0, 0)
