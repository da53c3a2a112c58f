import math
from dataclasses import replace

import pytest
import torch
from helpers.fixed_samples import task_of

from genbench.core import Normal, Truth
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics
from genbench.space import Pixels, Real, Standardized


def evaluate(data, model, batch=512):
    return Evaluation(data, 0, x=torch.zeros(1, *data.event.shape), model=model, batch=batch)


@pytest.mark.parametrize("levels", [2, 256])
def test_a_uniform_density_has_log2_of_the_levels_in_bits(levels, fixed_density):
    images = Pixels(levels).encode(torch.randint(levels, (64, 3, 4, 4)))
    data = task_of(images, Pixels(levels))
    dims = data.event.dims
    model = fixed_density(data.event, data.source, lambda x, label: torch.full((len(x),), -dims * math.log(2.0)))
    bits = metrics["bits_per_dim"].build(evaluate(data, model), n=64)
    torch.testing.assert_close(bits.value, math.log2(levels), atol=1e-6, rtol=0)
    nats = metrics["nll"].build(evaluate(data, model), n=64)
    torch.testing.assert_close(nats.value, dims * math.log(levels), atol=1e-4, rtol=0)


def test_by_default_all_points_of_a_small_split_are_taken(fixed_density):
    data = task_of(torch.randn(80, 2), Real())
    model = fixed_density(data.event, data.source, lambda x, label: -x.square().sum(1))
    assert metrics["nll"].build(evaluate(data, model)) == metrics["nll"].build(evaluate(data, model), n=80)
    with pytest.raises(Unsupported, match="too few"):
        metrics["nll"].build(evaluate(data, model), n=81)


def test_dequantization_is_uniform_and_the_same_for_every_model(fixed_density):
    images = Pixels(4).encode(torch.randint(4, (512, 1, 2, 2)))
    data, seen = task_of(images, Pixels(4)), []
    model = fixed_density(data.event, data.source, lambda x, label: (seen.append(x.clone()), torch.zeros(len(x)))[1])
    for _ in range(2):
        metrics["bits_per_dim"].build(evaluate(data, model), n=512)
    torch.testing.assert_close(seen[0], seen[1])
    torch.testing.assert_close(Pixels(4).decode(seen[0]), Pixels(4).decode(images))
    offset = (seen[0] - images) / Pixels(4).bin
    torch.testing.assert_close(offset.std(), torch.tensor(1 / 12**0.5), atol=0.02, rtol=0)
    assert offset.min() > -0.5
    assert offset.max() < 0.5


@pytest.mark.parametrize(("s", "scale"), [(0.5, 1.0), (2.0, 3.0)])
def test_the_flow_between_gaussians_has_the_likelihood_of_the_target(s, scale, fixed_velocity):
    target = torch.distributions.Normal(0.0, s)
    x = s * torch.randn(2048, 3)
    data = task_of(x, Standardized((0.0,) * 3, (scale,) * 3), Truth(log_prob=lambda x: target.log_prob(x).sum(1)))

    def field(t, x):
        return x * (-(1 - t) + t * s * s) / ((1 - t) ** 2 + t * t * s * s)

    (row,) = measure(evaluate(data, fixed_velocity(data.event, data.source, field)), "nll", {}, True)
    torch.testing.assert_close(row["value"], row["floor"], atol=1e-3, rtol=0)
    entropy = 3 * (0.5 * math.log(2 * math.pi * math.e) + math.log(s * scale))  # of the raw data
    assert abs(row["value"] - entropy) < 4 * row["details"]["standard_error"]
    assert row["details"]["tolerance_difference"] < 1e-3
    assert row["details"]["probes"] == 0


def test_random_probes_agree_with_the_exact_trace(fixed_velocity):
    matrix = torch.tensor([[0.3, -0.5, 0.2, 0.0], [0.4, -0.2, 0.1, 0.3], [0.0, 0.2, 0.5, -0.4], [0.1, 0.0, 0.3, -0.1]])
    data = task_of(torch.randn(2048, 1, 2, 2), Real())

    def field(t, x):
        return (x.flatten(1) @ matrix.T).view_as(x)

    model = fixed_velocity(data.event, data.source, field)
    exact = metrics["nll"].build(evaluate(data, model), n=2048, probes=0)
    estimated = metrics["nll"].build(evaluate(data, model), n=2048)
    assert estimated.details["probes"] == 1
    assert exact.value != estimated.value
    symmetric = (matrix + matrix.T) / 2
    spread = math.sqrt(2 * float((symmetric - torch.diag(symmetric.diagonal())).square().sum()) / 2048)
    assert abs(exact.value - estimated.value) < 4 * spread
    # z = exp(-A) x is standard normal, whence the density in closed form.
    z = data.test.take(2048, 0).x.flatten(1) @ torch.linalg.matrix_exp(-matrix).T
    expected = -Normal((4,)).log_prob(z).mean() + matrix.trace()
    torch.testing.assert_close(exact.value, float(expected), atol=1e-3, rtol=0)


