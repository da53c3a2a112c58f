"""Layouts of released weights: convert names and order of published parameters to genbench's."""
