"""The highest load that still meets objectives: steps of load, one run each, until its limit lies in a narrow bracket.

`search` decides what to try and is pure; `aim` is what was asked; `step` judges one run; `hunt` drives them.
"""
