import json

import numpy as np
import pytest
import torch
from helpers.pixel_features import PixelExtractor, normal_images, pixel_sets, task
from safetensors.torch import save_file

from genbench.errors import ConfigError
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.fid import _distance
from genbench.metrics.image.frechet import Moments
from genbench.metrics.image.reference_statistics import open_statistics, published, statistics
from genbench.storage.files import Damaged


def test_statistics_depend_on_the_set_of_images_and_not_on_their_order():
    raw, pixels = normal_images(60, 5), PixelExtractor()
    reversed_order = task(raw.flip(0), raw[:5])
    with_validation = task(raw[:50], raw[:5], valid=raw[50:])  # validation images count as training images
    first = statistics(task(raw, raw[:5]), pixels, "train", 100)
    assert first.n == 60
    calls = len(PixelExtractor.batches)
    for same in (reversed_order, with_validation):
        found = statistics(same, pixels, "train", 100)
        assert found.path == first.path
        torch.testing.assert_close(found.rows, first.rows, rtol=0, atol=0)
    assert len(PixelExtractor.batches) == calls
    other = raw.clone()
    other[0, 0, 0, 0] += 1
    assert statistics(task(other, raw[:5]), pixels, "train", 100).path != first.path
    assert statistics(task(raw, raw[:5]), PixelExtractor(sha256="1" * 64), "train", 100).path != first.path
    moments = Moments([raw.flatten(1).double()])
    torch.testing.assert_close(first.moments.mean, moments.mean)
    torch.testing.assert_close(first.moments.covariance, moments.covariance)


def test_damaged_statistics_are_computed_again(caplog):
    pixels = PixelExtractor()
    small = task(normal_images(20, 0), normal_images(5, 1))
    first = statistics(small, pixels, "train", 100)
    rows, whole = first.rows.clone(), first.path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    other = statistics(task(normal_images(20, 2), normal_images(5, 1)), pixels, "train", 100).path.read_bytes()
    of_fewer = whole.replace(rb"\"n\":20", rb"\"n\":10")
    assert of_fewer != whole
    for number, damaged in enumerate((flipped, whole[:30], b"", other, of_fewer), 1):
        first.path.write_bytes(damaged)
        reference_statistics._statistics.cache_clear()
        again = statistics(small, pixels, "train", 100)
        torch.testing.assert_close(again.rows, rows, rtol=0, atol=0)
        assert again.path.read_bytes() == whole
        assert caplog.text.count("is damaged") == number
    first.path.write_bytes(flipped)
    with pytest.raises(Damaged, match="the sha256 of features differs"):
        open_statistics(first.path).verify()


def test_published_statistics_replace_real_images(data, tmp_path):
    sets = pixel_sets(data, normal_images(500, 3))
    moments = Moments([normal_images(3000, 1).flatten(1).double()])
    np.savez(tmp_path / "stats.npz", mu=moments.mean, sigma=moments.covariance)
    ours, theirs = _distance(sets), _distance(sets, str(tmp_path / "stats.npz"))
    assert theirs.value == pytest.approx(ours.value, rel=1e-9)
    assert theirs.floor == pytest.approx(ours.floor, rel=1e-6)
    assert "against stats.npz" in theirs.protocol
    assert _distance(sets, str(sets.reference.path)).value == pytest.approx(ours.value, rel=1e-9)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nowhere.npz", "is not a file of statistics"),
        ("cifar10_clean_train_32.npz", "is of another protocol: clean-fid's clean, not pixels"),
        ("narrow.npz", "is of another protocol: of 3 features, not 12"),
        ("other.npz", "holds no statistics"),
        ("other.safetensors", "is of another protocol: its weights is 1111"),
    ],
)
def test_statistics_of_another_protocol_are_refused_with_one_line(tmp_path, file, message):
    small = task(normal_images(30, 0), normal_images(30, 1))
    for name in ("cifar10_clean_train_32.npz", "narrow.npz"):
        np.savez(tmp_path / name, mu=np.zeros(3), sigma=np.eye(3))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    statistics(small, PixelExtractor(sha256="1" * 64), "train", 100).path.rename(tmp_path / "other.safetensors")
    sets = pixel_sets(small, normal_images(20, 3))
    with pytest.raises(ConfigError) as error:
        _distance(sets, str(tmp_path / file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_genbench_states_its_number_of_images(tmp_path):
    moments = Moments([torch.randn(50, 4, dtype=torch.float64)])
    tensors = {"mean": moments.mean, "covariance": moments.covariance, "features": torch.randn(50, 4)}
    about = {"extractor": "given", "weights": "w", "resize": "none", "images": "i", "part": "train", "n": 50}
    sha256 = {name: reference_statistics._sha256(value) for name, value in tensors.items()}
    path = tmp_path / "own.safetensors"
    save_file(tensors, path, {"about": json.dumps(about | {"source": "here", "sha256": sha256})})
    assert published(str(path), PixelExtractor("given", "w")).n == 50
    save_file(tensors, path, {"about": json.dumps({"n": 50})})
    with pytest.raises(Damaged, match="its header has no valid extractor, weights, resize"):
        open_statistics(path)


@pytest.mark.parametrize(
    ("mu", "sigma", "message"),
    [
        (np.zeros(4), np.zeros(4), "mu must be a vector and sigma its matrix"),
        (np.zeros(4), np.full((4, 4), np.nan), "must be finite"),
        (np.zeros(3), np.eye(4), "mu must be a vector and sigma its matrix"),
    ],
)
def test_malformed_published_statistics_are_refused_with_one_line(tmp_path, mu, sigma, message):
    np.savez(tmp_path / "x.npz", mu=mu, sigma=sigma)
    with pytest.raises(ConfigError, match=message):
        published(str(tmp_path / "x.npz"), PixelExtractor("given"))
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match="holds no statistics"):
        published(str(tmp_path / "empty.npz"), PixelExtractor("given"))


@pytest.mark.parametrize(
    ("mean", "covariance", "n", "message"),
    [
        (torch.zeros(4, dtype=torch.bfloat16), torch.zeros(4, dtype=torch.bfloat16), 50, "must be a vector"),
        (torch.zeros(4), torch.full((4, 4), torch.nan), 50, "must be finite"),
        (torch.tensor(0.0), torch.eye(4), 50, "must be a vector"),
        (torch.zeros(4), torch.eye(4), 0, "its header has no valid n"),
        (torch.zeros(4), torch.eye(4), -5, "its header has no valid n"),
    ],
)
def test_sealed_statistics_of_a_stranger_are_refused_with_one_line(tmp_path, mean, covariance, n, message):
    tensors = {"mean": mean, "covariance": covariance}
    sha256 = {name: reference_statistics._sha256(value) for name, value in tensors.items()}
    about = {"extractor": "given", "weights": "w", "resize": "none", "images": "i", "part": "train", "n": n}
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, {"about": json.dumps(about | {"source": "a stranger", "sha256": sha256})})
    with pytest.raises(ConfigError, match=message):
        published(str(path), PixelExtractor("given", "w"))


def test_a_changed_header_is_noticed_where_nobody_knows_what_it_should_say(tmp_path):
    small = task(normal_images(20, 0), normal_images(5, 1))
    whole = statistics(small, PixelExtractor(), "train", 100).path.read_bytes()
    (tmp_path / "s.safetensors").write_bytes(whole.replace(rb"\"n\":20", rb"\"n\":30"))
    with pytest.raises(Damaged, match="the checksum of its header differs"):
        open_statistics(tmp_path / "s.safetensors")
