from dataclasses import replace

import pytest
import torch

from genbench.core import Batch, Event
from genbench.errors import Unsupported
from genbench.metrics.classifiers import digits_cnn
from genbench.metrics.classifiers.digits_cnn import classifier
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.image.features import extract
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics
from genbench.space import Pixels
from genbench.storage import cache, tensors


@pytest.fixture(scope="module")
def data():
    return datasets["digits"].build()


@pytest.fixture(scope="module")
def real(data):
    return data.train.take(500, 3)


def test_the_classifier_is_right_and_its_training_deterministic(data):
    assert classifier(data).accuracy >= 0.97
    some = data.train.take(128, 0)
    some = Batch(data.space.decode(some.x), some.label)
    before = torch.get_rng_state()
    first = digits_cnn._sha256(digits_cnn._train(digits_cnn.RECIPE, some, 10).state_dict())
    torch.testing.assert_close(torch.get_rng_state(), before)  # nobody else's randomness moves
    torch.randn(7)
    assert digits_cnn._sha256(digits_cnn._train(digits_cnn.RECIPE, some, 10).state_dict()) == first


def test_it_is_kept_and_a_damaged_file_is_made_again(data, monkeypatch, tmp_path, caplog):
    found = classifier(data)
    train, test = digits_cnn.whole(data, "train"), digits_cnn.whole(data, "test")
    (path,) = (cache.home() / "classifiers").glob("digits_cnn-*.safetensors")
    net = digits_cnn.Net(10).eval()
    net.load_state_dict(tensors.load(path, ("accuracy",))[0])
    monkeypatch.setattr(digits_cnn, "_train", None)  # nothing is trained again
    assert digits_cnn.kept(digits_cnn.RECIPE, train, test, 10).sha256 == found.sha256
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(digits_cnn, "_train", lambda *_: net)
    digits_cnn.kept(digits_cnn.RECIPE, train, test, 10)
    copy = tmp_path / "classifiers" / path.name
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    for damaged in (content, content[:100]):
        copy.write_bytes(damaged)
        again = digits_cnn.kept(digits_cnn.RECIPE, train, test, 10)
        assert (again.sha256, again.accuracy) == (found.sha256, found.accuracy)
    assert caplog.text.count("is damaged") == 2


def test_shifting_moves_whole_images_by_at_most_a_pixel():
    image = torch.zeros(300, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 5] = 9
    place = digits_cnn._shifted(image).flatten(1).argmax(1)
    assert set(zip((place // 8).tolist(), (place % 8).tolist(), strict=True)) == {
        (row, column) for row in (3, 4, 5) for column in (4, 5, 6)
    }


def test_features_do_not_depend_on_the_batch(data, real):
    images = data.space.decode(real.x[:40])
    cnn = classifier(data)
    alone = torch.cat([cnn(images[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(extract(cnn, images), alone, rtol=1e-9, atol=1e-9)


def test_real_digits_are_at_the_floor_and_noise_is_far_from_it(data, real):
    (row,) = measure(Evaluation(data, 0, x=real.x, label=real.label), "fd-digits_cnn", {}, True)
    noise = torch.rand(500, 1, 8, 8) * 2 - 1
    (bad,) = measure(Evaluation(data, 0, x=noise), "fd-digits_cnn", {}, True)
    assert 0 < row["value"] < 2 * row["floor"]
    assert bad["value"] > 20 * bad["floor"]
    assert bad["floor"] == row["floor"]
    assert row["details"]["n_reference"] == 500
    assert 0 < row["details"]["bias"] < 2 * row["floor"]


def test_fewer_samples_than_features_give_a_distance_with_more_bias(data, real):
    values = [metrics["fd-digits_cnn"].build(Evaluation(data, 0, x=real.x), n=n) for n in (40, 120, 500)]
    assert values[0].value > values[1].value > values[2].value > 0


def test_classes_are_counted_and_compared_with_what_was_asked_for(data, real):
    def read(x, label=None):
        return {
            row["metric"]: row["value"]
            for row in measure(Evaluation(data, 0, x=x, label=label), "class_balance", {}, True)
        }

    assert read(real.x) == pytest.approx({"class_balance": 0.96}, abs=0.03)
    ones = data.train.take(1197, 0)
    ones = ones.x[ones.label == 1]
    assert read(ones) == pytest.approx({"class_balance": 0.1}, abs=0.02)
    right = read(real.x, real.label)
    wrong = read(real.x, (real.label + 1) % 10)
    assert right["class_balance.accuracy"] > 0.98
    assert wrong["class_balance.accuracy"] < 0.02


def test_other_images_are_refused_with_a_reason(data):
    with pytest.raises(Unsupported, match="17 levels"):
        classifier(replace(data, space=Pixels(16)))
    with pytest.raises(Unsupported, match="8x8"):
        classifier(replace(data, event=Event((1, 28, 28), 10)))
    broken = torch.full((500, 1, 8, 8), float("nan"))
    for name in ("fd-digits_cnn", "class_balance"):
        (row,) = measure(Evaluation(data, 0, x=broken), name, {}, True)
        assert "500 of 500 samples are not finite" in row["reason"]
