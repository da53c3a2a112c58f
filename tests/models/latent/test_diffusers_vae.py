"""Pretrained autoencoders from diffusers: what they read, what they scale, and what is refused."""

import importlib.util

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.latent import diffusers_vae
from genbench.registry import encoders
from genbench.runs.component import identity
from genbench.space import Pixels
from genbench.storage import hub

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


def test_a_pretrained_autoencoder_is_read_from_its_folder(tmp_path, data, build_encoder):
    vae, folder = saved(tmp_path, shift_factor=0.3)
    encoder = build_encoder(data.event, "diffusers", model=folder)
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


def test_the_decoder_of_a_pretrained_autoencoder_is_tuned_alone(tmp_path, data, build_encoder, run_stages, error):
    vae, folder = saved(tmp_path)
    torch.manual_seed(0)
    encoder = build_encoder(data.event, "diffusers", model=folder, noise=0.3, tune=40, lr=3e-3)
    run_stages(encoder.stages(), data)
    before = build_encoder(data.event, "diffusers", model=folder)
    before.load()
    x = data.test.take(100, 0).x
    assert error(encoder, x, 0.3) < 0.7 * error(before, x, 0.3)
    after = encoder.vae.state_dict()
    assert {n.partition(".")[0] for n, p in vae.state_dict().items() if not torch.equal(p, after[n])} == {"decoder"}


def test_a_folder_is_known_by_its_content(tmp_path):
    folders = [saved(tmp_path / name, seed)[1] for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    known = {"name": "diffusers", "version": 1}
    a, b, c = (identity(encoders, known | {"model": folder}) for folder in folders)
    assert a == b != c
    assert identity(encoders, known | {"model": "stabilityai/sd-vae-ft-mse"}) == known


def test_other_networks_and_data_of_another_kind_are_refused(tmp_path, build_encoder):
    def refused(message, shape=(1, 8, 8), **settings):
        with pytest.raises(ConfigError, match=message):
            build_encoder(Event(shape), "diffusers", model=str(tmp_path), **settings)

    refused(r"lacks config\.json")
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    refused("not an AutoencoderKL: its _class_name is UNet2DModel")
    (tmp_path / "config.json").write_text("{")
    refused("cannot be read")
    refused("is for names on the hub", revision="main")
    _, folder = saved(tmp_path)
    refused("is for images with 1 channels; this data has 3", (3, 8, 8))
    refused("scales down by 2, which does not divide 9x8 pixels", (1, 9, 8))
    refused("needs images", (2,))
    encoder = build_encoder(Event((1, 8, 8)), "diffusers", model=folder)
    (tmp_path / diffusers_vae.WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="does not hold the weights of this AutoencoderKL"):
        encoder.load()
    (tmp_path / diffusers_vae.WEIGHTS).unlink()
    hub.folder.cache_clear()
    with pytest.raises(ConfigError, match="the folder lacks diffusion_pytorch_model"):
        encoder.load()


def test_a_missing_package_is_named_with_its_extra(monkeypatch, build_encoder):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "diffusers" else found(name))
    with pytest.raises(ConfigError, match=r"genbench\[latent\]"):
        build_encoder(Event((3, 256, 256)), "diffusers")


def test_without_a_network_the_error_names_an_alternative(monkeypatch, tmp_path, build_encoder):
    def refusal(model):
        with pytest.raises(ConfigError) as raised:
            build_encoder(Event((3, 256, 256)), "diffusers", model=model)
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


def test_a_folder_within_a_name_is_found_in_the_cache_of_the_hub(monkeypatch, tmp_path, build_encoder):
    """As Stable Diffusion 3 and FLUX have theirs: the repository is a pipeline, its folder vae an autoencoder."""
    commit = "0" * 40
    kept = tmp_path / "models--somebody--pipeline"
    vae, _ = saved(kept / "snapshots" / commit / "vae")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    encoder = build_encoder(Event((1, 8, 8)), "diffusers", model="somebody/pipeline/vae")
    encoder.load()
    for name, value in vae.state_dict().items():
        assert torch.equal(encoder.vae.state_dict()[name], value), name
    hub.folder.cache_clear()


def test_moments_are_scaled_by_the_constants_of_their_channels(tmp_path, data, build_encoder):
    _, folder = saved(tmp_path, latents_mean=[1.0, -2.0], latents_std=[0.5, 4.0], scaling_factor=2.0)
    encoder = build_encoder(data.event, "diffusers", model=folder, posterior="sample")
    assert encoder.samples_posterior
    encoder.load()
    x = data.test.take(5, 0).x
    with torch.no_grad():
        mean, deviation = encoder.moments(x).chunk(2, 1)
        own = encoder.vae.encode(x / encoder.white).latent_dist
    assert_close(mean, encoder.encode(x))
    scale = torch.tensor([4.0, 0.5]).view(2, 1, 1)
    assert_close(mean, (own.mean - torch.tensor([1.0, -2.0]).view(2, 1, 1)) * scale, atol=1e-5, rtol=1e-5)
    assert_close(deviation, own.std * scale)
