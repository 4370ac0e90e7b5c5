"""Options of a run: the catalogue of rows, the parsers of values, and the builders of a plan's parts."""
