"""Fleets: start the workers of a run, and merge their reports."""
