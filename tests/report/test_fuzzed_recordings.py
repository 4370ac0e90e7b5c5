"""Damaged recordings: whatever is read can be reported and compared, and the rest is refused in a sentence.

Run as a program it goes on: ``python tests/report/test_fuzzed_recordings.py 10000 [SEED]``.
"""

import contextlib
import io
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace

from factories.mutations import histogram_bomb, mutate_recording
from ws_load_test import read_recording
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode, RecordingError
from ws_load_test.metrics.recording import AbortEvent, Host, HostInterval, LostWorker, Round, Trailer

DATA = Path(__file__).parents[1] / "data" / "recordings_v1"
BOMB = histogram_bomb(64 << 20)
OUTPUTS = ("", "--json", "--csv -", "--markdown -", "--openmetrics -", "--junit -", "--hdr -", "--hgrm -")
MUTANTS = 30
EXPECTED = {
    ExitCode.PASSED,
    ExitCode.THRESHOLD_FAILED,
    ExitCode.USAGE,
    ExitCode.NOTHING_OPENED,
    ExitCode.WORKER_LOST,
    ExitCode.INTERRUPTED,
}


def sources():
    """Yields recordings of format 1, and the same as the present version writes them."""
    for path in sorted(DATA.glob("*.jsonl")):
        yield path.read_bytes()
        recording = read_recording(path)
        lines = [recording.header, *recording.intervals, *([recording.trailer] if recording.trailer else [])]
        yield encoded(lines)
        yield encoded(with_all_parts(recording))


def encoded(lines):
    """Returns a recording's file."""
    return b"".join(json.encode(line) + b"\n" for line in lines).replace(b'"format":1', b'"format":2')


def with_all_parts(recording):
    """Returns the lines of a recording with what a run on several hosts, one of many, or one that was aborted has."""
    hosts = (Host(name="a", first_worker=0, workers=1), Host(name="b", first_worker=1, workers=1, clock_ahead_ns=-5))
    lost = (LostWorker(1, "killed by SIGKILL", 5, 1),)
    yield replace(recording.header, hosts=hosts, round=Round("x", 1))
    for interval in recording.intervals:
        shares = (HostInterval(0, interval.from_ns, interval.encoded_tally, (0, 5)), HostInterval(1, 0, {}))
        yield replace(interval, hosts=shares, lost_workers=lost)
    aborted = (AbortEvent("p99 > 1ms", 2_000_000, 5),)
    yield Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, lost_workers=lost, aborted=aborted, summary={})


def complaint_about(code, told, path, seconds):
    """Returns what is wrong with the end of a command on a damaged recording; empty where nothing is."""
    if code not in EXPECTED or "Traceback" in told:
        return f"exit code {code}"
    if code == ExitCode.USAGE and (told.count("\n") != 1 or len(told) > 600):
        return "not a sentence"
    if code == ExitCode.USAGE and str(path) not in told and "on two sides" not in told and "compare:" not in told:
        return "does not name the file"
    return f"takes {seconds:.1f} s" if seconds > 5 else ""


def command(number, path, whole, outputs):
    """Returns the arguments that show mutant `number`, in all ways in turn."""
    if number % 10 == 9:
        return ["compare", str(whole), str(path), *(["--json"] if number % 20 == 9 else [])]
    return ["report", str(path), *outputs[number % len(outputs)].split()]


def test_a_damaged_recording_is_reported_or_refused_in_a_sentence(tmp_path, capsys):
    chance = random.Random(20260301)
    path, whole = tmp_path / "damaged.jsonl", DATA / "closed.jsonl"
    originals = list(sources())
    codes = set()
    for number in range(MUTANTS):
        path.write_bytes(mutate_recording(chance, chance.choice(originals), BOMB))
        started = time.process_time()
        code = main(command(number, path, whole, OUTPUTS))
        told = capsys.readouterr().err
        assert not complaint_about(code, told, path, time.process_time() - started), told
        codes.add(code)
    assert {ExitCode.PASSED, ExitCode.USAGE} <= codes


