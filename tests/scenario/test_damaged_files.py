"""Damaged scenarios: each is a plan, or is refused in a sentence for each of its problems."""

import random
from pathlib import Path

import pytest

from test_fuzzed_plan_files import EVIL
from ws_load_test.common.errors import PlanError, UsageError
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file
from ws_load_test.plan.scenario.explain import explain_scenario

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
NAMES = ("graphql", "market-data", "socket-io", "stomp")
"""Some of the examples without a feed."""
MUTANTS = 8
"""Damaged files of each example; 3,000 others were read once."""
LONGEST_PROBLEM = 1000


def damaged(lines, rng):
    lines = list(lines)
    for _ in range(rng.randint(1, 3)):
        place, kind = rng.randrange(len(lines)), rng.random()
        if kind < 0.5 and "=" in lines[place]:
            lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(EVIL)}"
        elif kind < 0.7:
            del lines[place]
        elif kind < 0.85:
            other = rng.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        else:
            lines.insert(place, rng.choice(lines))
    return "\n".join(lines)


def refusal_of(file):
    """Returns the problems of a plan file; none of one that can be read, and put into words."""
    try:
        plan = read_plan(read_plan_file(file))
    except PlanError as error:
        return [str(problem) for problem in error.problems]
    except UsageError as error:
        return [str(error)]
    assert describe_plan(plan)
    assert command_line(plan.redacted())
    assert plan.scenario is None or explain_scenario(plan, 80)
    return []


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_scenario_is_a_plan_or_refused_in_sentences(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("TOKEN", "LOGIN", "PASSCODE"):
        monkeypatch.setenv(variable, "x")
    rng, path = random.Random(name), tmp_path / "f.toml"
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    refused = 0
    for _ in range(MUTANTS):
        path.write_text(damaged(lines, rng))
        texts = refusal_of("f.toml")
        refused += bool(texts)
        assert all("\n" not in text and len(text) < LONGEST_PROBLEM for text in texts if ": role" in text)
    assert refused > MUTANTS / 2
