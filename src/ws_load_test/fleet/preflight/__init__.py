"""Checks before a run: open files, ports, memory."""
