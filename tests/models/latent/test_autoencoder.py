"""Encoders: what they reconstruct, the scale of their latents, pretrained weights, and tuned decoders."""

import copy
import importlib.util

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Batch, Data, Event, Normal
from genbench.data.digits import digits
from genbench.data.splits import Endless
from genbench.errors import ConfigError, RunFailed
from genbench.metrics.classifiers.digit_classifiers import digits_cnn
from genbench.models.latent import diffusers_vae
from genbench.models.latent.autoencoder import Posterior, Reconstruction
from genbench.models.latent.decoder_finetuning import DecoderTuning, tuning
from genbench.registry import encoders
from genbench.settings import bind, call
from genbench.space import Pixels, Real
from genbench.storage import hub
from genbench.training.fabric import fabric_of
from genbench.training.loop import fit
from genbench.training.plan import Plan


def build(event, name="autoencoder", **settings):
    entry = encoders[name]
    return call(entry.build, event, settings=bind(entry.build, settings, name, context=event))


def trained(encoder, data):
    """Run the stages of an encoder, as a run does."""
    for stage in encoder.stages():
        plan = Plan(**stage.plan)
        fit(stage.learner, data, plan, fabric_of(plan, "cpu"), seed=0)
    encoder.calibrate(data)
    return encoder.eval()


def error(encoder, x, noise=0.0):
    """Mean squared error of reconstructions from noised latents, per coordinate in model space."""
    with torch.no_grad():
        z = encoder.encode(x)
        eps = torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
        return float((encoder.decode(z + noise * eps) - x).square().mean())


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def plain(data):
    torch.manual_seed(0)
    return trained(build(data.event, width=8, steps=250, lr=5e-3), data)


@pytest.fixture(scope="module")
def tuned(plain, data):
    encoder = copy.deepcopy(plain)
    for stage in tuning(encoder, noise=0.5, steps=100, batch_size=64, lr=5e-3):
        plan = Plan(**stage.plan)
        fit(stage.learner, data, plan, fabric_of(plan, "cpu"), seed=0)
    return encoder


def test_digits_are_reconstructed_far_better_than_by_their_mean(plain, data):
    test, train = data.test.take(500, 0).x, data.train.take(1197, 0).x
    of_the_mean = float((test - train.mean(0)).square().mean())
    assert error(plain, test) < min(0.03, of_the_mean / 8)


def test_reconstructed_digits_are_still_recognised(plain, data):
    known, test = digits_cnn(data), data.test.take(500, 0)
    images = data.space.decode(plain.decode(plain.encode(test.x)).detach())
    assert (known.probabilities(images).argmax(1) == test.label).double().mean() > 0.95


def test_latents_of_training_data_have_mean_zero_and_variance_one(plain, data):
    z = plain.encode(data.train.take(1197, 0).x)
    variance, mean = torch.var_mean(z, (0, 2, 3))
    assert_close(mean, torch.zeros(2), atol=1e-4, rtol=0)
    assert_close(variance, torch.ones(2), atol=1e-3, rtol=0)


def test_calibration_repeats_and_changes_no_reconstruction(plain, data):
    x = data.test.take(20, 0).x
    before, state = plain.decode(plain.encode(x)), {n: v.clone() for n, v in plain.state_dict().items()}
    plain.calibrate(data)
    for name, value in plain.state_dict().items():
        assert_close(value, state[name], atol=0, rtol=0)
    plain.shift.add_(0.7)
    plain.scale.mul_(1.9)
    assert_close(plain.decode(plain.encode(x)), before, atol=1e-4, rtol=1e-4)
    plain.load_state_dict(state)


def test_a_sample_is_encoded_and_decoded_by_itself(plain, data, monkeypatch):
    x = data.test.take(30, 0).x
    with torch.no_grad():
        z = plain.encode(x)
        whole = plain.decode(z)
        assert_close(torch.cat([plain.encode(x[i : i + 1]) for i in range(30)]), z, atol=1e-4, rtol=1e-4)
        assert_close(torch.cat([plain.decode(z[i : i + 1]) for i in range(30)]), whole, atol=1e-4, rtol=1e-4)
        monkeypatch.setattr("genbench.models.latent.encoder.CHUNK", 7 * 64)
        assert_close(plain.decode(plain.encode(x)), whole, atol=1e-4, rtol=1e-4)


