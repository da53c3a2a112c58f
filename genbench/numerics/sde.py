"""Solve SDEs by the Euler-Maruyama method, with one random stream per sample."""

import hashlib
import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.numerics.ode import Solution
from genbench.seeds import generator


def euler_maruyama(
    drift: Callable[[Tensor, Tensor], Tensor],
    variance: Callable[[float], float],
    x: Float[Tensor, "b *event"],
    *,
    steps: int,
) -> Solution:
    """Solve dx = drift(t, x) dt + sqrt(variance(t)) dW from t = 0, and return the state at t = 1.

    Steps are equal. Each step uses the drift at its start and the variance at its end, so a variance that vanishes at
    t = 1 leaves no noise in the samples. The random numbers of a sample depend only on its start, not on the device or
    the batch.

    Args:
        variance: rate at which noise adds variance to x, as a function of t.
    """
    streams = [_stream_of(start) for start in x]
    for t, end in pairwise(torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist()):
        x = x + (end - t) * drift(torch.tensor(t, dtype=x.dtype, device=x.device), x)
        if spread := math.sqrt(variance(end) * (end - t)):
            noise = torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in streams])
            x = x + spread * noise.to(x)
    return Solution(x, steps)


def _stream_of(start: Float[Tensor, "*event"]) -> torch.Generator:
    """Return the random stream of the sample that starts at this state."""
    return generator(0, "diffusion", hashlib.sha256(start.float().cpu().contiguous().numpy().data).hexdigest())
