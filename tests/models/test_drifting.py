"""Drifting models: the field against closed forms and symmetries, and a generator that finds its data."""

import math

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Batch, Event, Normal
from genbench.errors import ConfigError
from genbench.models import drifting
from genbench.models.drifting import Drifting
from genbench.registry import datasets

POINTS = Normal((3,)).sample(60, torch.Generator().manual_seed(0)).double()
X, DATA, GENERATED = POINTS.split([10, 30, 20])


def drift(x, data, temperature, generated=None):
    return drifting.drift(x, data, (temperature,), generated)[0]


@pytest.mark.parametrize("temperature", [0.02, 0.2, 5.0])
def test_the_field_changes_its_sign_with_its_sets_and_is_0_between_equal_sets(temperature):
    assert_close(drift(X, DATA, temperature, GENERATED), -drift(X, GENERATED, temperature, DATA))
    assert_close(drift(X, DATA, temperature, DATA.clone()), torch.zeros_like(X))


def test_one_point_between_one_datum_and_one_sample_drifts_by_the_closed_form():
    """The softmaxes are logistic in the difference of distances a and b: V = (y - g) / (2 cosh((a - b) / 2T))."""
    x, y, g = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, -1.0]])
    scale = 0.5 * (5 + 1) / 2  # temperature times mean distance
    assert_close(drift(x, y, 0.5, g), (y - g) / (2 * math.cosh((5 - 1) / (2 * scale))))


def test_the_limit_of_high_temperature_is_the_difference_of_means():
    """All affinities are then 1 / sqrt(50 * 10): V = sum_jk (y_j - g_k) / 500."""
    expected = 30 * 20 / 500 * (DATA.mean(0) - GENERATED.mean(0))
    assert_close(drift(X, DATA, 1e9, GENERATED), expected.expand_as(X), rtol=1e-6, atol=1e-8)


def test_the_field_follows_shifts_and_scales_and_points_do_not_repel_themselves():
    field = drift(X, DATA, 0.1)
    assert_close(drift(7 * X + 2, 7 * DATA + 2, 0.1), 7 * field)
    alone = torch.stack([drift(X[i : i + 1], DATA, 1e9, torch.cat([X[:i], X[i + 1 :]])) for i in range(10)])
    direction = torch.nn.functional.cosine_similarity(drift(X, DATA, 1e9), alone[:, 0])
    assert_close(direction, torch.ones_like(direction))


def train(model, data, steps=150):
    """Return samples of the generator after training."""
    stream = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimizer.zero_grad()
        model.loss(model.draw(Batch(data(128, stream), torch.zeros(128, dtype=torch.long)), stream))["loss"].backward()
        optimizer.step()
    return model.sample(torch.randn(2000, 2, generator=stream)).x


def generator(center, spread, *temperatures):
    """Return a generator with samples around a center."""
    torch.manual_seed(0)
    model = Drifting(Event((2,)), Normal((2,)), net={"name": "mlp", "width": 32, "depth": 1}, temperatures=temperatures)
    last = model.net.rest[-1]
    with torch.no_grad():
        last.weight.mul_(spread)
        last.bias.copy_(torch.tensor(center))
    return model


def test_a_generator_finds_a_gaussian():
    def data(n, stream):
        return 3 + 0.5 * torch.randn(n, 2, generator=stream)

    x = train(generator((0.0, 0.0), 1.0, 1.0), data)
    assert_close(x.mean(0), torch.full((2,), 3.0), rtol=0, atol=0.1)
    assert_close(x.std(0), torch.full((2,), 0.5), rtol=0, atol=0.1)


@pytest.mark.parametrize(("center", "spread"), [((0.0, 4.0), 0.2), ((-1.0, 0.0), 0.05)])
def test_far_and_collapsed_generators_find_both_modes_at_three_temperatures_and_not_at_a_low_one(center, spread):
    """The 2D example of the paper: samples start far from both modes, or all on one."""

    def data(n, stream):
        sign = 2.0 * torch.randint(2, (n, 1), generator=stream) - 1
        return torch.cat([sign, torch.zeros(n, 1)], 1) + 0.15 * torch.randn(n, 2, generator=stream)

    def shares(*temperatures):
        x = train(generator(center, spread, *temperatures), data)
        return [float(((x - torch.tensor([mode, 0.0])).norm(dim=1) < 0.5).float().mean()) for mode in (-1.0, 1.0)]

    assert min(shares(0.02, 0.05, 0.2)) > 0.2
    assert min(shares(0.02)) < 0.05


def test_noise_may_have_more_coordinates_than_samples_of_vectors_and_no_fewer():
    model = Drifting(Event((2,)), Normal((2,)), noise=32)
    assert model.source == Normal((32,))
    assert model.sample(torch.randn(5, 32)).x.shape == (5, 2)
    other = datasets["8gaussians-moons"].build().source
    for shape, source, noise in (((2,), Normal((2,)), 1), ((1, 8, 8), Normal((1, 8, 8)), 64), ((2,), other, 2)):
        with pytest.raises(ConfigError, match="only for vectors from"):
            Drifting(Event(shape), source, noise=noise)


def test_a_batch_of_one_sample_is_refused():
    model = Drifting(Event((2,)), Normal((2,)))
    with pytest.raises(ConfigError, match="needs 2 samples or more"):
        model.loss(drifting.Example(torch.zeros(1, 2), torch.zeros(1, 2)))
