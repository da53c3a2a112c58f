"""Decoding: solve u = mu(u before) + sigma(u before) z for u, token by token or many tokens at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.models.starflow.guidance import Affine

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


CAUTION = 16
"""By how much a change at which a token settles has to be smaller than the error that is allowed in the end."""


@dataclass(frozen=True)
class Jacobi:
    """Decode a window of tokens at once by fixed-point iteration; the window slides on over the tokens that settled.

    The equations are triangular: a token is exact once all before it are. So after every sweep those tokens leave
    the window that the sweep changed by no more than a share of the tolerance, from the first on without a gap, and
    with them the next one, which was computed from settled tokens only. The others are corrected by what the sweep
    changed and by what that will change in turn, as `Response` foresees it. What is left of each change adds up along
    the tokens and through the blocks, by a factor that depends on the weights: `CAUTION` is what it was at most on
    trained ones, and samples on which the flow is worse conditioned err by more. A tolerance of zero or a window of one
    token gives the sequential result, and no decoding needs more sweeps than there are tokens (Song et al., 2021;
    Liu & Qin, 2025).

    Args:
        window: number of tokens iterated at once.
        tolerance: error to aim at, of any number of a token, in units of max(1, its size).
        sweeps: no token is iterated more often than this; None lets it settle.
    """

    window: int
    tolerance: float
    sweeps: int | None = None

    def __call__(self, z: Float[Tensor, "b n d"], first: Float[Tensor, "b 1 d"], step: Step) -> Decoded:
        """Decode; all samples of a batch move on together."""
        n = z.shape[1]
        inputs = torch.cat([first, z], 1)  # the first guesses are the noise
        response = Response(z.new_zeros(z.shape[2], z.shape[2]))
        age = torch.zeros(n, dtype=torch.long)
        evaluated = at = 0
        while at < n:
            end = min(at + self.window, n)
            mu, log_sigma = step(inputs[:, at:end], at)
            u = mu + log_sigma.exp() * z[:, at:end]
            guess = inputs[:, at + 1 : end + 1]
            residual = u - guess
            change = (residual.abs() / u.abs().clamp(min=1)).amax((0, 2)).cpu()
            age[at:end] += 1
            evaluated += end - at
            moving = ~(CAUTION * change <= self.tolerance)  # a NaN moves
            if self.sweeps is not None:
                moving &= age[at:end] < self.sweeps
            first_moving = moving.nonzero()[:1]
            settled = min(end - at, int(first_moving) + 1) if len(first_moving) else end - at
            # A wild guess may overflow where the solution does not; its noise is as good a guess as any.
            better = guess + response(residual, at)
            u[:, settled:] = torch.where(better.isfinite(), better, z[:, at:end])[:, settled:]
            inputs[:, at + 1 : end + 1] = u
            at += settled
            # Tokens that enter the window are first guessed by the affine map of the last one in it.
            entering = z[:, end : at + self.window]
            guess = mu[:, -1:] + log_sigma[:, -1:].exp() * entering
            inputs[:, end + 1 : at + self.window + 1] = torch.where(guess.isfinite(), guess, entering)
        return Decoded(inputs[:, 1:], evaluated)


class Response:
    """Foresees what corrections of tokens do to the tokens after them (a quasi-Newton step).

    If a correction c of the guesses turns residuals r into r' = r - c + c_before A, where c_before is the correction
    of the token before, then c = r + c_before A leaves none. Sweep by sweep, A is fitted to what earlier corrections
    did (ridge regression, old sweeps forgotten), and the recursion is followed over a few tokens. Where r is zero up
    to some token, so is c: what is settled stays, and whatever A is, only the number of sweeps depends on it.

    Args:
        unknown: zeros of the shape (d, d) of A, of the dtype and on the device of the tokens.
    """

    REACH, RIDGE, MEMORY, BOUND = 3, 0.1, 0.95, 4.0
    """Tokens over which the recursion is followed, size of the ridge against the fit's own, what a sweep leaves of the
    weight of those before it, and the largest correction that is carried on; all of them matter little."""

    def __init__(self, unknown: Float[Tensor, "d d"]) -> None:
        self.matrix, self.gram, self.cross = unknown, unknown, unknown
        self.eye = torch.eye(len(unknown)).to(unknown)
        self.last: tuple[int, Tensor, Tensor] | None = None

    def __call__(self, residual: Float[Tensor, "b t d"], at: int) -> Float[Tensor, "b t d"]:
        """Return the correction for the residuals of the tokens from `at` on."""
        if not torch.is_autocast_enabled(residual.device.type):
            return residual + self._foreseen(residual, at)
        with torch.autocast(residual.device.type, enabled=False):  # a fit needs the bits
            return residual + self._foreseen(residual, at)

    def _foreseen(self, residual: Tensor, at: int) -> Tensor:
        # A wild guess says little: it must not decide on A, nor must a wrong A throw guesses about.
        seen = residual.nan_to_num(0.0, 0.0, 0.0).clamp(-3 * self.BOUND, 3 * self.BOUND)
        if self.last is not None:
            start, before, foreseen = self.last
            x, y = before[:, at - start :], foreseen[:, at - start :]
            x, y = x.flatten(0, 1), (y + seen[:, : y.shape[1]]).flatten(0, 1)
            self.gram = self.MEMORY * self.gram + x.T @ x
            self.cross = self.MEMORY * self.cross + x.T @ y
            ridge = self.RIDGE * self.gram.diagonal().mean() + torch.finfo(x.dtype).tiny
            self.matrix = torch.linalg.solve(self.gram + ridge * self.eye, self.cross)
        c = r = seen.clamp(-self.BOUND, self.BOUND)
        for _ in range(self.REACH):
            c = (r + _before(c) @ self.matrix).clamp(-self.BOUND, self.BOUND)
        self.last = (at, _before(c), c - r)
        return c - r


def _before(c: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    """Return what belongs to the token before each; nothing for the first."""
    return torch.cat([torch.zeros_like(c[:, :1]), c[:, :-1]], 1)
