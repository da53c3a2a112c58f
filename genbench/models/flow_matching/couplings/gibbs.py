"""W-CFM: independent pairs weighted by a Gibbs kernel."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from genbench.core import Event
from genbench.errors import ConfigError, RunFailed
from genbench.models.flow_matching.couplings.base import Coupling, Pairs, PilotPairs
from genbench.numerics.optimal_transport import Cost
from genbench.registry import couplings
from genbench.settings import ByEvent, Positive

MOMENTUM = 0.99
"""Decay of the running mean."""


def default_kappa(event: Event) -> float:
    """Return the published choice for CIFAR-10 on images, and 1 on vectors."""
    return 0.0902 if event.is_image else 1.0


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """Settings of the Gibbs kernel exp(-c(x0, x1) / epsilon).

    Args:
        kappa: temperature in units of sqrt(d): epsilon = kappa sqrt(d); by default 0.0902 for images, the published
            choice for CIFAR-10, and 1 for vectors.
        epsilon: temperature in units of the cost, instead of kappa.
        cost: "norm", as published, or "sqnorm", of which the small-epsilon limit is optimal transport for W2.
    """

    kappa: Annotated[Positive | None, ByEvent(default_kappa, unless="epsilon")] = None
    epsilon: Positive | None = None
    cost: Cost = "norm"

    def temperature(self, event: Event) -> float:
        """Return epsilon, from one of the two settings."""
        if self.epsilon is not None and self.kappa is not None:
            raise ConfigError("give model.kappa or model.epsilon, not both: epsilon = kappa sqrt(d)")
        return self.epsilon or (self.kappa or default_kappa(event)) * math.sqrt(event.dims)


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """Settings of the weights of W-CFM.

    Args:
        normaliser: how E[w] is divided out: a "constant" estimated once, a "running" mean, or the mean of the "batch".
        weigh: weights for each "pair", or, as a control, for each "data" point the mean weight of its pairs with the
            noise of the batch: the same tilt without any coupling.
    """

    normaliser: Literal["constant", "running", "batch"] = "constant"
    weigh: Literal["pair", "data"] = "pair"


KERNEL = KernelSettings()
WEIGHTS = WeightSettings()


@couplings.register("gibbs", version=1)
class Gibbs(Coupling):
    """Independent pairs weighted by a Gibbs kernel, as in W-CFM.

    Weighted conditional flow matching, 2025, https://arxiv.org/abs/2507.22270.

    w(x0, x1) = exp(-c(x0, x1) / epsilon) / E exp(-c / epsilon)

    Weights are computed in the log domain: in 3072 dimensions the kernel itself underflows. The buffers `log_mean`
    and `seen` hold log E exp(-c / epsilon) of each class, and the number of batches in the running mean.

    A "constant" normalizer leaves the minimizer unchanged; that of the "batch" has a bias of order 1 / batch size. With
    the weighting "data", each data point has the mean weight of its pairs with all noise of the batch (and class).
    """

    log_mean: Tensor
    seen: Tensor

    def __init__(
        self, event: Event, classes: int, *, kernel: KernelSettings = KERNEL, settings: WeightSettings = WEIGHTS
    ) -> None:
        super().__init__()
        self.epsilon, self.cost = kernel.temperature(event), kernel.cost
        self.normaliser, self.weigh = settings.normaliser, settings.weigh
        self.pilot_size = 8192 if self.normaliser == "constant" else 0
        self.register_buffer("log_mean", torch.full((max(classes, 1),), math.nan, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(max(classes, 1), dtype=torch.float64))

    def log_kernel(self, x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"]) -> Float64[Tensor, " b"]:
        """Return -c(x0, x1) / epsilon of each pair."""
        return self._log_kernel(torch.linalg.vector_norm((x0 - x1).flatten(1), dim=1, dtype=torch.float64))

    def prepare(self, pairs: Iterable[PilotPairs]) -> None:
        parts = [(self.log_kernel(x0, x1), label) for x0, x1, label in pairs]
        self.calibrate(torch.cat([log for log, _ in parts]), torch.cat([label for _, label in parts]))

    def calibrate(self, log_kernel: Float64[Tensor, " n"], label: Int[Tensor, " n"]) -> None:
        """Set the normalizer of every class from independent pairs; that of an absent class is the overall one."""
        mean = self._log_mean(log_kernel, label)
        overall = torch.logsumexp(log_kernel, 0) - math.log(len(log_kernel))
        self.log_mean.copy_(torch.where(torch.isfinite(mean), mean, overall))

    def forward(self, x0: Tensor, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Pairs:
        if self.normaliser == "constant" and bool(torch.isnan(self.log_mean).any()):
            raise RunFailed("the constant normaliser of W-CFM was not estimated: call prepare(data, seed) first")
        if label is None:
            label = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        log_weight = self.log_kernel(x0, x1) if self.weigh == "pair" else self._log_mean_of_data(x0, x1, label)
        log_mean = self.log_mean
        if self.normaliser != "constant":
            of_batch = self._log_mean(log_weight, label)
            if self.normaliser == "running" and self.training:  # measurements pair batches too
                self._update(of_batch)
            log_mean = of_batch if self.normaliser == "batch" else torch.where(log_mean.isnan(), of_batch, log_mean)
        return Pairs(x0, torch.exp(log_weight - log_mean[label]).to(x0.dtype))

    def _log_kernel(self, distance: Tensor) -> Tensor:
        """Return the log of the kernel at Euclidean distances."""
        return -(distance if self.cost == "norm" else distance.square()) / self.epsilon

    def _log_mean_of_data(self, x0: Tensor, x1: Tensor, label: Tensor) -> Float64[Tensor, " b"]:
        """Return for each data point the log of the mean kernel over the noise of its class."""
        log_kernel = self._log_kernel(torch.cdist(x0.flatten(1).double(), x1.flatten(1).double()))
        same_class = label[:, None] == label
        return torch.logsumexp(torch.where(same_class, log_kernel, -math.inf), 0) - same_class.sum(0).log()

    def _log_mean(self, log_weight: Tensor, label: Tensor) -> Float64[Tensor, " classes"]:
        """Return the log of the mean weight of each class; -inf (or NaN) for an absent class."""
        member = label == torch.arange(len(self.log_mean), device=label.device)[:, None]
        masked = torch.where(member, log_weight, -math.inf)
        return torch.logsumexp(masked, 1) - member.sum(1).log()

    def _update(self, log_mean: Tensor) -> None:
        """Move the running mean toward that of a batch, in the log domain, with Adam's correction of early steps."""
        present = torch.isfinite(log_mean)
        seen = self.seen + present
        share = (1 - MOMENTUM) / (1 - MOMENTUM**seen)
        moved = torch.logaddexp(self.log_mean + torch.log1p(-share), log_mean + torch.log(share))
        first = torch.isnan(self.log_mean)
        self.log_mean.copy_(torch.where(present, torch.where(first, log_mean, moved), self.log_mean))
        self.seen.copy_(seen)
