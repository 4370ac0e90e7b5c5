"""Metrics of a run while it goes on: snapshots, and their exporters to Prometheus and OpenTelemetry."""
