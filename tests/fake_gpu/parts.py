"""Couplings with their options, networks, solvers, decoders, data sets, latents, captions: each in a run of a model."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from helpers.image_trees import write_images

from fake_gpu.models import SETTINGS
from fake_gpu.proof import EXACT, TINY, TWICE, UNET, Case, Cases
from genbench import registry
from genbench.core import Batch, Data, Split
from genbench.data.splits import Endless
from genbench.data.vectors import unlabeled, vectors

DIT = {"name": "dit", "width": 16, "depth": 2, "heads": 2}
DDPMPP = {"name": "ddpmpp", "channels": 16, "multipliers": [1, 1], "blocks": 1, "attention": [4], "frequencies": 8}


def cases() -> Cases:
    for case in (*couplings(), *networks(), *samplers(), *datasets(), *latents()):
        yield case.name, case.prove
    with tempfile.TemporaryDirectory() as folder:
        for case in (*photographs(f"{folder}/images"), *pretrained(folder)):
            yield case.name, case.prove


def couplings() -> Iterator[Case]:
    options: list[tuple[str, dict[str, Any]]] = [
        ("otcfm", {"resample": True}),
        ("otcfm", {"pool": 2}),
        ("otcfm", {"plan": "sinkhorn", "reg": 1.0}),
        ("otcfm", {"conditional": True, "mismatch": 1.0}),
        ("otcfm", {"conditional": True, "plan": "sinkhorn", "reg": 10.0}),
        ("eotcfm", {"penalty": 1.0, "pool": 2}),
        ("eotcfm", {"conditional": True, "epsilon": 1.0}),
        ("wcfm", {"normalizer": "running"}),
        ("wcfm", {"normalizer": "batch"}),
        ("wcfm", {"weigh": "data"}),
        ("wcfm", {"cost": "sqnorm", "kappa": 1.0}),
        ("wcfm-balanced", {"running": False, "reference": 64}),
        ("sdcfm", {"entropy": 0.5, "points": 64, "tolerance": 0.5}),
        ("sdcfm", {"conditional": True, "points": 64, "tolerance": 0.5}),
        ("cfm", {"sigma": 0.1}),
        ("cfm", {"prediction": "edm", "data_std": 3.0}),
        ("fm", {"prediction": "data"}),
        ("vp", {"schedule": "linear"}),
        ("meanflow", {"improved": True, "coupling": "ot"}),
        ("meanflow", {"coupling": {"name": "balanced", "reference": 64}}),
        ("consistency", {"coupling": "gibbs"}),
        ("consistency", {"tangent": 0.1}),
        ("meanflow", {"coupling": {"name": "entropic", "epsilon": 1.0}}),
        ("shortcut", {"coupling": {"name": "semidiscrete", "points": 64, "tolerance": 0.5}}),
        ("meanflow", {"conditional": True, "target_guidance": 1.0, "guidance_mix": 0.5}),
        ("shortcut", {"conditional": True, "target_guidance": 2.0}),
    ]
    for model, settings in options:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        tilt = ("tilt",) if "normalizer" in settings else ()
        yield Case(f"{model} with {given}", model, "8gaussians", {"model": settings}, ("norm", "nfe", *tilt))


def networks() -> Iterator[Case]:
    yield Case("dit", "cfm", "digits", {"model": {"net": DIT}})
    yield Case("dit with two times", "meanflow", "digits", {"model": {"net": DIT}})
    yield Case("ddpmpp", "cfm", "digits", {"model": {"net": DDPMPP | {"noise_level": True}, "prediction": "edm"}})
    yield Case("ddpmpp with two times", "meanflow", "digits", {"model": {"net": DDPMPP | {"smooth": True}}})
    for model in ("cfm", "consistency"):  # dropout is seeded by the step, also where the loss evaluates twice
        yield Case(f"unet of {model} with dropout", model, "digits", {"model": {"net": UNET | {"dropout": 0.2}}})
    yield Case("unet with checkpoints", "cfm", "digits", {"model": {"net": UNET | {"checkpoint": True}}})
    yield Case("starflow with checkpoints", "starflow", "digits", {"model": {"blocks": [1, 1], "checkpoint": True}})


def samplers() -> Iterator[Case]:
    for method in ("euler", "midpoint", "heun", "rk4"):
        settings = {
            "model": {"net": UNET, "conditional": True},
            "sample": {"method": method, "steps": 4, "guidance": 0.5},
        }
        yield Case(f"{method} with guidance", "cfm", "digits", settings)
    yield Case("dopri5 in float64", "cfm", "8gaussians", {"sample": {"dtype": "float64"}})
    curve = {"evaluation": {"curve": [1, 4]}}
    yield Case("curve", "wcfm", "8gaussians", curve, ("nfe", "w2"))
    for options in (
        {"decode": "jacobi"},
        {"decode": "jacobi", "window": 4, "sweeps": 3},
        {"guidance": 1.0, "temperature": 1.5},
        {"guidance": 1.0, "anneal": "linear", "rule": "tarflow"},
    ):
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        settings = {"model": SETTINGS["starflow"] | {"conditional": True}, "sample": options}
        yield Case(f"starflow sampled with {given}", "starflow", "digits", settings)
    settings = {"model": SETTINGS["tarflow"] | {"conditional": True}, "sample": {"guidance": 1.0, "rule": "tarflow"}}
    yield Case("tarflow with guidance", "tarflow", "digits", settings)
    yield Case("tarflow denoised", "tarflow", "digits", {"model": SETTINGS["tarflow"] | {"noise": 0.1}})


class OnHost(Endless):
    """A split whose batches stay on the host, as those of a user's class do unless it says otherwise."""

    def on(self, device: torch.device) -> Split:
        return self


