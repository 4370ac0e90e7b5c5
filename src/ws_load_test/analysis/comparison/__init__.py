"""Comparison of recordings: resampling, differences, comparability."""
