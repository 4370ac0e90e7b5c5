"""Helpers without a word of the domain: units, clock, timers, errors, redaction."""
