"""Data sets: one family per file. Each data set is a builder that returns a `genbench.core.Data`."""
