"""Flow matching: one model class; methods differ in their coupling and path."""
