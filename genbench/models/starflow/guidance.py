"""Guidance: rules that combine the conditional and the unconditional prediction of an affine flow."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Affine(NamedTuple):
    """A Gaussian for each element of each token: u = mu + sigma z."""

    mu: Float[Tensor, "b t d"]
    log_sigma: Float[Tensor, "b t d"]


Rule = Callable[[Affine, Affine, Float[Tensor, "t 1"]], Affine]


def starflow(given: Affine, null: Affine, weight: Float[Tensor, "t 1"]) -> Affine:
    """Extrapolate the scores of two Gaussians, with a clipped ratio of variances (Gu et al., 2025).

    s = min(sigma_c^2 / sigma_u^2, 1);  d = 1 + w - w s
    mu = mu_c + (w s / d) (mu_c - mu_u);  sigma = sigma_c / sqrt(d)

    The clipping keeps every variance positive. Where the variances agree, mu is extrapolated linearly.
    """
    s = (2 * (given.log_sigma - null.log_sigma)).exp().clamp(max=1)
    d = 1 + weight - weight * s
    return Affine(given.mu + (weight * s / d) * (given.mu - null.mu), given.log_sigma - d.log() / 2)


def tarflow(given: Affine, null: Affine, weight: Float[Tensor, "t 1"]) -> Affine:
    """Extrapolate mu and log sigma linearly (Zhai et al., 2024)."""
    return Affine(*(c + weight * (c - u) for c, u in zip(given, null, strict=True)))


RULES: dict[str, Rule] = {"starflow": starflow, "tarflow": tarflow}


class Guidance(NamedTuple):
    """Guidance of a flow, away from predictions without the condition, at another temperature of attention, or both.

    Args:
        null: the null condition; None for an unconditional model.
        rule: combines the conditional and the unconditional prediction.
        weight: weight of each token in decoding order; 0 is the conditional model.
        temperature: what the attention logits of the null prediction are divided by.
    """

    null: Float[Tensor, "b p width"] | None
    rule: Rule
    weight: Float[Tensor, "tokens 1"]
    temperature: float = 1.0


def weights(
    weight: float, tokens: int, anneal: Literal["constant", "linear"], copied: int = 0
) -> Float[Tensor, "tokens 1"]:
    """Return the weight of each token.

    Args:
        anneal: constant, or linear: (t + 1) / T for the T tokens that are transformed, t = 0, ..., T - 1.
        copied: number of first tokens that are copied; they have no weight.
    """
    if anneal == "constant":
        return weight * torch.ones(tokens, 1)
    transformed = tokens - copied
    return weight * torch.arange(1 - copied, transformed + 1, dtype=torch.float64)[:, None] / transformed
