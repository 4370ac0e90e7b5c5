"""Output while a run goes on: live view, progress lines, telemetry."""
