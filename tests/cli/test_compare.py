"""``ws-load-test compare``: what it reads, what it refuses, and its exit codes."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from factories.comparison import drawn
from ws_load_test.analysis.summary import summarize
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording_file import RecordingWriter, read_recording


def write(path, seed, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    made = drawn(np.random.default_rng(seed), **({"name": path.stem} | options))
    with RecordingWriter(path) as writer:
        writer.write_header(made.header)
        for interval in made.intervals:
            writer.write_interval(interval)
        writer.write_trailer(made.trailer)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return {
        "base": write(folder / "base.jsonl", 1),
        "same": write(folder / "same.jsonl", 2),
        "slow": write(folder / "slow.jsonl", 3, slower=1.5),
        "closed": write(folder / "closed.jsonl", 4, kind="closed"),
    }


def test_without_a_limit_the_exit_code_is_0_whatever_comes_out(files, capsys):
    assert main(["compare", files["base"], files["slow"]]) == ExitCode.PASSED
    assert "Worse: p10, p50" in capsys.readouterr().out


def test_a_regression_is_an_exit_code(files, capsys):
    limit = ["--fail-on-regression", "5%"]
    assert main(["compare", files["base"], files["slow"], *limit]) == ExitCode.THRESHOLD_FAILED
    assert "failed  --fail-on-regression 5 %" in capsys.readouterr().out
    assert main(["compare", files["base"], files["same"], *limit]) == ExitCode.PASSED
    assert main(["compare", files["slow"], files["base"], *limit]) == ExitCode.PASSED
    assert main(["compare", files["base"], files["slow"], "--fail-on-regression", "90%"]) == ExitCode.PASSED
    # One of several is enough.
    assert main(["compare", files["base"], files["same"], files["slow"], *limit]) == ExitCode.THRESHOLD_FAILED


def test_a_side_that_measured_nothing_is_an_exit_code(files, tmp_path, capsys):
    silent = write(tmp_path / "silent.jsonl", 5, per_s=0, failed=50)
    for sides in ((files["base"], silent), (silent, files["base"]), (silent, write(tmp_path / "b.jsonl", 6, per_s=0))):
        assert main(["compare", *sides]) == ExitCode.NOTHING_OPENED
    assert "no message was answered" in capsys.readouterr().out


def test_held_connections_are_not_compared_with_messages(files, tmp_path, capsys):
    rate = {"stages": [{"duration_ns": 10**10, "start": 0, "end": 0}]}
    held = write(tmp_path / "held.jsonl", 8, per_s=0, plan={"load": {"kind": "open", "rate": rate}})
    for sides in ((files["base"], held), (held, files["base"])):
        assert main(["compare", *sides]) == ExitCode.USAGE
        assert f"{held} only held its connections" in capsys.readouterr().err


def test_times_whose_replies_are_in_doubt_are_not_compared(files, tmp_path, capsys):
    doubted = write(tmp_path / "doubted.jsonl", 7, slower=1.5, surplus_replies=3)
    limit = ["--fail-on-regression", "5%"]
    assert main(["compare", files["base"], doubted]) == ExitCode.PASSED
    assert main(["compare", files["base"], doubted, *limit, "--json"]) == ExitCode.THRESHOLD_FAILED
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["comparisons"][0]
    assert not [one for one in told["metrics"] if one["unit"] == "ns"]
    assert "replies of" in told["failing"]


def test_data_and_files(files, tmp_path, capsys):
    wanted = ["--json", "--markdown", str(tmp_path / "c.md"), "--html", str(tmp_path / "c.html")]
    assert main(["compare", files["base"], files["slow"], "--confidence", "99%", *wanted]) == ExitCode.PASSED
    told = json.loads(capsys.readouterr().out)
    assert told["confidence"] == 0.99
    assert "**worse**" in (tmp_path / "c.md").read_text()
    assert "</html>" in (tmp_path / "c.html").read_text()
    assert main(["compare", files["base"], files["slow"], "--markdown", "-"]) == ExitCode.PASSED
    assert capsys.readouterr().out.startswith("### ws-load-test: Worse")
    lost = ["--markdown", str(tmp_path / "no" / "c.md")]
    assert main(["compare", files["base"], files["slow"], *lost]) == ExitCode.OUTPUT_FAILED


def test_standard_output_comes_last_so_that_a_reader_who_leaves_spoils_no_file(files, program, tmp_path):
    gone, end = os.pipe()
    os.close(gone)
    wanted = ("--markdown", "-", "--html", tmp_path / "c.html")
    try:
        done = program("compare", files["base"], files["slow"], *wanted, capture_output=False, stdout=end)
    finally:
        os.close(end)
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert "</html>" in (tmp_path / "c.html").read_text()


def test_a_directory_that_may_not_be_looked_into_is_reported(files, tmp_path, monkeypatch, capsys):
    def shut(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", shut)
    assert main(["compare", str(tmp_path), files["base"]]) == ExitCode.USAGE
    told = f'ws-load-test: compare: cannot look into the directory "{tmp_path}": Permission denied\n'
    assert capsys.readouterr() == ("", told)


def test_what_will_not_be_written_is_reported_in_words_for_a_comparison(files, tmp_path, capsys, caplog):
    lost = ["--markdown", str(tmp_path / "no" / "c.md")]
    assert main(["compare", files["base"], files["slow"], *lost]) == ExitCode.OUTPUT_FAILED
    assert "all the rest is done without it" in caplog.text
    assert "run goes on" not in caplog.text
    capsys.readouterr()


def test_directories_are_repeats(tmp_path, capsys):
    for number in range(4):
        write(tmp_path / "a" / f"{number}.jsonl", number, name=f"a{number}", seconds=2, per_s=100)
        write(tmp_path / "b" / f"{number}.jsonl", 9 + number, name=f"b{number}", seconds=2, per_s=100, slower=1.5)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == ExitCode.PASSED
    (told,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert told["units"] == {"kind": "recordings", "base": 4, "new": 4, "paired": False}
    assert told["verdict"] == "worse"
    assert main(["compare", str(tmp_path), str(tmp_path / "b")]) == ExitCode.USAGE
    assert f"did you mean {tmp_path / 'a'} {tmp_path / 'b'}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name two sides at least"),
        (["base"], "name two sides at least"),
        (["base", "base"], "named twice"),
        (["base", "closed"], "compare runs of the same load model"),
        (["base", "same", "--confidence", "much"], '--confidence: "much" is not a share'),
        (["base", "same", "--confidence", "100%"], "is not within 50% to 99.99%"),
        (["base", "same", "--fail-on-regression", "-5%"], "--fail-on-regression"),
        (["base", "same", "--fail-on-regression", "5ms"], '"5ms" is not a share; write for example 5%'),
        (["base", "missing"], "cannot read the recording"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, words, files, capsys):
    told = [files.get(argument, argument) for argument in arguments]
    assert main(["compare", *told]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert words in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")


def test_a_file_that_is_read_is_not_written(files, capsys):
    assert main(["compare", files["base"], files["same"], "--markdown", files["same"]]) == ExitCode.USAGE
    assert "would overwrite" in capsys.readouterr().err


def test_four_recordings_together_are_one_run_of_the_same_samples_bucket_for_bucket(tmp_path, capsys):
    rng = np.random.default_rng(5)
    paths = [write(tmp_path / f"{number}.jsonl", number, name=f"r{number}", seconds=3) for number in range(4)]
    one = Histogram()
    for number in range(4):
        chance = np.random.default_rng(number)
        chance.standard_normal(5)  # the connect times of its opening
        from factories.comparison import seconds_of

        for times in seconds_of(chance, 3, 200):
            # As one recorder would have seen them, one by one and in another order.
            for value in rng.permutation(times).tolist():
                one.record(value)
    merged = Histogram()
    for path in paths:
        for interval in read_recording(path).intervals:
            merged.merge(interval.tally.response_time_ns)
    assert list(merged.iter_buckets()) == list(one.iter_buckets())
    assert (merged.min, merged.max, merged.sum) == (one.min, one.max, one.sum)
    assert main(["report", *paths, "--json"]) == ExitCode.PASSED
    told = json.loads(capsys.readouterr().out)
    assert told["response_time_ns"] == one.stats()
    summary = summarize([read_recording(path) for path in paths])
    assert told["response_time_ns"] == msgspec.to_builtins(summary.response_time_ns)