def test_the_tolerance_difference_is_larger_for_a_looser_tolerance(fixed_velocity):
    data = datasets["8gaussians"].build()
    model = fixed_velocity(data.event, data.source, lambda t, x: data.truth.velocity(t, x))
    rough, fine = (metrics["nll"].build(evaluate(data, model), n=256, tol=tol) for tol in (1e-1, 1e-5))
    assert fine.details["tolerance_difference"] < 1e-3 < rough.details["tolerance_difference"]
    torch.testing.assert_close(fine.value, fine.floor, atol=2e-2, rtol=0)


def test_coarse_tolerances_and_other_probes_are_other_protocols(fixed_velocity):
    data = datasets["8gaussians"].build()
    model = fixed_velocity(data.event, data.source, lambda t, x: data.truth.velocity(t, x))
    x = data.test.take(64, 1).x

    def measured(**settings):
        return metrics["nll"].build(Evaluation(data, 0, x=x, model=model), n=64, **settings)

    usual, fine, coarse, probed = measured(), measured(tol=1e-3), measured(tol=0.3), measured(probes=2)
    assert fine.protocol == usual.protocol != coarse.protocol
    assert fine.value == pytest.approx(usual.value, rel=0.04)
    assert coarse.value != pytest.approx(usual.value, rel=0.04)
    assert coarse.protocol == f"{usual.protocol}, dopri5 at tolerance 0.3"
    assert probed.protocol == f"{usual.protocol}, 2 random probes"


def test_conditional_models_get_the_labels_of_the_test_data_and_nats_and_bits_share_one_computation(fixed_density):
    data = task_of(torch.randn(100, 2), Real(), label=torch.arange(100) % 5)
    model = fixed_density(data.event, data.source, lambda x, label: label.double())
    model.conditional = True
    assert metrics["nll"].build(evaluate(data, model, batch=7), n=100).value == -2.0
    calls = []
    data = task_of(Pixels(17).encode(torch.randint(17, (50, 1, 8, 8))), Pixels(17))
    model = fixed_density(data.event, data.source, lambda x, label: calls.append(1) or torch.zeros(len(x)))
    where = evaluate(data, model)
    nats, bits = (metrics[name].build(where, n=50) for name in ("nll", "bits_per_dim"))
    assert len(calls) == 1
    torch.testing.assert_close(bits.value * 64 * math.log(2), nats.value)


def test_the_reason_is_given_where_there_is_no_likelihood(fixed_density, fixed_velocity):
    data = task_of(torch.randn(50, 2), Real())
    model = fixed_density(data.event, data.source, lambda x, label: torch.full((len(x),), math.inf))
    assert "50 of 50" in measure(evaluate(data, model), "nll", {"n": 50}, True)[0]["reason"]
    assert "continuous" in measure(evaluate(data, model), "bits_per_dim", {"n": 50}, True)[0]["reason"]
    assert "samples alone" in measure(Evaluation(data, 0, x=data.test.x), "nll", {"n": 50}, True)[0]["reason"]
    model.density = "latents"
    assert "latents" in measure(evaluate(data, model), "nll", {"n": 50}, True)[0]["reason"]
    pair = datasets["moons-8gaussians"].build()
    called = []
    flow = fixed_velocity(pair.event, pair.source, lambda t, x: (called.append(1), x)[1])
    assert "not known" in measure(evaluate(pair, flow), "nll", {"n": 50}, True)[0]["reason"]
    assert not called  # the reason comes before the work


def test_without_a_known_density_there_is_no_floor_and_the_protocol_names_the_variable_of_the_density(fixed_density):
    data = task_of(torch.randn(50, 2), Real())
    model = fixed_density(data.event, data.source, lambda x, label: torch.zeros(len(x)))
    model.density = "data + N(0, 0.1^2)"
    (row,) = measure(evaluate(data, model), "nll", {"n": 50}, True)
    assert row["floor"] is None
    assert "data + N(0, 0.1^2)" in row["protocol"]
    known = replace(data, truth=Truth(log_prob=lambda x: torch.ones(len(x))))
    assert measure(evaluate(known, model), "nll", {"n": 50}, True)[0]["floor"] == -1
