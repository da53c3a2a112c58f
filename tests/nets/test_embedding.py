"""Embeddings: frequencies against their closed form, and what stands for a missing label or interval."""

import torch
from torch.testing import assert_close

from genbench.nets.embedding import add_label, frequencies, label_embedding


def test_frequencies_fall_geometrically_and_lie_on_circles():
    t = torch.tensor([0.0, 0.3, 7.0], dtype=torch.float64)
    found = frequencies(t, 8)
    assert_close(found[:, :4] ** 2 + found[:, 4:] ** 2, torch.ones(3, 4, dtype=torch.float64))
    for i in range(4):
        assert_close(torch.atan2(found[1, 4 + i], found[1, i]).item(), 0.3 * 10_000 ** (-i / 4), atol=1e-12, rtol=0)
    # A sum of angles is a product of rotations.
    whole, parts = frequencies(t + 0.3, 8), torch.complex(found[:, :4], found[:, 4:])
    assert_close(torch.complex(whole[:, :4], whole[:, 4:]), parts * parts[1])


def test_no_label_is_the_last_row_and_no_classes_change_nothing():
    table, h = label_embedding(3, 5), torch.randn(2, 5)
    assert label_embedding(0, 5) is None
    assert torch.equal(add_label(h, None, torch.tensor([0, 1])), h)
    assert_close(add_label(h, table, None), add_label(h, table, torch.tensor([3, 3])))
    assert_close(add_label(h, table, torch.tensor([2, 0])) - h, table.weight[[2, 0]])
