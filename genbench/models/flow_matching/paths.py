"""Probability paths: the state of a pair at time t, and the velocity that the network regresses on."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.errors import Unsupported


class Point(NamedTuple):
    """The state of each pair, and the regression target."""

    x: Float[Tensor, "b *event"]
    velocity: Float[Tensor, "b *event"]


class Path(ABC):
    """The distribution of x_t and its velocity, given a pair.

    Args:
        t_range: interval from which training draws t uniformly; it leaves out an end at which the target diverges.
    """

    t_range: tuple[float, float] = (0.0, 1.0)

    @abstractmethod
    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, generator: torch.Generator) -> Point:
        """Return the state and target of each pair; t broadcasts against the event."""

    def score(self, t: float, x: Tensor, velocity: Tensor) -> Tensor:
        """Return the score grad log p_t(x) at t < 1 from the velocity, for noise from N(0, I) independent of the data.

        By Tweedie's formula, the score is -E[noise at t | x] / (variance of the noise at t).

        Raises:
            Unsupported: if the velocity does not determine the score.
        """
        raise Unsupported("the velocity on this path does not determine a score: set sample.diffusion=0")


@dataclass(frozen=True)
class Straight(Path):
    """x_t = (1-t) x0 + t x1 + sigma eps, u = x1 - x0 (Tong et al., 2023)."""

    sigma: float = 0.0

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, generator: torch.Generator) -> Point:
        velocity = x1 - x0
        x = torch.addcmul(x0, t, velocity)
        return Point(x + self.sigma * _normal_like(x0, generator) if self.sigma else x, velocity)

    def score(self, t: float, x: Tensor, velocity: Tensor) -> Tensor:
        return (t * velocity - x) / (1 - t + self.sigma**2)  # x - t u = x0 + sigma eps


@dataclass(frozen=True)
class Lipman(Path):
    """x_t = t x1 + (1 - (1-s) t) x0, u = x1 - (1-s) x0 (Lipman et al., 2023); at t = 1 noise of sd s remains."""

    sigma: float = 0.0

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, generator: torch.Generator) -> Point:
        keep = 1 - self.sigma
        return Point(t * x1 + (1 - keep * t) * x0, x1 - keep * x0)

    def score(self, t: float, x: Tensor, velocity: Tensor) -> Tensor:
        return (t * velocity - x) / (1 - (1 - self.sigma) * t)  # x - t u = x0


@dataclass(frozen=True)
class Bridge(Path):
    """A Brownian bridge of diffusion sigma between the ends, and its probability-flow velocity (Tong et al., 2023).

    x_t = m + sigma sqrt(t(1-t)) eps with m = (1-t) x0 + t x1, u = (1-2t) / (2t(1-t)) (x_t - m) + x1 - x0. The
    target's second moment diverges at both ends, so t stays `clip` away from them.
    """

    sigma: float
    clip: float = 1e-3

    @property
    def t_range(self) -> tuple[float, float]:
        return (self.clip, 1 - self.clip)

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, generator: torch.Generator) -> Point:
        spread = self.sigma * (t * (1 - t)).sqrt()
        eps = _normal_like(x0, generator)
        # (x_t - m) = spread eps, and spread / (t(1-t)) = sigma^2 / spread.
        velocity = x1 - x0 + (1 - 2 * t) / 2 * self.sigma * eps / (t * (1 - t)).sqrt()
        return Point((1 - t) * x0 + t * x1 + spread * eps, velocity)


@dataclass(frozen=True)
class VariancePreserving(Path):
    """A variance-preserving diffusion x_t = a(t) x1 + s(t) x0 with a^2 + s^2 = 1, u = a' x1 + s' x0.

    "cosine": a = sin(pi t / 2) (Albergo and Vanden-Eijnden, 2023). "linear": the noise rate of Song et al. (2021),
    beta from 0.1 to 20 in the diffusion's time 1 - t; s' diverges at t = 1, so training times end before.
    """

    schedule: Literal["cosine", "linear"] = "cosine"

    @property
    def t_range(self) -> tuple[float, float]:
        return (0.0, 1.0 if self.schedule == "cosine" else 1 - 1e-3)

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, generator: torch.Generator) -> Point:
        a, s, da, ds = self.coefficients(t)
        return Point(a * x1 + s * x0, da * x1 + ds * x0)

    def score(self, t: float, x: Tensor, velocity: Tensor) -> Tensor:
        a, s, da, ds = self.coefficients(torch.as_tensor(t, dtype=x.dtype, device=x.device))
        return (da * x - a * velocity) / (s * (a * ds - da * s))  # a' x - a u = (a' s - a s') x0

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a, s, a' and s'."""
        if self.schedule == "cosine":
            angle = math.pi / 2 * t
            a, s = angle.sin(), angle.cos()
            return a, s, math.pi / 2 * s, -math.pi / 2 * a
        low, high = 0.1, 20.0
        r = 1 - t
        integral = low * r + (high - low) * r.square() / 2
        a = torch.exp(-integral / 2)
        s = torch.sqrt(-torch.expm1(-integral))
        da = a * (low + (high - low) * r) / 2
        return a, s, da, -a * da / s


def _normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
