"""Nets and the presets that choose among them."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets import presets
from genbench.nets.presets import NET, NetSetting
from genbench.nets.unet import Attention, Up
from genbench.registry import nets
from genbench.settings import bind, settings_of

VECTOR, DIGIT, MNIST, CIFAR, LARGE = (
    Event((2,)),
    Event((1, 8, 8)),
    Event((1, 28, 28)),
    Event((3, 32, 32)),
    Event((3, 64, 64)),
)
TINY = {"name": "unet", "channels": 8, "multipliers": [1, 2, 2], "blocks": 1, "attention": [16, 14]}
CASES = [
    pytest.param(VECTOR, None, id="mlp"),
    pytest.param(DIGIT, None, id="digits"),
    pytest.param(MNIST, TINY, id="28x28"),
    pytest.param(Event((3, 16, 32)), TINY, id="oblong"),
]


def make(event: Event, classes: int = 0, settings=None, *, seed: int = 0) -> nn.Module:
    """Build a net and move every parameter off its initial value, so that no branch is multiplied by zero."""
    torch.manual_seed(seed)
    net = presets.build(event, classes, settings)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def parameters(event: Event, settings=None) -> int:
    with torch.device("meta"):
        net = presets.build(event, 0, settings)
    return sum(parameter.numel() for parameter in net.parameters())


def images(event: Event, n: int = 3) -> torch.Tensor:
    return torch.randn(n, *event.shape, generator=torch.Generator().manual_seed(1))


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
def test_the_answer_for_a_sample_is_its_own(event, settings):
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


@pytest.mark.parametrize(("event", "settings"), CASES)
def test_no_label_is_a_label_of_its_own(event, settings):
    net = make(event, 4, settings)
    x, t = images(event), torch.tensor(0.5)
    with torch.no_grad():
        without = net(t, x)
        assert_close(without, net(t, x, torch.full((3,), 4)))
        for label in range(4):
            assert (net(t, x, torch.full((3,), label)) - without).abs().max() > 1e-3
        unconditional = make(event, 0, settings)
        assert_close(unconditional(t, x), unconditional(t, x, torch.tensor([0, 1, 2])), rtol=0, atol=0)


@pytest.mark.parametrize(("event", "settings"), CASES)
def test_time_matters_in_double_precision(event, settings):
    net = make(event, 0, settings).double()
    x = images(event).double()
    with torch.no_grad():
        early, later = net(torch.tensor(0.5).double(), x), net(torch.tensor(0.5 + 1e-7).double(), x)
    assert early.dtype == torch.float64
    change = (early - later).abs().max()
    assert 1e-13 < change < 1e-4


def test_stacked_mlps_equal_each_alone():
    members = [make(VECTOR, 3, seed=seed) for seed in (0, 1)]
    stacked, buffers = torch.func.stack_module_state(members)
    x, t, label = torch.randn(2, 5, 2), torch.rand(2, 5), torch.randint(4, (2, 5))

    def run(weights, buffers, t, x, label):
        return torch.func.functional_call(members[0], (weights, buffers), (t, x, label))

    together = torch.vmap(run)(stacked, buffers, t, x, label)
    for i, net in enumerate(members):
        assert_close(together[i], net(t[i], x[i], label[i]))


def test_mlp_of_the_2d_protocol():
    """3 x 64 units over [x, t]: (3 + 1) 64 + 2 (64 + 1) 64 + (64 + 1) 2 parameters."""
    assert parameters(VECTOR) == 8706
    assert parameters(VECTOR, {"width": 10, "depth": 1}) == 4 * 10 + 11 * 2


def test_unet_of_the_cifar10_recipe_has_35_75_million_parameters():
    assert parameters(CIFAR) == pytest.approx(35.75e6, rel=1e-3)
    assert parameters(LARGE) > 100e6
    assert parameters(DIGIT) < parameters(MNIST) < 2e6


@pytest.mark.parametrize("event", [DIGIT, MNIST])
def test_unet_starts_at_zero_and_ignores_dropout_in_evaluation(event):
    net = presets.build(event, 0, {"dropout": 0.5})
    assert_close(net(torch.tensor(0.5), images(event)), torch.zeros(3, *event.shape), rtol=0, atol=0)
    net, x, t = make(event, 0, {"dropout": 0.5}), images(event), torch.tensor(0.5)
    assert_close(net(t, x), net(t, x), rtol=0, atol=0)
    assert (net.train()(t, x) - net(t, x)).abs().max() > 1e-3


def test_attention_knows_pixels_by_their_content_only():
    """It commutes with any permutation of the pixels; with q and k zero it adds the mean of v."""
    torch.manual_seed(0)
    attention = Attention(12, 4).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    x, e = torch.randn(2, 12, 3, 5).double(), torch.zeros(2, 1).double()
    order = torch.randperm(15)

    def permuted(y):
        return y.flatten(2)[:, :, order].view_as(y)

    assert_close(attention(permuted(x), e), permuted(attention(x, e)))
    with torch.no_grad():
        role = torch.arange(36).view(3, 3, 4)  # (head, one of q, k, v, channel)
        attention.qkv.weight[role[:, :2].flatten()] = 0
        attention.qkv.bias[role[:, :2].flatten()] = 0
        mean_v = attention.qkv(attention.norm(x))[:, role[:, 2].flatten()].mean((2, 3), keepdim=True)
        assert_close(attention(x, e) - x, attention.out(mean_v).expand_as(x))


def test_upsampling_repeats_pixels_and_convolves():
    torch.manual_seed(0)
    up, x = Up(4).double(), torch.randn(2, 4, 3, 5).double()
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert_close(up(x, torch.zeros(2, 1)), up.conv(repeated))


def test_bf16_stays_near_fp32():
    """The explicit attention and the norms of bf16 compute the same function up to rounding (2^-8 a step)."""
    net, x, t = make(MNIST, 0, TINY), images(MNIST), torch.tensor(0.5)
    with torch.no_grad():
        exact = net(t, x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(t, x)
    assert 0 < (rough - exact).square().mean() < 1e-3 * exact.square().mean()


def test_attention_stands_at_the_sizes_asked_for():
    """At 16 x 16: two blocks down, one in the middle, three up."""
    with torch.device("meta"):
        net = presets.build(CIFAR, 0, None)
    assert sum(isinstance(module, Attention) for module in net.modules()) == 2 + 1 + 3


def test_checkpointing_changes_no_gradient():
    x, t = images(DIGIT), torch.rand(3)
    gradients = []
    for checkpoint in (False, True):
        net = make(DIGIT, 0, {"checkpoint": checkpoint, "dropout": 0.3}).train()
        torch.manual_seed(5)
        net(t, x).square().sum().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("event", "settings", "message"),
    [
        (DIGIT, {"name": "mlp"}, "mlp wants vectors"),
        (VECTOR, {"name": "unet"}, "unet wants images"),
        (Event((3, 30, 30)), {"name": "unet"}, "4 levels need sides divisible by 8, and the images are 30 x 30"),
        (CIFAR, {"channels": 33}, "33 is odd"),
        (CIFAR, {"multipliers": []}, "at least one"),
        (CIFAR, {"head_channels": 48}, "head_channels that divide 256"),
        (Event((2, 2)), None, "no net for samples of shape"),
    ],
)
def test_impossible_nets_are_refused_in_one_line(event, settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        presets.build(event, 0, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("event", [VECTOR, Event((50,)), Event((784,)), DIGIT, MNIST, CIFAR, LARGE])
def test_a_resolved_net_is_complete_plain_and_stable(event):
    def model(*, net: NetSetting = None): ...

    bound = bind(model, {}, "cfm", context=event)
    assert json.loads(json.dumps(bound)) == bound
    assert bind(model, bound, "cfm", context=event) == bound
    table = dict(bound["net"])
    entry = nets[table.pop("name")]
    assert table.pop("version") == entry.version
    assert set(table) == set(bind(entry.build, {}, "net"))


def test_a_choice_of_net_lays_settings_over_the_right_defaults():
    def resolve(value):
        return NET.resolve(value, "cfm.net", MNIST)

    default = resolve(None)
    assert resolve({"dropout": 0.5}) == {**default, "dropout": 0.5}
    assert resolve("unet") == resolve({"name": "unet"}) != default
    assert resolve({"name": "mlp", "width": 7})["width"] == 7
    assert resolve("unet")["channels"] == NET.resolve(None, "net", CIFAR)["channels"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("unett", "no net 'unett'; did you mean 'unet'"),
        ({"name": "mpl"}, "no net 'mpl'; did you mean 'mlp'"),
        ({"chanels": 8}, "unet.* has no setting 'chanels'; did you mean 'channels'"),
        ({"channels": "many"}, "channels: 'many' is wrong"),
        ({"version": 999}, "version 999 of unet"),
        ({"name": 3}, "3 is no net"),
        (3, "3 is no net"),
    ],
)
def test_a_wrong_choice_of_net_says_what_would_be_right(value, message):
    with pytest.raises(ConfigError, match=message):
        NET.resolve(value, "cfm.net", CIFAR)


def test_every_setting_of_every_net_has_a_meaning():
    for name in nets:
        for setting in settings_of(nets[name].build).values():
            assert setting.meaning, f"{name}.{setting.name}"
