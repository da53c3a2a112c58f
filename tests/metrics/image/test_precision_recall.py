import torch
from helpers.pixel_features import measured, normal_images

from genbench.metrics.image import precision_recall
from genbench.metrics.image.precision_recall import Neighborhoods, nearest


def test_recall_and_coverage_have_the_floor_of_as_many_held_out_images_only(data):
    for metric, of_as_many in (("precision_recall", "recall"), ("density_coverage", "coverage")):
        for n, known in ((1000, True), (1001, False)):
            rows = measured(metric, data, normal_images(n, 5))  # there are 1,000 test images
            assert {name for name, row in rows.items() if row["floor"] is None} == (
                set() if known else {f"{metric}.{of_as_many}"}
            )


def points(n, seed):
    return torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_radii_are_the_distances_to_the_kth_other_point_for_any_block(monkeypatch):
    x = points(40, 2)
    expected = torch.cdist(x, x).sort(dim=1).values.square()
    for rows in (7, 40, 1000):
        monkeypatch.setattr(precision_recall, "ROWS", rows)
        hoods = Neighborhoods(x)
        for k in (1, 3, 9):  # 9 is more than was found at once
            torch.testing.assert_close(hoods.squared_radii(k), expected[:, k], rtol=1e-9, atol=1e-9)


def test_the_nearest_point_and_its_distance_which_is_exactly_0_for_equal_points(monkeypatch):
    monkeypatch.setattr(precision_recall, "ROWS", 7)
    x, y = points(15, 3), points(25, 4)
    distance, index = nearest(x, y)
    torch.testing.assert_close(distance, (x - y[index]).norm(dim=1), rtol=1e-7, atol=1e-7)
    assert bool((distance[:, None] <= torch.cdist(x, y) + 1e-9).all())
    distance, index = nearest(1000 + y.flip(0), 1000 + y)
    assert not distance.any()
    assert index.tolist() == list(range(24, -1, -1))
