"""Calibration: which metric detects which fault with how many samples, and the values of exact fields."""
