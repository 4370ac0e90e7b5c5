"""The option --scenario: one role of Python over all connections, as a plan file's `python =` would make it."""

import pytest

from ws_load_test import make_plan
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode, PlanError
from ws_load_test.experiments.capacity.search_options import dimension_of
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.options.catalog import BY_NAME

URL = "ws://h:1/"
GAME = """
from ws_load_test import Session, role

@role
async def player(session: Session) -> None:
    async for _ in session.iterations():
        await session.exchange("a", until="contains:a", name="ask")

player.on("contains:noise", name="noise")
"""


@pytest.fixture
def game(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "game.py").write_text(GAME)
    return "game.py:player"


def problems_of(**options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    return {problem.option: problem.text for problem in caught.value.problems}


def test_it_is_the_plan_that_a_role_table_makes(game):
    plan = make_plan(URL, scenario=game, connections=30, rate="2k", rooms=3)
    assert plan == make_plan(URL, role={"player": {"python": game, "rate": "2k"}}, connections=30, rooms=3)
    (role,) = plan.scenario.roles
    assert (role.name, role.sessions, role.rate_per_s, role.python) == ("player", 30, 2000, game)
    assert [one.name for one in role.reactions] == ["noise"]


def test_without_a_rate_each_iteration_follows_the_one_before(game):
    (role,) = make_plan(URL, scenario=game).scenario.roles
    assert (role.sessions, role.rate_per_s) == (1, None)


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"role": {"user": {"python": "game.py:player"}}}, "--scenario", "cannot stand beside roles"),
        ({"rate": 0}, "--rate", "0 is no rate"),
        ({"scenario": "game.py"}, "--scenario", "names no coroutine; write FILE.py:NAME"),
        ({"scenario": "game.py:plaer"}, "--scenario", 'has no role "plaer"; it has player'),
        ({"scenario": "gone.py:player"}, "--scenario", "there is no such file"),
        ({"scenario": 3}, "--scenario", ""),
        ({"message": "x"}, "--message", "a scenario sends what the steps of its roles say"),
        ({"stages": "1s:5"}, "--stages", "is not of a plan with roles"),
    ],
)
def test_a_refusal_names_the_option(game, options, option, text):
    found = problems_of(**{"scenario": game, **options})
    assert list(found) == [option]
    assert text in found[option]


def test_it_is_explained_with_its_rate(game, capsys):
    assert main([URL, "--scenario", game, "-c", "4", "--rate", "50", "--explain"]) == ExitCode.PASSED
    printed = capsys.readouterr().out
    assert "player: 4 sessions\n" in printed
    assert f"the coroutine {game}\n" in printed
    assert "50/s over all sessions, on a schedule\n" in printed


def test_no_export_overwrites_its_file(game, tmp_path, capsys):
    assert main([URL, "--scenario", game, "--html", "game.py", "-c", "1"]) == ExitCode.USAGE
    assert "is a file that the run reads" in capsys.readouterr().err
    assert (tmp_path / "game.py").read_text() == GAME


def test_a_capacity_search_varies_its_sessions(game):
    assert dimension_of({"scenario": game}, None) == "sessions"


def test_only_a_plain_role_of_its_own_name_is_written_with_it(game):
    written = command_line(make_plan(URL, scenario=game, rate=5, workers=1))
    assert f"--scenario {game}" in written
    assert "--plan" not in written
    for table in ({"python": game, "stay": "1s"}, {"python": game, "iterations": 2}):
        assert "--plan FILE" in command_line(make_plan(URL, role={"player": table}))
    assert "--plan FILE" in command_line(make_plan(URL, role={"other": {"python": game}}))


def test_options_that_need_roles_name_it():
    assert all("scenario" in names for name in ("rooms", "ping_interval") for names in BY_NAME[name].requires)
