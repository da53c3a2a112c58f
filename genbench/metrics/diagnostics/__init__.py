"""Diagnostics of a run: tilt, norm, counts."""
