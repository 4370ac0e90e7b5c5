"""Rows of the live view, by subject: each function returns the lines of its rows for a state of the run."""
