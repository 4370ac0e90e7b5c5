"""The name of a run (--name) is on everything that shows the run."""

import json

import msgspec
import pytest

from factories.results import MILLI, answers, interval, recording, results
from ws_load_test import PlanError, make_plan
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.recording import Recording
from ws_load_test.plan.describe import describe_plan
from ws_load_test.report.exports import FORMATS
from ws_load_test.report.html.run import page
from ws_load_test.report.terminal.run import report_lines

NAME = "checkout, with the cache"


def named(name=NAME, count=6):
    made = recording(*(interval(answers(*[MILLI] * 40, opened=1, attempted=1), index=at) for at in range(count)))
    header = msgspec.structs.replace(made.header, plan={**made.header.plan, "name": name})
    return Recording(header, made.intervals, made.trailer)


def test_a_plan_has_a_name_of_one_line():
    assert make_plan("ws://h", name="  a\n b ").name == "a b"
    assert dict(describe_plan(make_plan("ws://h", name="a")))["name"] == "a"
    for wrong in ("", " ", "x" * 81, "a\x1bb", 5):
        with pytest.raises(PlanError, match="name"):
            make_plan("ws://h", name=wrong)


def test_reports_show_the_name():
    made = results(named())
    assert NAME in [line.plain for line in report_lines(made.recordings, made.summary)]
    head, _ = page(made)
    assert head.lines[1].startswith(f"{NAME}, ws-load-test")
    assert NAME in "".join(FORMATS["markdown"](made)).replace("\\", "")
    assert made.summary.name == NAME
    assert results(named(), named("b")).summary.name == f"{NAME}, b"
    assert results(recording(interval(answers(MILLI)))).summary.name == ""
    assert results(named({"a": 1})).summary.name == ""


def test_compare_names_its_sides(tmp_path, capsys):
    for file, name in (("a.jsonl", "before"), ("b.jsonl", "after")):
        made = named(name)
        lines = [msgspec.json.encode(part) for part in (made.header, *made.intervals, made.trailer)]
        (tmp_path / file).write_bytes(b"\n".join(lines) + b"\n")
    paths = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    code = main(["compare", *paths, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == ExitCode.PASSED, told
    text = json.dumps(told)
    assert f"before ({paths[0]})" in text
    assert f"after ({paths[1]})" in text


@pytest.mark.parametrize("command", [["ab", "ws://a:1", "ws://b:1"], ["capacity", "ws://a:1", "--slo", "p99 < 1s"]])
def test_several_runs_have_no_one_name(command, capsys):
    assert main([*command, "--name", "x"]) == ExitCode.USAGE
    assert "--name: " in capsys.readouterr().err
