"""Embeddings: times, lengths of intervals and labels as vectors that networks are conditioned on."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Time = Float[Tensor, ""] | Float[Tensor, " b"]
"""One for all samples, or one per sample."""


def frequencies(t: Float[Tensor, " b"], size: int) -> Float[Tensor, "b size"]:
    """Return cosines and sines of t at frequencies that fall geometrically from 1 to 1/10000."""
    exponent = torch.arange(size // 2, device=t.device, dtype=t.dtype) / (size // 2)
    angle = t[:, None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat([angle.cos(), angle.sin()], 1)


class TimeEmbedding(nn.Sequential):
    """Linear(SiLU(Linear(frequencies(scale t)))).

    Args:
        size: number of frequencies, cosines and sines together.
    """

    def __init__(self, size: int, width: int, scale: float = 1.0) -> None:
        super().__init__(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width))
        self.size, self.scale = size, scale

    def forward(self, input: Float[Tensor, " b"]) -> Float[Tensor, "b width"]:
        return super().forward(frequencies(self.scale * input, self.size))


def label_embedding(classes: int, width: int) -> nn.Embedding | None:
    """Return a table of embeddings whose last row stands for no label; None without classes."""
    return nn.Embedding(classes + 1, width) if classes else None


def add_label(
    h: Float[Tensor, "b width"], table: nn.Embedding | None, label: Int[Tensor, " b"] | None
) -> Float[Tensor, "b width"]:
    """Return h plus the embedding of labels; None stands for no label."""
    if table is None:
        return h
    return h + (table.weight[-1] if label is None else table(label))


class Conditioned(nn.Module):
    """A network with embeddings of time, of labels, and of the length of an interval if it has two times."""

    time: TimeEmbedding
    interval: TimeEmbedding | None
    label: nn.Embedding | None

    def embedding(
        self, n: int, t: Time, label: Int[Tensor, " b"] | None, interval: Time | None
    ) -> Float[Tensor, "b width"]:
        """Return SiLU(time + interval + label) for n samples."""
        c = self.time(t.reshape(-1).expand(n))
        if self.interval is not None and interval is not None:
            c = c + self.interval(interval.reshape(-1).expand(n))
        return F.silu(add_label(c, self.label, label))
