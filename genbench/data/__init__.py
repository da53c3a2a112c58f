"""Data sets: one family a file, each a builder that returns a `genbench.core.Data`."""
