"""Ensembles: models of one shape, trained as one batched model."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from genbench.core import CPU, Data, Draws, Example, Learner, Model, Split
from genbench.errors import ConfigError, RunFailed, why_training_failed
from genbench.seeds import derive


class Ensemble(Learner):
    """Several models of one shape, each trained with its own seed.

    theta = stack(theta_1, ..., theta_S);  loss = vmap(loss)(theta, stack(example_1, ..., example_S)), a vector

    The gradient of the vector's sum contains every member's gradient, and optimizers and averages are elementwise: each
    member takes the steps that it would take alone, up to rounding. The parameters of a member are views of the
    ensemble's.

    Raises:
        ConfigError: if the members have different shapes.
    """

    failed: Tensor

    def __init__(self, members: Sequence[Model], seeds: Sequence[int]) -> None:
        super().__init__()
        self.members: Sequence[Model] = nn.ModuleList(members)  # type: ignore[assignment]
        self.seeds = tuple(seeds)
        draws: list[Draws] = [member.draws for member in members]
        self.draws = min(draws, key=get_args(Draws).index)  # what suits all members
        self.full_precision = any(member.full_precision for member in members)
        self.not_compiled = next((member.not_compiled for member in members if member.not_compiled), "")
        named = [dict(member.named_parameters()) for member in members]
        shapes = [{name: parameter.shape for name, parameter in parameters.items()} for parameters in named]
        if any(shape != shapes[0] for shape in shapes):
            raise ConfigError("the members of an ensemble must have parameters of equal shapes")
        self.names = tuple(named[0])
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([parameters[name].detach() for parameters in named])) for name in self.names
        )
        self.register_buffer("failed", torch.zeros(len(members), dtype=torch.int64))
        self._share()
        self.register_state_dict_post_hook(_clone_members)

    def prepare(self, data: Data, seed: int) -> None:
        """Prepare every member with its own seed instead of the given one."""
        for member, member_seed in zip(self.members, self.seeds, strict=True):
            member.prepare(data, derive(member_seed, "prepare"))

    def batch_source(self, data: Data, device: torch.device = CPU) -> list[Split]:
        return [member.batch_source(data, device) for member in self.members]

    def example(
        self, batch_source: list[Split], step: int, size: int, seed: int, generator: torch.Generator
    ) -> Example:
        """Return the stacked examples, each drawn with the seed of its member."""
        examples = [
            member.example(split, step, size, member_seed, generator)
            for member, split, member_seed in zip(self.members, batch_source, self.seeds, strict=True)
        ]
        first = examples[0]
        for example in examples[1:]:
            for name, one, other in zip(first._fields, first, example, strict=True):
                if (one is None) != (other is None):
                    raise ConfigError(f"stack: only some members have '{name}' (couplings differ): use separate stacks")
        return type(first)(*(None if items[0] is None else torch.stack(items) for items in zip(*examples, strict=True)))

    def loss(self, example: Example) -> dict[str, Tensor]:
        template = self.members[0]

        def one(parameters: dict[str, Tensor], example: Example) -> dict[str, Tensor]:
            return functional_call(template, parameters, (example,))

        axes = type(example)(*(None if item is None else 0 for item in example))
        return vmap(one, (0, axes))(dict(zip(self.names, self.stacked, strict=True)), example)

    def clip(self, norm: float) -> None:
        gradients = [parameter.grad for parameter in self.stacked if parameter.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
        # 1e-6 is the constant of torch.nn.utils.clip_grad_norm_.
        factor = (norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))

    def diverged(self, steps: Sequence[int]) -> None:
        """Note which members failed, and at which step; training goes on with the others."""
        now = torch.tensor(steps, device=self.failed.device)
        self.failed.copy_(torch.where(self.failed != 0, self.failed, now))
        if bool((self.failed != 0).all()):
            raise RunFailed("; ".join(reason for reason in self.reasons if reason is not None))

    @property
    def reasons(self) -> list[str | None]:
        return [why_training_failed(step) if step else None for step in self.failed.tolist()]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Ensemble":
        super()._apply(fn, recurse)
        self._share()
        return self

    def _share(self) -> None:
        """Make the parameters of the members views of the ensemble's."""
        for index, member in enumerate(self.members):
            parameters = dict(member.named_parameters())
            for name, stacked in zip(self.names, self.stacked, strict=True):
                parameters[name].requires_grad_(False).data = stacked.data[index]


def _clone_members(ensemble: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """Clone the parameters of members before a state is saved, since safetensors refuses tensors that share memory."""
    for name in state:
        if name.startswith(f"{prefix}members."):
            state[name] = state[name].clone()
