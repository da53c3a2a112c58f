import math
from dataclasses import replace

import pytest
import torch
from helpers.fixed_samples import normal, task_of

from genbench.core import Event
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics
from genbench.space import Pixels, Standardized


def against(x, y, space=None, seed=0):
    return Evaluation(task_of(y, space), seed, x=x)


def read(name, evaluation, **settings):
    value = metrics[name].build(evaluation, **settings)
    return value.value if not isinstance(value, list) else {v.part: v.value for v in value}


@pytest.mark.parametrize("d", [1, 7])
def test_w2_of_a_translation_is_its_length_and_a_permutation_costs_nothing(d):
    x = normal(200, d, 0)
    shift = torch.arange(1.0, d + 1)
    order = torch.randperm(200)
    torch.testing.assert_close(read("w2", against(x, x[order] + shift)), float(shift.norm()), atol=1e-6, rtol=0)
    assert read("w2", against(x, x[order])) < 1e-7
    doubled = read("w2", against(x, x[order] + shift, Standardized((0.0,) * d, (2.0,) * d)))
    torch.testing.assert_close(doubled, 2 * float(shift.norm()), atol=2e-6, rtol=0)  # in raw units


def test_sliced_w2_is_exact_in_one_dimension_and_averages_over_directions():
    x = normal(500, 1, 0)
    evaluation = against(x, 2 * normal(500, 1, 1) + 3)
    torch.testing.assert_close(read("sliced_w2", evaluation), read("w2", evaluation))
    x, shift = normal(64, 3, 0), torch.tensor([3.0, 4.0, 0.0])
    # Along a random direction of d dimensions, the mean square of a shift is |shift|^2 / d.
    sliced = read("sliced_w2", against(x, x + shift), directions=20000)
    torch.testing.assert_close(sliced, 5 / math.sqrt(3), rtol=0.02, atol=0)
    assert read("sliced_w2", against(x, x + shift, seed=1)) != read("sliced_w2", against(x, x + shift, seed=2))


def test_the_energy_distance_of_equal_distributions_has_mean_zero():
    values = torch.tensor(
        [read("energy_distance", against(normal(64, 2, 2 * i), normal(64, 2, 2 * i + 1))) for i in range(200)]
    )
    assert values.mean().abs() < 3 * values.std() / 200**0.5
    assert values.min() < 0 < values.max()
    # Were pairs of a sample with itself not left out, the mean would be off by many standard errors.
    assert values.std() / 200**0.5 < 2e-2


def test_energy_distance_of_two_gaussians_is_the_closed_form():
    shift = 1.0
    values = [
        read("energy_distance", against(normal(2048, 1, 2 * i) + shift, normal(2048, 1, 2 * i + 1))) for i in (0, 1)
    ]
    across = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)  # E|N(shift, 2)|
    torch.testing.assert_close(sum(values) / 2, 2 * across - 4 / math.sqrt(math.pi), rtol=0.08, atol=0)


def test_models_and_seeds_share_a_protocol():
    y = normal(256, 2, 0)
    near, far = (against(normal(256, 2, 1) * scale, y) for scale in (1.0, 100.0))
    for name in ("sliced_w2", "energy_distance"):
        stated = {metrics[name].build(each).protocol for each in (near, far, against(y, normal(256, 2, 9)))}
        assert len(stated) == 1


def test_conditional_w2_is_the_distance_at_equal_conditions():
    """Two laws of (x, c) with equal marginals: x = c and x = -c, at distance 2 |c|."""
    c = torch.linspace(-1, 1, 1601)[:, None]
    x, y = torch.cat([c, c], 1), torch.cat([-c, c], 1)[torch.randperm(1601, generator=torch.Generator().manual_seed(0))]
    where = against(x, y)
    where.data = replace(where.data, event=Event((2,), conditions=1))
    entry = metrics["conditional_w2"].build
    assert entry(where, n=1601, bins=100).value == pytest.approx(2 / math.sqrt(3), rel=0.01)
    where.x = y
    assert entry(where, n=1601, bins=100).value == pytest.approx(0, abs=1e-9)
    with pytest.raises(Unsupported, match="fewer than 2"):
        entry(where, n=1601, bins=1000)
    with pytest.raises(Unsupported, match="one continuous condition"):
        entry(against(x, y), n=1601)


def test_mode_coverage_counts_modes():
    data = datasets["8gaussians"].build()
    real = data.train.take(2048, 1)
    of_real = read("mode_coverage", Evaluation(data, 0, x=real.x))
    assert of_real[""] == 1
    assert of_real["on_mode"] == pytest.approx(0.99, abs=0.01)
    assert of_real["balance"] > 0.93
    one = read("mode_coverage", Evaluation(data, 0, x=data.truth.modes[:1].repeat(800, 1).float()))
    assert one == pytest.approx({"": 1 / 8, "on_mode": 1, "balance": 1 / 8}, abs=0.01)
    between = read("mode_coverage", Evaluation(data, 0, x=data.truth.modes.float().repeat(100, 1) * 0.3))
    assert between == pytest.approx({"": 0, "on_mode": 0, "balance": 1}, abs=0.01)
    with pytest.raises(Unsupported, match="modes"):
        read("mode_coverage", against(real.x, real.x))


def test_images_have_no_distance_of_pixels_and_the_reason_points_to_features():
    images = Pixels(4).encode(torch.randint(4, (32, 1, 2, 2)))
    for name in ("w2", "sliced_w2", "energy_distance"):
        assert "fd-" in measure(against(images, images, Pixels(4)), name, {}, True)[0]["reason"]


def test_samples_that_are_not_finite_have_no_distance():
    data = datasets["moons"].build()
    x = data.train.take(256, 0).x.clone()
    x[:3] = torch.tensor([[float("nan"), 0.0], [0.0, float("inf")], [-float("inf"), 1.0]])
    for name in ("w2", "sliced_w2", "energy_distance"):
        assert "3 of 256 samples are not finite" in measure(Evaluation(data, 0, x=x), name, {}, True)[0]["reason"]


def test_a_fixed_number_of_samples_is_never_made_smaller():
    x = normal(100, 2, 0)
    with pytest.raises(Unsupported, match="needs 200 samples"):
        read("w2", against(x, x), n=200)
    with pytest.raises(Unsupported, match="at least 2"):
        read("energy_distance", against(x[:1], x))


@pytest.mark.parametrize("name", ["w2", "sliced_w2", "energy_distance"])
def test_by_default_more_samples_than_test_data_are_measured_at_the_number_of_these(name):
    x, y = normal(500, 2, 0) + 1, normal(300, 2, 1)
    assert read(name, against(x, y)) == read(name, against(x, y), n=300) == read(name, against(x[:300], y))
    with pytest.raises(Unsupported, match="too few"):
        read(name, against(x, y), n=400)


@pytest.mark.parametrize("name", ["sliced_w2", "energy_distance"])
def test_a_distance_does_not_depend_on_what_was_measured_before(name):
    x, y = normal(300, 2, 0) + 1, normal(300, 2, 1)
    shared = against(x, y)
    read(name, shared, n=100)
    read(name, Evaluation(shared.data, 0, x=x + 1))
    assert read(name, shared) == read(name, against(x, y))
