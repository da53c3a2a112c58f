"""A step of a training: the gradients of a batch, the optimizer, the average."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.core import Example
from genbench.numerics.precision import float32_products
from genbench.seeds import derive
from genbench.training.plan import Plan
from genbench.training.process_group import Group
from genbench.training.state import TrainingState


class Step:
    """The step that a training repeats; dropout derives from the seed."""

    def __init__(self, state: TrainingState, plan: Plan, group: Group, seed: int) -> None:
        self.state, self.plan, self.group, self.seed = state, plan, group, seed
        self.parts = plan.parts(group.size)
        self.module = group.wrap(state.learner)
        if plan.compile:
            # A number that differs from the last training's would become a symbol, which a stack cannot take.
            torch.compiler.reset()
        compiled = torch.compile(self.module) if plan.compile else self.module
        precision = "fp32" if state.learner.full_precision else plan.precision
        self.scalars_of = _in_precision(compiled, precision, group.device)
        self.arithmetic = partial(float32_products, "tf32") if precision == "tf32" else nullcontext

    def take(self, example: Example) -> dict[str, Tensor]:
        """Take a step on a global batch, and return its scalars."""
        state, plan, group, step = self.state, self.plan, self.group, self.state.step
        seed_dropout(derive(self.seed, "dropout", step, group.rank), group.device)
        logged: dict[str, Tensor] = {}
        # Every process draws the whole batch and takes its share, so that a coupling sees the global batch.
        for part in range(plan.accumulate):
            share = _share(example, group.rank * plan.accumulate + part, self.parts)
            with self.arithmetic(), group.backward(self.module, last=part + 1 == plan.accumulate):
                scalars = self.scalars_of(share)
                (scalars["loss"].sum() / plan.accumulate).backward()  # an ensemble has one loss per member
            for name, value in scalars.items():
                logged[name] = logged.get(name, 0) + value.detach() / plan.accumulate
        if plan.clip:
            state.learner.clip(plan.clip)
        state.optimizer.step(plan.lr_at(step))
        if state.average:
            get_ema_multi_avg_fn(plan.ema_at(step))(state.average, [p.detach() for p in state.trained], 0)
        state.step += 1
        return logged


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the global stream of the device in use; torch.manual_seed is slow where CUDA is never used."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _share(example: Example, part: int, parts: int) -> Example:
    """Return every `parts`-th sample of an example."""
    if parts == 1:
        return example
    return type(example)(*(None if item is None else item[part::parts] for item in example))


def _in_precision(
    module: Callable[[Example], dict[str, Tensor]], precision: str, device: torch.device
) -> Callable[[Example], dict[str, Tensor]]:
    """Return the function from an example to its scalars, with the arithmetic of a precision: bf16 is autocast."""
    if precision != "bf16":
        return module

    def scalars_of(example: Example) -> dict[str, Tensor]:
        with torch.autocast(device.type, torch.bfloat16):
            return {name: value.float() for name, value in module(example).items()}

    return scalars_of
