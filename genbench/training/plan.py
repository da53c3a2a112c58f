"""The plan of a training: its budget and its optimizer, shared by all runs of a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import StringConstraints

from genbench.errors import ConfigError
from genbench.settings import Count, Fraction, NonNegative, Positive, Size

VERSIONS = {"fp32": 1, "tf32": 1, "bf16": 2}
"""Versions of training, by precision: raise them when the same plan would train another model."""


def training_version(plan: Mapping[str, Any]) -> int:
    """Return the version of training by a plan, as in a spec."""
    return VERSIONS[plan.get("precision", "fp32")]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The budget and the optimizer of a run; all runs of a table share steps and batch size.

    Args:
        steps: number of optimizer steps.
        batch_size: global batch, whatever the number of devices.
        lr: peak learning rate.
        optimizer: adam, or adamw with decoupled weight decay.
        weight_decay: weight decay of adamw; adam has none.
        betas: decay of the averages of gradients and of their squares.
        warmup: steps of linear warm-up, at most a tenth of all steps.
        schedule: learning rate after the warm-up.
        lr_min: final learning rate of the cosine, as a fraction of the peak.
        clip: largest norm of the gradient; 0 does not clip.
        ema: decay of the averaged weights that are evaluated, ramped as (1 + step) / (10 + step); 0 averages nothing.
        precision: arithmetic of products and convolutions: fp32 (IEEE), tf32 (GPUs only) or bf16 autocast. Paths and
            losses are computed in fp32; a network's products round their inputs, the time included. Samples are drawn
            in fp32; models that learn from differences of predictions (`consistency`, `meanflow`) are trained in fp32.
        accumulate: number of parts in which a batch is processed, to save memory.
        threads: CPU threads of a run; one is fastest for small networks; data sets of large images default to more.
        compile: whether the training step is compiled (needs a C++ compiler on CPU).
        deterministic: whether a GPU repeats a training bit for bit, by slower kernels; a CPU always does, with the
            same versions and as many threads. Encoders are trained without it, because runs of other plans share them.
        eval_every: steps between evaluations of samples during training; 0 evaluates at the end only.
        grid_every: steps between grids of sample images during training; 0 draws none.
        validate_every: steps between measurements of the loss on validation data; 0 measures none.
        stop: which weights are evaluated and saved: "steps", after the last step; "validation", after the step with the
            lowest validation loss.
        released: sha256 of the file of released weights, set by `genbench results import`; such a run has 0 steps and
            is never trained here. Empty for trained runs.
    """

    steps: Size = 5000
    batch_size: Count = 256
    lr: Positive = 1e-3
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: NonNegative = 1e-5
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    warmup: Size = 0
    schedule: Literal["constant", "cosine"] = "constant"
    lr_min: Fraction = 0.0
    clip: NonNegative = 0.0
    ema: Fraction = 0.0
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    accumulate: Count = 1
    threads: Annotated[int, Ge(1), Le(1024)] = 1
    compile: bool = False
    deterministic: bool = False
    eval_every: Size = 0
    grid_every: Size = 10_000
    validate_every: Size = 0
    stop: Literal["steps", "validation"] = "steps"
    released: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""

    def parts(self, devices: int) -> int:
        """Return the number of equal parts of a batch. Raises ConfigError if they would not be equal."""
        if self.batch_size % (devices * self.accumulate):
            raise ConfigError(
                f"plan.batch_size={self.batch_size} cannot be divided into {devices} devices x "
                f"{self.accumulate} accumulated parts: choose a multiple of {devices * self.accumulate}"
            )
        return devices * self.accumulate

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        warmup = min(self.warmup, self.steps // 10)
        if step < warmup:
            return self.lr * (step + 1) / warmup
        if self.schedule == "constant":
            return self.lr
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.lr * (self.lr_min + (1 - self.lr_min) * (1 + math.cos(math.pi * done)) / 2)

    def ema_at(self, step: int) -> float:
        """Return the decay of the average after a step: a short run must not keep its initial weights."""
        return min(self.ema, (1 + step) / (10 + step))

    def evaluates_after(self, steps: int) -> bool:
        """Return whether the model is evaluated or validated, or its samples are drawn, after this many steps."""
        return self.validates_after(steps) or (
            steps < self.steps and any(every and steps % every == 0 for every in (self.eval_every, self.grid_every))
        )

    def validates_after(self, steps: int) -> bool:
        """Return whether the validation loss is measured after this many steps; at the end, only for plan.stop."""
        if not self.validate_every or (steps == self.steps and self.stop == "steps"):
            return False
        return steps % self.validate_every == 0 or steps == self.steps
