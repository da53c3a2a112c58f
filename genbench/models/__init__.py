"""Models: one algorithm per file, each a builder registered under the name that users type."""
