"""One session: its frames, its set-up, its group, and the seams to the load that it carries."""
