from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.fixed_samples import normal
from scipy.optimize import linear_sum_assignment

from genbench.core import Truth
from genbench.errors import RunFailed, Unsupported
from genbench.metrics import wasserstein
from genbench.metrics.wasserstein import source_to_data, squared_w2, transport_plan
from genbench.registry import datasets
from genbench.storage import files


def test_exact_transport_agrees_with_another_solver_and_with_sorting():
    x, y = normal(300, 3, 1).double(), 2 * normal(300, 3, 2).double() + 1
    cost = torch.cdist(x, y).square().numpy()
    rows, columns = linear_sum_assignment(cost)
    squared, potential = squared_w2(x, y)
    torch.testing.assert_close(squared, float(cost[rows, columns].mean()), rtol=1e-12, atol=0)
    # Feasible for the dual problem and as good as the plan, so optimal (weak duality).
    others = (torch.from_numpy(cost) - potential[:, None]).min(0).values
    torch.testing.assert_close(float(potential.mean() + others.mean()), squared)
    line = torch.cat([x[:, :1], torch.zeros(300, 1)], 1), torch.cat([y[:, :1], torch.zeros(300, 1)], 1)
    torch.testing.assert_close(squared_w2(x[:, :1], y[:, :1])[0], transport_plan(*line).cost)


def test_an_unfinished_plan_is_an_error(monkeypatch):
    with pytest.raises(RunFailed, match="not every distance between them is finite"):
        transport_plan(normal(100, 2, 0).double() * 1e300, normal(100, 2, 1).double())
    monkeypatch.setattr(wasserstein, "ITERATIONS", 3)
    with pytest.raises(RunFailed, match="did not finish"), pytest.warns(UserWarning, match="numItermax"):
        transport_plan(normal(100, 2, 0).double(), normal(100, 2, 1).double())


def test_w2_from_source_to_data_is_exact_where_known_and_estimated_within_2_percent_where_not(tmp_path, own_home):
    known = datasets["gaussian"].build(dims=2, mean=1.0, std=0.7, spread=2.0, correlation=0.3)
    exact = source_to_data(known)
    assert (exact.squared, exact.error) == (known.truth.w2_squared(), 0)
    hidden = source_to_data(replace(known, truth=Truth()))
    assert abs(hidden.squared / exact.squared - 1) < 0.02
    assert abs(hidden.squared - exact.squared) < 4 * hidden.error
    read_again = source_to_data(replace(known, truth=Truth()))  # a data set of its own, whose points are the same
    assert read_again == hidden
    (entry,) = (own_home / "distances").glob("*.json")
    files.write_sealed(entry, "[5.0, 0.5]", entry.name)
    assert source_to_data(replace(known, truth=Truth()))[:2] == (5.0, 0.5)
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(400, 2)))
    with pytest.raises(Unsupported, match="its estimate takes 32,768 test points; there are 80"):
        source_to_data(datasets["points"].build(path=str(tmp_path / "points.npy")))
    with pytest.raises(Unsupported, match="8 dimensions"):
        source_to_data(replace(datasets["gaussian"].build(dims=8), truth=Truth()))


@pytest.mark.parametrize("dims", [1, 2])
def test_the_influence_on_the_distance_to_a_shifted_copy_is_linear(dims):
    x, shift = normal(200, dims, 3).double(), torch.full((dims,), 2.0).double()
    squared, influence = squared_w2(x, x + shift)
    assert squared == pytest.approx(float(shift.square().sum()))
    exact = -2 * (x - x.mean(0)) @ shift  # the potential of a translation
    assert float((influence - exact).std()) < 0.1 * float(exact.std())
