"""genbench: a unified benchmark suite for generative flows.

The functions here are `run`, `sweep`, `load`, `frame` and `table` of `genbench.api`; names are registered with the
decorators of `genbench.registry`. Importing genbench does not import torch; using it does.
"""

from typing import Any

from genbench.errors import ConfigError, RunFailed, Unsupported

__all__ = ["ConfigError", "RunFailed", "Unsupported", "frame", "load", "run", "sweep", "table"]


def __getattr__(name: str) -> Any:
    if name in ("run", "sweep", "load", "frame", "table"):
        from genbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'genbench' has no attribute '{name}'")
