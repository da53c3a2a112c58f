"""Encoders of images, small enough to be trained on the spot."""

import copy

import pytest
import torch
from helpers.toy_flows import component

from genbench.data.digits import digits
from genbench.models.latent.encoder import TuningSettings
from genbench.registry import encoders
from genbench.training.loop import fit
from genbench.training.plan import Plan
from genbench.training.process_group import start_group


@pytest.fixture(scope="session")
def data():
    return digits()


@pytest.fixture(scope="session")
def build_encoder():
    """build_encoder(event, name, **settings) returns an untrained encoder; by default an autoencoder."""

    def build(event, name="autoencoder", **settings):
        return component(encoders, name, event, **settings)

    return build


@pytest.fixture(scope="session")
def run_stages():
    """run_stages(stages, data) trains the stages of an encoder one after the other."""

    def run(stages, data):
        for stage in stages:
            plan = Plan(**stage.plan)
            fit(stage.learner, data, plan, start_group("cpu"), seed=0)

    return run


@pytest.fixture(scope="session")
def error():
    """error(encoder, x, noise) is the mean squared error of reconstructions from noised latents, per coordinate."""

    def reconstruct(encoder, x, noise=0.0):
        with torch.no_grad():
            z = encoder.encode(x)
            eps = torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
            return float((encoder.decode(z + noise * eps) - x).square().mean())

    return reconstruct


@pytest.fixture(scope="session")
def plain(data, build_encoder, run_stages):
    """An autoencoder of digits, trained and calibrated; no test may change it."""
    torch.manual_seed(0)
    encoder = build_encoder(data.event, width=8, steps=250, lr=5e-3)
    run_stages(encoder.stages(), data)
    encoder.calibrate(data)
    return encoder.eval()


@pytest.fixture(scope="session")
def tuned(plain, data, run_stages):
    """The same autoencoder, its decoder tuned on noised latents."""
    encoder = copy.deepcopy(plain)
    run_stages(TuningSettings(noise=0.5, tune=100, batch_size=64, lr=5e-3).stages(encoder), data)
    return encoder
