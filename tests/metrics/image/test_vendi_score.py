import math

import pytest
import torch
from helpers.pixel_features import measured, normal_images

from genbench.metrics.image.vendi_score import influence, vendi_score


@pytest.mark.parametrize("repeats", [1, 30])
def test_the_score_is_the_number_of_different_images(repeats):
    kinds = torch.eye(12)[:7] * torch.arange(1, 8)[:, None]
    assert vendi_score(kinds.repeat(repeats, 1)) == pytest.approx(7)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_the_influence_is_the_growth_with_the_weight_of_an_image(shape):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    effect = influence(x) - influence(x).mean()
    many = x.repeat(1000, 1)
    for i in (0, 5):
        grown = math.log(vendi_score(torch.cat([many, x[i : i + 1]]))) - math.log(vendi_score(many))
        assert grown * (len(many) + 1) == pytest.approx(float(effect[i]), rel=0.01, abs=1e-3)


def test_the_floor_is_of_as_many_real_images_or_there_is_none(data):
    floors = [measured("vendi", data, normal_images(n, 5))["vendi"]["floor"] for n in (3000, 3001)]
    assert floors[0] == pytest.approx(vendi_score(normal_images(3000, 1).flatten(1).float()))
    assert floors[1] is None
