"""The example that restarts one of two nodes under load."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[1] / "examples" / "rolling_restart.py"


def test_a_rolling_restart_is_one_wave_that_comes_back():
    spec = importlib.util.spec_from_file_location("rolling_restart", PATH)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    result = example.rolling_restart(60, "6s")
    (wave,), nodes = result.summary.waves, result.summary.nodes
    assert (wave.sessions, wave.closed, wave.abrupt) == (30, {"1012": 30}, 0)
    # Spread over half a second.
    assert 300_000_000 <= wave.to_ns - wave.from_ns <= 3_000_000_000
    assert wave.back_after_ns is not None
    assert {row.name: (row.sessions_at_start, row.sessions_at_end) for row in nodes.rows} == {
        "a": (30, 30),
        "b": (30, 30),
    }
    assert next(row.opened for row in nodes.rows if row.name == "b") == 60
    (command,) = result.recording.trailer.commands
    assert command.status == 0
    # A wave begins with its slot of 10 ms.
    assert command.at_ns <= wave.from_ns + 10_000_000
    # How soon it is back depends on what else the machine does, and is no matter of this test.
    assert [check.passed for check in result.summary.verdict.checks if check.metric == "waves.abrupt"] == [True]
