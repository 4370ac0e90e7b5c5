"""Data of a run: the metric catalogue, histograms, tallies, recordings."""