def host() -> Data:
    """Points around the origin, whose training split stays on the host."""

    def draw(n: int, generator: torch.Generator) -> Batch:
        return unlabeled(torch.randn(n, 2, generator=generator) + 1)

    return replace(vectors("host", draw), train=OnHost(draw, "train"))


def datasets() -> Iterator[Case]:
    registry.datasets.register("host", version=1)(host)
    for model, pool in (("cfm", {}), ("otcfm", {"pool": 2})):
        yield Case(f"host data of {model}", model, "host", {"model": pool})
    yield Case("conditions", "otcfm", "branches", {"evaluation": {"n": 128}}, ("nfe", "conditional_w2"))
    for data in ("moons", "mixture", "moons-8gaussians", "gaussians-5gaussians"):
        yield Case(data, "cfm", data)


def latents() -> Iterator[Case]:
    encoder = {"name": "autoencoder", "steps": 2, "batch_size": 8, "width": 4}
    for model in ("wcfm", "otcfm", "shortcut", "reflow", "starflow"):
        own = SETTINGS.get(model, {}) | ({} if model == "starflow" else {"net": TINY}) | {"encoder": encoder}
        metrics = ("nfe", "latent_bits_per_dim") if model in ("wcfm", "starflow") else ("nfe",)
        settings = {"model": own, "metric": {"latent_bits_per_dim": {"n": 8}} if len(metrics) > 1 else {}}
        yield Case(f"{model} of latents", model, "digits", settings, metrics, TWICE if model == "reflow" else EXACT)
    tuned = {"net": TINY} | {"encoder": encoder | {"noise": 0.3, "tune": 2}}
    fd = {"metric": {"reconstruction_fd": {"n": 64}}}
    yield Case("tuned decoder", "cfm", "digits", {"model": tuned} | fd, ("nfe", "reconstruction_fd"))
    words = {"model": SETTINGS["starflow"] | {"text": {"name": "words", "heads": 2}}, "evaluation": {"n": 60}}
    yield Case("captions", "starflow", "digits-captions", words, ("nfe", "caption_accuracy"))


def photographs(folder: str) -> Iterator[Case]:
    """Images of files are mirrored on the device at random, and encoded by the autoencoder whose weights ship."""
    write_images(Path(folder), {f"{split}/{name}": 16 for split in ("train", "test") for name in ("cat", "dog")})
    settings = {"data": {"path": folder, "size": 8}, "model": {"net": UNET}, "sample": {"tol": 1e-2}}
    yield Case("mirrored images", "cfm", "folder", settings)
    latents = {"data": {"path": folder, "size": 32}, "model": {"net": TINY, "encoder": "cifar10-8x8x8"}}
    one_level = 1 / 64  # samples are whole levels up to about 100, and some of 73,728 lie between two
    yield Case("shipped autoencoder", "cfm", "folder", latents, tolerance=one_level)


def pretrained(folder: str) -> Iterator[Case]:
    """Text and images are encoded by networks of Hugging Face, here small and with random weights."""
    from helpers.toy_captions import save_text_encoder
    from models.latent.test_diffusers_vae import saved
    from transformers import T5Config, T5EncoderModel

    _, vae = saved(f"{folder}/vae")
    yield Case("diffusers", "cfm", "digits", {"model": {"net": TINY, "encoder": {"name": "diffusers", "model": vae}}})
    config = T5Config(vocab_size=10, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    text = save_text_encoder(f"{folder}/t5", T5EncoderModel(config))
    settings = SETTINGS["starflow"] | {"text": {"name": "transformers", "model": text}}
    yield Case("transformers", "starflow", "digits-captions", {"model": settings})
