"""Types and shapes in signatures are checked in tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import beartype
import jaxtyping
import pytest
import torch
from helpers import shape_checks
from jaxtyping import Float
from torch import Tensor

from genbench.metrics.image.frechet import Moments
from genbench.numerics.importance_weights import relative_ess

checked = shape_checks.checked(typechecker=beartype.beartype(conf=beartype.BeartypeConf(violation_type=TypeError)))


@checked
def product(x: Float[Tensor, "n k"], y: Float[Tensor, "k m"], *, transposed: bool = False) -> Float[Tensor, "n m"]:
    return (x @ y).T if transposed else x @ y


@checked
def rows(x: Float[Tensor, "n k"], y: Float[Tensor, " n"]) -> Iterator[Tensor]:
    yield from x * y[:, None]


@checked
@dataclass
class Pair:
    x: Float[Tensor, " n"]
    y: Float[Tensor, " n"]

    @checked
    def first(self, count: int) -> "Unknown":
        return self.x[:count]


def test_dimensions_agree_among_arguments_and_with_what_is_returned():
    x, y = torch.ones(2, 3), torch.ones(3, 4)
    assert product(x, y).shape == (2, 4)
    assert product(y.T, y).shape == (4, 4)  # sizes of one call say nothing of the next
    for wrong in (lambda: product(x, x), lambda: product(x, y, transposed=True), lambda: Pair(x[0], y[0])):
        with pytest.raises(TypeError, match="violates type hint"):
            wrong()
    with pytest.raises(jaxtyping.TypeCheckError):
        rows(x, y)  # when it is called, not when it is iterated


def test_types_are_checked_where_no_array_is_named():
    pair = Pair(torch.ones(2), torch.ones(2))
    assert len(pair.first(1)) == 1
    with pytest.raises(TypeError, match="violates type hint"):
        pair.first("1")


def test_the_functions_of_genbench_are_checked():
    with pytest.raises(TypeError, match="violates type hint"):
        Moments.of(3, torch.ones(2).double(), torch.eye(3).double())
    with pytest.raises(TypeError, match="violates type hint"):
        relative_ess([1.0])
