import collections
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import accumulate
from pathlib import Path

import msgspec
import pytest

from ws_load_test.common.errors import OutputError, RecordingError, UsageError
from ws_load_test.metrics import recording_file
from ws_load_test.metrics.recording import Header, Interval, LostWorker, Recording, Trailer, WorkerUsage
from ws_load_test.metrics.recording_file import RecordingWriter, read_recording
from ws_load_test.metrics.tally import Tally

STARTED = "2026-03-01T12:00:00.250000Z"
HEADER = Header(
    tool="ws-load-test 0.1.0",
    started_at=STARTED,
    plan={"connections": 2, "load": {"kind": "closed", "in_flight": 1}},
    target="ws://127.0.0.1:9",
    host={"system": "Linux", "machine": "x86_64", "python": "3.11.7", "cores": 2},
    workers=2,
)
TRAILER = Trailer(
    ended_at="2026-03-01T12:00:09Z",
    interrupted=False,
    lost_workers=(LostWorker(1, "killed by signal 9", 5),),
    summary={"schema": 1},
)


def interval(index, values=(5, 10**9)):
    tally = Tally(sent=len(values), answered=len(values), due_when_sent=True)
    for value in values:
        tally.response_time_ns.record(value)
    return Interval.of(
        tally,
        index=index,
        phase="measured",
        from_ns=index * 10**9,
        to_ns=(index + 1) * 10**9,
        measured_ns=10**9,
        workers=[WorkerUsage(0, 7, 9), WorkerUsage(1, 8, 9)],
        fault_examples={"reset": "the peer reset the connection"} if index == 1 else None,
    )


def write(path, *, intervals=3, trailer=True):
    with RecordingWriter(path) as writer:
        writer.write_header(HEADER)
        for index in range(intervals):
            writer.write_interval(interval(index))
        if trailer:
            writer.write_trailer(TRAILER)
    return path


@pytest.fixture
def recorded(tmp_path):
    return write(tmp_path / "run.jsonl")


