"""Patches: splitting samples into tokens and joining them."""

import pytest
import torch
from torch.testing import assert_close

from genbench.nets.patches import Patches


@pytest.mark.parametrize("shape", [(6,), (3, 4, 6)])
def test_tokens_join_to_what_was_split(shape):
    tokens = Patches(shape, 2)
    x = torch.randn(5, *shape)
    split = tokens.split(x)
    assert split.shape == (5, tokens.count, tokens.size)
    assert_close(tokens.join(split), x, atol=0, rtol=0)
    assert len(tokens.grid) == tokens.count


def test_tokens_of_images_lie_where_the_grid_says():
    tokens = Patches((1, 4, 6), 2)
    x = torch.arange(24.0).view(1, 1, 4, 6)
    for token, (row, column) in zip(tokens.split(x)[0], tokens.grid.tolist(), strict=True):
        assert_close(token, x[0, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten())
