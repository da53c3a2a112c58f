"""Metrics: one file per kind of question. Each metric is a function of an `Evaluation`."""
