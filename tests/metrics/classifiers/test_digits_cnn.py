from dataclasses import replace

import pytest
import torch

from genbench.core import Batch, Event
from genbench.errors import Unsupported
from genbench.metrics.classifiers import digits_cnn
from genbench.metrics.classifiers.digits_cnn import classifier
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors.feature_extractor import extract
from genbench.metrics.measurement import measure
from genbench.space import Pixels
from genbench.storage import cache, tensors


def test_the_classifier_is_accurate_and_its_training_deterministic(digits):
    assert classifier(digits).accuracy >= 0.97
    some = digits.train.take(128, 0)
    some = Batch(digits.space.decode(some.x), some.label)
    before = torch.get_rng_state()
    first = digits_cnn._sha256(digits_cnn._train(digits_cnn.RECIPE, some, 10).state_dict())
    torch.testing.assert_close(torch.get_rng_state(), before)  # the global random state is unchanged
    torch.randn(7)
    assert digits_cnn._sha256(digits_cnn._train(digits_cnn.RECIPE, some, 10).state_dict()) == first


def test_it_is_cached_and_a_damaged_file_is_made_again(digits, monkeypatch, tmp_path, caplog):
    found = classifier(digits)
    train, test = digits_cnn.raw_images(digits, "train"), digits_cnn.raw_images(digits, "test")
    (path,) = (cache.home() / "classifiers").glob("digits_cnn-*.safetensors")
    net = digits_cnn.Net(10).eval()
    net.load_state_dict(tensors.load(path, ("accuracy",))[0])
    monkeypatch.setattr(digits_cnn, "_train", None)  # nothing is trained again
    assert digits_cnn.trained_classifier(digits_cnn.RECIPE, train, test, 10).sha256 == found.sha256
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(digits_cnn, "_train", lambda *_: net)
    digits_cnn.trained_classifier(digits_cnn.RECIPE, train, test, 10)
    copy = tmp_path / "classifiers" / path.name
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    for damaged in (content, content[:100]):
        copy.write_bytes(damaged)
        again = digits_cnn.trained_classifier(digits_cnn.RECIPE, train, test, 10)
        assert (again.sha256, again.accuracy) == (found.sha256, found.accuracy)
    assert caplog.text.count("is damaged") == 2


def test_images_are_shifted_by_at_most_a_pixel():
    image = torch.zeros(300, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 5] = 9
    place = digits_cnn._shifted(image).flatten(1).argmax(1)
    assert set(zip((place // 8).tolist(), (place % 8).tolist(), strict=True)) == {
        (row, column) for row in (3, 4, 5) for column in (4, 5, 6)
    }


def test_features_do_not_depend_on_the_batch(digits, digit_samples):
    images = digits.space.decode(digit_samples.x[:40])
    cnn = classifier(digits)
    alone = torch.cat([cnn(images[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(extract(cnn, images), alone, rtol=1e-9, atol=1e-9)


def test_other_images_are_refused_with_a_reason(digits):
    with pytest.raises(Unsupported, match="17 levels"):
        classifier(replace(digits, space=Pixels(16)))
    with pytest.raises(Unsupported, match="8x8"):
        classifier(replace(digits, event=Event((1, 28, 28), 10)))
    broken = torch.full((500, 1, 8, 8), float("nan"))
    for name in ("fd-digits_cnn", "class_balance"):
        (row,) = measure(Evaluation(digits, 0, x=broken), name, {}, True)
        assert "500 of 500 samples are not finite" in row["reason"]
