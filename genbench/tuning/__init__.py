"""Choosing hyper-parameters on validation data."""
