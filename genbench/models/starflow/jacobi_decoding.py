"""Decoding: solve u_i = mu_i(u_<i) + sigma_i(u_<i) z_i for u, token by token or many tokens at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.models.starflow.guidance import Affine

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
"""Allowed final error over the change at which a token counts as settled."""


@dataclass(frozen=True)
class JacobiDecoding:
    """Decode a sliding window of tokens by fixed-point iteration (Song et al., 2021; Liu and Qin, 2025).

    u_i <- mu_i(u_<i) + sigma_i(u_<i) z_i  for all i of the window at once

    The equations are triangular: a token is exact once all earlier tokens are. After each sweep the window moves past
    the leading tokens that changed by less than a share of the tolerance, and past the next one, which was computed
    from settled tokens only. The others are corrected by their change and by the effect of that change that
    `QuasiNewton` predicts. Remaining errors add up along tokens and blocks by a factor that depends on the weights:
    `SAFETY` is the largest one measured on trained flows; samples with a worse-conditioned flow err by more. A
    tolerance of zero or a window of one token gives the sequential result. There are never more sweeps than tokens.

    Args:
        window: number of tokens iterated at once.
        tolerance: allowed error of each element of a token, in units of max(1, its size).
        sweeps: maximal number of iterations of a token; None for no limit.
    """

    window: int
    tolerance: float
    sweeps: int | None = None

    def __call__(self, z: Float[Tensor, "b n d"], first: Float[Tensor, "b 1 d"], step: Step) -> Decoded:
        """Decode; the window is the same for all samples of a batch."""
        n = z.shape[1]
        inputs = torch.cat([first, z], 1)  # the initial guesses are the noise
        predict = QuasiNewton(z.new_zeros(z.shape[2], z.shape[2]))
        iterations = torch.zeros(n, dtype=torch.long)
        evaluated = at = 0
        while at < n:
            end = min(at + self.window, n)
            mu, log_sigma = step(inputs[:, at:end], at)
            u = mu + log_sigma.exp() * z[:, at:end]
            guess = inputs[:, at + 1 : end + 1]
            residual = u - guess
            change = (residual.abs() / u.abs().clamp(min=1)).amax((0, 2)).cpu()
            iterations[at:end] += 1
            evaluated += end - at
            moving = ~(SAFETY * change <= self.tolerance)  # true for NaN
            if self.sweeps is not None:
                moving &= iterations[at:end] < self.sweeps
            first_moving = moving.nonzero()[:1]
            settled = min(end - at, int(first_moving) + 1) if len(first_moving) else end - at
            # A bad guess may overflow although the solution does not; the noise is then a better guess.
            corrected = guess + predict(residual, at)
            u[:, settled:] = torch.where(corrected.isfinite(), corrected, z[:, at:end])[:, settled:]
            inputs[:, at + 1 : end + 1] = u
            at += settled
            # The guesses of tokens that enter the window use the affine map of its last token.
            entering = z[:, end : at + self.window]
            guess = mu[:, -1:] + log_sigma[:, -1:].exp() * entering
            inputs[:, end + 1 : at + self.window + 1] = torch.where(guess.isfinite(), guess, entering)
        return Decoded(inputs[:, 1:], evaluated)


class QuasiNewton:
    """Predicts the effect of corrected tokens on later tokens: a quasi-Newton step for Jacobi decoding.

    Model: corrections c of the guesses turn residuals r into r' = r - c + c_prev A, with c_prev the correction of the
    previous token. Hence c = r + c_prev A leaves no residual. A is fitted to the effects of earlier corrections (ridge
    regression, discounting older sweeps), and the recursion is followed over `REACH` tokens. Where r is zero up to
    some token, so is c: settled tokens do not move, and A affects only the number of sweeps.

    Args:
        zeros: zeros of the shape (d, d) of A, with the dtype and device of the tokens.
    """

    REACH, RIDGE, DISCOUNT, BOUND = 3, 0.1, 0.95, 4.0
    """Tokens over which the recursion is followed; ridge relative to the mean diagonal; weight of the previous sweeps
    after each sweep; largest correction that enters the recursion. Results hardly depend on any of them."""

    def __init__(self, zeros: Float[Tensor, "d d"]) -> None:
        self.matrix, self.gram, self.cross = zeros, zeros, zeros
        self.eye = torch.eye(len(zeros)).to(zeros)
        self.last: tuple[int, Tensor, Tensor] | None = None

    def __call__(self, residual: Float[Tensor, "b t d"], at: int) -> Float[Tensor, "b t d"]:
        """Return the correction for the residuals of the tokens from `at` on."""
        if not torch.is_autocast_enabled(residual.device.type):
            return residual + self._predict(residual, at)
        with torch.autocast(residual.device.type, enabled=False):  # the fit needs full precision
            return residual + self._predict(residual, at)

    def _predict(self, residual: Tensor, at: int) -> Tensor:
        # Clamped, so that a bad guess does not dominate the fit, nor a bad fit the guesses.
        seen = residual.nan_to_num(0.0, 0.0, 0.0).clamp(-3 * self.BOUND, 3 * self.BOUND)
        if self.last is not None:
            start, previous, predicted = self.last
            x, y = previous[:, at - start :], predicted[:, at - start :]
            x, y = x.flatten(0, 1), (y + seen[:, : y.shape[1]]).flatten(0, 1)
            self.gram = self.DISCOUNT * self.gram + x.T @ x
            self.cross = self.DISCOUNT * self.cross + x.T @ y
            ridge = self.RIDGE * self.gram.diagonal().mean() + torch.finfo(x.dtype).tiny
            self.matrix = torch.linalg.solve(self.gram + ridge * self.eye, self.cross)
        c = r = seen.clamp(-self.BOUND, self.BOUND)
        for _ in range(self.REACH):
            c = (r + _previous(c) @ self.matrix).clamp(-self.BOUND, self.BOUND)
        self.last = (at, _previous(c), c - r)
        return c - r


def _previous(c: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    """Return for each token the value of the previous one; zero for the first."""
    return torch.cat([torch.zeros_like(c[:, :1]), c[:, :-1]], 1)
