"""Lightning Fabric, without what it looks at and does not need.

It asks torchmetrics for its version by importing it, with torchvision and transformers behind it: seconds of every
command and of every worker. It is told the version instead.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any


@contextmanager
def _version_alone(package: str) -> Iterator[None]:
    """Let a package that nobody has imported yet consist of its version."""
    if package in sys.modules:
        yield
        return
    known = ModuleType(package)
    try:
        known.__dict__["__version__"] = version(package)
    except PackageNotFoundError:
        yield
        return
    sys.modules[package] = known
    try:
        yield
    finally:
        del sys.modules[package]


with _version_alone("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.rank_zero import rank_zero_only

__all__ = ["Fabric", "Logger", "TensorBoardLogger", "rank_zero_only", "several"]


def several(**settings: Any) -> Fabric:
    """Return a Fabric of several processes, which wait for one another as long as the first one evaluates."""
    return Fabric(strategy=DDPStrategy(timeout=timedelta(days=7)), **settings)
