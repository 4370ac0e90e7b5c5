"""What a run measured: histograms, tallies, health of the generator, recordings, summaries and verdicts."""
