import pytest
import torch
from helpers.encoders import Scaled
from helpers.pixel_features import normal_images, pixel_sets

from genbench.core import Normal
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.image.fid import _distance, distance_to_reference
from genbench.metrics.measurement import measure
from genbench.models.latent.latent_model import Latent


def distance(data, raw):
    sets = pixel_sets(data, raw)
    return distance_to_reference(sets.samples, sets.reference)


def test_the_distance_is_the_closed_form_with_its_bias_and_floor(data):
    # Mean shifted by 10 in 12 dimensions, deviations 20 and 30: 12 (10^2 + 10^2).
    far = _distance(pixel_sets(data, normal_images(2000, 7, mean=138.0, sd=30.0)))
    assert far.value == pytest.approx(2400, rel=0.03)
    fresh = [_distance(pixel_sets(data, normal_images(2000, seed))) for seed in range(20, 30)]
    mean = sum(each.value for each in fresh) / len(fresh)
    assert mean == pytest.approx(fresh[0].details["bias"], rel=0.25)
    # There are 1,000 held-out images: what they would give if they were 2,000 is an estimate, not a floor.
    assert (fresh[0].details["n_floor"], fresh[0].floor) == (1000, None)
    assert fresh[0].details["extrapolated_floor"] == pytest.approx(mean, rel=0.4)
    as_many = _distance(pixel_sets(data, normal_images(1000, 20)))
    assert as_many.floor == pytest.approx(distance(data, data.test._arrays.raw), rel=1e-9)
    assert "extrapolated_floor" not in as_many.details


def test_the_distance_of_reconstructions_is_what_the_encoder_adds(data, fixed_density):
    def reconstructed(levels):
        encoder = Scaled(data.event, shift=levels / 127.5)
        inner = fixed_density(encoder.latent, Normal(data.event.shape), lambda x, _: x.flatten(1).sum(1))
        where = Evaluation(data, 0, x=torch.zeros(1000, *data.event.shape), model=Latent(data.event, inner, encoder))
        return measure(where, "reconstruction_fd", {"features": "pixels"}, True)[0]

    assert reconstructed(0)["value"] == pytest.approx(distance(data, data.test._arrays.raw), abs=1e-6)
    assert reconstructed(5)["value"] - reconstructed(0)["value"] == pytest.approx(12 * 25, rel=0.1)
    assert reconstructed(0)["protocol"].startswith("reconstructions, pixels")
    plain = Evaluation(data, 0, x=torch.zeros(9, *data.event.shape))
    assert "no encoder" in measure(plain, "reconstruction_fd", {"features": "pixels"}, True)[0]["reason"]


def test_the_distance_on_captions_excludes_held_out_combinations(captioned, digits):
    def distance(x, label, **settings):
        (row,) = measure(Evaluation(captioned, 0, x=x, label=label), "fd-captions_cnn", settings, True)
        return row

    row = distance(*captioned.test.take(1500, 0))
    assert row["value"] == pytest.approx(0, abs=1e-3)
    assert row["n"] == row["details"]["n_reference"] == 1250
    assert row["floor"] > 1
    x, label = captioned.test.take(900, 0)
    kept = ~torch.tensor(captioned.captions.held_out)[label]
    of_all, of_kept = distance(x, label), distance(x[kept], label[kept])
    assert of_all["floor"] == of_kept["floor"]  # of as many training samples, none of which is held out
    first, number = distance(x, label, n=600), int(kept[:600].sum())
    assert first["floor"] == distance(x[:600][kept[:600]], label[:600][kept[:600]])["floor"]
    assert first["n"] == number
    assert distance(*captioned.train.take(900, 1))["value"] < 2 * row["floor"]
    plain = digits.train.take(900, 0)
    assert distance(plain.x, None)["value"] > 10 * row["floor"]
