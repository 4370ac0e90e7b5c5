"""Helpers without domain knowledge: units, clock, timers, errors, certificates."""
