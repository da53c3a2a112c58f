"""Adam and AdamW, by torch's fused kernels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw

STATE = ("step", "exp_avg", "exp_avg_sq")


class Adam:
    """Adam, or AdamW, whose weight decay is decoupled from the gradient.

    The classes of torch.optim take the same steps, but import torch's compiler: more CPU time than all other imports.

    Args:
        parameters: to be trained, on their device.
        kind: adam or adamw.

    Reference: Kingma and Ba, 2015; Loshchilov and Hutter, 2019.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        kind: Literal["adam", "adamw"] = "adam",
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = parameters
        self.function = adam if kind == "adam" else adamw
        self.betas, self.weight_decay = betas, weight_decay if kind == "adamw" else 0.0
        self.states: list[dict[str, Tensor]] = [
            {
                "step": torch.zeros((), device=p.device),
                "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format, requires_grad=False),
            }
            for p in parameters
        ]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Take a step with a learning rate, and clear the gradients."""
        used = [(p, p.grad, state) for p, state in zip(self.parameters, self.states, strict=True) if p.grad is not None]
        steps, averages, squares = ([state[name] for _, _, state in used] for name in STATE)
        self.function(
            [p for p, _, _ in used],
            [gradient for _, gradient, _ in used],
            averages,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None
