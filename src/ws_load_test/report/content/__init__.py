"""What a report says, in words, for every format."""
