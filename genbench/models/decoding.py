"""Decoding: solve u = mu(u before) + sigma(u before) z for u, token by token or many tokens at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.models.guidance import Affine

Step = Callable[[Float[Tensor, "b t d"], int], Affine]
"""(inputs, at) -> the affine map of tokens at .. at+t-1, given the inputs at those places and all inputs before."""


class Decoded(NamedTuple):
    """The tokens, and how many of them the network evaluated on the way, those evaluated again counted again."""

    u: Float[Tensor, "b n d"]
    evaluated: int


Decoder = Callable[[Float[Tensor, "b n d"], Float[Tensor, "b 1 d"], Step], Decoded]
"""(z, first input, step) -> tokens; the input after the first is token 0, and so on."""


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


@dataclass(frozen=True)
class Jacobi:
    """Decode a window of tokens at once by fixed-point iteration; the window slides on over the tokens that settled.

    The equations are triangular: a token is exact once all before it are. So after every sweep those tokens leave
    the window that the sweep changed by no more than the tolerance, from the first on without a gap, and with
    them the next one, which was computed from settled tokens only. What is left of each change adds up along the
    tokens and through the blocks, by a factor that depends on the weights: measure it against the sequential result
    (ten tolerances on small images, a hundred on 256 tokens). A tolerance of zero or a window of one token gives the
    sequential result, and no decoding needs more sweeps than there are tokens (Song et al., 2021; Liu & Qin, 2025).

    Args:
        window: number of tokens iterated at once.
        tolerance: largest change of any number of a token, in units of max(1, its size), at which it has settled.
        sweeps: no token is iterated more often than this; None lets it settle.
    """

    window: int
    tolerance: float
    sweeps: int | None = None

    def __call__(self, z: Float[Tensor, "b n d"], first: Float[Tensor, "b 1 d"], step: Step) -> Decoded:
        """Decode; all samples of a batch move on together."""
        n = z.shape[1]
        inputs = torch.cat([first, z], 1)  # the first guesses are the noise
        age = torch.zeros(n, dtype=torch.long)
        evaluated = at = 0
        while at < n:
            end = min(at + self.window, n)
            mu, log_sigma = step(inputs[:, at:end], at)
            u = mu + log_sigma.exp() * z[:, at:end]
            change = ((u - inputs[:, at + 1 : end + 1]).abs() / u.abs().clamp(min=1)).amax((0, 2)).cpu()
            age[at:end] += 1
            evaluated += end - at
            moving = ~(change <= self.tolerance)  # a NaN moves
            if self.sweeps is not None:
                moving &= age[at:end] < self.sweeps
            first_moving = moving.nonzero()[:1]
            settled = min(end - at, int(first_moving) + 1) if len(first_moving) else end - at
            # A wild guess may overflow where the solution does not; its noise is as good a guess as any.
            guess = u[:, settled:]
            u[:, settled:] = torch.where(guess.isfinite(), guess, z[:, at + settled : end])
            inputs[:, at + 1 : end + 1] = u
            at += settled
            # Tokens that enter the window are first guessed by the affine map of the last one in it.
            entering = z[:, end : at + self.window]
            guess = mu[:, -1:] + log_sigma[:, -1:].exp() * entering
            inputs[:, end + 1 : at + self.window + 1] = torch.where(guess.isfinite(), guess, entering)
        return Decoded(inputs[:, 1:], evaluated)
