"""Encoders: trained once for a data set, before the first model of its latents, and kept for all others."""

import logging
from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from genbench.core import Data
from genbench.models.latent.encoder import Encoder
from genbench.seeds import derive
from genbench.storage import cache, tensors
from genbench.storage.files import Damaged
from genbench.training.fabric import Fabric
from genbench.training.loop import Progress, fit
from genbench.training.plan import Plan

log = logging.getLogger("genbench")


def pretrain(encoder: Encoder, key: str, data: Data, fabric: Fabric, progress: Progress) -> None:
    """Give an encoder its weights: those kept under the key, or else fetched and trained, and then kept.

    The weights do not depend on who asks first. Of processes on one machine that ask at the same time, one trains.

    Args:
        encoder: of fresh weights, which this fills in.
        key: tells apart encoders and their data.
        data: its training split is used.
        fabric: launched; says on which devices and in which precision.
        progress: told about every block of steps.

    Raises:
        ConfigError: if pretrained weights are asked for and cannot be had.
        RunFailed: if training fails.
    """
    folder = cache.home() / "encoders" / key
    kept = folder / "encoder.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    # Processes that share the batch train together; a lock would let one of them wait for the others for ever.
    with FileLock(folder / "lock") if fabric.world_size == 1 else nullcontext():
        state = _read(kept)
        if state is None:
            _train(encoder, folder, data, fabric, progress)
            if fabric.is_global_zero:
                tensors.save(kept, encoder.state_dict(), {})
                for leftover in folder.glob("*/*checkpoint.safetensors"):
                    leftover.unlink()
            fabric.barrier()
            state, _ = tensors.load(kept, ())
    encoder.load_state_dict(state)
    encoder.to(fabric.device).eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        return tensors.load(path, ())[0]
    except FileNotFoundError:
        return None
    except Damaged as error:
        log.warning("%s; it is trained again", error)
        return None


def _train(encoder: Encoder, folder: Path, data: Data, fabric: Fabric, progress: Progress) -> None:
    encoder.to(fabric.device).load()
    for stage in encoder.stages():

        def named(step: int, steps: int, logs: dict[str, float], stage: str = stage.name) -> None:
            progress(step, steps, {f"{stage} {name}": value for name, value in logs.items()})

        seed = derive(0, "encoder", stage.name)
        place = folder / stage.name
        fit(
            stage.model,
            data,
            Plan(**stage.plan),
            fabric,
            seed=seed,
            folder=place,
            run=f"{folder.name} {stage.name}",
            progress=named,
        )
