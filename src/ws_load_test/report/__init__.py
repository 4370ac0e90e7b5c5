"""What a run came to, told to people: reports read recordings and summaries, and nothing else."""
