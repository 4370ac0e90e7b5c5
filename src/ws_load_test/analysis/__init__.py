"""What a recording says: aggregates, summary, findings, thresholds."""
