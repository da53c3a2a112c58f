"""What all encoders have: a digest of their weights, and batches in parts."""

import torch
from torch.testing import assert_close

from genbench.core import Batch
from genbench.models.latent.encoder import DecoderTuning


def test_a_sample_is_encoded_and_decoded_by_itself(plain, data, monkeypatch):
    x = data.test.take(30, 0).x
    with torch.no_grad():
        z = plain.encode(x)
        whole = plain.decode(z)
        assert_close(torch.cat([plain.encode(x[i : i + 1]) for i in range(30)]), z, atol=1e-4, rtol=1e-4)
        assert_close(torch.cat([plain.decode(z[i : i + 1]) for i in range(30)]), whole, atol=1e-4, rtol=1e-4)
        monkeypatch.setattr("genbench.models.latent.encoder.CHUNK", 7 * 64)
        assert_close(plain.decode(plain.encode(x)), whole, atol=1e-4, rtol=1e-4)


def test_the_digest_knows_weights_and_constants_from_one_another(plain, data, build_encoder):
    digest = plain.digest()
    assert plain.digest() == digest
    again = build_encoder(data.event, width=8)
    assert again.digest() != digest
    again.load_state_dict(plain.state_dict())
    assert again.digest() == digest
    again.scale.mul_(1.01)
    assert again.digest() != digest


def test_tuning_trains_the_decoder_alone_which_is_then_better_under_that_noise(plain, tuned, data, error):
    x = data.test.take(500, 0).x
    assert error(tuned, x, 0.5) < 0.85 * error(plain, x, 0.5)
    assert error(tuned, x, 0.5) > error(tuned, x, 0.0)
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
    assert not model.train().encoder.training
    assert model.encoder.decoder.training
