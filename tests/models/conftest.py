"""Small models, trained on the spot."""

import pytest
import torch
from helpers.toy_captions import save_text_encoder

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
    """built(model, dataset, data={}, **settings) returns the untrained model and the data."""

    def build(model, dataset, /, data=None, **settings):
        spec = make_spec(model, dataset, metrics=[], settings={"model": settings, "data": data or {}})
        task = build_data(spec.data)
        torch.manual_seed(0)
        return build_model(spec.model, spec.encoder, task), task

    return build


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    """A whole T5, encoder and decoder."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=10, d_model=12, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return save_text_encoder(tmp_path_factory.mktemp("t5"), T5ForConditionalGeneration(config))
