import torch
from helpers.pixel_features import normal_images, task

from genbench.metrics.image.real_images import available, real_images
from genbench.metrics.measurement import validation_as_test


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
    assert real_images(data, "train", 20).sha256 == real_images(task(raw[:20], raw[:5]), "train", 20).sha256


def test_validation_images_in_place_of_test_images_are_not_training_images():
    raw = normal_images(30, 1)
    data = validation_as_test(task(raw[:20], raw[:5], valid=raw[20:]))
    assert (available(data, "train"), available(data, "test")) == (20, 10)
    assert real_images(data, "train", 20).sha256 == real_images(task(raw[:20], raw[:5]), "train", 20).sha256
