"""Steps, reactions and sessions of a scenario in files for other programs: each number of them."""

import csv
import io
from xml.etree import ElementTree as ET

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from factories.results import MILLI, recording, results, text_of
from factories.scenarios import plan, recorded, second
from ws_load_test.live.telemetry.snapshot import RunMetrics
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.metric_families import PREFIX
from ws_load_test.metrics.scenario_families import scenario_families
from ws_load_test.metrics.scenario_metrics import AT_DIAL
from ws_load_test.metrics.tally import Tally


@pytest.fixture(scope="module")
def made():
    return results(recorded(second(), second()))


def rows_of(made):
    return list(csv.DictReader(io.StringIO(text_of("csv", made))))


def test_the_table_of_intervals_has_steps_reactions_and_sessions():
    quiet = Tally()
    first, last = rows_of(results(recorded(second(), quiet)))
    assert (first["steps.writer/say.answered"], first["steps.writer/say.failed"]) == ("100", "6")
    assert first["steps.writer/say.max_ns"] == str(100 * MILLI)
    assert int(first["steps.writer/say.p50_ns"]) // MILLI == 50
    assert int(first["steps.writer/say.p99_ns"]) // MILLI == 99
    names = ("seen", "gaps", "missed", "repeats", "out_of_order", "stalls")
    assert [first[f"on.reader/tick.{name}"] for name in names] == ["90", "2", "5", "1", "1", "1"]
    assert "on.reader/typing.gaps" not in first
    counts = [first[f"sessions.{name}"] for name in ("due", "begun", "completed", "failed", "dropped")]
    assert counts == ["3", "2", "7", "3", "1"]
    assert first["unawaited"] == "6"
    assert (last["steps.writer/say.answered"], last["steps.writer/say.p99_ns"], last["on.reader/tick.seen"]) == (
        "0",
        "",
        "0",
    )


def test_a_table_without_a_scenario_has_none_of_its_columns():
    header = text_of("csv", results(recording())).splitlines()[0]
    assert not any(word in header for word in ("steps.", "on.", "sessions.", "unawaited"))


def samples(text):
    return {
        (family.name.removeprefix(PREFIX), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_sum", "_created"))
    }


def test_metrics_are_labeled_with_role_and_step(made):
    found = samples(text_of("openmetrics", made))
    say = (("role", "writer"), ("step", "say"))
    counts = {"due": 208, "sent": 206, "answered": 200, "unanswered": 6, "unawaited": 0, "dropped": 2, "stalls": 0}
    for name, count in counts.items():
        assert found[f"step_{name}", *say] == count
    assert found["step_faults", ("kind", "check-failed"), *say] == 4
    assert found["step_response_time_seconds", *say] == 200
    assert found["step_first_time_seconds", ("role", "writer"), ("step", "ask")] == 4
    assert found["reaction_gaps", ("reaction", "tick"), ("role", "reader")] == 4
    assert found["reaction_missed", ("reaction", "tick"), ("role", "reader")] == 10
    tick = (("reaction", "tick"), ("role", "reader"))
    assert (found["reaction_age_seconds", *tick], found["reaction_age_ahead_seconds", *tick]) == (172, 4)
    assert found["role_sessions_due", ("role", "writer")] == 7
    assert found["role_sessions_failed", ("role", "writer"), ("step", "say")] == 4
    assert found["role_sessions_failed", ("role", "reader"), ("step", AT_DIAL)] == 1
    assert found["role_iterations_dropped", ("role", "writer")] == 2
    assert found["role_iteration_time_seconds", ("role", "writer")] == 18
    assert found["messages_unawaited",] == 12


def test_buckets_of_a_step_are_cumulative(made):
    (family,) = (
        one for one in text_string_to_metric_families(text_of("openmetrics", made)) if "step_response" in one.name
    )
    of_say = [one for one in family.samples if one.labels.get("step") == "say" and one.name.endswith("_bucket")]
    assert [one.value for one in of_say] == sorted(one.value for one in of_say)
    (below,) = (one.value for one in of_say if one.labels["le"] == "0.05")
    assert below == 98, "49 of each 100: 50 ms counts as the highest time of its bucket"
    (total,) = (
        one.value for one in family.samples if one.labels == {"role": "writer", "step": "say"} and "_sum" in one.name
    )
    assert total == pytest.approx(2 * sum(range(1, 101)) / 1000)


def test_metrics_are_served_while_the_run_goes():
    metrics = RunMetrics(plan(), "0.1.0")
    for one in recorded().intervals:
        metrics.add_interval(IntervalEvent.decode(one))
    names = [family.name for family in metrics.latest.families]
    assert "step_response_time_seconds" in names
    assert len(names) == len(set(names))
    assert not list(scenario_families(Tally()))


def test_pushes_have_a_data_point_for_each_step():
    pytest.importorskip("opentelemetry.sdk")
    from ws_load_test.live.telemetry.otlp_encoding import OtlpEncoder

    metrics = RunMetrics(plan(), "0.1.0")
    for one in recorded().intervals:
        metrics.add_interval(IntervalEvent.decode(one))
    data = OtlpEncoder(metrics.info).translate(metrics.latest)
    found = {one.name: one for one in data.resource_metrics[0].scope_metrics[0].metrics}
    points = {
        (point.attributes["role"], point.attributes["step"]): point
        for point in found["ws_load_test.step_response_time"].data.data_points
    }
    assert points["writer", "say"].count == 100
    assert points["reader", "join"].max == 0.008
    assert sum(points["writer", "say"].bucket_counts) == 100
    (age,) = found["ws_load_test.reaction_age"].data.data_points
    (ahead,) = found["ws_load_test.reaction_age_ahead"].data.data_points
    assert (age.attributes["reaction"], age.count, ahead.count, ahead.max) == ("tick", 86, 2, 0.02)
    assert not found["ws_load_test.response_time"].data.data_points[0].attributes


def test_markdown_has_the_steps_and_the_sessions(made):
    text = text_of("markdown", made)
    assert "| writer | say | 206 | 50.0 ms | 99.0 ms | 100 ms | 12 |" in text
    assert "| writer | first | 4 | 30.0 ms | 40 ms | 40 ms |  |" in text
    assert "| tick | 180 | 88/s | 4 \\(10\\) | 2 | 2 | 2 | 42.0 ms | 86 ms |" in text
    assert "Sessions: 16 due, 14 begun, 14 completed, 7 failed \\(4 at writer/say, 2 at writer/ask, 1 at" in text
    assert "unawaited" in text
    assert "unawaited" not in text_of("markdown", results(recording()))


def test_test_results_have_the_steps_as_properties(made):
    root = ET.fromstring(text_of("junit", made).encode())
    found = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert (found["sessions.due"], found["sessions.failed"], found["sessions.dropped"]) == ("16", "7", "2")
    assert (found["steps.writer/say.p99"], found["steps.writer/say.failed"]) == ("99.0 ms", "12")
    assert found["steps.writer/leave.p99"] == "–"


def test_json_has_what_the_summary_has(made):
    data = msgspec.to_builtins(made.summary)
    assert [one["name"] for one in data["roles"]] == ["reader", "writer"]
    assert {one["name"] for one in data["steps"]} == {"join", "say", "ask", "typing", "beat", "leave"}
    assert [one["name"] for one in data["on"]] == ["tick", "typing"]
    assert data["sessions"]["failed"] == 7