class TestWriting:
    def test_what_is_written_is_read(self, recorded):
        recording = read_recording(recorded)
        assert recording == Recording(HEADER, tuple(interval(index) for index in range(3)), TRAILER)
        tally = recording.intervals[0].tally
        assert (tally.sent, tally.response_time_ns.max) == (2, 10**9)

    def test_lines_have_the_documented_shape(self, recorded):
        first, *middle, last = map(msgspec.json.decode, recorded.read_bytes().splitlines())
        assert list(first) == ["kind", "format", "tool", "started_at", "plan", "target", "host", "workers"]
        assert (first["kind"], first["format"]) == ("header", 2)
        shape = ["kind", "index", "phase", "from_ns", "to_ns", "measured_ns", "tally", "workers", "fault_examples"]
        assert all(list(line) == shape for line in middle)
        nothing = {"run_delay_ns": 0, "throttled_ns": 0, "gc_ns": 0}
        assert middle[1]["workers"][1] == {"worker": 1, "cpu_ns": 8, "wall_ns": 9, **nothing}
        assert middle[0]["fault_examples"] == {}
        assert middle[1]["fault_examples"] == {"reset": "the peer reset the connection"}
        assert middle[1]["tally"]["response_time_ns"]["hdr"].startswith("HISTF")
        assert list(last) == ["kind", "ended_at", "interrupted", "lost_workers", "summary"]
        lost = {"worker": 1, "reason": "killed by signal 9", "at_ns": 5, "open_sessions": 0}
        assert last["lost_workers"] == [lost]

    def test_an_existing_file_is_overwritten(self, tmp_path):
        path = tmp_path / "run.jsonl"
        path.write_text("x" * 10**5)
        assert len(read_recording(write(path)).intervals) == 3

    def test_each_line_is_readable_before_the_file_is_closed(self, tmp_path):
        writer = RecordingWriter(tmp_path / "run.jsonl")
        writer.write_header(HEADER)
        assert read_recording(writer.path) == Recording(HEADER, (), None)
        writer.write_interval(interval(0))
        assert len(read_recording(writer.path).intervals) == 1
        writer.close()
        writer.close()
        assert writer.closed
        writer.write_trailer(TRAILER)
        assert read_recording(writer.path).trailer is None

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
    def test_a_killed_run_leaves_what_it_wrote(self, tmp_path):
        program = (
            "import sys, os, signal; sys.path.insert(0, sys.argv[2])\n"
            "from test_recording import *\n"
            "writer = RecordingWriter(sys.argv[1])\n"
            "writer.write_header(HEADER)\n"
            "writer.write_interval(interval(0))\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        path = tmp_path / "run.jsonl"
        here = str(Path(__file__).parent)
        done = subprocess.run([sys.executable, "-c", program, path, here], check=False, timeout=30)
        assert done.returncode == -signal.SIGKILL
        assert read_recording(path) == Recording(HEADER, (interval(0),), None)

    @pytest.mark.parametrize("place", ["", "missing/run.jsonl", "a\0b"])
    def test_a_path_that_cannot_be_written_is_refused_at_once(self, tmp_path, place):
        path = str(tmp_path / place)
        with pytest.raises(OutputError) as caught:
            RecordingWriter(path)
        assert path in str(caught.value)
        assert "cannot write the recording" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_reported_once_and_the_writer_closed(self):
        writer = RecordingWriter("/dev/full")
        with pytest.raises(OutputError, match="/dev/full: no space left on device; the run goes on without"):
            writer.write_header(HEADER)
        assert writer.closed
        writer.write_interval(interval(0))
        writer.close()

    def test_a_line_that_fits_in_part_is_taken_back(self, tmp_path):
        resource = pytest.importorskip("resource")
        whole = write(tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
        limit = len(whole[0]) + len(whole[1]) + 30
        writer = RecordingWriter(tmp_path / "run.jsonl")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            writer.write_header(HEADER)
            writer.write_interval(interval(0))
            with pytest.raises(OutputError, match="file too large"):
                writer.write_interval(interval(1))
            writer.write_interval(interval(2))
            writer.write_trailer(TRAILER)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert Path(writer.path).read_bytes() == whole[0] + whole[1]
        assert len(read_recording(writer.path).intervals) == 1

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_reader_that_went_away_is_reported(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        writer = RecordingWriter(tmp_path / "pipe")
        os.close(reader)
        with pytest.raises(OutputError, match="broken pipe"):
            writer.write_header(HEADER)
        assert writer.closed

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OutputError, match="it is a pipe that no program reads; name another file"):
            RecordingWriter(tmp_path / "pipe")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_reader_that_stands_still_is_not_waited_for_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(recording_file, "LONGEST_STALL_S", 0.01)
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        writer = RecordingWriter(tmp_path / "pipe")
        with pytest.raises(OutputError, match=r"has taken no more data for 0\.01 s; the run goes on without"):
            collections.deque(map(writer.write_interval, map(interval, range(1000))), maxlen=0)
        os.close(reader)
        assert writer.closed

    def test_two_runs_do_not_write_to_one_file(self, tmp_path):
        pytest.importorskip("fcntl")
        path = tmp_path / "run.jsonl"
        with RecordingWriter(path) as first:
            first.write_header(HEADER)
            with pytest.raises(UsageError, match="another run is writing the recording"):
                RecordingWriter(path)
            first.write_interval(interval(0))
        assert read_recording(path) == Recording(HEADER, (interval(0),), None)
        with RecordingWriter(path) as second:
            second.write_header(HEADER)
        assert read_recording(path) == Recording(HEADER, (), None)


class TestReading:
    @pytest.mark.parametrize("kind", ["closed", "open"])
    def test_an_interval_that_leaves_it_to_the_plan_is_due_when_sent_in_a_closed_loop(self, tmp_path, kind):
        """Recordings of format 2 from before tallies had a field for it."""
        header = msgspec.structs.replace(HEADER, plan={"load": {"kind": kind}})
        old = interval(0)
        assert old.encoded_tally.pop("due_when_sent")
        old.encoded_tally["misbehaving"] = {"sent": 1}
        path = tmp_path / "old.jsonl"
        with RecordingWriter(path) as writer:
            writer.write_header(header)
            writer.write_interval(old)
        tally = read_recording(path).intervals[0].tally
        assert tally.due_when_sent is tally.misbehaving.due_when_sent is (kind == "closed")
        assert tally.service_times_ns.count == (2 if kind == "closed" else 0)

    def test_a_file_cut_anywhere_after_its_header_is_read(self, recorded, tmp_path):
        data = recorded.read_bytes()
        lines = data.splitlines(keepends=True)
        ends = list(accumulate(map(len, lines)))
        cut = tmp_path / "cut.jsonl"
        for size in range(len(lines[0]), len(data) - 1, 97):
            cut.write_bytes(data[:size])
            recording = read_recording(cut)
            assert recording.header == HEADER
            assert recording.trailer is None
            # A line that lacks nothing but its line feed is whole.
            assert len(recording.intervals) == sum(end - 1 <= size for end in ends[1:-1])
        cut.write_bytes(data[:-1])
        assert read_recording(cut) == read_recording(recorded)

    def refused(self, path, *words):
        with pytest.raises(RecordingError) as caught:
            read_recording(path)
        text = str(caught.value)
        assert "\n" not in text
        for word in (str(path), *words):
            assert word in text
        return text

    @pytest.mark.parametrize(
        "content",
        [
            b"x",
            b"{",
            b"{}\n",
            b"[1]\n",
            b"\x1f\x8b\x00",
            b'{"kind": "interval"}\n',
            b'{"kind": "header", "format": 0}\n',
            b"\n",
            b'{"a": ' * 100_000,
        ],
    )
    def test_what_is_no_recording_is_refused(self, tmp_path, content):
        path = tmp_path / "other"
        path.write_bytes(content)
        self.refused(path, "line 1", "not the header of a recording")

    def test_a_format_that_never_was_is_refused(self, recorded):
        recorded.write_bytes(recorded.read_bytes().replace(b'"format":2', b'"format":0'))
        self.refused(recorded, "line 1")

    def test_a_start_without_a_time_zone_is_refused(self, tmp_path):
        path = tmp_path / "run"
        for text in ("2026-03-01T12:00:00", "today"):
            line = msgspec.json.encode(msgspec.structs.replace(HEADER, started_at=text))
            path.write_bytes(line + b"\n")
            self.refused(path, "line 1")

    def test_a_file_that_is_not_there_or_empty_or_a_directory_is_refused(self, tmp_path):
        self.refused(tmp_path / "missing", "no such file")
        self.refused(tmp_path, "is a directory")
        (tmp_path / "empty").touch()
        self.refused(tmp_path / "empty", "is empty")

    def test_a_newer_format_is_named_whatever_else_it_holds(self, tmp_path):
        path = tmp_path / "new"
        path.write_bytes(b'{"kind": "header", "format": 3, "tool": 5}\n')
        self.refused(path, "newer version (format 3", "update")

    @pytest.mark.parametrize(
        "line",
        [
            b"garbage",
            b"\x00\x00",
            b'{"kind": "interval"}',
            b'{"kind": "other"}',
            b"{}",
            b"",
            b"\xff{",
        ],
    )
    def test_garbage_in_the_middle_is_named_by_its_line(self, recorded, line):
        lines = recorded.read_bytes().splitlines()
        lines[2] = line
        recorded.write_bytes(b"\n".join(lines) + b"\n")
        self.refused(recorded, "line 3:")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"sent":2', b'"sent":-2'),
            (b'"HISTF', b'"HISTX'),
            (b'"measured_ns":1', b'"measured_ns":-1'),
            (b'"measured"', b'"elsewhere"'),
            (b'"max":1000000000', b'"max":9'),
        ],
    )
    def test_a_damaged_interval_is_named_by_its_line(self, recorded, old, new):
        lines = recorded.read_bytes().splitlines()
        assert old in lines[3]
        lines[3] = lines[3].replace(old, new)
        recorded.write_bytes(b"\n".join(lines) + b"\n")
        self.refused(recorded, "line 4:")

    def test_two_recordings_in_one_file_are_refused(self, tmp_path):
        killed, whole = write(tmp_path / "a", trailer=False), write(tmp_path / "b")
        both = tmp_path / "both"
        both.write_bytes(killed.read_bytes() + whole.read_bytes())
        self.refused(both, "line 5", "second recording")
        both.write_bytes(whole.read_bytes() + killed.read_bytes())
        self.refused(both, "line 6", "follows the end")


