"""Recordings of format 1, as the version that wrote them summarized them: no number may have changed since."""

import json
from pathlib import Path

import msgspec
import pytest

from ws_load_test.analysis.summary import summarize
from ws_load_test.metrics.recording_file import read_recording

FOLDER = Path(__file__).parents[1] / "data" / "recordings_v1"
NAMES = ("by_id", "closed", "lifetime", "none", "open", "stages", "storm", "unkind")
MESSAGES = {
    "duplicates": "duplicate_replies",
    "late": "late_replies",
    "mismatched": "unknown_id",
    "skipped": "greetings",
}
RENAMED = {
    "": {"reopen_time_ns": "reconnect_time_ns", "storm": "reconnect_storm", "unkind": "misbehaving"},
    "connections": {
        "called_off": "cancelled",
        "reopened": "reconnected",
        "renewed": "recycled",
        "reasons": "close_reasons",
    },
    "messages": MESSAGES,
    "bytes": {"plain_sent": "uncompressed_sent", "plain_received": "uncompressed_received"},
    "storm": {"dropped": "disconnected"},
    "unkind.connections": {"slow": "slow_reader", "deaf": "stalled_reader", "mute": "no_pong"},
    "unkind.messages": MESSAGES,
    "faults": {"mismatch": "check-failed"},
    "generator": {"bound": "saturated"},
}
"""Keys of schema 1 that have another name now, by the path of their object."""
CONDITIONS = {
    "reopen.p99 > 5s": "reconnect.p99 > 5s",
    "faults.mismatch > 0": "faults.check-failed > 0",
    "late > 100000": "late_replies > 100000",
    "reopen.p99": "reconnect.p99",
    "faults.mismatch": "faults.check-failed",
    "late": "late_replies",
}
SENTENCES = ("warnings", "generator.reasons")
"""Lists of sentences, whose wording may change."""


def renamed(value, path, used):
    """Returns a part of a summary of schema 1 with the keys of schema 2; notes in `used` which names have changed."""
    if isinstance(value, dict):
        names = RENAMED.get(path, {})
        used |= {(path, key) for key in value.keys() & names.keys()}
        return {names.get(key, key): renamed(one, f"{path}.{key}".lstrip("."), used) for key, one in value.items()}
    if isinstance(value, list):
        return len(value) if path in SENTENCES else [renamed(one, path, used) for one in value]
    if path in ("verdict.checks.check", "verdict.checks.metric"):
        return CONDITIONS.get(value, value)
    return 2 if path == "schema" else value


def summary_of(path):
    summary = json.loads(msgspec.json.encode(summarize([read_recording(path)])))
    summary["warnings"], summary["generator"]["reasons"] = (
        len(summary["warnings"]),
        len(summary["generator"]["reasons"]),
    )
    return summary


def expected(name, used):
    return renamed(json.loads((FOLDER / f"{name}.json").read_bytes()), "", used)


def without_additions(value, old):
    """Returns a summary without the keys that the old one had not yet, which must be empty: nothing was recorded."""
    if not isinstance(value, dict) or not isinstance(old, dict):
        return value
    return {key: without_additions(one, old.get(key)) for key, one in value.items() if key in old or one}


@pytest.mark.parametrize("name", NAMES)
def test_no_number_has_changed(name):
    old, now = expected(name, set()), summary_of(FOLDER / f"{name}.jsonl")
    if name == "storm":
        # It has a condition on replies that fail a check, and checked none: that has no value any more.
        assert now["verdict"]["checks"][0] == old["verdict"]["checks"][0]
        del old["verdict"], now["verdict"]
    # The command line follows from the plan, and counts nothing.
    assert now.pop("command").startswith("ws-load-test ")
    assert without_additions(now, old) == old


def test_every_renamed_key_occurs():
    used = set()
    for name in NAMES:
        expected(name, used)
    assert used == {(path, key) for path, names in RENAMED.items() for key in names}
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_loop_has_its_service_times_from_its_plan(name):
    recording = read_recording(FOLDER / f"{name}.jsonl")
    tallies = [interval.tally for interval in recording.intervals]
    assert {tally.due_when_sent for tally in tallies} == {recording.header.plan["load"]["kind"] == "closed"}
    for tally in tallies:
        assert tally.service_times_ns.count == tally.response_time_ns.count


def test_service_times_that_were_kept_apart_stay_apart(tmp_path):
    lines = (FOLDER / "closed.jsonl").read_text().splitlines()
    changed = []
    for line in map(json.loads, lines):
        if line["kind"] == "interval" and "response_time_ns" in line["tally"]:
            line["tally"]["service_time_ns"] = line["tally"]["response_time_ns"]
        changed.append(json.dumps(line))
    path = tmp_path / "both.jsonl"
    path.write_text("\n".join(changed))
    recording = read_recording(path)
    assert not any(one.tally.due_when_sent for one in recording.intervals if one.tally.response_time_ns.count)
    summary = summary_of(path)
    assert summary["service_time_ns"] == summary["response_time_ns"]
