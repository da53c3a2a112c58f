"""Tuning: settings chosen on the validation split."""
