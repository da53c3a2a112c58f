"""The interface of couplings, and the independent coupling."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from genbench.core import Data, Draws, Event, Source, Split
from genbench.errors import Unsupported
from genbench.registry import couplings
from genbench.seeds import generator
from genbench.space import dequantize

CHUNK = 2**23
"""Numbers (samples x dimensions) of noise drawn at once for pilot pairs; bounds memory."""


class Pairs(NamedTuple):
    """Noise, in the order of the data it is paired with, and the weight of each pair in the loss (1 on average).

    Args:
        tilt: estimates of the tilt of source and data, if the coupling computes them; see `tilt_of_batch`.
        x1: data that replaces the batch's data, not yet dequantized; None if the coupling leaves the data alone.
    """

    x0: Float[Tensor, "b *event"]
    weight: Float[Tensor, " b"]
    tilt: Float[Tensor, "b 2"] | None = None
    x1: Float[Tensor, "b *event"] | None = None


class PilotPairs(NamedTuple):
    """Independent labeled pairs of noise and data, from which a coupling estimates its constants before training."""

    x0: Float[Tensor, "n *event"]
    x1: Float[Tensor, "n *event"]
    label: Int[Tensor, " n"]


class Coupling(nn.Module, ABC):
    """A joint distribution of noise and data, sampled one batch at a time.

    Args:
        draws: when batches are paired; see `core.Draws`.
        pilot_size: number of independent pairs that `prepare` needs; 0 for none.
        pool: number of batches that are paired together.
        fixed_points: whether noise is paired with data points that are chosen before training.
    """

    draws: Draws = "step"
    pilot_size = 0
    pool = 1
    fixed_points = False

    @abstractmethod
    def forward(
        self,
        x0: Float[Tensor, "b *event"],
        x1: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None,
        generator: torch.Generator,
    ) -> Pairs:
        """Pair the batch, within classes if labels are given; the generator is on the device of the batch."""

    def exact_samples(self, x0: Float[Tensor, "b *event"], data: Data, *, tol: float) -> Tensor | None:
        """Return the samples that the exact minimizer of flow matching on straight paths draws from this noise.

        None for a coupling that keeps both marginals: the minimizer then draws from the training distribution.

        Args:
            tol: relative and absolute tolerance of dopri5.

        Raises:
            Unsupported: if the minimizer is not known, which is the default.
        """
        raise Unsupported("the exact minimizer of the loss is not known for this coupling")

    def choose(self, data: Data) -> None:
        """Choose, before `prepare`, the settings that depend on the training data; every seed gets the same choice."""

    @property
    def chosen(self) -> dict[str, float]:
        """The settings that `choose` has set, by name."""
        return {}

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        """Estimate constants from `pilot_size` independent pairs; labels are 0 unless pairing is within classes."""

    def attach(self, train: Split, source: Source, device: torch.device) -> None:
        """Read what the coupling needs from the training data, each time that training starts or is resumed."""


class Coupled(ABC):
    """Base class of models trained on pairs of noise and data."""

    coupling: Coupling


class Independent(Coupling):
    """Independent noise and data: every pair has weight 1."""

    draws = "block"

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        return Pairs(x0, x0.new_ones(len(x0)))

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> None:
        return None


@couplings.register("independent", version=1)
def independent(event: Event, classes: int) -> Independent:
    """Independent noise and data, as in CFM."""
    return Independent()


def pilot_pairs(
    train: Split, source: Source, count: int, seed: int, *, bin_width: float, labeled: bool
) -> Iterator[PilotPairs]:
    """Yield independent pairs of noise and training data in parts.

    Args:
        bin_width: width of the bins over which quantized data is spread.
        labeled: whether pairs have the labels of the data; otherwise all labels are 0.
    """
    draws, size = generator(seed, "prepare"), max(1, min(count, CHUNK // math.prod(source.shape)))
    for part in range(math.ceil(count / size)):
        x1, label = train.batch(part, size, seed)
        x0 = source.sample(size, draws)
        yield PilotPairs(x0, dequantize(x1, bin_width, draws), label if labeled else torch.zeros_like(label))


def permute_noise(x0: Tensor, x1: Tensor, label: Tensor | None, partners: Callable[[Tensor], Tensor]) -> Tensor:
    """Reorder the noise by partners within each class, or in the whole batch without labels.

    Costs and labels reach the CPU in one copy, because each copy makes a GPU wait.

    Args:
        partners: function from the squared distances of noise (rows) and data (columns), on the CPU, to the index of
            the noise for each datum.
    """
    cost = squared_distances(x0, x1)
    if label is None:
        return x0[partners(cost.cpu()).to(x0.device)]
    cost, label = torch.cat([cost, label[:, None]], 1).cpu().split([len(x0), 1], 1)
    order = torch.empty(len(x0), dtype=torch.int64)
    for value in label.unique():
        members = (label == value).nonzero()[:, 0]
        order[members] = members[partners(cost[members][:, members]).cpu()]
    return x0[order.to(x0.device)]


def squared_distances(x0: Tensor, x1: Tensor) -> Float64[Tensor, "n m"]:
    """Return |x0 - x1|^2 of all pairs."""
    return torch.cdist(x0.flatten(1).double(), x1.flatten(1).double()).square()
