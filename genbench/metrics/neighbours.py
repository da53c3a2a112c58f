"""Nearest neighbours among features, some rows at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

ROWS = 1000


def squares(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Iterator[Float64[Tensor, "rows m"]]:
    """Yield squared distances from some rows of x at a time to all of y."""
    y = y.double()
    own = y.square().sum(1)
    for rows in x.split(ROWS):
        rows = rows.double()
        yield (rows.square().sum(1)[:, None] + own - 2 * rows @ y.T).clamp_(min=0)


def radii(x: Float[Tensor, "n k"], nearest: int) -> Float64[Tensor, " n"]:
    """Return the squared distance of each row to its k-th nearest other row."""
    start, found = 0, []
    for block in squares(x, x):
        rows = torch.arange(len(block))
        block[rows, start + rows] = 0  # exactly: rounding must not make a row its own neighbour at a distance
        found.append(block.kthvalue(nearest + 1).values)
        start += len(block)
    return torch.cat(found)


def closest(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> tuple[Float64[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the distance of each row of x to the nearest row of y, and which one that is."""
    values, places = zip(*(block.min(1) for block in squares(x, y)), strict=True)
    return torch.cat(values).sqrt(), torch.cat(places)