def test_a_decoder_tuned_on_noise_is_better_under_that_noise(plain, tuned, data):
    x = data.test.take(500, 0).x
    assert error(tuned, x, 0.5) < 0.85 * error(plain, x, 0.5)
    assert error(tuned, x, 0.5) > error(tuned, x, 0.0)


def test_tuning_trains_the_decoder_alone(plain, tuned):
    before, after = plain.state_dict(), tuned.state_dict()
    for name, value in before.items():
        if name.startswith("outward."):
            assert not torch.equal(value, after[name]), name
        else:
            assert_close(after[name], value, atol=0, rtol=0)


def test_only_the_current_stage_is_free(data):
    encoder = build(data.event, width=8, steps=1, noise=0.1, tune=1)
    seen = []
    for stage in encoder.stages():
        free = {name.partition(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
        assert {p for p in stage.learner.parameters() if p.requires_grad} == {
            p for p in encoder.parameters() if p.requires_grad
        }
        seen.append((stage.name, free))
    assert seen == [("reconstruction", {"inward", "outward"}), ("decoder", {"outward"})]
    assert not any(p.requires_grad for p in encoder.parameters())
    assert [stage.name for stage in build(data.event).stages()] == ["reconstruction"]


def test_the_digest_knows_weights_and_constants_from_one_another(plain, data):
    digest = plain.digest()
    assert plain.digest() == digest
    again = build(data.event, width=8)
    assert again.digest() != digest
    again.load_state_dict(plain.state_dict())
    assert again.digest() == digest
    again.scale.mul_(1.01)
    assert again.digest() != digest


def test_a_gradient_reaches_every_parameter(data):
    encoder = build(data.event, width=8)
    stage = next(iter(encoder.stages()))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    stage.learner(stage.learner.draw(data.train.batch(0, 8, 0), torch.Generator().manual_seed(0)))["loss"].backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_divergence_is_that_of_two_gaussians(data):
    encoder = build(data.event, width=8)
    torch.manual_seed(1)
    mean, log_variance = torch.randn(5, 2, 4, 4), torch.randn(5, 2, 4, 4)
    encoder.posterior = lambda x: Posterior(mean, log_variance)
    model = Reconstruction(encoder, kl=0.1)
    batch = data.train.batch(0, 5, 0)
    parts = model.loss(model.draw(batch, torch.Generator().manual_seed(0)))
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum() / 5 / 64
    assert_close(parts["kl"], exact)
    assert_close(parts["loss"], parts["error"] + 0.1 * exact)


def test_a_linear_gaussian_channel_would_reach_the_evidence_that_the_scale_says(data):
    """With kl = 2 s^2 the loss is 2 s^2 / dims times -log N(x; decode(z), s^2) + KL, but for a constant."""
    encoder = build(data.event, width=8, kl=0.08)
    model = next(iter(encoder.stages())).learner
    example = model.draw(data.train.batch(0, 16, 0), torch.Generator().manual_seed(0))
    parts = model.loss(example)
    mean, log_variance = encoder.posterior(example.x)
    z = mean + (log_variance / 2).exp() * example.eps
    likelihood = torch.distributions.Normal(encoder.outward(z), 0.2)
    nll = -(likelihood.log_prob(example.x) - likelihood.log_prob(likelihood.mean)).flatten(1).sum(1).mean()
    assert_close(parts["loss"], 0.08 / 64 * (nll + 64 * parts["kl"]))


@pytest.mark.parametrize(
    ("shape", "settings", "latent"),
    [
        ((1, 8, 8), {}, (2, 4, 4)),
        ((1, 28, 28), {}, (4, 7, 7)),
        ((3, 32, 32), {}, (4, 8, 8)),
        ((3, 64, 96), {"channels": 3}, (3, 8, 12)),
        ((1, 12, 4), {"factor": 4, "channels": 1}, (1, 3, 1)),
        ((1, 5, 3), {"factor": 1}, (2, 5, 3)),
    ],
)
def test_the_grid_of_latents_is_known_before_anything_is_built(shape, settings, latent):
    event = Event(shape, 10, 0.1, captions=("a",) * 10)
    entry = encoders["autoencoder"]
    bound = bind(entry.build, settings, "autoencoder", context=event)
    assert entry.traits["shape"](event, bound) == latent
    encoder = build(event, width=4, **settings)
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
def test_wrong_settings_are_refused(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(Event(shape), **settings)


def test_calibration_takes_samples_of_endless_data_too():
    def draw(n, generator):
        return Batch(torch.randn(n, 1, 4, 4, generator=generator), torch.zeros(n, dtype=torch.long))

    split = Endless(draw, "train")
    data = Data(Event((1, 4, 4)), Real(), Normal((1, 4, 4)), split, split, split)
    encoder = build(data.event, width=4)
    encoder.calibrate(data)
    variance, mean = torch.var_mean(encoder.encode(split.take(4000, 5).x), (0, 2, 3))
    assert_close(mean, torch.zeros(2), atol=0.1, rtol=0)
    assert_close(variance, torch.ones(2), atol=0.1, rtol=0)


def test_a_constant_channel_is_refused(data):
    encoder = build(data.event, width=4)
    with torch.no_grad():
        encoder.inward[-1].weight[1].zero_()
    with pytest.raises(RunFailed, match="channel 1 of the latents is the same for all images"):
        encoder.calibrate(data)


TINY = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "latent_channels": 2,
    "scaling_factor": 0.5,
}


def saved(folder, seed=0, **config):
    """Save a small AutoencoderKL of random weights and return it with its folder's name."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    torch.manual_seed(seed)
    vae = AutoencoderKL(**{**TINY, **config})
    vae.save_pretrained(folder)
    return vae.eval(), str(folder)


def test_a_pretrained_autoencoder_is_read_from_its_folder(tmp_path, data):
    vae, folder = saved(tmp_path, shift_factor=0.3)
    encoder = build(data.event, "diffusers", model=folder)
    fresh = encoder.digest()
    encoder.load()
    assert encoder.digest() != fresh
    assert encoder.latent.shape == (2, 4, 4)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert list(encoder.stages()) == []
    # Where genbench has 2k/17 - 16/17, such models were trained on 2k/16 - 1.
    levels = data.space.decode(data.test.take(6, 0).x)
    raw = 2 * levels.float() / 16 - 1
    with torch.no_grad():
        z = encoder.encode(Pixels(17).encode(levels))
        assert_close(z, (vae.encode(raw).latent_dist.mean - 0.3) * 0.5, atol=1e-5, rtol=1e-5)
        expected = vae.decode(vae.encode(raw).latent_dist.mean).sample
        assert_close(encoder.decode(z), expected * 16 / 17, atol=1e-5, rtol=1e-5)


def test_latents_with_constants_of_each_channel_are_scaled_by_them(tmp_path):
    _, folder = saved(tmp_path, latents_mean=[1.0, -2.0], latents_std=[0.5, 4.0], scaling_factor=2.0)
    plain = build(Event((1, 8, 8)), "diffusers", model=folder)
    plain.load()
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        mean = plain.vae.encode(x).latent_dist.mean
        z = plain.encode(x)
        assert_close(z[:, 0], (mean[:, 0] - 1) / 0.25, atol=1e-5, rtol=1e-5)
        assert_close(z[:, 1], (mean[:, 1] + 2) / 2, atol=1e-5, rtol=1e-5)


def test_the_decoder_of_a_pretrained_autoencoder_is_tuned_alone(tmp_path, data):
    vae, folder = saved(tmp_path)
    torch.manual_seed(0)
    encoder = trained(build(data.event, "diffusers", model=folder, noise=0.3, tune=40, lr=3e-3), data)
    before = build(data.event, "diffusers", model=folder)
    before.load()
    x = data.test.take(100, 0).x
    assert error(encoder, x, 0.3) < 0.7 * error(before, x, 0.3)
    after = encoder.vae.state_dict()
    changed = {
        name.partition(".")[0] for name, value in vae.state_dict().items() if not torch.equal(value, after[name])
    }
    assert changed == {"decoder"}


def test_a_folder_is_known_by_its_content(tmp_path):
    content = encoders["diffusers"].traits["content"]
    folders = [saved(tmp_path / name, seed)[1] for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    a, b, c = (content({"model": folder}) for folder in folders)
    assert a == b != c
    assert content({"model": "stabilityai/sd-vae-ft-mse"}) == {}


@pytest.mark.parametrize(
    ("shape", "config", "message"),
    [
        ((3, 8, 8), {}, "is for images with 1 channels; this data has 3"),
        ((1, 9, 8), {}, "scales down by 2, which does not divide 9x8 pixels"),
        ((2,), {}, "needs images"),
    ],
)
def test_data_of_another_kind_is_refused(tmp_path, shape, config, message):
    _, folder = saved(tmp_path, **config)
    with pytest.raises(ConfigError, match=message):
        build(Event(shape), "diffusers", model=folder)


def test_a_folder_of_another_network_is_refused(tmp_path):
    event = Event((1, 8, 8))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        build(event, "diffusers", model=str(tmp_path))
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ConfigError, match="not an AutoencoderKL but UNet2DModel"):
        build(event, "diffusers", model=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        build(event, "diffusers", model=str(tmp_path))
    with pytest.raises(ConfigError, match="is for names on the hub"):
        build(event, "diffusers", model=str(tmp_path), revision="main")


def test_damaged_weights_are_refused(tmp_path):
    _, folder = saved(tmp_path)
    encoder = build(Event((1, 8, 8)), "diffusers", model=folder)
    (tmp_path / diffusers_vae.WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="not the weights of this AutoencoderKL"):
        encoder.load()
    (tmp_path / diffusers_vae.WEIGHTS).unlink()
    hub.folder.cache_clear()
    with pytest.raises(ConfigError, match="the folder has no diffusion_pytorch_model"):
        encoder.load()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "diffusers" else found(name))
    with pytest.raises(ConfigError, match=r"genbench\[latent\]"):
        build(Event((3, 256, 256)), "diffusers")


def test_without_a_network_the_error_names_an_alternative(monkeypatch, tmp_path):
    def refusal(model):
        with pytest.raises(ConfigError) as raised:
            build(Event((3, 256, 256)), "diffusers", model=model)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    monkeypatch.delenv("GENBENCH_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # a port without a server
    for model in ("nobody/nothing", "nobody/nothing/vae"):
        said = refusal(model)
        assert "model.encoder.model=nobody/nothing " in said
        assert "cannot be downloaded (" in said
        assert "model.encoder=autoencoder works without" in said
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal("nobody/nothing")
    assert "neither a folder nor a name on the hub" in refusal("no/such:folder")


def test_a_folder_within_a_name_is_found_in_the_cache_of_the_hub(monkeypatch, tmp_path):
    """As Stable Diffusion 3 and FLUX have theirs: the repository is a pipeline, its folder vae an autoencoder."""
    commit = "0" * 40
    kept = tmp_path / "models--somebody--pipeline"
    vae, _ = saved(kept / "snapshots" / commit / "vae")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    encoder = build(Event((1, 8, 8)), "diffusers", model="somebody/pipeline/vae")
    encoder.load()
    for name, value in vae.state_dict().items():
        assert torch.equal(encoder.vae.state_dict()[name], value), name
    hub.folder.cache_clear()


def test_latents_of_the_tuning_are_noised_by_the_deviation_that_is_said(plain, data):
    model = DecoderTuning(plain, 0.25)
    x = data.train.take(600, 0).x
    example = model.draw(Batch(x, torch.zeros(600, dtype=torch.long)), torch.Generator().manual_seed(0))
    moved = example.z - plain.encode(x)
    assert_close(moved.std(), torch.tensor(0.25), rtol=0.02, atol=0)
    assert_close(example.x, x)
