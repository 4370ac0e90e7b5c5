"""The runner of the Autobahn suite: what it takes for a pass, and what it does where there is no suite."""

import importlib
import json
import sys
import threading
from pathlib import Path

import pytest

from ws_load_test.engine.registry import why_missing
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

DIRECTORY = Path(__file__).parents[2] / "conformance"


@pytest.fixture
def autobahn(monkeypatch):
    monkeypatch.syspath_prepend(str(DIRECTORY))
    yield importlib.import_module("autobahn")
    for name in ("autobahn", "suite", "adapter", "native_adapter"):
        sys.modules.pop(name, None)


def entry(tmp_path, behavior, closing):
    details = {"description": "a<br>b", "expectation": "c", "result": "d", "resultClose": "e"}
    (tmp_path / "case.json").write_text(json.dumps(details))
    return {"behavior": behavior, "behaviorClose": closing, "reportfile": "case.json"}


@pytest.mark.parametrize(
    ("behavior", "closing", "outcome"),
    [
        ("OK", "OK", "passed"),
        ("NON-STRICT", "OK", "non-strict"),
        ("INFORMATIONAL", "INFORMATIONAL", "informational"),
        ("OK", "INFORMATIONAL", "informational"),
        ("INFORMATIONAL", "NON-STRICT", "non-strict"),
        ("FAILED", "OK", "failed"),
        ("OK", "FAILED", "failed"),
        ("OK", "UNCLEAN", "failed"),
        ("OK", "WRONG CODE", "failed"),
        ("UNIMPLEMENTED", "OK", "failed"),
        ("NON-STRICT", "UNCLEAN", "failed"),
    ],
)
def test_a_case_is_what_the_worse_of_its_two_results_is(autobahn, tmp_path, behavior, closing, outcome):
    assert autobahn.judge("1.1.1", entry(tmp_path, behavior, closing), tmp_path).outcome == outcome


def test_a_case_without_a_result_has_failed(autobahn, tmp_path):
    assert autobahn.judge("1.1.1", None, tmp_path).outcome == "failed"


def test_a_case_that_did_not_pass_tells_what_was_expected(autobahn, tmp_path):
    said = autobahn.judge("1.1.1", entry(tmp_path, "FAILED", "OK"), tmp_path).said
    assert "a b" in said
    assert "expected: c" in said


def test_compression_is_offered_where_the_suite_tests_it(autobahn):
    assert autobahn.offer_for("1.1.1") is None
    assert autobahn.offer_for("9.12.1") is None
    assert autobahn.offer_for("12.5.18") == "client_max_window_bits"
    assert "server_max_window_bits=9" in autobahn.offer_for("13.3.1")
    assert {autobahn.offer_for(f"13.{number}.1") is not None for number in range(1, 8)} == {True}


def test_quick_leaves_out_no_group(autobahn):
    assert {autobahn.group_of(pattern) for pattern in autobahn.QUICK} == set(autobahn.GROUPS)


def test_quick_has_small_messages_only_but_for_one_subgroup(autobahn):
    single = [pattern for pattern in autobahn.QUICK if "*" not in pattern]
    assert len(single) == (4 + 7) * 9
    assert max(autobahn.size_rank(case) for case in single) == 7
    assert "12.1.*" in autobahn.QUICK


def test_cases_run_with_others_of_their_size(autobahn):
    cases = ["12.1.18", "12.1.11", "9.1.6", "12.1.2", "13.7.12", "13.1.10"]
    assert sorted(cases, key=autobahn.size_rank) == ["9.1.6", "12.1.2", "12.1.11", "13.7.12", "12.1.18", "13.1.10"]


@pytest.mark.parametrize("name", ["adapter", "native_adapter"])
def test_the_adapters_send_back_what_comes(autobahn, name):
    if name == "native_adapter" and (missing := why_missing("native")):
        pytest.skip(missing)
    adapter = importlib.import_module(name)
    texts = [
        frames.encode_frame(frames.TEXT, b"a text"),
        frames.encode_frame(frames.TEXT, b"in two ", fin=False) + frames.encode_frame(frames.CONTINUATION, b"parts"),
        frames.encode_frame(frames.PING, b"there?") + frames.encode_frame(frames.BINARY, b"\xff" * 70_000),
    ]
    came, done = [], threading.Event()

    async def behave(peer):
        await peer.upgrade()
        for text in texts:
            # The second begins in the read of the first's end.
            await peer.send_raw(text[:3])
            await peer.send_raw(text[3:])
        came.extend([await peer.read_frame() for _ in range(4)])
        await peer.send_frame(frames.TEXT, b"\xc0 is no text")
        came.append(await peer.read_frame())
        done.set()

    with FaultyServer(behave) as server:
        assert adapter.run(adapter.talk(server.url, None, True)) == b"a text"
        assert done.wait(60)
        assert server.seen.violations == []
    # A pong may overtake the answers to what came before its ping.
    assert sorted((frame.opcode, frame.payload[:12]) for frame in came) == [
        (frames.TEXT, b"a text"),
        (frames.TEXT, b"in two parts"),
        (frames.BINARY, b"\xff" * 12),
        (frames.CLOSE, frames.close_payload(frames.INVALID_DATA, "")),
        (frames.PONG, b"there?"),
    ]


@pytest.mark.parametrize(("options", "code"), [([], 2), (["--optional"], 0)])
def test_without_python_2_7_it_says_so(autobahn, monkeypatch, capsys, options, code):
    monkeypatch.setenv("PYTHON27", sys.executable)
    monkeypatch.setattr(sys, "argv", ["autobahn.py", "--cases", "1.1.1", "--output", "unused", *options])
    assert autobahn.main() == code
    assert "NOT RUN: PYTHON27 names" in capsys.readouterr().out


def test_a_python_of_another_version_is_not_taken(autobahn, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHON27", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "python2.7").symlink_to(sys.executable)
    with pytest.raises(autobahn.NoPython27Error, match=r"no CPython 2\.7 found"):
        autobahn.find_python27()
