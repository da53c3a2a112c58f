"""Guidance: rules that combine the conditional and the unconditional prediction of an affine flow."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Affine(NamedTuple):
    """A Gaussian for every number of every token: u = mu + sigma z."""

    mu: Float[Tensor, "b t d"]
    log_sigma: Float[Tensor, "b t d"]


Rule = Callable[[Affine, Affine, Float[Tensor, "t 1"]], Affine]


def starflow(given: Affine, null: Affine, weight: Float[Tensor, "t 1"]) -> Affine:
    """Extrapolate the score of a Gaussian, with the ratio of variances clipped so that no variance is negative.

    s = clip(sigma_c^2 / sigma_u^2, 0, 1), d = 1 + w - w s: sigma = sigma_c / sqrt(d) and
    mu = mu_c + (w s / d) (mu_c - mu_u); linear extrapolation of mu where the variances agree (Gu et al., 2025).
    """
    s = (2 * (given.log_sigma - null.log_sigma)).exp().clamp(max=1)
    d = 1 + weight - weight * s
    return Affine(given.mu + (weight * s / d) * (given.mu - null.mu), given.log_sigma - d.log() / 2)


def tarflow(given: Affine, null: Affine, weight: Float[Tensor, "t 1"]) -> Affine:
    """Extrapolate mu and log sigma linearly (Zhai et al., 2024)."""
    return Affine(*(c + weight * (c - u) for c, u in zip(given, null, strict=True)))


RULES: dict[str, Rule] = {"starflow": starflow, "tarflow": tarflow}


class Guidance(NamedTuple):
    """How far to move away from the null condition.

    Args:
        null: the null condition.
        rule: how two predictions combine.
        weight: weight of every token in the order of decoding; 0 is the conditional model.
    """

    null: Float[Tensor, "b p width"]
    rule: Rule
    weight: Float[Tensor, "tokens 1"]


def weights(weight: float, tokens: int, anneal: Literal["constant", "linear"]) -> Float[Tensor, "tokens 1"]:
    """Return one weight for all tokens, or weights that grow linearly from 0 at the first to it at the last."""
    ones = torch.ones(tokens) if anneal == "constant" else torch.linspace(0, 1, tokens)
    return weight * ones[:, None]
