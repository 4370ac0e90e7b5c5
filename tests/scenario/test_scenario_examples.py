"""The scenarios of `examples/scenarios`: each is read without a problem, and as it was meant."""

from pathlib import Path

import pytest

from ws_load_test.plan.options.read_plan import read_plan, read_plan_file

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.toml"))
SESSIONS = {
    "api-gateway": {"member": 380, "writer": 20},
    "built-in-chat": {"reader": 180, "writer": 20},
    "chat": {"reader": 360, "writer": 40},
    "game": {"player": 50},
    "graphql": {"watcher": 480, "editor": 20},
    "json-rpc": {"listener": 240, "caller": 60},
    "language-model": {"user": 200},
    "market-data": {"listener": 5000},
    "phoenix": {"user": 396, "poster": 4},
    "rolling-deploy": {"reader": 4900, "writer": 100},
    "socket-io": {"member": 1900, "speaker": 100},
    "stomp": {"subscriber": 1000, "publisher": 100},
}
FEEDS = {
    "users.csv": "name,token\n" + "".join(f"n{number},t{number}\n" for number in range(400)),
    "tokens.csv": "token\n" + "".join(f"t{number}\n" for number in range(400)),
    "questions.jsonl": '{"question": "Why?"}\n',
}


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """The files and variables that the examples name."""
    for name, text in FEEDS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for name in ("TOKEN", "LOGIN", "PASSCODE", "MODEL", "API_KEY"):
        monkeypatch.setenv(name, f"{name.lower()}-of-mine")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_without_a_problem(surroundings, name):
    # Rows of a feed are checked one by one, and thousands of them take a second.
    fewer = {"connections": 400, "rooms": 4} if name in {"api-gateway", "phoenix", "chat"} else {}
    plan = read_plan(read_plan_file(str(FOLDER / f"{name}.toml")) | fewer)
    assert not plan.warnings
    assert {role.name: role.sessions for role in plan.scenario.roles} == SESSIONS[name]
    assert plan.connections == sum(SESSIONS[name].values())
    assert plan.load.describe() == "the roles of the scenario"


def test_all_examples_begin_with_the_schema():
    assert sorted(SESSIONS) == EXAMPLES
    assert all(
        (FOLDER / f"{name}.toml").read_text().startswith("#:schema plan-file.schema.json\n") for name in EXAMPLES
    )
