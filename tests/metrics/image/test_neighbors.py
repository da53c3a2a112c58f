import torch

from genbench.metrics.image import neighbors
from genbench.metrics.image.neighbors import Neighborhoods, nearest, squared_distance_blocks


def points(n, seed):
    return torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_blocks_are_the_squared_distances(monkeypatch):
    monkeypatch.setattr(neighbors, "ROWS", 7)
    x, y = points(20, 0), points(31, 1)
    found = torch.cat(list(squared_distance_blocks(x, y)))
    torch.testing.assert_close(found, torch.cdist(x, y).square(), rtol=1e-9, atol=1e-9)


def test_radii_are_the_distances_to_the_kth_other_point_for_any_block(monkeypatch):
    x = points(40, 2)
    expected = torch.cdist(x, x).sort(dim=1).values.square()
    for rows in (7, 40, 1000):
        monkeypatch.setattr(neighbors, "ROWS", rows)
        hoods = Neighborhoods(x)
        for k in (1, 3, 9):  # 9 is more than was found at once
            torch.testing.assert_close(hoods.squared_radii(k), expected[:, k], rtol=1e-9, atol=1e-9)


def test_equal_points_are_exactly_at_distance_0():
    y = 1000 + points(25, 4)
    distance, index = nearest(y.flip(0), y)
    assert not distance.any()
    assert index.tolist() == list(range(24, -1, -1))


def test_the_nearest_point_and_its_distance():
    x, y = points(15, 3), points(25, 4)
    distance, index = nearest(x, y)
    torch.testing.assert_close(distance, (x - y[index]).norm(dim=1), rtol=1e-7, atol=1e-7)
    assert bool((distance[:, None] <= torch.cdist(x, y) + 1e-9).all())
