"""Data plane: sessions are dialed, messages sent, replies timed."""