def test_sessions_of_a_lost_worker_are_not_open_any_more():
    misbehaving = Tally(closed=Counter({"1006": 2}))
    lost = [LostWorker(1, "killed by SIGKILL", 5, 4), LostWorker(2, "killed by SIGKILL", 6, 3)]
    facts = {"index": 0, "phase": "measured", "from_ns": 0, "to_ns": 9, "measured_ns": 9}
    tally = Tally(opened=20, closed=Counter({"1000": 1, "1011": 4}), misbehaving=misbehaving)
    assert Interval.of(tally, **facts).open_delta == 13
    assert Interval.of(tally, **facts, lost_workers=lost).open_delta == 6


def test_the_busiest_worker_s_share_of_a_core():
    facts = {"index": 0, "phase": "measured", "from_ns": 0, "to_ns": 9, "measured_ns": 9}
    loads = [WorkerUsage(0, 2, 8), WorkerUsage(1, 6, 8), WorkerUsage(2, 9, 0)]
    assert Interval.of(Tally(), **facts, workers=loads).cpu_share == 0.75
    assert Interval.of(Tally(), **facts, workers=loads[2:]).cpu_share is None


def test_the_start_is_an_instant_in_any_time_zone():
    east = msgspec.structs.replace(HEADER, started_at="2026-03-01T14:00:00.250+02:00")
    assert HEADER.started_ns == east.started_ns == 1_772_366_400_250_000_000
