"""Default nets, what all nets share, the setting that chooses one, and predictions of data and residuals."""

import json

import pytest
import torch
from helpers.toy_nets import CIFAR, DIGIT, LARGE, MNIST, TINY, VECTOR, images, make
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.build import build_model
from genbench.nets import presets
from genbench.nets.presets import NET, Net, Predicts
from genbench.registry import nets
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data
from genbench.settings import bind

CASES = [
    pytest.param(VECTOR, None, id="mlp"),
    pytest.param(DIGIT, None, id="digits"),
    pytest.param(MNIST, TINY, id="28x28"),
    pytest.param(Event((3, 16, 32)), TINY, id="oblong"),
]


@pytest.mark.parametrize(("event", "settings"), CASES)
@pytest.mark.parametrize("classes", [0, 4])
def test_a_gradient_reaches_every_parameter(event, settings, classes):
    net = make(event, classes, settings).train()
    label = torch.arange(5) if classes else None  # every class and, last, "no label"
    out = net(torch.rand(5), images(event, 5), label)
    assert out.shape == (5, *event.shape)
    out.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        rows = parameter.grad if name == "label.weight" else parameter.grad.flatten()[None]
        assert (rows.abs().sum(1) > 0).all(), name


@pytest.mark.parametrize(("event", "settings"), CASES)
def test_the_output_of_a_sample_depends_on_it_alone(event, settings):
    """Neither its neighbours, nor the shape of t, nor the memory format, nor an earlier call changes it."""
    net = make(event, 4, settings)
    x, label = images(event), torch.tensor([0, 3, 4])
    with torch.no_grad():
        t = torch.tensor([0.2, 0.9, 0.0])
        together = net(t, x, label)
        assert_close(together, net(t, x, label), rtol=0, atol=0)
        alone = torch.cat([net(t[i], x[i : i + 1], label[i : i + 1]) for i in range(3)])
        assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert_close(net(torch.tensor(0.3), x, label), net(torch.full((3,), 0.3), x, label))
        if len(event.shape) == 3:
            last = net(t, x.to(memory_format=torch.channels_last), label)
            assert_close(together, last, rtol=1e-4, atol=1e-5)
            assert together.is_contiguous()
            assert last.is_contiguous(memory_format=torch.channels_last)


DDPMPP = {"name": "ddpmpp", "channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": [8], "frequencies": 8}
DIT = {"name": "dit", "patch": 2, "width": 32, "depth": 2, "heads": 4}


@pytest.mark.parametrize("settings", [TINY, DDPMPP, DIT], ids=lambda settings: settings["name"])
def test_color_images_have_the_forward_derivatives_of_differences(settings):
    """The kernel of group norm has none in the memory format of color images."""
    net = make(Event((3, 16, 16)), 0, settings, times=2).double()
    x, move = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)
    t, step = torch.rand(2, dtype=torch.float64), 1e-6
    with sdpa_kernel(SDPBackend.MATH):
        _, found = torch.func.jvp(lambda t, x: net(t, x, None, 1 - t), (t, x), (torch.ones_like(t), move))
        high, low = (net(t + s, x + s * move, None, 1 - t - s) for s in (step, -step))
    assert_close(found, (high - low) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("event", "settings", "message"),
    [
        (DIGIT, {"name": "mlp"}, "mlp needs vectors"),
        (VECTOR, {"name": "unet"}, "unet needs images"),
        (Event((3, 30, 30)), {"name": "unet"}, "4 levels need sides divisible by 8, and the images are 30 x 30"),
        (CIFAR, {"channels": 33}, r"channels \(unet\): 33 is wrong: input should be a multiple of 2"),
        (CIFAR, {"multipliers": []}, "multipliers"),
        (CIFAR, {"head_channels": 48}, "head_channels that divide 256"),
        (Event((2, 2)), None, "no net for samples of shape"),
    ],
)
def test_impossible_nets_are_errors_of_one_line(event, settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        presets.build(event, 0, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("event", [VECTOR, Event((50,)), Event((784,)), DIGIT, MNIST, CIFAR, LARGE])
def test_a_resolved_net_is_complete_json_and_idempotent(event):
    def model(*, net: Net = None): ...

    bound = bind(model, {}, "cfm", context=event)
    assert json.loads(json.dumps(bound)) == bound
    assert bind(model, bound, "cfm", context=event) == bound
    table = dict(bound["net"])
    entry = nets[table.pop("name")]
    assert table.pop("version") == entry.version
    assert set(table) == set(bind(entry.build, {}, "net"))


def test_settings_of_a_net_override_its_defaults():
    def resolve(value):
        return NET.resolve(value, "cfm.net", MNIST)

    default = resolve(None)
    assert resolve({"dropout": 0.5}) == {**default, "dropout": 0.5}
    assert resolve("unet") == resolve({"name": "unet"}) != default
    assert resolve({"name": "mlp", "width": 7})["width"] == 7
    assert resolve("unet")["channels"] == NET.resolve(None, "net", CIFAR)["channels"]


@pytest.mark.parametrize("event", [Event((3,), conditions=1), Event((3, 8, 8), conditions=1)])
def test_conditions_are_read_and_do_not_move(event):
    net = presets.build(event, 0, {"name": "mlp"} if event.is_vector else {**TINY, "attention": []})
    x, t = images(event), torch.tensor(0.5)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    v, moved = net(t, x), net(t, torch.cat([x[:, :-1], x[:, -1:] + 1], 1))
    assert not v[:, -1].any()
    assert (v[:, :-1] != 0).all()
    assert not torch.equal(moved, v)


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


@pytest.mark.parametrize(("name", "settings"), [("vp", {}), ("sbcfm", {}), ("cfm", {"sigma": 0.1})])
def test_other_predictions_are_for_straight_paths_without_noise(name, settings):
    with pytest.raises(ConfigError, match="straight paths without noise"):
        make_spec(name, "moons", metrics=[], settings={"model": {"prediction": "data", **settings}})
