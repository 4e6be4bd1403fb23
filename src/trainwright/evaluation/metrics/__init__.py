"""Metrics, one subject a file, found by name in `METRICS`."""
