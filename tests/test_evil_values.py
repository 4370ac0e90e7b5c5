"""Values that no option can use, for every row of the catalogue: refused at once, in one sentence."""

import re
import time

import pytest

from ws_load_test import PlanError, make_plan
from ws_load_test.cli import main
from ws_load_test.cli.comparison_output import parse_terms
from ws_load_test.common.errors import ExitCode
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.live.telemetry.settings import read_settings
from ws_load_test.plan.options.catalog import OPTIONS, parse_options
from ws_load_test.plan.options.spec import Owner
from ws_load_test.plan.thresholds import parse_condition

URL = "ws://h:1/"
EVIL = (
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "-1",
    "-0.0001",
    "1e999999k",
    "1e999999",
    "1e-999999",
    "1e400",
    "9" * 24,
    "9" * 5000,
    "0." + "3" * 5000,
    "1,5",
    "1.000,5",
    "0x10",
    "1__0",
    "_1",
    "1_",
    "١٢",
    "１２",
    "²",
    "1 0",
    "1\n2",
    "1\0",
    "--1",
    "+1",
    "1;1",
    "1/0",
    "True",
    "null",
    "{}",
    "💥",
    "\udcff",
)
"""Texts that are no number, duration, size, rate or share in range."""
OF_SCRIPTS = (float("nan"), float("inf"), -1, -0.5, 10**30, 1e300, True, [], {}, [1], {"a": 1}, b"1", object(), 1j)
"""Values besides texts that a script or a plan file can give for a number."""
NUMERIC = {
    "N", "RATE", "TIME", "SHARE", "AMOUNT", "PORT", "SIZE", "POLICY",
    "N|all", "TIME:RATE,...", "TIME:N,...", "N,N,...", "SHARE@TIME", "SHARE:SPEED",
}  # fmt: skip
ROWS = [option for option in OPTIONS if option.metavar in NUMERIC]


def problem_of(option, value):
    """Returns what the option's own part of the program says of a value; None where it takes it."""
    given = {option.name: value}
    try:
        if option.owner is Owner.CAPACITY:
            read_spec({"url": URL, **given})
        elif option.owner is Owner.METRICS:
            problems = read_settings({"metrics_port": "0", **given})[1]
            return str(problems[0]) if problems else None
        elif option.owner in {Owner.AB, Owner.CLUSTER}:
            problems = parse_options(given, [option])[1]
            return str(problems[0]) if problems else None
        elif option.owner is Owner.COMPARISON:
            terms = {"confidence": None, "fail_on_regression": None, **given}
            parse_terms(terms["confidence"], terms["fail_on_regression"], {}, as_json=False, kept={})
        else:
            beside = {"rate": 5} if option.name in {"max_in_flight", "ping_interval", "connection_stages"} else {}
            beside |= {"rate": 5, "arrivals": "poisson"} if option.name == "seed" else {}
            beside |= {"abort_if": "p99 > 1s"} if option.name == "abort_grace" else {}
            beside |= {"message": ["a", "b"]} if option.name == "weights" else {}
            make_plan(URL, **beside, **given)
    except PlanError as error:
        # What else the value makes impossible may follow.
        return next((str(one) for one in error.problems if option.name.replace("_", "-") in one.option), str(error))
    return None


@pytest.mark.parametrize("option", ROWS, ids=lambda option: option.name)
def test_every_number_has_a_range_that_is_checked_first(option):
    for value in (*EVIL, *OF_SCRIPTS):
        if option.name == "weights" and value == "1,5":
            continue
        started = time.perf_counter()
        problem = problem_of(option, value)
        assert problem is not None, f"{value!r:.40} is taken"
        assert len(problem) < 400, problem
        assert "\n" not in problem
        assert time.perf_counter() - started < 1, f"{value!r:.40} takes long"


@pytest.mark.parametrize("metric", ["p99", "due", "errors", "rate", "bytes_sent", "any connect.p95"])
def test_the_limit_of_a_condition_has_a_range_as_well(metric):
    for limit in EVIL:
        started = time.perf_counter()
        with pytest.raises(ValueError, match="write") as caught:
            parse_condition(f"{metric} < {limit}")
        assert len(str(caught.value)) < 500
        assert "\n" not in str(caught.value)
        assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-c", "99999999999999999999999"], "--connections: "),
        (["-c", "1,5"], '--connections: "1,5" has a comma'),
        (["-r", "1e999999k"], "--rate: "),
        (["-r", "1e8", "-d", "300ms"], '--rate: "1e8" is more than'),
        (["--rate-per-connection", "1e6", "-c", "100"], "--rate-per-connection: "),
        (["--ramp", "1ns", "-c", "100"], "--ramp: "),
        (["--fail-if", "rate<1e999999k"], "--fail-if: "),
        (["--fail-if", "due<1,5"], "--fail-if: "),
        (["-d", "1,5s"], "a point where there is a comma"),
        (["-d", "1μs"], ""),
        (["-d", "1µs"], ""),
        (["-d", "1_000ms"], ""),
        (["-c", "1_000"], ""),
    ],
)
def test_a_number_on_the_command_line_is_taken_or_refused_with_its_option(arguments, words, capsys):
    code = main([URL, *arguments, "--explain"])
    said = capsys.readouterr()
    assert code == (ExitCode.USAGE if words else ExitCode.PASSED)
    assert words in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("path", ["", "a\0b", "-", "--json"])
def test_a_recording_needs_a_file(path):
    problems = parse_options({"output": path}, [option for option in OPTIONS if option.name == "output"])[1]
    assert len(problems) == 1


def test_the_rows_are_those_with_a_number():
    words = re.compile(r"\b(N|RATE|TIME|SIZE|SHARE|SPEED|AMOUNT)\b|^PORT$")
    # Rooms can have any names, and a command any text behind its time.
    taken = {option.name for option in OPTIONS if words.search(option.metavar)} - {"rooms", "run_at"}
    assert taken <= {option.name for option in ROWS}
