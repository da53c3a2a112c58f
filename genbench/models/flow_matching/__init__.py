"""Flow matching: one model; a method is a coupling and a path."""
