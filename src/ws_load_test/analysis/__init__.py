"""Analysis of recordings: aggregates, summary, findings, thresholds."""
