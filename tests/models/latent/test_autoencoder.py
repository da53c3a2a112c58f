"""The autoencoder, trained here or shipped."""

import copy

import pytest
import torch
from helpers.photographs import CIFAR10, task
from torch.testing import assert_close

from genbench.core import Batch, Data, Event, Normal
from genbench.data.splits import Endless
from genbench.errors import ConfigError, RunFailed
from genbench.metrics.image.classifier import digits_cnn
from genbench.models.latent import autoencoder
from genbench.registry import datasets, encoders
from genbench.settings import bind
from genbench.space import Real


def test_digits_are_reconstructed_far_better_than_by_their_mean_and_recognized(plain, data, error):
    test, train = data.test.take(500, 0), data.train.take(1197, 0).x
    of_the_mean = float((test.x - train.mean(0)).square().mean())
    assert error(plain, test.x) < min(0.03, of_the_mean / 8)
    known = digits_cnn(data)
    images = data.space.decode(plain.decode(plain.encode(test.x)).detach())
    assert (known.probabilities(images).argmax(1) == test.label).double().mean() > 0.95


def test_calibration_repeats_and_changes_no_reconstruction(plain, data):
    x, encoder = data.test.take(20, 0).x, copy.deepcopy(plain)
    encoder.calibrate(data)
    for name, value in plain.state_dict().items():
        assert_close(encoder.state_dict()[name], value, atol=0, rtol=0)
    encoder.shift.add_(0.7)
    encoder.scale.mul_(1.9)
    assert_close(encoder.decode(encoder.encode(x)), plain.decode(plain.encode(x)), atol=1e-4, rtol=1e-4)


def test_only_the_current_stage_is_free(data, build_encoder):
    encoder = build_encoder(data.event, width=8, steps=1, noise=0.1, tune=1)
    seen = []
    for stage in encoder.stages():
        free = {name.partition(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
        assert {p for p in stage.learner.parameters() if p.requires_grad} == {
            p for p in encoder.parameters() if p.requires_grad
        }
        seen.append((stage.name, free))
    assert seen == [("reconstruction", {"inward", "outward"}), ("decoder", {"outward"})]
    assert not any(p.requires_grad for p in encoder.parameters())
    assert [stage.name for stage in build_encoder(data.event).stages()] == ["reconstruction"]


def test_a_linear_gaussian_channel_would_reach_the_evidence_that_the_scale_says(data, build_encoder):
    """With kl = 2 s^2 the loss is 2 s^2 / dims times -log N(x; decode(z), s^2) + KL, up to a constant."""
    encoder = build_encoder(data.event, width=8, kl=0.08)
    model = next(iter(encoder.stages())).learner
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    example = model.draw(data.train.batch(0, 16, 0), torch.Generator().manual_seed(0))
    parts = model.loss(example)
    parts["loss"].backward()
    assert {name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()} == set()
    with torch.no_grad():
        mean, log_variance = encoder.posterior(example.x)
    z = mean + (log_variance / 2).exp() * example.eps
    likelihood = torch.distributions.Normal(encoder.outward(z), 0.2)
    nll = -(likelihood.log_prob(example.x) - likelihood.log_prob(likelihood.mean)).flatten(1).sum(1).mean()
    normal = torch.distributions.Normal
    posterior = normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(posterior, normal(0.0, 1.0)).sum() / 16
    assert_close(parts["loss"], 0.08 / 64 * (nll + divergence))
    assert_close(parts["kl"], divergence / 64)


@pytest.mark.parametrize(
    ("shape", "settings", "latent"),
    [
        ((1, 8, 8), {}, (2, 4, 4)),
        ((3, 32, 32), {}, (4, 8, 8)),
        ((3, 64, 96), {"channels": 3}, (3, 8, 12)),
        ((1, 12, 4), {"factor": 4, "channels": 1}, (1, 3, 1)),
        ((1, 5, 3), {"factor": 1}, (2, 5, 3)),
    ],
)
def test_the_grid_of_latents_is_known_before_anything_is_built(shape, settings, latent, build_encoder):
    event = Event(shape, 10, 0.1, captions=("a",) * 10)
    entry = encoders["autoencoder"]
    bound = bind(entry.build, settings, "autoencoder", context=event)
    assert entry.traits["shape"](event, bound) == latent
    encoder = build_encoder(event, width=4, **settings)
    assert encoder.latent == Event(latent, 10, 0.0, captions=("a",) * 10)
    z = encoder.encode(torch.zeros(2, *shape))
    assert z.shape == (2, *latent)
    assert encoder.decode(z).shape == (2, *shape)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((2,), {}, r"needs images .*; this data has shape \(2,\)"),
        ((1, 10, 8), {"factor": 4}, "scales down by 4, which does not divide 10x8 pixels"),
        ((1, 9, 9), {"factor": 3}, "factor=3 must be a power of two"),
        ((1, 8, 8), {"noise": 0.3}, "set model.encoder.tune"),
        ((1, 8, 8), {"tune": 10}, "set model.encoder.noise"),
        ((1, 8, 8), {"kl": 0.0}, "kl"),
    ],
)
def test_wrong_settings_are_refused(shape, settings, message, build_encoder):
    with pytest.raises(ConfigError, match=message):
        build_encoder(Event(shape), **settings)


def test_calibration_reads_stored_images_in_blocks(plain, data, monkeypatch):
    encoder, sizes = copy.deepcopy(plain), []

    def posterior(x):
        sizes.append(len(x))
        return plain.posterior(x)

    encoder.posterior = posterior
    monkeypatch.setattr("genbench.models.latent.autoencoder.CHUNK", 100 * 64)
    monkeypatch.setattr(type(data.train), "take", None)  # would hold all images at once
    encoder.calibrate(data)
    assert (max(sizes), sum(sizes)) == (100, 1197)
    for found, known in ((encoder.shift, plain.shift), (encoder.scale, plain.scale)):
        assert_close(found, known, atol=1e-6, rtol=1e-5)


def test_calibration_takes_samples_of_endless_data_too(build_encoder, data):
    def draw(n, generator):
        return Batch(torch.randn(n, 1, 4, 4, generator=generator), torch.zeros(n, dtype=torch.long))

    split = Endless(draw, "train")
    data = Data(Event((1, 4, 4)), Real(), Normal((1, 4, 4)), split, split, split)
    encoder = build_encoder(data.event, width=4)
    encoder.calibrate(data)
    variance, mean = torch.var_mean(encoder.encode(split.take(4000, 5).x), (0, 2, 3))
    assert_close(mean, torch.zeros(2), atol=0.1, rtol=0)
    assert_close(variance, torch.ones(2), atol=0.1, rtol=0)


def test_a_constant_channel_is_refused(data, build_encoder):
    encoder = build_encoder(data.event, width=4)
    with torch.no_grad():
        encoder.inward[-1].weight[1].zero_()
    with pytest.raises(RunFailed, match="channel 1 of the latents is the same for all images"):
        encoder.calibrate(data)


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
    monkeypatch.setattr(autoencoder, "SHA256", "1" * 64)
    with pytest.raises(RunFailed, match="weights of cifar10-8x8x8 are damaged"):
        list(build_encoder(photographs.event, "cifar10-8x8x8").stages())


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 32, 32), (2,)])
def test_other_images_are_refused(shape, build_encoder):
    with pytest.raises(ConfigError, match=r"is for color images of 32x32 pixels; this data has shape"):
        build_encoder(Event(shape), "cifar10-8x8x8")
