"""Lightning Fabric: devices, precision and the processes that share a batch. It is imported only where a run trains."""

import atexit
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torch import distributed

from genbench.errors import ConfigError, first_line
from genbench.training.plan import Plan

if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any

T = TypeVar("T")


def fabric_of(plan: Plan, accelerator: str = "auto", devices: int = 1) -> Fabric:
    """Return the Fabric for a plan, with its processes started unless they run.

    Raises:
        ConfigError: if the accelerator, or the compiler that the plan needs, is not available.
    """
    # Under torchrun the launcher has decided how many processes there are.
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // local if local else 1
    try:
        fabric = _make("bf16-mixed" if plan.precision == "bf16" else "32-true", accelerator, local or devices, nodes)
    except Exception as error:
        raise ConfigError(f"devices: {first_line(error)}") from error
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch's own choice
    if plan.compile and fabric.device.type == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(f"plan.compile=true needs a C++ compiler on CPU, and there is no {compiler}: leave it out")
    fabric.launch()
    if fabric.world_size > 1:
        # Left alive, a gloo group aborts the exit; Fabric itself destroys NCCL groups only. The group stays until the
        # exit, because the next run uses it: a new one on the same port can meet the store of the old one.
        atexit.unregister(_destroy_process_group)
        atexit.register(_destroy_process_group)
    return fabric


def broadcast(value: T) -> T:
    """Return the value of the first process in every process of a group; where there is no group, the value itself."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


@lru_cache  # to make one inspects every installed package
def _make(precision: Literal["32-true", "bf16-mixed"], accelerator: str, devices: int, nodes: int) -> Fabric:
    with _version_only("torchmetrics"):
        import lightning_fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

    # Processes wait for each other for as long as the first one evaluates.
    strategy = "auto" if (devices, nodes) == (1, 1) else DDPStrategy(timeout=timedelta(days=7))
    return lightning_fabric.Fabric(
        accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision
    )


@contextmanager
def _version_only(package: str) -> Iterator[None]:
    """Let others read the version of a package without importing it, which is all that Fabric does with torchmetrics.

    To import torchmetrics takes longer than torch itself: it brings torchvision, torch's compiler and more.
    """
    if package in sys.modules or importlib.util.find_spec(package) is None:
        yield
        return
    stand_in = sys.modules[package] = ModuleType(package)
    stand_in.__version__ = version(package)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules[package]


def _destroy_process_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
