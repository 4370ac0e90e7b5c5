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
