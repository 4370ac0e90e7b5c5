"""Experiments made of several runs: paired comparison, capacity search."""
