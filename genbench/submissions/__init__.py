"""Submissions: results that others made, in one file that can be checked."""

SUFFIX = ".genbench.zip"
"""Of the files of submissions."""
