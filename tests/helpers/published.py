"""The folder of the published records."""

from pathlib import Path

RESULTS = Path(__file__).parents[2] / "results"
