"""Lightning Fabric: devices, precision and the processes that share a batch.

It is imported only where a run trains, because it imports torchmetrics wherever that is installed: two seconds.
"""

import atexit
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any


def make_fabric(
    accelerator: str, devices: int | str, nodes: int, precision: Literal["32-true", "bf16-mixed"]
) -> Fabric:
    """Return a Fabric, whose processes wait for each other for as long as the first one evaluates."""
    import lightning_fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    strategy = "auto" if (devices, nodes) == (1, 1) else DDPStrategy(timeout=timedelta(days=7))
    return lightning_fabric.Fabric(
        accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision
    )


def launch(fabric: Fabric) -> None:
    """Start the processes of a Fabric unless they run, and have their group destroyed when the interpreter exits.

    Left alive, a gloo group aborts the exit; Fabric itself destroys NCCL groups only. The group stays until the exit
    because the next run of the same processes uses it: a new one on the same port can meet the store of the old one.
    """
    fabric.launch()
    if fabric.world_size > 1:
        atexit.unregister(_destroy_process_group)
        atexit.register(_destroy_process_group)


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
