"""Who runs the workers, and gathers what they report."""
