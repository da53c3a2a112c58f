"""Monitoring: what a run writes while it trains: callbacks, loggers, grids of images."""

LOGGERS = ("tensorboard", "wandb")
"""Names of the loggers."""
