"""Import of captures: a session that a browser or a probe recorded becomes a plan file with a role."""
