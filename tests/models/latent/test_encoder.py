"""What all encoders have: a digest of their weights, and batches in parts."""

import torch
from torch.testing import assert_close


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
