import pytest
import torch
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.models.build import build_model
from genbench.nets.prediction import Predicts
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data


class Function(torch.nn.Module):
    """A network that is a function of t and x, and remembers its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, t, x, *others):
        self.seen = x
        return self.function(t.view(-1, 1), x)


def pairs(std, n=200_000):
    x0, x1 = torch.randn(2, n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x0, std * x1, torch.rand(n, dtype=torch.float64)


def exact(t, x, std):
    """Return the velocity of data N(0, s^2): the regression of x1 - x0 on x_t."""
    return (t * std**2 - (1 - t)) / ((1 - t) ** 2 + (t * std) ** 2) * x


@pytest.mark.parametrize("std", [0.5, 3.0])
def test_without_a_residual_edm_is_the_velocity_of_a_gaussian(std):
    x, t = torch.randn(50, 1, dtype=torch.float64), torch.linspace(0, 1, 50, dtype=torch.float64)
    net = Predicts(Function(lambda t, x: torch.zeros_like(x)), "edm", std)
    assert_close(net(t, x), exact(t[:, None], x, std))
    assert_close(net(torch.tensor(0.3, dtype=torch.float64), x), exact(0.3, x, std))


@pytest.mark.parametrize("std", [0.5, 3.0])
@pytest.mark.parametrize("time", [0.0, 0.4, 0.9, 1.0])
def test_input_and_residual_of_edm_have_unit_variance(std, time):
    x0, x1, _ = pairs(std)
    t = torch.full((len(x0),), time, dtype=torch.float64)
    x = (1 - time) * x0 + time * x1
    none, one = (Predicts(Function(lambda t, x, c=c: torch.full_like(x, c)), "edm", std) for c in (0.0, 1.0))
    residual = (x1 - x0 - none(t, x)) / (one(t, x) - none(t, x))
    assert float(residual.std()) == pytest.approx(1, abs=0.01)
    assert float(none.net.seen.std()) == pytest.approx(1, abs=0.01)


def test_the_mean_of_the_data_gives_the_velocity():
    std = 0.5
    x0, x1, _ = pairs(std, 50)
    t = torch.linspace(0, 0.95, 50, dtype=torch.float64)
    x = (1 - t[:, None]) * x0 + t[:, None] * x1
    mean = Function(lambda t, x: t * std**2 / ((1 - t) ** 2 + (t * std) ** 2) * x)
    assert_close(Predicts(mean, "data", std)(t, x), exact(t[:, None], x, std))
    assert torch.isfinite(Predicts(mean, "data", std)(torch.ones(50, dtype=torch.float64), x)).all()


@pytest.mark.parametrize("prediction", ["data", "edm"])
@pytest.mark.parametrize("task", ["8gaussians", "branches"])
def test_models_learn_by_another_prediction_and_keep_conditions(prediction, task):
    spec = make_spec("cfm", task, metrics=[], settings={"model": {"prediction": prediction, "data_std": 3.0}})
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    stream = torch.Generator().manual_seed(0)
    model.loss(model.example(data.train, 0, 32, 0, stream))["loss"].backward()
    assert all(parameter.grad.any() for parameter in model.parameters())
    drawn = model.sample(x0 := data.source.sample(8, stream), method="euler", steps=4).x
    assert torch.isfinite(drawn).all()
    if k := data.event.conditions:
        assert torch.equal(drawn[:, -k:], x0[:, -k:])


def test_flow_maps_predict_mean_velocities_only():
    with pytest.raises(ConfigError, match=r"model\.prediction=velocity"):
        make_spec("meanflow", "moons", metrics=[], settings={"model": {"prediction": "edm"}})
