"""Flow matching: one model; methods differ by coupling and path."""
