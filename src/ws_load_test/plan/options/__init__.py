"""Options to plan: one parser for each group."""
