"""Models: one algorithm a file, each a builder registered under the name users type."""
