"""Toy tasks: they are what the conformance of components is measured by, so their own laws are checked here."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from genbench.core import Event, Normal
from genbench.testing.toys import CLASSES, LEVELS, AffineFlow, centers, toy_tasks


@pytest.mark.parametrize("name", ["vectors", "labeled vectors"])
def test_the_density_integrates_to_one_and_is_that_of_the_samples(name):
    data = toy_tasks()[name]
    side = torch.linspace(-3, 3, 301)
    step = float(side[1] - side[0])
    density = data.truth.log_prob(torch.cartesian_prod(side, side)).exp().reshape(301, 301)
    law = (density.sum(1).cumsum(0) * step**2).numpy()  # of the first coordinate
    assert law[-1] == pytest.approx(1.0, abs=1e-3)
    x = data.train.take(4000, 0).x[:, 0].numpy()
    assert kstest(x, lambda a: np.interp(a, side + step / 2, law)).pvalue > 1e-3


def test_labels_name_the_nearest_center():
    data = toy_tasks()["labeled vectors"]
    x, label = data.test.take(2000, 0)
    nearest = torch.cdist(x, centers((2,))).argmin(1)
    assert (nearest == label).float().mean() > 0.99
    assert label.unique().tolist() == list(range(CLASSES))
    assert not toy_tasks()["vectors"].test.take(50, 0).label.any()


def test_images_lie_on_their_gray_levels():
    data = toy_tasks()["labeled images"]
    x = data.train.batch(3, 50, 1).x
    assert x.shape == (50, 1, 4, 4)
    raw = data.space.decode(x)
    assert torch.equal(data.space.encode(raw), x)
    assert len(raw.unique()) <= LEVELS
    assert int(raw.max()) < LEVELS


def test_the_velocity_is_that_of_straight_paths():
    model = AffineFlow(Event((2,)), Normal((2,)))
    x0 = torch.randn(5, 2)
    end = model.sample(x0).x
    for t in (0.0, 0.3, 1.0):
        on_path = (1 - t) * x0 + t * end
        torch.testing.assert_close(model.velocity(torch.tensor(t), on_path), end - x0)
