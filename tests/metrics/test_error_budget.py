"""The error budget: parts that vanish by construction, and parts whose size is known."""

from dataclasses import replace

import pytest
import torch
from helpers.toy_flows import component, stream
from torch import nn

from genbench.core import Truth
from genbench.data.splits import Arrays, Finite
from genbench.errors import Unsupported
from genbench.metrics.error_budget import error_budget
from genbench.metrics.evaluation import Evaluation
from genbench.numerics.weighted_pairs import exponential
from genbench.registry import datasets, models

DOPRI5 = {"method": "dopri5", "steps": 0, "tol": 1e-4}


class Exact(nn.Linear):
    """A network that knows the field."""

    def __init__(self, field):
        super().__init__(1, 1)
        self.forward = lambda t, x, label=None: field(t, x)


def built(name, data, **settings):
    return component(models, name, data.event, data.source, **settings)


def exact(name, data, kernel=None, **settings):
    model = built(name, data, **settings)
    field = data.truth.velocity
    model.net = Exact(field if kernel is None else lambda t, x: field(t, x, kernel))
    return model


def parts(model, data, options=DOPRI5, **settings):
    evaluation = Evaluation(data, 0, x=data.test.take(8, 0).x, model=model, options=options)
    values = error_budget(evaluation, n=256, repeats=2, **settings)
    return {value.part: (value.value, value.details["half_interval"]) for value in values}


@pytest.fixture(scope="module")
def ring():
    return datasets["8gaussians"].build()


def test_the_exact_field_as_network_has_no_error_of_coupling_network_and_solver(ring):
    found = parts(exact("cfm", ring), ring)
    assert found["coupling"] == (0, 0)
    assert found["network"] == found["solver"] == pytest.approx((0, 0), abs=1e-5)
    assert found[""] == pytest.approx(found["samples"], abs=1e-5)


def test_the_exact_field_of_weighted_pairs_has_the_error_of_the_coupling_alone(ring):
    kernel = exponential(0.5 * 2**0.5)
    found = parts(exact("wcfm", ring, kernel, kappa=0.5), ring)
    assert found["coupling"][0] - found["coupling"][1] > 0.02
    assert found["network"] == found["solver"] == pytest.approx((0, 0), abs=1e-5)


def test_with_infinite_kappa_the_coupling_has_no_error(ring):
    assert abs(parts(exact("wcfm", ring, kappa=1e5), ring)["coupling"][0]) < 1e-4


@pytest.mark.parametrize("settings", [{"weigh": "data"}, {"normalizer": "batch"}])
def test_weights_that_depend_on_the_batch_have_no_known_minimizer(ring, settings):
    with pytest.raises(Unsupported, match="batch"):
        parts(exact("wcfm", ring, kappa=1.0, **settings), ring)


def test_the_parts_add_up_and_a_coarse_solver_shows(ring):
    found = parts(exact("cfm", ring), ring, {"method": "euler", "steps": 2, "tol": 1e-5}, distance="w2")
    total = found.pop("")[0]
    assert total == pytest.approx(sum(value for value, _ in found.values()))
    assert found["solver"][0] > 0.5 > abs(found["network"][0])


def test_the_noise_of_an_sde_is_an_error_of_the_solver(ring):
    found = parts(exact("cfm", ring), ring, {"method": "euler", "steps": 3, "tol": 1e-5, "diffusion": 5.0})
    assert abs(found["network"][0]) < 1e-5 < found["solver"][0]


@pytest.mark.parametrize("name", ["otcfm", "wcfm-balanced"])
def test_couplings_that_keep_the_marginals_have_no_error(ring, name):
    settings = {"kappa": 1.0} if name == "wcfm-balanced" else {}
    assert parts(exact(name, ring, **settings), ring)["coupling"] == (0, 0)


def test_semidiscrete_transport_ends_at_the_points_of_training(ring):
    model = built("sdcfm", ring, points=8, tolerance=0.2)
    model.coupling.attach(ring.train, ring.source, torch.device("cpu"))
    x0 = torch.randn(50, 2, generator=stream())
    pairs = model.coupling.train()(x0, x0, None, stream())
    torch.testing.assert_close(model.coupling.exact_samples(x0, ring, tol=1e-4), pairs.x1)


@pytest.mark.parametrize(("count", "low", "high"), [(3, 0.1, 9), (2000, -0.05, 0.05)])
def test_the_exact_minimizer_of_few_points_samples_these(ring, count, low, high):
    """Without a known field the validation split takes the place of the true sampler."""
    rows = Arrays(ring.train.take(count, 5).x, torch.zeros(count, dtype=torch.long), torch.arange(count))
    data = replace(ring, truth=Truth(), train=Finite(lambda: rows, count, ring.space))
    assert low < parts(exact("cfm", ring), data)["coupling"][0] < high


def test_the_validation_split_is_not_compared_with_itself(ring):
    rows = Arrays(ring.valid.take(600, 5).x, torch.zeros(600, dtype=torch.long), torch.arange(600))
    valid = Finite(lambda: rows, 600, ring.space)
    with pytest.raises(Unsupported, match=r"evaluation\.split=test"):
        parts(exact("cfm", ring), replace(ring, truth=Truth(), valid=valid, test=valid))


@pytest.mark.parametrize(
    ("name", "dataset", "settings"),
    [
        ("vp", "8gaussians", {}),
        ("cfm", "8gaussians", {"sigma": 0.1}),
        ("cfm", "8gaussians", {"conditional": True}),
        ("cfm", "branches", {}),
        ("meanflow", "8gaussians", {}),
        ("wcfm", "moons", {"kappa": 1.0}),
    ],
)
def test_it_is_refused_where_the_minimizer_is_not_known(name, dataset, settings):
    data = datasets[dataset].build()
    with pytest.raises(Unsupported, match="exact minimizer"):
        parts(built(name, data, **settings), data)
