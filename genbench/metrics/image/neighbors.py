"""Nearest neighbours among features, some rows at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

ROWS = 1000

USUAL = 5
"""Neighbours that metrics ask for, at most, unless told otherwise."""


def squares(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Iterator[Float64[Tensor, "rows m"]]:
    """Yield squared distances from some rows of x at a time to all of y."""
    y = y.double()
    own = y.square().sum(1)
    for rows in x.split(ROWS):
        rows = rows.double()
        yield (rows.square().sum(1)[:, None] + own - 2 * rows @ y.T).clamp_(min=0)


class Cloud:
    """Points, with the distances to their nearest neighbours among themselves, which are found once.

    Args:
        x: the points.
    """

    def __init__(self, x: Float[Tensor, "n k"]) -> None:
        self.x = x
        self._squares = torch.empty(len(x), 0, dtype=torch.float64)

    def radii(self, nearest: int) -> Float64[Tensor, " n"]:
        """Return the squared distance of each point to its k-th nearest other one."""
        if self._squares.shape[1] <= nearest:
            self._squares = self._nearest(max(nearest, USUAL) + 1)
        return self._squares[:, nearest]

    def _nearest(self, count: int) -> Float64[Tensor, "n count"]:
        """Return the least squared distances of each point, in their order, its own 0 first.

        A block of distances serves its rows and, transposed, its columns: half of all blocks are enough.
        """
        parts = self.x.split(ROWS)
        found: list[list[Tensor]] = [[] for _ in parts]
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts[: i + 1]):
                (block,) = squares(rows, columns)
                if i == j:
                    block.fill_diagonal_(0)  # exactly: rounding must not make a point its own neighbour at a distance
                found[i].append(_least(block, count))
                if i != j:
                    found[j].append(_least(block.T, count))
        return torch.cat([_least(torch.cat(values, 1), count) for values in found])


def _least(values: Float64[Tensor, "n m"], count: int) -> Float64[Tensor, "n least"]:
    return values.topk(min(count, values.shape[1]), largest=False).values


def closest(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> tuple[Float64[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the distance of each row of x to the nearest row of y, and which one that is."""
    values, places = zip(*(block.min(1) for block in squares(x, y)), strict=True)
    return torch.cat(values).sqrt(), torch.cat(places)
