"""Rows of the option catalogue, one module for each few groups of the help page."""
