"""Files for other programs, as options of a run and of `report`."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.summary import summarize
from ws_load_test.api import run
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.plan.options.catalog import EXPORTS
from ws_load_test.report.exports import FORMATS, Results

FIRST_WORDS = {
    "hdr": "#[Logged with ws-load-test",
    "hgrm": "       Value     Percentile",
    "csv": "recording,start_s,",
    "junit": "<?xml",
    "markdown": "### ws-load-test: ",
    "openmetrics": "# TYPE ws_load_test_",
    "html": "<!DOCTYPE html>",
}


def all_of(folder):
    return [word for name in FORMATS for word in (f"--{name}", str(folder / name))]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def made(echo_url, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "run.jsonl"
    assert run(make_plan(echo_url, messages=200), output=path).exit_code == 0
    return path


@pytest.fixture
def recorded(made, tmp_path):
    return shutil.copy(made, tmp_path / "run.jsonl")


def test_every_format_is_an_option():
    assert EXPORTS == tuple(FORMATS) == tuple(FIRST_WORDS)


def test_a_run_writes_what_report_writes_of_its_recording(echo_url, program, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    path = tmp_path / "run.jsonl"
    done = program(echo_url, "-c", 3, "-r", 500, "-d", "1s", "-o", path, *all_of(first))
    assert (done.returncode, done.stderr) == (0, "")
    assert "p99" in done.stdout
    told = program("report", path, *all_of(second))
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.partition("\nthe same run again\n")[0] == done.stdout
    assert names(first) == names(second) == sorted(FORMATS)
    recording = read_recording(path)
    digested = aggregate([recording])
    results = Results([recording], summarize([recording], digested), digested)
    for name, made in FORMATS.items():
        text = (first / name).read_bytes().decode()
        assert text.startswith(FIRST_WORDS[name])
        assert text == (second / name).read_bytes().decode() == "".join(made(results))


@pytest.mark.parametrize("name", FORMATS)
def test_a_dash_is_standard_output_and_there_is_no_report(name, recorded, program):
    done = program("report", recorded, f"--{name}", "-", text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    recording = read_recording(recorded)
    digested = aggregate([recording])
    results = Results([recording], summarize([recording], digested), digested)
    assert done.stdout.decode() == "".join(FORMATS[name](results))


def test_a_run_prints_one_too_even_a_quiet_one(echo_url, program):
    for words in ([], ["-q"]):
        done = program(echo_url, "-n", 50, "--csv", "-", *words)
        assert (done.returncode, done.stderr) == (0, "")
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert sum(int(row["sent"]) for row in rows) == 50


def test_json_is_printed_beside_files(recorded, program, tmp_path):
    done = program("report", recorded, "--json", "--csv", tmp_path / "x.csv")
    assert json.loads(done.stdout)["messages"]["answered"] == 200
    assert (tmp_path / "x.csv").exists()


def test_74_when_a_file_cannot_be_written_and_all_else_is_done(echo_url, program, tmp_path):
    missing = tmp_path / "no" / "x"
    path = tmp_path / "run.jsonl"
    words = ["--csv", missing, "--hgrm", tmp_path / "y", "-o", path]
    done = program(echo_url, "-n", 20, *words)
    assert done.returncode == ExitCode.OUTPUT_FAILED
    early, late = done.stderr.splitlines()
    folder = tmp_path / "no"
    assert early == (
        f"WARNING: --csv: {missing} cannot be written: there is no directory {folder}; all the rest is done without it"
    )
    assert late == f"ERROR: --csv: cannot write {missing}: no such file or directory; name another file"
    assert "p99" in done.stdout
    assert (tmp_path / "y").exists()
    assert read_recording(path).trailer is not None
    told = program("report", path, *words[:4])
    assert (told.returncode, told.stderr.splitlines()) == (ExitCode.OUTPUT_FAILED, [late])
    assert told.stdout.partition("\nthe same run again\n")[0] == done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_when_the_run_is_over(echo_url, program):
    done = program(echo_url, "-n", 20, "--junit", "/dev/full", "--json")
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr == "ERROR: --junit: cannot write /dev/full: no space left on device; name another file\n"
    assert json.loads(done.stdout)["messages"]["answered"] == 20


def test_a_worse_exit_code_stays(program, tmp_path):
    from ws_load_test.testing import unused_port

    with unused_port() as port:
        done = program(f"ws://127.0.0.1:{port}", "--csv", tmp_path / "no" / "x", "--junit", tmp_path / "y")
    assert done.returncode == ExitCode.NOTHING_OPENED
    assert "could not open a single connection" in (tmp_path / "y").read_text()


def test_the_summary_of_a_job_is_added_to(recorded, program, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("what came before\n\n")
    job = {**os.environ, "GITHUB_STEP_SUMMARY": str(path)}
    for _ in range(2):
        assert program("report", recorded, "--markdown", path, env=job).returncode == 0
    text = path.read_text()
    assert text.startswith("what came before\n\n### ws-load-test: ")
    assert text.count("### ws-load-test: ") == 2
    assert program("report", recorded, "--markdown", path).returncode == 0
    assert path.read_text().startswith("### ws-load-test: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--csv", ""], "--csv: names no file"),
        (["--csv", "--hdr", "x"], "--csv: is followed by what looks like an option"),
        (["--csv", "-", "--hdr", "-"], "--csv: standard output is taken by --hdr"),
        (["--json", "--csv", "-"], "--csv: standard output is taken by --json"),
        (["--csv", "x", "--hdr", "./x"], "--csv: x is the file of --hdr as well"),
        (["-o", "x", "--hdr", "x"], "--hdr: x is the recording, which it would overwrite"),
        (["--probe", "--csv", "x"], "--csv: a probe records nothing"),
    ],
    ids=str,
)
def test_files_that_exclude_each_other_are_refused_before_the_run(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ws://h:1/", *words]) == ExitCode.USAGE
    assert told in capsys.readouterr().err
    assert names(tmp_path) == []


def test_no_export_takes_the_place_of_a_recording_or_of_what_the_run_reads(recorded, tmp_path, capsys):
    before = recorded.read_bytes()
    assert main(["ws://h:1/", "--csv", str(recorded)]) == ExitCode.USAGE
    assert f"--csv: {recorded} is a recording, which it would overwrite" in capsys.readouterr().err
    assert recorded.read_bytes() == before
    feed = tmp_path / "users.csv"
    feed.write_text("name\nann\n")
    assert main(["ws://h:1/", "--feed", str(feed), "-m", "{feed.name}", "--html", str(feed)]) == ExitCode.USAGE
    assert "is a file that the run reads, which it would overwrite" in capsys.readouterr().err


def test_a_recording_is_overwritten_only_on_request(recorded, tmp_path, capsys):
    before, foreign, empty = recorded.read_bytes(), tmp_path / "notes.txt", tmp_path / "empty"
    foreign.write_text("mine")
    empty.touch()
    # Nothing is dialed before that is known: there is no such target.
    for path, what in ((recorded, "a recording already"), (foreign, "there already, and not empty")):
        assert main(["ws://h.invalid/", "-q", "-o", str(path)]) == ExitCode.USAGE
        assert f"--output: {path} is {what}; name another file, or add --force" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--force"):
        run(make_plan("ws://h.invalid/"), output=recorded)
    assert (recorded.read_bytes(), foreign.read_text()) == (before, "mine")
    for path in (empty, foreign):
        code = main(["ws://127.0.0.1:9/", "-q", "-w", "1", "-n", "1", "--force", "-o", str(path)])
        assert code == ExitCode.NOTHING_OPENED
        assert read_recording(path).trailer is not None


def test_a_recording_that_is_read_is_not_overwritten(recorded, capsys):
    before = recorded.read_bytes()
    assert main(["report", str(recorded), "--csv", str(recorded)]) == ExitCode.USAGE
    assert "--csv: " in capsys.readouterr().err
    assert recorded.read_bytes() == before


def test_a_plan_file_may_name_them(echo_url, program, tmp_path):
    (tmp_path / "plan.toml").write_text(f'url = "{echo_url}"\nmessages = 20\nmarkdown = "page.md"\n')
    assert program("--plan", "plan.toml", "-q", cwd=tmp_path).returncode == 0
    assert (tmp_path / "page.md").read_text().startswith("### ws-load-test: ")


def test_secrets_are_in_none_of_them(echo_url, program, tmp_path):
    url = echo_url.replace("://", "://someone:geheim1@") + "?token=geheim2"
    done = program(url, "-n", 20, "-H", "Authorization: Bearer geheim3", "--cookie", "a=geheim4", *all_of(tmp_path))
    assert done.returncode == 0
    for name in FORMATS:
        assert "geheim" not in (tmp_path / name).read_text()
