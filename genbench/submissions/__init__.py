"""Submissions: results that others made, in one file that can be checked."""

SUFFIX = ".genbench.zip"
"""Ending of the file name of a submission."""
