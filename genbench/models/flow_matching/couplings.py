"""Couplings: how a batch of noise meets a batch of data. They move or weight noise, never data.

A coupling is called `(x0, x1, label, generator) -> Pairs`. Given labels it pairs within each class, since a
class-conditional model trained on pairs across classes would have to start from a source tilted by the class.
What pairs within a class is still a minibatch: W-CFM keeps the tilt of the source *within* each class.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from genbench.core import Source, Split
from genbench.errors import RunFailed
from genbench.numerics.assignment import assignment
from genbench.numerics.entropic_transport import Cost
from genbench.seeds import generator
from genbench.space import dequantise


class Pairs(NamedTuple):
    """Noise in the order of its data, and the weight of each pair in the loss (1 on average).

    Args:
        x0: the noise.
        weight: of each pair.
        tilt: where a coupling estimates it, what each noise (first) and each data point (second) adds to the mean
            square of its tilt; see `tilt`.
    """

    x0: Float[Tensor, "b *event"]
    weight: Float[Tensor, " b"]
    tilt: Float[Tensor, "b 2"] | None = None


class PilotPairs(NamedTuple):
    """Independent noise and data with labels, from which a coupling estimates its constants before training."""

    x0: Float[Tensor, "n *event"]
    x1: Float[Tensor, "n *event"]
    label: Int[Tensor, " n"]


class Coupling(nn.Module, ABC):
    """A joint law of noise and data, sampled one batch at a time.

    Args:
        prefetch: whether pairing takes long, outside of Python, and has no state; see `core.Learner`.
        pilot: number of independent pairs that `prepare` needs; 0 for none.
    """

    prefetch = False
    pilot = 0

    @abstractmethod
    def forward(
        self,
        x0: Float[Tensor, "b *event"],
        x1: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None,
        generator: torch.Generator,
    ) -> Pairs:
        """Pair the batch, within classes if labels are given."""

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        """Estimate constants from `pilot` independent pairs, labelled 0 unless pairing is within classes."""


class Coupled(ABC):
    """Base class of models trained on pairs of noise and data.

    Args:
        coupling: draws the pairs.
    """

    coupling: Coupling


def pilot_pairs(
    train: Split, source: Source, count: int, seed: int, *, width: float, labelled: bool
) -> Iterator[PilotPairs]:
    """Yield independent pairs of noise and training data, in parts that memory has room for.

    Args:
        train: the training split.
        source: of the noise.
        count: how many pairs.
        seed: of everything drawn.
        width: of the bins over which quantised data is spread.
        labelled: whether pairs carry the labels of the data; else 0.
    """
    draws, chunk = generator(seed, "prepare"), max(1, min(count, 2**23 // math.prod(source.shape)))
    for part in range(math.ceil(count / chunk)):
        x1, label = train.batch(part, chunk, seed)
        x0 = source.sample(chunk, draws)
        yield PilotPairs(x0, dequantise(x1, width, draws), label if labelled else torch.zeros_like(label))


class Independent(Coupling):
    """Noise and data as they come, every pair with weight 1."""

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Return the batch as it is."""
        return Pairs(x0, x0.new_ones(len(x0)))


class MinibatchOT(Coupling):
    """The exact optimal transport plan of the batch for the squared Euclidean cost (Tong et al., 2023).

    Between two uniform batches of one size the plan is a permutation, and every sample is used once. The reference
    library instead draws the pairs from the plan with replacement, losing 37 % of a batch to duplicates: `resample`
    has the same expected gradient, by giving each pair the number of times it was drawn as its weight (duplicates
    share one t, where the library draws one for each).
    """

    prefetch = True

    def __init__(self, *, resample: bool = False) -> None:
        super().__init__()
        self.resample = resample

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Permute the noise to the optimal partners of the data."""
        x0 = _within(x0, x1, label, lambda a, b: assignment(_squared(a, b)))
        weight = x0.new_ones(len(x0))
        if self.resample:
            drawn = torch.randint(len(x0), (len(x0),), generator=generator, device=x0.device)
            weight = torch.bincount(drawn, minlength=len(x0)).to(x0)
        return Pairs(x0, weight)


class Sinkhorn(Coupling):
    """Pairs drawn from the entropic plan of the batch: given each data point, a noise point of its column.

    Args:
        reg: strength of the entropy, in units of the squared distance.
    """

    prefetch = True

    def __init__(self, *, reg: float) -> None:
        super().__init__()
        self.reg = reg

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Draw the noise partners of the data."""

        def partners(a: Tensor, b: Tensor) -> Tensor:
            plan = _entropic_plan(_squared(a, b), self.reg)
            return torch.multinomial(plan.T.float(), 1, generator=generator)[:, 0]

        x0 = _within(x0, x1, label, partners)
        return Pairs(x0, x0.new_ones(len(x0)))


