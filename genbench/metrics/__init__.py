"""Metrics: one kind of question a file, each a function of an `Evaluation`."""
