"""The hot room: sessions are dialled, messages sent, replies timed."""
