"""Content of reports in words, for every format."""
