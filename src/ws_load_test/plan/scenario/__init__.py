"""Scenarios: sessions that go through several steps, by roles."""
