"""Scenarios at work: roles compiled once for a worker, and a player for each session."""
