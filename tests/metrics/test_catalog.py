"""The metric catalogue: a new count is one row in it and the line that counts it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ws_load_test
from ws_load_test.metrics.catalog import (
    CONDITION_METRICS,
    COUNT_FIELDS,
    DERIVED,
    EXCLUDED_FROM_WARMUP,
    HISTOGRAM_FIELDS,
    LABELED_FIELDS,
    METRICS,
    PART_CONDITIONS,
    PER_HOST_FIELDS,
    WHOLE_RUN,
)
from ws_load_test.metrics.metric_families import counter_families, histogram_families
from ws_load_test.metrics.scenario_metrics import RoleTally
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.exports.csv_intervals import COLUMNS, FIRST_COLUMNS

SOURCE = Path(ws_load_test.__file__).parent
STREAMED = Tally(streamed=1)
"""Tally of a run whose answers are many messages."""
FANNED_OUT = Tally(deliveries_expected=1)
"""Tally of a fan-out."""
ROW = """
    retried: int = count(
        MetricSpec(
            "Messages sent again.",
            percent_of=("sent",),
            condition="retried",
            in_warmup=False,
            per_host=True,
            family="messages_retried",
            unit_name=MESSAGE,
            csv=("retried",),
        )
    )
"""
USES = """
from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.live.telemetry.snapshot import RunMetrics
from ws_load_test.metrics.catalog import EXCLUDED_FROM_WARMUP, PER_HOST_FIELDS
from ws_load_test.metrics.metric_families import counter_families
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.thresholds import parse_condition
from ws_load_test.report.exports.csv_intervals import COLUMNS

tally = Tally(sent=10)
tally.retried += 3
assert Tally.from_record(tally.to_record()) == Tally.from_wire(tally.to_wire()) == tally
tally.merge(tally.subset(PER_HOST_FIELDS))
assert tally.retried == 6
assert ConditionScope(tally, 0).value(parse_condition("retried > 1%")) * 20 == 6
assert "no message was sent" in ConditionScope(Tally(), 0).why_no_value(parse_condition("retried > 1%"))
(family,) = (one for one in counter_families(tally) if one.name == "messages_retried")
assert (family.text, family.points[0].value) == ("Messages sent again.", 6)
assert "retried" in COLUMNS
tally.complete_interval(warmup=True)
assert tally.retried == 0
print("ok")
"""


def test_a_new_row_is_everywhere(tmp_path):
    copy = shutil.copytree(SOURCE, tmp_path / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
    catalog = copy / "metrics" / "count_metrics.py"
    head, rest = catalog.read_text("utf-8").split("    greetings: int", 1)
    catalog.write_text(f"{head}{ROW}    greetings: int{rest}", "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.fspath(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", USES], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.stdout, ended.stderr) == ("ok\n", "")


def test_a_count_without_a_treatment_of_its_own_is_named_in_its_row_where_it_is_counted_and_in_the_summary():
    naming = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "deliveries_negative" in path.read_text("utf-8") and path.name != "help_pages.py"
    }
    summary = {name for name in naming if name.startswith("analysis/summary") or name == "analysis/fan_out.py"}
    assert naming - summary == {"metrics/fan_out_metrics.py", "engine/fan_out/delivery_rows.py"}


def test_every_row_is_complete():
    for name, spec in {**METRICS, **{one.name: one for one in DERIVED}}.items():
        assert spec.name == name
        assert spec.help.endswith("."), name
        assert spec.kind != "time" or name.endswith("_ns"), "a time ends in its unit"
        if spec.condition is not None:
            assert spec.kind in ("count", "labeled", "size") or spec.no_value, f"{name} needs a reason for no value"
        # Of no wave there is a share: none.
        wholes = [METRICS[whole] for whole in spec.percent_of if name not in WHOLE_RUN]
        assert not wholes or any(whole.no_value for whole in wholes), f"a share of {name} needs a reason for no value"
        assert not spec.csv or not spec.name.startswith("warmup"), name
    assert {*COUNT_FIELDS, *LABELED_FIELDS, *HISTOGRAM_FIELDS} == METRICS.keys()
    assert METRICS.keys() >= {*PER_HOST_FIELDS, *EXCLUDED_FROM_WARMUP}


def names_of_families(tally):
    return [family.name for family in (*counter_families(tally), *histogram_families(tally))]


def test_names_of_conditions_and_families_and_columns_are_unique():
    conditions = [spec.condition for spec in (*METRICS.values(), *DERIVED, *PART_CONDITIONS) if spec.condition]
    assert len(conditions) == len(set(conditions)) == len(CONDITION_METRICS)
    families = names_of_families(Tally(streamed=1, deliveries_expected=1, roles={"player": RoleTally()}))
    assert len(families) == len(set(families)) == sum(bool(spec.family) for spec in METRICS.values())
    columns = sum(len(spec.csv) for spec in METRICS.values())
    computed = {"recording", "start_s", "length_s", "start_unix_s", "connections_open", "cpu_share"}
    assert len(COLUMNS) == columns + len(computed)


def test_what_only_streams_or_fan_outs_have_is_exported_of_them_alone():
    plain = set(names_of_families(Tally()))
    of_streams = {spec.family for spec in METRICS.values() if spec.family and spec.needs_stream}
    of_fan_outs = {spec.family for spec in METRICS.values() if spec.family and spec.needs_fan_out}
    assert set(names_of_families(STREAMED)) - plain == of_streams
    assert set(names_of_families(FANNED_OUT)) - plain == of_fan_outs
    of_scenarios = {spec.family for spec in METRICS.values() if spec.family and spec.needs_scenario}
    assert set(names_of_families(Tally(roles={"player": RoleTally()}))) - plain == of_scenarios
    assert of_streams & of_fan_outs == {"first_time_seconds"}


def test_columns_of_the_first_version_keep_their_places():
    assert list(COLUMNS)[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
