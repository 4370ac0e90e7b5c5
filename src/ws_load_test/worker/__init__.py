"""The program of one worker process."""
