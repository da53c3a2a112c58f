"""Metrics of image features as modules of torchmetrics, for any training loop or evaluation.

    from genbench.metrics import FrechetDistance

    distance = FrechetDistance(features)    # a module from images to vectors, with num_features
    distance.update(images, real=True)
    distance.update(samples, real=False)
    distance.compute()

States are float64 and are reduced over processes by torchmetrics. Values are those of the metrics of `genbench eval` on
the same features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.kid import subset_mmds
from genbench.metrics.image.monge import sliced_distance
from genbench.metrics.image.neighbors import Neighborhoods
from genbench.metrics.image.precision_recall import density_and_coverage, precision_and_recall
from genbench.metrics.image.vendi_score import vendi_score


class FeatureMetric(Metric, ABC):
    """A metric of features of real and of generated images.

    Args:
        feature: module from images to features (n, num_features), used in evaluation mode.
        reset_real_features: whether `reset` forgets real images, too.
        settings: those of torchmetrics.Metric.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, feature: nn.Module, *, reset_real_features: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.feature = feature.eval()
        self.reset_real_features = reset_real_features

    @property
    def dtype(self) -> torch.dtype:
        """The type of the states."""
        return torch.float64

    @abstractmethod
    def update_features(self, features: Float64[Tensor, "n k"], real: bool) -> None:
        """Add the features of a batch."""

    @torch.no_grad()
    def update(self, images: Shaped[Tensor, "n c h w"], real: bool) -> None:
        """Add a batch of images, as the extractor wants them."""
        self.update_features(self.feature(images).double(), real)

    def reset(self) -> None:
        """Forget generated images, and real ones unless they are to be kept."""
        kept = {} if self.reset_real_features else {n: getattr(self, n) for n in self._defaults if n.startswith("real")}
        super().reset()
        for name, value in kept.items():
            setattr(self, name, value)

    def train(self, mode: bool = True) -> "FeatureMetric":
        """Stay in evaluation mode: features depend on neither batch nor chance."""
        return super().train(False)

    def _apply(self, fn: Callable, exclude_state: Any = ()) -> nn.Module:
        """Move the states to the device of a conversion, and keep them in float64, whatever its type."""
        states = list(self._defaults)
        moved = super()._apply(fn, [*exclude_state, *states])
        device = fn(torch.zeros(1, device=self.device)).device
        for name in states:
            value, default = getattr(self, name), self._defaults[name]
            setattr(self, name, [v.to(device) for v in value] if isinstance(value, list) else value.to(device))
            self._defaults[name] = default.to(device) if isinstance(default, Tensor) else default
        return moved


