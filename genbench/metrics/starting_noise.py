"""Evaluation noise: every sample has its own seed, so that no result depends on the number or grouping of samples."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Source
from genbench.seeds import derive


def noise(source: Source, n: int, seed: int, *, start: int = 0) -> Float[Tensor, "n *event"]:
    """Draw the noise of samples start .. start+n-1. Each has its own seed, so sample i does not depend on n."""
    return _noise(source, n, seed, start).clone()  # the cached tensor must not be modified by callers


@lru_cache(maxsize=2)  # all points of an NFE curve start from the same noise
def _noise(source: Source, n: int, seed: int, start: int) -> Float[Tensor, "n *event"]:
    stream = torch.Generator()
    drawn = [source.sample(1, stream.manual_seed(derive(seed, "noise", i))) for i in range(start, start + n)]
    return torch.cat(drawn)
