import pytest
import torch

from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import metrics


def test_real_digits_are_at_the_floor_and_noise_is_far_from_it(digits, digit_samples):
    real = Evaluation(digits, 0, x=digit_samples.x, label=digit_samples.label)
    (row,) = measure(real, "fd-digits_cnn", {}, True)
    noise = torch.rand(500, 1, 8, 8) * 2 - 1
    (bad,) = measure(Evaluation(digits, 0, x=noise), "fd-digits_cnn", {}, True)
    assert 0 < row["value"] < 2 * row["floor"]
    assert bad["value"] > 20 * bad["floor"]
    assert bad["floor"] == row["floor"]
    assert row["details"]["n_reference"] == 500
    assert row["protocol"].endswith("n=500 against 500 test images")
    assert 0 < row["details"]["bias"] < 2 * row["floor"]


def test_fewer_samples_than_features_give_a_distance_with_more_bias(digits, digit_samples):
    evaluation = Evaluation(digits, 0, x=digit_samples.x)
    values = [metrics["fd-digits_cnn"].build(evaluation, n=n) for n in (40, 120, 500)]
    assert values[0].value > values[1].value > values[2].value > 0


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
