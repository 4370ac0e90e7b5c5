"""Capacity search: finds the highest load that meets objectives, by steps of one run each.

`search_options` parses the options; `bracketing` chooses the load of each step, without side effects; `step` evaluates
one run, with `backlog` and `attribution`; `early_stop` ends a hopeless step; `search_runner` runs the steps.
"""
