"""The autoencoder of CIFAR-10 with shipped weights: what it reconstructs, and that nothing is trained."""

import pytest
import torch
from helpers.photographs import CIFAR10, task
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError, RunFailed
from genbench.models.latent import cifar10_autoencoder
from genbench.registry import datasets


@pytest.fixture(scope="module")
def photographs():
    return task(40, 40)


@pytest.fixture
def shipped(photographs, build_encoder):
    encoder = build_encoder(photographs.event, "cifar10-8x8x8")
    assert [*encoder.stages()] == []
    return encoder.eval()


def psnr(encoder, data, x):
    """Return the peak signal-to-noise ratio of all images together in dB."""
    true, decoded = (data.space.decode(images).double() for images in (x, encoder.decode(encoder.encode(x)).detach()))
    return float(10 * (255**2 / (true - decoded).square().mean()).log10())


def test_photographs_are_reconstructed_better_than_at_half_their_resolution(shipped, photographs):
    x = photographs.test.take(40, 0).x
    blurred = torch.nn.functional.avg_pool2d(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    of_768_numbers = float(10 * (4 / (blurred - x).square().mean()).log10())
    assert shipped.encode(x).shape == (40, 8, 8, 8)
    assert psnr(shipped, photographs, x) > of_768_numbers


@pytest.mark.skipif(not CIFAR10.exists(), reason="no archive of CIFAR-10 lies beside this checkout")
def test_latents_of_cifar10_are_standardized_and_its_images_reconstructed(shipped):
    data = datasets["cifar10"].build(path=str(CIFAR10))
    x = data.test.take(1000, 0).x
    z = shipped.encode(x).detach()
    assert_close(z.mean((0, 2, 3)), torch.zeros(8), atol=0.1, rtol=0)
    assert_close(z.std((0, 2, 3)), torch.ones(8), atol=0.1, rtol=0)
    assert psnr(shipped, data, x) > 29


def test_nothing_is_trained_and_no_constant_measured(shipped, photographs, build_encoder):
    digest = shipped.digest()
    shipped.calibrate(photographs)
    again = build_encoder(photographs.event, "cifar10-8x8x8")
    assert again.digest() != digest
    list(again.stages())
    assert shipped.digest() == again.digest() == digest
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_damaged_weights_are_not_used(photographs, build_encoder, monkeypatch):
    monkeypatch.setattr(cifar10_autoencoder, "SHA256", "1" * 64)
    with pytest.raises(RunFailed, match="weights of cifar10-8x8x8 are damaged"):
        list(build_encoder(photographs.event, "cifar10-8x8x8").stages())


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 32, 32), (2,)])
def test_other_images_are_refused(shape, build_encoder):
    with pytest.raises(ConfigError, match=r"is for color images of 32x32 pixels; this data has shape"):
        build_encoder(Event(shape), "cifar10-8x8x8")
