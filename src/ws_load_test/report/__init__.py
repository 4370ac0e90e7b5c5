"""Reports on runs, searches and comparisons, made from recordings and summaries alone."""
