"""The normal distribution with the mean and covariance of the data: what a model has to beat."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Batch, Data, Event, Model, Samples, Source, require_normal
from genbench.errors import ConfigError
from genbench.registry import models
from genbench.settings import Count
from genbench.space import dequantize


@models.register("gaussian", version=1, plan={"steps": 0})
class Gaussian(Model):
    """Normal distribution with the mean and covariance of the data: the baseline, computed without training.

    z = root^-1 (x - mean), where the covariance is root root^T and root is lower triangular
    log p(x) = log N(z; 0, I) - log |det root|;  loss = -log p(x) / d

    Mean and covariance are estimated before the first step; steps of training would follow the gradient of the
    likelihood.

    Args:
        n: number of training samples for the estimate, at most all.

    Raises:
        Unsupported: if the source is not N(0, I).
        ConfigError: before training, if the covariance of the samples has no inverse.
    """

    def __init__(self, event: Event, source: Source, *, n: Count = 16384) -> None:
        require_normal(source, event, "a Gaussian")
        super().__init__()
        self.event, self.source, self.n = event, source, n
        if event.bin:
            self.density = "dequantized data"
        self.mean = nn.Parameter(torch.zeros(event.dims))
        rows, columns = torch.tril_indices(event.dims, event.dims)
        self.lower = nn.Parameter((rows == columns).float())

    @property
    def root(self) -> Float[Tensor, "d d"]:
        """The lower triangular root of the covariance."""
        rows, columns = torch.tril_indices(len(self.mean), len(self.mean), device=self.mean.device)
        return self.mean.new_zeros(len(self.mean), len(self.mean)).index_put((rows, columns), self.lower)

    @torch.no_grad()
    def prepare(self, data: Data, seed: int) -> None:
        n = min(self.n, data.train.size or self.n)
        x = data.train.batch(0, n, seed).x.flatten(1).double()
        centered = x - x.mean(0)
        # The variance of a uniform law over a bin is bin^2 / 12.
        covariance = centered.T @ centered / n + self.event.bin**2 / 12 * torch.eye(self.event.dims, dtype=x.dtype)
        root, failed = torch.linalg.cholesky_ex(covariance)
        if failed or bool((root.diag() <= 1e-6 * covariance.diag().sqrt()).any()):
            raise ConfigError(
                f"the covariance of {n} samples in {self.event.dims} dimensions has no inverse: "
                + ("it takes more samples" if n <= self.event.dims else "some coordinates determine others")
            )
        self.mean.copy_(x.mean(0))
        self.lower.copy_(root[tuple(torch.tril_indices(len(root), len(root)))])

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch._replace(x=dequantize(batch.x, self.event.bin, generator))

    def loss(self, example: Batch) -> dict[str, Tensor]:
        return {"loss": -self.log_prob(example.x).mean() / self.event.dims}

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        x = x0.flatten(1) @ self.root.T + self.mean
        return Samples(x.view(len(x0), *self.event.shape), 1.0)

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        root = self.root
        z = torch.linalg.solve_triangular(root, (x.flatten(1) - self.mean).T, upper=False).T
        return self.source.log_prob(z) - root.diag().abs().log().sum()