@pytest.mark.parametrize("size_bytes", [1 << 20, 64 << 20])
def test_a_histogram_that_decompresses_to_more_than_one_has_is_refused_at_once(tmp_path, size_bytes):
    lines = (DATA / "open.jsonl").read_bytes().splitlines()
    interval = json.decode(lines[1])
    interval["tally"]["connect_time_ns"]["hdr"] = histogram_bomb(size_bytes)
    path = tmp_path / "bomb.jsonl"
    path.write_bytes(b"\n".join([lines[0], *[json.encode(interval)] * 100]) + b"\n")
    before_kb, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(RecordingError, match=r"bomb.jsonl, line 2: .*decompresses to more than"):
        read_recording(path)
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 20_000


def test_histograms_that_are_each_in_bounds_are_bounded_together(tmp_path):
    lines = (DATA / "open.jsonl").read_bytes().splitlines()
    interval = json.decode(lines[1])
    # As many bytes as a histogram has at most, of which some hundred are left when compressed.
    interval["tally"] = {"connect_time_ns": {"hdr": histogram_bomb(55_000), "min": 0, "max": 2**62, "sum": 2**62}}
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"\n".join([lines[0], *[json.encode(interval)] * 5000]) + b"\n")
    started = time.process_time()
    with pytest.raises(RecordingError):
        read_recording(path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("line", "old", "new", "words"),
    [
        (0, b'"stages":[{', b'"stages":[],"x":[{', "stages"),
        (0, b'"at_ns":1000000000', b'"at_ns":[1]', "at_ns"),
        (0, b'"share":0.5', b'"share":1e7', "share"),
        (0, b'"connections":20', b'"connections":99999999999999999999', "connections"),
        (0, b'"workers":2}', b'"workers":-1}', "workers"),
        (0, b'"started_at":"2026', b'"started_at":"0001', "no time of any run"),
        (1, b'"opened":20', b'"opened":4611686018427387905', r"no count up to 2\^53"),
        (1, b'"from_ns":', b'"from_ns":99999999999999999999,"x":', "from_ns"),
    ],
)
def test_what_is_out_of_range_is_named_by_its_line(tmp_path, line, old, new, words):
    lines = (DATA / "storm.jsonl").read_bytes().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordingError, match=words) as caught:
        read_recording(path)
    assert f"{path}, line {line + 1}: " in str(caught.value)


def test_intervals_in_another_order_are_refused(tmp_path):
    first, *others = (DATA / "storm.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join([first, *others[-2::-1]]))
    with pytest.raises(RecordingError, match=r"line 3: .*interval does not come after that of the line before"):
        read_recording(path)


def fuzz(count, seed):
    """Reports and compares so many mutants in every way, prints those that go wrong, and returns their number."""
    chance, originals, wrong = random.Random(seed), list(sources()), 0
    with tempfile.TemporaryDirectory() as folder:
        path, whole, page = Path(folder, "damaged.jsonl"), DATA / "closed.jsonl", Path(folder, "page")
        outputs = (*OUTPUTS, f"--html {page}")
        for number in range(count):
            path.write_bytes(mutate_recording(chance, chance.choice(originals), BOMB))
            told, started = io.StringIO(), time.process_time()
            with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
                code = main(command(number, path, whole, outputs))
            if complaint := complaint_about(code, told.getvalue(), path, time.process_time() - started):
                wrong += 1
                kept = Path(tempfile.gettempdir(), f"mutant-{seed}-{number}.jsonl")
                kept.write_bytes(path.read_bytes())
                shown = f"{kept}: {complaint}: {command(number, kept, whole, outputs)}"
                sys.stdout.write(f"{shown}\n{told.getvalue()[-1500:]}\n")
    return wrong


if __name__ == "__main__":
    sys.exit(min(fuzz(int(sys.argv[1]), int(*sys.argv[2:] or ["0"])), 1))
