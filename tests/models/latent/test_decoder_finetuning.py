"""Decoders tuned on noised latents: what changes, and what it gains."""

import torch
from torch.testing import assert_close

from genbench.core import Batch
from genbench.models.latent.decoder_finetuning import DecoderTuning


def test_a_decoder_tuned_on_noise_is_better_under_that_noise(plain, tuned, data, error):
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


def test_latents_of_the_tuning_are_noised_by_the_deviation_that_is_said(plain, data):
    model = DecoderTuning(plain, 0.25)
    x = data.train.take(600, 0).x
    example = model.draw(Batch(x, torch.zeros(600, dtype=torch.long)), torch.Generator().manual_seed(0))
    moved = example.z - plain.encode(x)
    assert_close(moved.std(), torch.tensor(0.25), rtol=0.02, atol=0)
    assert_close(example.x, x)
