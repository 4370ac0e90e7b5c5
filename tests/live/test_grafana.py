"""The dashboard for Grafana asks for metrics that there are, in queries that Prometheus takes."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_telemetry import ask, live_after, serving

from factories.results import usual

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "grafana_dashboard.py"


@pytest.fixture(scope="module")
def board():
    return json.loads((ROOT / "docs" / "grafana" / "ws-load-test.json").read_text())


def queries(board):
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_file_is_what_its_tool_writes(board):
    spec = importlib.util.spec_from_file_location("grafana_dashboard", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert board == tool.dashboard()


def test_every_metric_of_the_dashboard_is_served_live(board):
    with serving(live_after(usual())) as endpoint:
        text = ask(endpoint.url)[2]
    served = set(re.findall(r"^(ws_load_test_\w+)", text, re.MULTILINE))
    asked = {name for query in queries(board) for name in re.findall(r"ws_load_test_\w+", query)}
    assert len(asked) > 15
    assert asked <= served


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_prometheus_takes_every_query(board, tmp_path):
    expressions = [query.replace("$__rate_interval", "10s").replace("$instance", ".*") for query in queries(board)]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_fill_the_grid_without_overlap(board):
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
