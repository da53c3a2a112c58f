"""Monitoring: what a run writes while it trains: callbacks, loggers, grids of images."""
