"""Files that are there whole or not at all, and one that fails spoils no other."""

import os
import stat
from pathlib import Path

import pytest

from factories.results import results, usual
from ws_load_test.common.errors import OutputError
from ws_load_test.report import exports
from ws_load_test.report.exports import FORMATS, STDOUT, export, predict_failures, validate
from ws_load_test.report.exports.atomic_write import append_atomic, same_file, write_atomic


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestWhole:
    def test_a_text_is_written_in_utf_8_and_nothing_is_left_beside_it(self, tmp_path):
        write_atomic(str(tmp_path / "a.txt"), ["5 µs", "\r\n", "\ud800"])
        assert (tmp_path / "a.txt").read_bytes() == "5 µs\r\n?".encode()
        assert names(tmp_path) == ["a.txt"]

    @pytest.mark.skipif(os.name != "posix", reason="needs permissions of POSIX")
    def test_permissions_are_the_usual_ones_or_those_there_were(self, tmp_path, usual_umask):
        new, old = tmp_path / "new", tmp_path / "old"
        old.write_text("before")
        old.chmod(0o640)
        for path in (new, old):
            write_atomic(str(path), ["x"])
        assert stat.S_IMODE(new.stat().st_mode) == 0o644
        assert stat.S_IMODE(old.stat().st_mode) == 0o640

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "real").write_text("before")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        write_atomic(str(tmp_path / "link"), ["after"])
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_text() == "after"

    def test_what_fails_in_the_middle_leaves_what_was_there(self, tmp_path):
        (tmp_path / "a").write_text("before")

        def torn():
            yield "x" * 10**6
            raise LookupError

        with pytest.raises(LookupError):
            write_atomic(str(tmp_path / "a"), torn())
        assert (tmp_path / "a").read_text() == "before"
        assert names(tmp_path) == ["a"]

    def test_until_the_end_what_was_there_is_there(self, tmp_path):
        (tmp_path / "a").write_text("before")

        def watched():
            yield "x" * 10**6
            assert (tmp_path / "a").read_text() == "before"

        write_atomic(str(tmp_path / "a"), watched())
        assert (tmp_path / "a").stat().st_size == 10**6

    @pytest.mark.parametrize("place", ["missing/a.txt", "", "a\0b", "folder"])
    def test_what_cannot_be_written_is_an_error_in_one_sentence(self, tmp_path, place):
        (tmp_path / "folder").mkdir()
        path = f"{tmp_path}/{place}"
        with pytest.raises(OutputError, match=r"^cannot write .*; name another file$"):
            write_atomic(path, ["x"])
        assert names(tmp_path) == ["folder"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_device_is_written_to_and_not_replaced(self):
        with pytest.raises(OutputError, match="/dev/full: no space left on device"):
            write_atomic("/dev/full", ["x"])
        assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
        write_atomic("/dev/null", ["x"])
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_named_pipe_is_written_to(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            write_atomic(str(path), ["a", "b"])
            assert os.read(reader, 10) == b"ab"
        finally:
            os.close(reader)
        assert stat.S_ISFIFO(path.stat().st_mode)


class TestAppended:
    def test_what_others_wrote_stays(self, tmp_path):
        path = tmp_path / "summary.md"
        path.write_text("theirs\n")
        append_atomic(str(path), ["ours", "\n"])
        append_atomic(str(path), ["again\n"])
        assert path.read_text() == "theirs\nours\nagain\n"

    def test_a_file_that_is_not_there_yet_is_made(self, tmp_path):
        append_atomic(str(tmp_path / "new"), ["ours"])
        assert (tmp_path / "new").read_text() == "ours"

    def test_what_cannot_be_written_in_full_is_taken_back(self, tmp_path):
        resource = pytest.importorskip("resource", reason="needs limits of POSIX")
        import subprocess
        import sys

        path = tmp_path / "summary.md"
        path.write_text("theirs\n")
        program = (
            "import sys, signal, resource\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "from ws_load_test.common.errors import OutputError\n"
            "from ws_load_test.report.exports.atomic_write import append_atomic\n"
            "try:\n    append_atomic(sys.argv[1], ['x' * 1000])\n"
            "except OutputError as error:\n    print(error)\n"
        )
        assert resource
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        assert "cannot write" in done.stdout
        assert path.read_text() == "theirs\n"


class TestSame:
    def test_a_file_has_several_names(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link").symlink_to("a")
        for other in ("a", "./a", str(tmp_path / "a"), "link"):
            assert same_file("a", other)
        (tmp_path / "a").touch()
        os.link("a", "hard")
        assert same_file("a", "hard")
        assert not same_file("a", "b")
        assert not same_file("a\0", "b")


class TestProblems:
    def test_of_nothing_there_are_none(self):
        assert validate({}) == []
        assert validate({"csv": "a", "hdr": "b", "markdown": STDOUT}, {"the recording": ["c"]}) == []

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ({"csv": ""}, "--csv: names no file; write for example --csv results.txt"),
            (
                {"csv": "--bearer=abcd"},
                "--csv: is followed by what looks like an option; begin a file of such a name with ./",
            ),
            ({"csv": "-", "hdr": "-"}, "--hdr: standard output is taken by --csv"),
            ({"csv": "a", "hdr": "./a"}, "--hdr: ./a is the file of --csv as well; name another"),
            ({"csv": "run.jsonl"}, "--csv: run.jsonl is the recording, which it would overwrite"),
        ],
    )
    def test_each_names_its_option(self, wanted, words):
        (found,) = validate(wanted, {"the recording": ["other", "./run.jsonl"]})
        assert words in str(found)

    def test_what_will_fail_is_foreseen(self, tmp_path):
        wanted = {"csv": str(tmp_path / "no" / "a"), "hdr": str(tmp_path), "junit": str(tmp_path / "a"), "hgrm": "-"}
        first, second = predict_failures(wanted)
        assert first == f"--csv: {tmp_path}/no/a cannot be written: there is no directory {tmp_path}/no"
        assert second == f"--hdr: {tmp_path} cannot be written: is a directory"
        assert predict_failures({"csv": "/dev/null"}) == []


class TestExport:
    def test_every_format_is_written(self, tmp_path):
        wanted = {name: str(tmp_path / name) for name in FORMATS}
        assert export(wanted, results(usual())) == []
        assert set(names(tmp_path)) == set(FORMATS)
        assert all((tmp_path / name).stat().st_size > 100 for name in FORMATS)

    @pytest.mark.parametrize("failing", FORMATS)
    def test_one_that_fails_spoils_no_other(self, tmp_path, failing):
        wanted = {name: str(tmp_path / name) for name in FORMATS} | {failing: str(tmp_path / "no" / "x")}
        (error,) = export(wanted, results(usual()))
        assert str(error) == (
            f"--{failing}: cannot write {tmp_path}/no/x: no such file or directory; name another file"
        )
        assert set(names(tmp_path)) == set(FORMATS) - {failing}

    def test_standard_output_comes_last_and_is_utf_8(self, tmp_path, capfdbinary, monkeypatch):
        monkeypatch.setitem(exports.FORMATS, "csv", lambda _: iter(["µ\r\n"]))
        seen = []
        monkeypatch.setattr(exports, "_print", lambda text: seen.append((list(text), names(tmp_path))))
        export({"csv": "-", "hgrm": str(tmp_path / "a")}, results(usual()))
        assert seen == [(["µ\r\n"], ["a"])]
        monkeypatch.undo()
        exports._print(["µ\r\n", "é"])
        assert capfdbinary.readouterr().out == "µ\r\né".encode()

    def test_the_file_of_others_is_added_to(self, tmp_path):
        path = tmp_path / "summary.md"
        path.write_text("theirs\n\n")
        taken = results(usual())
        assert export({"markdown": str(path)}, taken, appended=str(path)) == []
        assert path.read_text().startswith("theirs\n\n### ws-load-test")
        assert export({"markdown": str(path)}, taken, appended=str(tmp_path / "other")) == []
        assert path.read_text().startswith("### ws-load-test")
        assert export({"markdown": str(path)}, taken, appended="") == []
        assert path.read_text().count("###") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_no_program_reads_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="it is a pipe that no program reads; name another file"):
        write_atomic(str(tmp_path / "pipe"), ["text"])
