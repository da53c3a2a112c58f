"""genbench: a unified benchmark suite for generative flows."""
