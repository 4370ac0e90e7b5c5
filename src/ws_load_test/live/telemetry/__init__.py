"""Metrics of a run: what the metrics file, the live endpoint and the collector all show, and the last two of them."""
