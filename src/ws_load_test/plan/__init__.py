"""The intent of a run."""
