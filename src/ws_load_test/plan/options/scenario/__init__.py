"""Reading of scenarios: the table `role` of a plan file, or of a dict in Python, into `plan.scenario.model`."""
