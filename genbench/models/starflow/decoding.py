"""Decoding: solve u_i = mu_i(u_<i) + sigma_i(u_<i) z_i for u, token by token or many tokens at a time."""

from collections.abc import Callable
from dataclasses import dataclass
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
    """Guidance away from a null prediction: without the condition, at another temperature of attention, or both.

    Args:
        null: the null condition; None for an unconditional model.
        weight: weight of each token in decoding order; 0 is the conditional model.
        temperature: divides the attention logits of the null prediction.
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
        copied: number of first tokens that are copied, without weight.
    """
    if anneal == "constant":
        return weight * torch.ones(tokens, 1)
    transformed = tokens - copied
    return weight * torch.arange(1 - copied, transformed + 1, dtype=torch.float64)[:, None] / transformed


Step = Callable[[Float[Tensor, "b t d"], int], Affine]
"""(inputs, at) -> the affine map of tokens at .. at+t-1, given their inputs and all earlier inputs."""


class Decoded(NamedTuple):
    """The tokens, and the number of token evaluations by the network, repeated ones included."""

    u: Float[Tensor, "b n d"]
    evaluated: int


Decoder = Callable[[Float[Tensor, "b n d"], Float[Tensor, "b 1 d"], Step], Decoded]
"""(z, first input, step) -> tokens; the second input is token 0, the third token 1, and so on."""


def sequential(z: Float[Tensor, "b n d"], first: Float[Tensor, "b 1 d"], step: Step) -> Decoded:
    """Decode one token after the other."""
    n = z.shape[1]
    u = torch.empty_like(z)
    last = first
    for i in range(n):
        mu, log_sigma = step(last, i)
        last = mu + log_sigma.exp() * z[:, i : i + 1]
        u[:, i : i + 1] = last
    return Decoded(u, n)


SAFETY = 16
"""Allowed final error divided by the change below which a token counts as settled."""


@dataclass(frozen=True)
class JacobiDecoding:
    """Decode a sliding window of tokens by fixed-point iteration (Song et al., 2021; Liu and Qin, 2025).

    u_i <- mu_i(u_<i) + sigma_i(u_<i) z_i  for all i of the window at once

    The equations are triangular: a token is exact once all earlier tokens are. After each sweep the window moves past
    the leading tokens that changed by less than a share of the tolerance. It also moves past the next token, which was
    computed from settled tokens only. Remaining errors add up along tokens and blocks: `SAFETY` is the largest factor
    measured on trained flows. A tolerance of zero or a window of one token gives the sequential result.

    Args:
        window: number of tokens iterated at once.
        tolerance: allowed error of each element of a token, in units of max(1, its size).
        sweeps: maximal number of iterations of a token; None for no limit.
    """

    window: int
    tolerance: float
    sweeps: int | None = None

    def __call__(self, z: Float[Tensor, "b n d"], first: Float[Tensor, "b 1 d"], step: Step) -> Decoded:
        n = z.shape[1]
        inputs = torch.cat([first, z], 1)  # the initial guesses are the noise
        iterations = torch.zeros(n, dtype=torch.long)
        evaluated = at = 0
        while at < n:
            end = min(at + self.window, n)
            mu, log_sigma = step(inputs[:, at:end], at)
            u = mu + log_sigma.exp() * z[:, at:end]
            change = ((u - inputs[:, at + 1 : end + 1]).abs() / u.abs().clamp(min=1)).amax((0, 2)).cpu()
            iterations[at:end] += 1
            evaluated += end - at
            moving = ~(SAFETY * change <= self.tolerance)  # true for NaN
            if self.sweeps is not None:
                moving &= iterations[at:end] < self.sweeps
            first_moving = moving.nonzero()[:1]
            settled = min(end - at, int(first_moving) + 1) if len(first_moving) else end - at
            # A bad guess may overflow although the solution does not; the noise is then a better guess.
            u[:, settled:] = torch.where(u.isfinite(), u, z[:, at:end])[:, settled:]
            inputs[:, at + 1 : end + 1] = u
            at += settled
            # The guesses of tokens that enter the window use the affine map of its last token.
            entering = z[:, end : at + self.window]
            guess = mu[:, -1:] + log_sigma[:, -1:].exp() * entering
            inputs[:, end + 1 : at + self.window + 1] = torch.where(guess.isfinite(), guess, entering)
        return Decoded(inputs[:, 1:], evaluated)
