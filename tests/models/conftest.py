"""Small models, trained on the spot."""

import pytest
import torch

from genbench.metrics.sampling import noise
from genbench.models.build import build_model
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data, plan_of
from genbench.training.loop import fit
from genbench.training.process_group import start_group


@pytest.fixture(scope="session")
def trained():
    """trained(model, dataset, **settings) returns the model, trained with seed 0, and the data."""

    def train(model, dataset, /, **settings):
        spec = make_spec(model, dataset, metrics=[], settings=settings)
        data, plan = build_data(spec.data), plan_of(spec)
        torch.manual_seed(0)
        return fit(build_model(spec.model, spec.encoder, data), data, plan, start_group("cpu"), seed=0), data

    return train


@pytest.fixture(scope="session")
def drawn():
    """drawn(model, n, **options) returns n samples."""

    def draw(model, n=4096, **options):
        with torch.no_grad():
            return model.sample(noise(model.source, n, seed=1), **options).x

    return draw


@pytest.fixture(scope="session")
def built():
    """built(model, dataset, **settings) returns the untrained model and the data."""

    def build(model, dataset, /, **settings):
        spec = make_spec(model, dataset, metrics=[], settings={"model": settings})
        data = build_data(spec.data)
        torch.manual_seed(0)
        return build_model(spec.model, spec.encoder, data), data

    return build