class Gibbs(Coupling):
    """W-CFM (arXiv 2507.22270): independent pairs weighted by w = exp(-c(x0, x1) / epsilon), divided by E[w].

    Weights live in the log domain: in 3072 dimensions the raw ones are far below the epsilon of any optimiser.
    The running state is explicit: `log_mean`, one log E[w] a class, and `seen`, the number of batches in it.

    Args:
        epsilon: temperature, in units of the cost.
        cost: "norm" is |x0 - x1|, as published; "sqnorm" its square.
        normaliser: "constant" divides by E[w] estimated once before training, which leaves the minimiser as it is;
            "running" by a slow moving average over batches; "batch" by the mean of the batch, with a bias of
            order 1 / batch size.
        classes: number of classes to normalise within; 0 for none.
        momentum: of the moving average.
        weigh: "pair" weighs each pair; "data" gives a data point the mean weight of its pairs with all noise of the
            batch (of its class). That tilts the data as W-CFM does and couples nothing: the control of W-CFM.
    """

    log_mean: Tensor
    seen: Tensor

    def __init__(
        self,
        *,
        epsilon: float,
        cost: Cost = "norm",
        normaliser: Literal["constant", "running", "batch"] = "constant",
        classes: int = 0,
        momentum: float = 0.99,
        weigh: Literal["pair", "data"] = "pair",
    ) -> None:
        super().__init__()
        self.epsilon, self.cost, self.normaliser, self.momentum = epsilon, cost, normaliser, momentum
        self.weigh = weigh
        self.pilot = 8192 if normaliser == "constant" else 0
        self.register_buffer("log_mean", torch.full((max(classes, 1),), math.nan, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(max(classes, 1), dtype=torch.float64))

    def log_weight(self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"]) -> Float64[Tensor, " b"]:
        """Return -c(x0, x1) / epsilon."""
        distance = torch.linalg.vector_norm((x0 - x1).flatten(1), dim=1, dtype=torch.float64)
        return -(distance if self.cost == "norm" else distance.square()) / self.epsilon

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        """Set log E[w] of every class from independent pairs."""
        seen = [(self.log_weight(x0, x1), label) for x0, x1, label in pairs]
        self.calibrate(torch.cat([log for log, _ in seen]), torch.cat([label for _, label in seen]))

    def calibrate(self, log_weight: Float64[Tensor, " n"], group: Int[Tensor, " n"]) -> None:
        """Set log E[w] of every class from the log weights of independent pairs."""
        mean = self._log_mean(log_weight, group)
        everyone = torch.logsumexp(log_weight, 0) - math.log(len(log_weight))
        self.log_mean.copy_(torch.where(torch.isfinite(mean), mean, everyone))

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        """Weight the pairs.

        Raises:
            RunFailed: if the normaliser is "constant" and has not been calibrated.
        """
        group = torch.zeros(len(x0), dtype=torch.int64, device=x0.device) if label is None else label
        log_weight = self.log_weight(x0, x1) if self.weigh == "pair" else self._of_data(x0, x1, group)
        if self.normaliser == "batch":
            log_mean = self._log_mean(log_weight, group)
        else:
            if self.normaliser == "running":
                self._follow(self._log_mean(log_weight, group))
            log_mean = self.log_mean
        weight = torch.exp(log_weight - log_mean[group])
        if self.normaliser == "constant" and bool(torch.isnan(log_mean).any()):
            raise RunFailed("the constant normaliser of W-CFM was not estimated: call prepare(data, seed) first")
        return Pairs(x0, weight.to(x0.dtype))

    def _of_data(self, x0: Tensor, x1: Tensor, group: Tensor) -> Float64[Tensor, " b"]:
        """Return the log of the mean weight that each data point has with the noise of its group."""
        distance = torch.cdist(x0.flatten(1).double(), x1.flatten(1).double())
        log_weight = -(distance if self.cost == "norm" else distance.square()) / self.epsilon
        together = group[:, None] == group
        return torch.logsumexp(torch.where(together, log_weight, -math.inf), 0) - together.sum(0).log()

    def _log_mean(self, log_weight: Tensor, group: Tensor) -> Float64[Tensor, " groups"]:
        """Return log of the mean weight in each group; -inf (or NaN) where a group is empty."""
        member = group == torch.arange(len(self.log_mean), device=group.device)[:, None]
        masked = torch.where(member, log_weight, -math.inf)
        return torch.logsumexp(masked, 1) - member.sum(1).log()

    def _follow(self, log_mean: Tensor) -> None:
        """Move the average toward a batch's, in the log domain, with Adam's correction for a short history."""
        present = torch.isfinite(log_mean)
        seen = self.seen + present
        share = (1 - self.momentum) / (1 - self.momentum**seen)
        moved = torch.logaddexp(self.log_mean + torch.log1p(-share), log_mean + torch.log(share))
        first = torch.isnan(self.log_mean)
        self.log_mean.copy_(torch.where(present, torch.where(first, log_mean, moved), self.log_mean))
        self.seen.copy_(seen)


def tilt(weight: Float[Tensor, "n n"], label: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """Return estimates of E (E[w | x0] - 1)^2 and E (E[w | x1] - 1)^2, of which the mean over rows is without bias.

    Args:
        weight: of all pairs of independent noise (rows) and data (columns), 0 between classes.
        label: classes of noise and of data.
    """
    partners = torch.bincount(label)[label]
    columns = []
    for w in (weight, weight.T):
        total, square = w.sum(1), w.square().sum(1)
        # Given a point, the weights of two partners are independent: their product estimates the square of the mean.
        each = (total.square() - square) / (partners * (partners - 1)) - 2 * total / partners + 1
        known = partners > 1
        columns.append(torch.where(known, each, 0.0) * len(w) / known.sum())
    return torch.stack(columns, 1)


def effective_share(weight: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Return the effective sample size as a share of the batch, (sum w)^2 / (b sum w^2)."""
    return weight.sum().square() / (len(weight) * weight.square().sum())


def _squared(a: Tensor, b: Tensor) -> Float64[Tensor, "n m"]:
    return torch.cdist(a.flatten(1).double(), b.flatten(1).double()).square().cpu()


def _within(x0: Tensor, x1: Tensor, label: Tensor | None, partners: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Reorder the noise by the partners found in each class (in the whole batch without labels)."""
    if label is None:
        return x0[partners(x0, x1).to(x0.device)]
    moved = torch.empty_like(x0)
    for one in label.unique():
        members = (label == one).nonzero()[:, 0]
        mine = x0[members]
        moved[members] = mine[partners(mine, x1[members]).to(x0.device)]
    return moved


def _entropic_plan(cost: Float64[Tensor, "n m"], reg: float) -> Float64[Tensor, "n m"]:
    # POT takes a second to import, which few couplings need.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ot

    # Both solve the same problem; the kernel exp(-cost / reg) underflows where the log domain has to be paid for.
    method = "sinkhorn" if cost.max() < 500 * reg else "sinkhorn_log"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plan = ot.sinkhorn([], [], cost.numpy(), reg, method=method, numItermax=10_000, stopThr=1e-6)
        except (UserWarning, RuntimeWarning) as warning:
            raise RunFailed(f"Sinkhorn at reg {reg:g} failed ({warning}); a larger reg converges") from warning
    return torch.from_numpy(plan)