class FrechetDistance(FeatureMetric):
    """Frechet distance between Gaussians with the moments of real and of generated features; an FID on Inception's.

    States are the number of images, and the sums of features and of their products.

    Reference: Heusel et al., 2017.
    """

    higher_is_better = False

    real_count: Tensor
    generated_count: Tensor

    def __init__(self, feature: nn.Module, **settings: Any) -> None:
        super().__init__(feature, **settings)
        k = int(feature.num_features)  # type: ignore[arg-type]
        for kind in ("real", "generated"):
            self.add_state(f"{kind}_count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
            self.add_state(f"{kind}_sum", torch.zeros(k, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_products", torch.zeros(k, k, dtype=torch.float64), dist_reduce_fx="sum")

    def update_features(self, features: Float64[Tensor, "n k"], real: bool) -> None:
        """Add the features of a batch."""
        kind = "real" if real else "generated"
        for state, value in (("count", len(features)), ("sum", features.sum(0)), ("products", features.T @ features)):
            setattr(self, f"{kind}_{state}", getattr(self, f"{kind}_{state}") + value)

    def moments(self, kind: str) -> Moments:
        """Return mean and covariance of "real" or "generated" features. Raises RuntimeError below two images."""
        n = int(getattr(self, f"{kind}_count"))
        if n < 2:
            raise RuntimeError(f"a covariance needs at least 2 {kind} images, there are {n}")
        mean = getattr(self, f"{kind}_sum") / n
        covariance = (getattr(self, f"{kind}_products") - n * torch.outer(mean, mean)) / (n - 1)
        return Moments.of(n, mean.cpu(), covariance.cpu())

    def compute(self) -> Float64[Tensor, ""]:
        """Return the distance."""
        return torch.tensor(frechet(self.moments("generated"), self.moments("real")), dtype=torch.float64)


class CollectingMetric(FeatureMetric):
    """A metric of all features at once, which are kept; processes gather them."""

    real_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self, feature: nn.Module, **settings: Any) -> None:
        super().__init__(feature, **settings)
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update_features(self, features: Float64[Tensor, "n k"], real: bool) -> None:
        """Add the features of a batch."""
        (self.real_features if real else self.generated_features).append(features)

    def sync(self, *arguments: Any, **settings: Any) -> None:
        """Gather the features of all processes, of those without images as well."""
        for name in ("real_features", "generated_features"):
            if not getattr(self, name):
                none = torch.zeros(0, int(self.feature.num_features), dtype=torch.float64, device=self.device)  # type: ignore[arg-type]
                setattr(self, name, [none])
        super().sync(*arguments, **settings)

    @property
    def real(self) -> Float[Tensor, "n k"]:
        """All features of real images."""
        return dim_zero_cat(self.real_features).cpu()

    @property
    def generated(self) -> Float[Tensor, "n k"]:
        """All features of generated images."""
        return dim_zero_cat(self.generated_features).cpu()


class KernelDistance(CollectingMetric):
    """Unbiased squared MMD of a cubic kernel, the mean over random subsets; a KID on Inception's features.

    Args:
        size: images per subset; all images, if there are fewer.

    Reference: Binkowski et al., 2018.
    """

    higher_is_better = False

    def __init__(
        self, feature: nn.Module, *, subsets: int = 100, size: int = 1000, seed: int = 0, **settings: Any
    ) -> None:
        super().__init__(feature, **settings)
        self.subsets, self.size, self.seed = subsets, size, seed

    def compute(self) -> Float64[Tensor, ""]:
        """Return the mean over subsets."""
        size = min(self.size, len(self.real), len(self.generated))
        return subset_mmds(self.generated, self.real, self.subsets, size, self.seed).mean()


class MongeDistance(CollectingMetric):
    """3 d times the mean squared W2 of features on random lines; a MIND on Inception's features.

    Args:
        seed: decides which part of the larger set is taken.

    Reference: MIND (arXiv 2605.06797).
    """

    higher_is_better = False

    def __init__(self, feature: nn.Module, *, directions: int = 1000, seed: int = 0, **settings: Any) -> None:
        super().__init__(feature, **settings)
        self.directions, self.seed = directions, seed

    def compute(self) -> Float64[Tensor, ""]:
        """Return the distance."""
        value = sliced_distance(self.generated, self.real, self.directions, self.seed)
        return torch.tensor(value, dtype=torch.float64)


class _OfNeighbors(CollectingMetric):
    """Values by k-th nearest neighbors; `measure` and the default k are those of the subclass."""

    higher_is_better = True
    measure: Callable[[Neighborhoods, Neighborhoods, int], dict[str, float]]
    usual: int

    def __init__(self, feature: nn.Module, *, k: int | None = None, **settings: Any) -> None:
        super().__init__(feature, **settings)
        self.k = k or self.usual

    def compute(self) -> dict[str, Tensor]:
        """Return each value by its name."""
        values = self.measure(Neighborhoods(self.generated), Neighborhoods(self.real), self.k)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


class PrecisionRecall(_OfNeighbors):
    """Precision and recall by k-th nearest neighbors, by default k = 3. Reference: Kynkaanniemi et al., 2019."""

    measure, usual = staticmethod(precision_and_recall), 3


class DensityCoverage(_OfNeighbors):
    """Density and coverage by k-th nearest neighbors, by default k = 5. Reference: Naeem et al., 2020."""

    measure, usual = staticmethod(density_and_coverage), 5


class VendiScore(CollectingMetric):
    """Effective number of different generated images. Reference: Friedman and Dieng, 2023."""

    higher_is_better = True

    def compute(self) -> Float64[Tensor, ""]:
        """Return the score."""
        return torch.tensor(vendi_score(self.generated), dtype=torch.float64)
