"""W-CFM: independent pairs weighted by a Gibbs kernel w.

The loss is E[w |v(t, x_t) - (x1 - x0)|^2]: `velocity_model.py` multiplies the errors of pairs by their weights.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.core import Data, Event, Source, Split
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, PilotPairs
from genbench.numerics.ode import integrate
from genbench.numerics.optimal_transport import Cost
from genbench.numerics.weighted_pairs import (
    MIN_EFFECTIVE_PAIRS,
    Tilt,
    cyclic_shifts,
    estimate_tilt,
    exponential,
    gaussian,
)
from genbench.registry import couplings
from genbench.seeds import derive, generator
from genbench.settings import ByEvent, Positive
from genbench.space import dequantize
from genbench.storage import cache, tensors

MOMENTUM = 0.99
"""Decay of the running mean."""

GRID = tuple(2 ** (step / 2) for step in range(-10, 7))
"""Candidates of kappa: from 1/32 to 8, a factor of sqrt(2) apart."""

FLAT = 0.1
"""Decrease of the relative variance per doubling of kappa that counts as flat.

Values of 0.26 to 0.47 would choose the published kappa for CIFAR-10, but a kappa with far worse samples for moons
(docs/sweeps.md).
"""

RULE = 1
"""Version of the elbow rule, part of the cache key of its choice."""

POINTS, PAIRS = 8192, 2**20
"""Number of samples, and number of pairs, from which the tilt is estimated."""


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """Settings of the Gibbs kernel exp(-c(x0, x1) / epsilon).

    Args:
        kappa: temperature in units of sqrt(d): epsilon = kappa sqrt(d). By default "elbow", which chooses kappa
            on training data before the first step: the smallest kappa above which the weights hardly tilt source and
            data.
        epsilon: temperature in units of the cost, instead of kappa.
        cost: "norm" |x0 - x1|, as published, or "sqnorm" |x0 - x1|^2, whose limit for small epsilon is optimal
            transport for W2.
    """

    kappa: Annotated[Positive | Literal["elbow"] | None, ByEvent("elbow", unless="epsilon")] = None
    epsilon: Positive | None = None
    cost: Cost = "norm"

    @property
    def by_elbow(self) -> bool:
        """Whether the elbow rule is to choose the temperature."""
        return self.epsilon is None and self.kappa in (None, "elbow")

    def temperature(self, event: Event) -> float:
        """Return epsilon, from one of the two settings; NaN if the elbow rule is to choose it."""
        if self.epsilon is not None and self.kappa is not None:
            raise ConfigError("give model.kappa or model.epsilon, not both: epsilon = kappa sqrt(d)")
        if self.kappa is None or self.kappa == "elbow":
            return math.nan if self.epsilon is None else self.epsilon
        return self.kappa * math.sqrt(event.dims)


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """Settings of the weights of W-CFM.

    Args:
        normalizer: the estimate of E[w] that divides the weights: a "constant" estimated once, a "running" mean, or the
            mean of the "batch".
        weigh: what has a weight: each "pair"; or, as a control, each "data" point, with the mean weight of its pairs
            with the noise of the batch. The control tilts the data in the same way but couples nothing.
    """

    normalizer: Literal["constant", "running", "batch"] = "constant"
    weigh: Literal["pair", "data"] = "pair"


KERNEL = KernelSettings()
WEIGHTS = WeightSettings()


class KernelCoupling(Coupling):
    """A coupling with the Gibbs kernel exp(-c(x0, x1) / epsilon)."""

    epsilon: Tensor

    def __init__(self, event: Event, kernel: KernelSettings) -> None:
        super().__init__()
        self.event, self.root = event, math.sqrt(event.dims)
        self.cost: Cost = kernel.cost
        self.by_elbow = kernel.by_elbow
        self.register_buffer("epsilon", torch.tensor(kernel.temperature(event), dtype=torch.float64))

    def _sample(self, data: Data) -> tuple[Float[Tensor, "n *event"], Float[Tensor, "n *event"]]:
        """Return noise and training data for the elbow rule, without conditions, the same for all seeds."""
        n, k = min(POINTS, data.train.size or POINTS), self.event.conditions
        batch = data.train.take(n, derive(0, "elbow"))
        x1 = dequantize(batch.x, data.event.bin, generator(0, "elbow", "dequantise"))
        x0 = data.source.sample(n, generator(0, "elbow", "noise"))
        return (x0[:, :-k], x1[:, :-k]) if k else (x0, x1)

    def _tilts(self, x0: Float[Tensor, "n *event"], x1: Float[Tensor, "n *event"]) -> tuple[tuple[float, Tilt], ...]:
        """Return (kappa, tilt of the weights at kappa) for each kappa of the grid."""
        n = len(x0)
        # Fewer pairs on images, to take at most a minute: the tilt varies less there.
        partners = max(2, min(n - 1, PAIRS // n, 2**28 // x1.numel()))
        costs = [self.costs(noise, x1) for noise in cyclic_shifts(x0, partners)]
        return tuple((kappa, estimate_tilt(-cost / (kappa * self.root) for cost in costs)) for kappa in GRID)

    def choose(self, data: Data) -> None:
        if not self.by_elbow:
            return
        x0, x1 = self._sample(data)
        content = [hashlib.sha256(x.contiguous().numpy().data).hexdigest() for x in (x0, x1)]
        rule = {"grid": GRID, "flat": FLAT, "pairs": PAIRS, "effective": MIN_EFFECTIVE_PAIRS}
        name = cache.key(elbow=content, cost=self.cost, version=RULE, **rule)

        def make() -> dict[str, Tensor]:
            kappa = elbow([(kappa, tilt.variance) for kappa, tilt in self._tilts(x0, x1) if tilt.known])
            if kappa is None:
                raise ConfigError(
                    f"the elbow rule finds no kappa up to {GRID[-1]:g} with a flat tilt: set model.kappa=NUMBER"
                )
            return {"kappa": torch.tensor(kappa, dtype=torch.float64)}

        # Cached: otherwise every model of a sweep on these data would spend seconds on it.
        self.epsilon.copy_(tensors.cached("elbow", f"{name}.safetensors", make)["kappa"] * self.root)

    @property
    def chosen(self) -> dict[str, float]:
        return {"kappa": float(self.epsilon) / self.root} if self.by_elbow else {}

    def costs(self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"]) -> Float64[Tensor, " b"]:
        """Return c(x0, x1) of each pair."""
        return self.cost_of(torch.linalg.vector_norm((x0 - x1).flatten(1), dim=1, dtype=torch.float64))

    def cost_of(self, distance: Tensor) -> Tensor:
        """Return the cost of Euclidean distances."""
        return distance if self.cost == "norm" else distance.square()


def elbow(curve: Sequence[tuple[float, float]]) -> float | None:
    """Return the smallest x above which a curve (x, y) is flat: no doubling of x lowers y by more than FLAT.

    None if the curve still falls faster at its end.

    >>> elbow([(1, 5.0), (2, 1.0), (4, 0.2), (8, 0.15)])
    4
    """
    chosen = None
    for (low, before), (high, after) in reversed(list(pairwise(curve))):
        if before - after > FLAT * math.log2(high / low):
            break
        chosen = low
    return chosen


@couplings.register("gibbs", version=1)
class Gibbs(KernelCoupling):
    """Independent pairs weighted by a Gibbs kernel, as in W-CFM.

    Weighted conditional flow matching, 2025, https://arxiv.org/abs/2507.22270.

    w(x0, x1) = exp(-c(x0, x1) / epsilon) / E exp(-c / epsilon)

    Weights are computed in the log domain, because the kernel underflows in 3072 dimensions. The buffers `log_mean` and
    `seen` hold log E exp(-c / epsilon) of each class, and the number of batches in the running mean.

    A "constant" normalizer leaves the minimizer unchanged; a "batch" normalizer has a bias of order 1 / batch size.
    With the weighting "data", each data point has the mean weight of its pairs with all noise of the batch (and class).
    """

    log_mean: Tensor
    seen: Tensor

    def __init__(
        self, event: Event, classes: int, *, kernel: KernelSettings = KERNEL, settings: WeightSettings = WEIGHTS
    ) -> None:
        super().__init__(event, kernel)
        self.normalizer, self.weigh = settings.normalizer, settings.weigh
        self.draws = "step" if self.normalizer == "running" else "block"
        self.pilot_size = 8192 if self.normalizer == "constant" else 0
        self.register_buffer("log_mean", torch.full((max(classes, 1),), math.nan, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(max(classes, 1), dtype=torch.float64))

    def log_kernel(self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"]) -> Float64[Tensor, " b"]:
        """Return -c(x0, x1) / epsilon of each pair."""
        return -self.costs(x0, x1) / self.epsilon

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        moved = ((item.to(self.epsilon.device) for item in part) for part in pairs)
        parts = [(self.log_kernel(x0, x1), label) for x0, x1, label in moved]
        self.calibrate(torch.cat([log for log, _ in parts]), torch.cat([label for _, label in parts]))

    def calibrate(self, log_kernel: Float64[Tensor, " n"], label: Int[Tensor, " n"]) -> None:
        """Set the normalizer of every class from independent pairs; an absent class gets the overall one."""
        mean = self._log_mean(log_kernel, label)
        overall = torch.logsumexp(log_kernel, 0) - math.log(len(log_kernel))
        self.log_mean.copy_(torch.where(torch.isfinite(mean), mean, overall))

    def attach(self, train: Split, source: Source, device: torch.device) -> None:
        if bool(torch.isnan(self.epsilon)):
            raise RunFailed("the kappa of W-CFM was not chosen: call prepare(data, seed) first")
        if self.normalizer == "constant" and bool(torch.isnan(self.log_mean).any()):
            raise RunFailed("the constant normalizer of W-CFM was not estimated: call prepare(data, seed) first")

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        if label is None:
            label = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        log_weight = self.log_kernel(x0, x1) if self.weigh == "pair" else self._log_mean_of_data(x0, x1, label)
        log_mean = self.log_mean
        if self.normalizer != "constant":
            of_batch = self._log_mean(log_weight, label)
            if self.normalizer == "running" and self.training:  # measurements also pair batches
                self._update(of_batch)
            log_mean = of_batch if self.normalizer == "batch" else torch.where(log_mean.isnan(), of_batch, log_mean)
        return Pairs(x0, torch.exp(log_weight - log_mean[label]).to(x0.dtype))

    def exact_samples(self, x0: Tensor, data: Data, *, tol: float) -> Tensor:
        field = data.truth.velocity
        if self.weigh == "data" or self.normalizer == "batch":
            raise Unsupported("the exact minimizer is not known for weights that depend on the batch")
        if field is None:
            raise Unsupported("the exact minimizer of W-CFM is known only for Gaussians and their mixtures")
        kernel = (exponential if self.cost == "norm" else gaussian)(float(self.epsilon))
        return integrate(lambda t, x: field(t, x, kernel), x0, tol=tol).x

    def _log_mean_of_data(self, x0: Tensor, x1: Tensor, label: Tensor) -> Float64[Tensor, " b"]:
        """Return for each data point the log of the mean kernel over the noise of its class."""
        log_kernel = -self.cost_of(torch.cdist(x0.flatten(1).double(), x1.flatten(1).double())) / self.epsilon
        same_class = label[:, None] == label
        return torch.logsumexp(torch.where(same_class, log_kernel, -math.inf), 0) - same_class.sum(0).log()

    def _log_mean(self, log_weight: Tensor, label: Tensor) -> Float64[Tensor, " classes"]:
        """Return the log of the mean weight of each class; -inf (or NaN) for an absent class."""
        member = label == torch.arange(len(self.log_mean), device=label.device)[:, None]
        masked = torch.where(member, log_weight, -math.inf)
        return torch.logsumexp(masked, 1) - member.sum(1).log()

    def _update(self, log_mean: Tensor) -> None:
        """Move the running mean toward a batch's mean, in the log domain, with Adam's correction of early steps."""
        present = torch.isfinite(log_mean)
        seen = self.seen + present
        share = (1 - MOMENTUM) / (1 - MOMENTUM**seen)
        moved = torch.logaddexp(self.log_mean + torch.log1p(-share), log_mean + torch.log(share))
        first = torch.isnan(self.log_mean)
        self.log_mean.copy_(torch.where(present, torch.where(first, log_mean, moved), self.log_mean))
        self.seen.copy_(seen)
