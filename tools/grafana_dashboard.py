"""Write docs/grafana/ws-load-test.json, a dashboard of the live metrics that `--metrics-port` serves to Prometheus.

    python tools/grafana_dashboard.py

Import the file in Grafana (Dashboards, New, Import) and choose the Prometheus data source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana" / "ws-load-test.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
RUN = '{instance=~"$instance"}'
RESPONSE_BUCKETS = f"sum by (le) (rate(ws_load_test_response_time_seconds_bucket{RUN}[$__rate_interval]))"
SEND_LAG_BUCKETS = f"sum by (le) (rate(ws_load_test_send_lag_seconds_bucket{RUN}[$__rate_interval]))"
GRID_COLUMNS = 24
"""Columns of Grafana's grid."""


def per_s(counter: str) -> str:
    """Returns the query for what a counter grows by in a second, over all runs that are shown."""
    return f"sum(rate(ws_load_test_{counter}_total{RUN}[$__rate_interval]))"


def targets(queries: dict[str, str]) -> list[dict[str, Any]]:
    """Returns a panel's queries, given by the name of the series that each draws."""
    return [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": name}
        for number, (name, query) in enumerate(queries.items())
    ]


def stat(title: str, query: str, unit: str, *, red_from: float | None = None) -> dict[str, Any]:
    """Returns a tile with the latest value."""
    steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    thresholds = {"mode": "absolute", "steps": steps}
    return {
        "type": "stat",
        "title": title,
        "targets": targets({title: query}),
        "fieldConfig": {"defaults": {"unit": unit, "thresholds": thresholds}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"},
    }


def chart(title: str, queries: dict[str, str], unit: str, *, log: bool = False) -> dict[str, Any]:
    """Returns a chart over time."""
    custom: dict[str, Any] = {"fillOpacity": 8, "showPoints": "never"}
    if log:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    return {
        "type": "timeseries",
        "title": title,
        "targets": targets(queries),
        "fieldConfig": {"defaults": {"unit": unit, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi"}},
    }


def heat_map(title: str, buckets: str) -> dict[str, Any]:
    """Returns a map of how many times fell into each bucket of a histogram."""
    return {
        "type": "heatmap",
        "title": title,
        "targets": [{**targets({"{{le}}": buckets})[0], "format": "heatmap"}],
        "options": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Turbo", "steps": 64}},
    }


def quantile(share: float, buckets: str = RESPONSE_BUCKETS) -> str:
    """Returns the query for a quantile."""
    return f"histogram_quantile({share}, {buckets})"


def rows() -> list[tuple[int, list[dict[str, Any]]]]:
    """Returns the rows of panels, each with its height in units of Grafana's grid."""
    lost = " + ".join(per_s(f"messages_{what}") for what in ("unanswered", "dropped"))
    tiles = [
        stat("p50", quantile(0.5), "s"),
        stat("p99", quantile(0.99), "s"),
        stat("answered", per_s("messages_answered"), "ops"),
        stat("lost messages", lost, "ops", red_from=1e-9),
        stat("connections", f"sum(ws_load_test_connections_open{RUN})", "short"),
        stat("busiest worker", f"max(ws_load_test_interval_generator_cpu_ratio{RUN})", "percentunit", red_from=0.95),
    ]
    percentiles = {f"p{share * 100:g}": quantile(share) for share in (0.5, 0.9, 0.99, 0.999)}
    rates = {name: per_s(f"messages_{name}") for name in ("due", "sent", "answered", "pushed")}
    losses = {name: per_s(f"messages_{name}") for name in ("dropped", "unanswered")}
    faults = f"sum by (kind) (rate(ws_load_test_faults_total{RUN}[$__rate_interval]))"
    sessions = {name: per_s(f"connections_{name}") for name in ("opened", "failed", "lost", "reconnected")}
    generator = {
        "busiest worker, share of a core": f"max(ws_load_test_interval_generator_cpu_ratio{RUN})",
        "send lag p99, seconds": quantile(0.99, SEND_LAG_BUCKETS),
    }
    traffic = {name: per_s(f"{name}_bytes") for name in ("sent", "received")}
    return [
        (4, tiles),
        (9, [chart("Response time", percentiles, "s", log=True), heat_map("Response times", RESPONSE_BUCKETS)]),
        (8, [chart("Messages", rates, "ops"), chart("Messages lost", losses, "ops")]),
        (
            8,
            [
                chart("Connections open", {"open": f"sum(ws_load_test_connections_open{RUN})"}, "short"),
                chart("Connections", sessions, "ops"),
                chart("Faults of the target", {"{{kind}}": faults}, "ops"),
            ],
        ),
        (7, [chart("Generator", generator, "short"), chart("Traffic", traffic, "Bps")]),
    ]


def dashboard() -> dict[str, Any]:
    """Returns the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for height, row in rows():
        width = GRID_COLUMNS // len(row)
        for number, panel in enumerate(row):
            place = {"x": number * width, "y": top, "w": width, "h": height}
            panels.append({"id": len(panels) + 1, **panel, "datasource": SOURCE, "gridPos": place})
        top += height
    variables = [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Generator",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(ws_load_test_run_info, instance)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
        },
    ]
    return {
        "uid": "ws-load-test",
        "title": "ws-load-test",
        "description": "A load test of a WebSocket API while it runs (ws-load-test --metrics-port).",
        "tags": ["websocket", "load test"],
        "schemaVersion": 39,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": panels,
    }


def main() -> None:
    """Writes the file."""
    DASHBOARD.parent.mkdir(exist_ok=True)
    DASHBOARD.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
