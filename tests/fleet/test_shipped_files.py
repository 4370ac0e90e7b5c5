"""Files that a plan names, on their way to machines that do not have them."""

import stat

import msgspec
import pytest

from ws_load_test import make_plan
from ws_load_test.common.errors import UsageError
from ws_load_test.fleet.cluster import shipped_files
from ws_load_test.messages.feed import cycle_rows


@pytest.fixture
def plan(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("ca.pem", "me.pem", "me.key"):
        (here / name).write_text(name)
    (here / "users.csv").write_text("name\nann\nbob\n")
    return make_plan(
        "wss://h", message="{feed.name}", feed="users.csv", cacert="ca.pem", cert="me.pem", key="me.key", workers=1
    )


def test_what_workers_read_is_found_and_carried_over(plan, tmp_path, monkeypatch):
    contents = shipped_files.read_all(plan)
    assert contents == {"cacert": b"ca.pem", "cert": b"me.pem", "key": b"me.key", "feed": b"name\nann\nbob\n"}
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    moved = shipped_files.write_all(plan, contents, there)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in there.iterdir()} == dict.fromkeys(
        ("cacert-ca.pem", "cert-me.pem", "key-me.key", "feed-users.csv"), 0o600
    )
    assert moved.target.key == str(there / "key-me.key")
    rows = cycle_rows(moved.message.feed)
    assert [list(next(rows)) for _ in range(3)] == [["ann"], ["bob"], ["ann"]]
    # All else is as it was.
    paths = {"cacert": plan.target.cacert, "cert": plan.target.cert, "key": plan.target.key}
    back = msgspec.structs.replace(moved, target=msgspec.structs.replace(moved.target, **paths), message=plan.message)
    assert back == plan


GAME = """
from ws_load_test import role
import json, wlt_board
from wlt_lib import moves

@role
async def player(session):
    import wlt_late
"""


def test_code_comes_with_the_modules_beside_it(tmp_path, monkeypatch):
    files = {
        "game/game.py": GAME,
        "game/wlt_board.py": "import os",
        "game/wlt_late.py": "from wlt_lib.deep import chess",
        "game/wlt_lib/__init__.py": "",
        "game/wlt_lib/moves.py": "from . import rules\nfrom .deep import *\ndef late():\n    import wlt_missing",
        "game/wlt_lib/rules.py": "import wlt_board",
        "game/wlt_lib/deep/__init__.py": "from .. import other",
        "game/wlt_lib/deep/chess.py": "",
        "game/wlt_lib/other.py": "",
        "game/json.py": "raise Exception('hidden by that of Python')",
        "game/wlt_unused.py": "",
        "other/game.py": GAME.replace("json, wlt_board\nfrom wlt_lib import moves", "wlt_other"),
        "other/wlt_other.py": "other = True",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    role = {name: {"sessions": 1, "python": f"{name}/game.py:player"} for name in ("game", "other")}
    role["twin"] = role["game"]
    plan = make_plan("ws://h", role=role, workers=1)
    contents = shipped_files.read_all(plan)
    unshipped = {"game/json.py", "game/wlt_unused.py"}
    by_place = {f"scenario/{number}": name for number, name in enumerate(("game", "other"))}
    assert {
        f"{by_place[key[: len('scenario/0')]]}{key[len('scenario/0') :]}": value.decode()
        for key, value in contents.items()
    } == {name: text for name, text in files.items() if name not in unshipped}
    name = shipped_files.shipment_name(plan, contents)
    there = tmp_path / "there"
    there.mkdir()
    moved = shipped_files.write_all(plan, contents, there)
    for path in files:
        (tmp_path / path).unlink()
    assert shipped_files.with_paths(plan, there) == moved
    game, other, twin = (one.python for one in moved.scenario.roles)
    assert (game, other) == (f"{there}/scenario/0/game.py:player", f"{there}/scenario/1/game.py:player")
    assert twin == game, "roles of one file share what is in it"
    assert (there / "scenario/1/wlt_other.py").read_text() == "other = True"
    assert name


def test_a_plan_without_files_stays_as_it_is(tmp_path):
    plan = make_plan("ws://h")
    assert shipped_files.read_all(plan) == {}
    assert shipped_files.write_all(plan, {}, tmp_path) == plan


def test_a_file_that_is_too_large_or_gone_is_reported(plan, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped_files, "MAX_FILE_BYTES", 12)
    with pytest.raises(UsageError, match=r'--feed: "users.csv" has 13 B, and files of up to 12 B are sent along'):
        shipped_files.read_all(plan)
    (tmp_path / "here" / "ca.pem").unlink()
    with pytest.raises(UsageError, match=r'--cacert: cannot read "ca.pem": No such file'):
        shipped_files.read_all(plan)


def test_messages_that_are_too_large_together_are_refused(monkeypatch):
    monkeypatch.setattr(shipped_files, "MAX_FILE_BYTES", 1000)
    assert shipped_files.read_all(make_plan("ws://h", message=["a" * 500, "b" * 500])) == {}
    with pytest.raises(UsageError, match=r"the messages have 1.00 kB together, and up to 1 kB are sent along"):
        shipped_files.read_all(make_plan("ws://h", message=["a" * 500, "b" * 500], first_message="c"))
