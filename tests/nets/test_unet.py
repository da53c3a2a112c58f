"""The U-Net; test_released_weights.py compares its outputs with torchcfm's network."""

import pytest
import torch
from helpers.toy_nets import CIFAR, DIGIT, LARGE, MNIST, TINY, images, make, parameters
from torch import nn
from torch.testing import assert_close

from genbench.core import Event
from genbench.nets import presets


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


def test_bf16_stays_near_fp32():
    """The explicit attention and the norms of bf16 compute the same function up to rounding (2^-8 a step)."""
    net, x, t = make(MNIST, 0, TINY), images(MNIST), torch.tensor(0.5)
    with torch.no_grad():
        exact = net(t, x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(t, x)
    assert 0 < (rough - exact).square().mean() < 1e-3 * exact.square().mean()


def test_norms_return_the_precision_and_the_memory_format_of_their_input(monkeypatch):
    """Kernels for GPUs return images without channels_last, and autocast would have float32 images written."""
    event = Event((3, 16, 32))
    net, formats, written = make(event, 0, TINY), [], set()
    group_norm = torch.nn.functional.group_norm

    def on_a_gpu(*arguments):
        normed = group_norm(*arguments).contiguous()
        written.add(normed.dtype)
        return normed

    def note(conv, inputs):
        formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    monkeypatch.setattr(torch.nn.functional, "group_norm", on_a_gpu)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(note)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(torch.tensor(0.5), images(event))
    assert len(formats) > 20
    assert all(formats)
    assert written == {torch.bfloat16}


def test_checkpointing_changes_no_gradient():
    x, t = images(DIGIT), torch.rand(3)
    gradients = []
    for checkpoint in (False, True):
        net = make(DIGIT, 0, {"checkpoint": checkpoint, "dropout": 0.3}).train()
        torch.manual_seed(5)
        net(t, x).square().sum().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    assert_close(gradients[0], gradients[1])
