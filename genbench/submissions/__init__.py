"""Submissions: results that others made, in one file that can be checked."""
