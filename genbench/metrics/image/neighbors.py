"""Nearest neighbors among features, in blocks of rows."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

ROWS = 1000

DEFAULT_K = 5
"""Neighbors that are found at once: the largest default of the metrics."""


def squared_distance_blocks(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Iterator[Float64[Tensor, "rows m"]]:
    """Yield the squared distances from a block of rows of x to all of y."""
    y = y.double()
    squares = y.square().sum(1)
    for rows in x.split(ROWS):
        rows = rows.double()
        yield torch.addmm(squares, rows, y.T, alpha=-2).add_(rows.square().sum(1)[:, None]).clamp_(min=0)


class Neighborhoods:
    """Points in rows, with the distances to their nearest neighbors among themselves, which are computed once."""

    def __init__(self, points: Float[Tensor, "n k"]) -> None:
        self.points = points
        self._squares = torch.empty(len(points), 0, dtype=torch.float64)

    def squared_radii(self, k: int) -> Float64[Tensor, " n"]:
        """Return the squared distance of each point to its k-th nearest neighbor."""
        if self._squares.shape[1] <= k:
            self._squares = self._smallest_squares(max(k, DEFAULT_K) + 1)
        return self._squares[:, k]

    def _smallest_squares(self, count: int) -> Float64[Tensor, "n count"]:
        """Return the smallest squared distances of each point in increasing order, its own 0 first.

        A block of distances serves its rows and, transposed, its columns, which halves the work.
        """
        parts = self.points.split(ROWS)
        found: list[list[Tensor]] = [[] for _ in parts]
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts[: i + 1]):
                (block,) = squared_distance_blocks(rows, columns)
                if i == j:
                    block.fill_diagonal_(0)  # which rounding may leave above 0
                found[i].append(_smallest(block, count))
                if i != j:
                    found[j].append(_smallest(block.T, count))
        return torch.cat([_smallest(torch.cat(values, 1), count) for values in found])


def _smallest(values: Float64[Tensor, "n m"], count: int) -> Float64[Tensor, "n smallest"]:
    return values.topk(min(count, values.shape[1]), largest=False).values


def nearest(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> tuple[Float64[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the distance of each row of x to the nearest row of y, and the index of that row.

    Distances are those of differences: exactly 0 between equal rows.
    """
    indices = torch.cat([block.argmin(1) for block in squared_distance_blocks(x, y)])
    parts = zip(x.split(ROWS), indices.split(ROWS), strict=True)
    return torch.cat([(rows.double() - y[index].double()).norm(dim=1) for rows, index in parts]), indices
