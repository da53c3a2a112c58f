from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.pixel_features import PixelExtractor, normal_images, pixel_sets, task

from genbench.errors import ConfigError
from genbench.metrics.image.fid import _distance
from genbench.metrics.image.frechet import Moments
from genbench.metrics.image.reference_statistics import available, published, real_images, statistics
from genbench.metrics.measurement import validation_as_test


def test_statistics_depend_on_the_set_of_images_and_not_on_their_order():
    raw, pixels = normal_images(60, 5), PixelExtractor()
    reversed_order = task(raw.flip(0), raw[:5])
    with_validation = task(raw[:50], raw[:5], valid=raw[50:])  # validation images count as training images
    first = statistics(task(raw, raw[:5]), pixels, "train", 100)
    assert first.n == 60
    calls = len(PixelExtractor.batches)
    for same in (reversed_order, with_validation):
        found = statistics(same, pixels, "train", 100)
        assert found.source == first.source
        torch.testing.assert_close(found.rows, first.rows, rtol=0, atol=0)
    assert len(PixelExtractor.batches) == calls
    other = raw.clone()
    other[0, 0, 0, 0] += 1
    assert statistics(task(other, raw[:5]), pixels, "train", 100).source != first.source
    assert statistics(task(raw, raw[:5]), PixelExtractor(sha256="1" * 64), "train", 100).source != first.source
    moments = Moments([raw.flatten(1).double()])
    torch.testing.assert_close(first.moments.mean, moments.mean)
    torch.testing.assert_close(first.moments.covariance, moments.covariance)


def test_published_statistics_replace_real_images(data, tmp_path):
    sets = pixel_sets(data, normal_images(500, 3))
    moments = Moments([normal_images(3000, 1).flatten(1).double()])
    np.savez(tmp_path / "stats.npz", mu=moments.mean, sigma=moments.covariance)
    given = published(str(tmp_path / "stats.npz"), sets.extractor)
    ours, theirs = _distance(sets), _distance(replace(sets, given=given))
    assert theirs.value == pytest.approx(ours.value, rel=1e-9)
    assert theirs.floor == pytest.approx(ours.floor, rel=1e-6)
    assert theirs.details["n_reference"] is None
    assert "against stats.npz" in theirs.protocol


@pytest.mark.parametrize(
    ("file", "arrays", "message"),
    [
        ("", {}, "there is no file"),
        ("empty.npz", {}, "must hold the arrays mu and sigma"),
        ("other.npz", {"x": np.zeros(3)}, "must hold the arrays mu and sigma"),
        ("cifar10_clean_train_32.npz", {"mu": np.zeros(3), "sigma": np.eye(3)}, "clean-fid's clean, not pixels"),
        ("narrow.npz", {"mu": np.zeros(3), "sigma": np.eye(3)}, "is from another network: it has 3 features, not 12"),
        ("flat.npz", {"mu": np.zeros(4), "sigma": np.zeros(4)}, "mu must be a vector and sigma its matrix"),
        ("wide.npz", {"mu": np.zeros(3), "sigma": np.eye(4)}, "mu must be a vector and sigma its matrix"),
        ("nan.npz", {"mu": np.zeros(4), "sigma": np.full((4, 4), np.nan)}, "must be finite"),
    ],
)
def test_other_files_are_refused_with_one_line(tmp_path, file, arrays, message):
    if file == "empty.npz":
        (tmp_path / file).write_bytes(b"")
    elif file:
        np.savez(tmp_path / file, **arrays)
    with pytest.raises(ConfigError) as error:
        published(str(tmp_path / file), PixelExtractor())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_they_are_the_images_of_the_split_in_an_order_of_their_own():
    raw = normal_images(30, 1)
    first = real_images(task(raw, raw[:5]), "train", 30)
    again = real_images(task(raw.flip(0), raw[:5]), "train", 30)
    everything = torch.arange(30)
    torch.testing.assert_close(first[everything], again[everything], rtol=0, atol=0)
    assert first.sha256 == again.sha256
    assert {image.numpy().tobytes() for image in first[everything]} == {image.numpy().tobytes() for image in raw}


def test_validation_images_count_as_training_images():
    raw = normal_images(30, 1)
    data = task(raw[:20], raw[:5], valid=raw[20:])
    assert (available(data, "train"), available(data, "test")) == (30, 5)
    assert real_images(data, "train", 30).sha256 == real_images(task(raw, raw[:5]), "train", 30).sha256
    of_20 = real_images(task(raw[:20], raw[:5]), "train", 20).sha256
    assert real_images(data, "train", 20).sha256 == of_20
    data = validation_as_test(data)  # in place of test images they do not
    assert (available(data, "train"), available(data, "test")) == (20, 10)
    assert real_images(data, "train", 20).sha256 == of_20
