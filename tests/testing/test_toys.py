"""Toy tasks: they are what the conformance of components is measured by, so their own laws are checked here."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from genbench.core import Event, Normal
from genbench.testing.toys import AffineFlow, toy_tasks


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


def test_the_velocity_is_that_of_straight_paths():
    model = AffineFlow(Event((2,)), Normal((2,)))
    x0 = torch.randn(5, 2)
    end = model.sample(x0).x
    for t in (0.0, 0.3, 1.0):
        on_path = (1 - t) * x0 + t * end
        torch.testing.assert_close(model.velocity(torch.tensor(t), on_path), end - x0)
