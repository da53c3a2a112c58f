"""Metrics of features on features whose answers are known: the pixels of tiny images themselves."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors import choice
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.features import Features
from genbench.metrics.image.frechet import Moments
from genbench.metrics.image.inception_score import split_scores
from genbench.metrics.image.neighbors import Neighborhoods
from genbench.metrics.image.precision_recall import density_and_coverage, precision_and_recall
from genbench.metrics.image.published_statistics import published
from genbench.metrics.image.vendi_score import vendi_score
from genbench.metrics.measurement import measure
from genbench.registry import extractors, metrics
from genbench.settings import settings_of
from genbench.space import Pixels
from genbench.storage.files import Damaged

SHAPE = (3, 2, 2)
seen = []


@dataclass(frozen=True, eq=False)
class Raw(Features):
    name: str = "pixels"
    sha256: str = "0" * 64
    resize: str = "none"

    def __call__(self, images):
        seen.append(len(images))
        return images.flatten(1).float()


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    entries = dict(extractors._entries)
    extractors.register("pixels", version=1)(lambda data: Raw())
    seen.clear()
    yield
    extractors._entries = entries


def noise(n, seed, mean=128.0, sd=20.0):
    stream = torch.Generator().manual_seed(seed)
    return (mean + sd * torch.randn(n, *SHAPE, generator=stream)).round().clamp(0, 255).byte()


def task(train, test, valid=None):
    space = Pixels(256)

    def part(raw):
        return Finite(lambda: Arrays(raw, torch.zeros(len(raw)).long(), torch.arange(len(raw))), len(raw), space)

    parts = [part(raw) for raw in (train, train[:0] if valid is None else valid, test)]
    event = Event(SHAPE, 0, space.bin)
    return Data(event, space, Normal(SHAPE), train=parts[0], valid=parts[1], test=parts[2])


def read(name, data, raw, **settings):
    """Measure a metric: {row name: row}."""
    if "features" in settings_of(metrics[name].build):
        settings = {"features": "pixels"} | settings
    rows = measure(Evaluation(data, 0, x=data.space.encode(raw)), name, settings, True)
    return {row["metric"]: row for row in rows}


@pytest.fixture(scope="module")
def data():
    return task(noise(3000, 1), noise(1000, 2))


def test_one_pass_of_the_network_feeds_all_metrics(data):
    evaluation = Evaluation(data, 0, x=data.space.encode(noise(500, 3)))
    for name in ("kid", "fd-infinity", "precision_recall", "density_coverage", "vendi", "memorisation"):
        measure(evaluation, name, {"features": "pixels"} | ({"subsets": 3} if name == "kid" else {}), True)
    assert sum(seen) == 500 + 3000 + 1000
    seen.clear()
    measure(Evaluation(data, 1, x=evaluation.x), "vendi", {"features": "pixels"}, True)
    assert sum(seen) == 500  # real images are known from now on


def test_the_reference_is_the_set_of_images_whatever_their_order(data):
    raw = noise(60, 5)
    turned = task(raw.flip(0), raw[:5])
    held_out = task(raw[:50], raw[:5], valid=raw[50:])
    net = choice.build(data, "pixels")
    first = reference_statistics.statistics(task(raw, raw[:5]), net, "train", 100)
    assert first.n == 60
    calls = len(seen)
    for same in (turned, held_out):  # images held out for validation are training images of published statistics
        found = reference_statistics.statistics(same, net, "train", 100)
        assert found.path == first.path
        torch.testing.assert_close(found.rows, first.rows, rtol=0, atol=0)
    assert len(seen) == calls
    other = raw.clone()
    other[0, 0, 0, 0] += 1
    assert reference_statistics.statistics(task(other, raw[:5]), net, "train", 100).path != first.path
    assert reference_statistics.statistics(task(raw, raw[:5]), Raw(sha256="1" * 64), "train", 100).path != first.path
    moments = Moments([raw.flatten(1).double()])
    torch.testing.assert_close(first.moments.mean, moments.mean)
    torch.testing.assert_close(first.moments.covariance, moments.covariance)


def test_damaged_statistics_are_made_again(data, caplog):
    net = choice.build(data, "pixels")
    small = task(noise(20, 0), noise(5, 1))
    first = reference_statistics.statistics(small, net, "train", 100)
    rows, whole = first.rows.clone(), first.path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    other = reference_statistics.statistics(task(noise(20, 2), noise(5, 1)), net, "train", 100).path.read_bytes()
    for number, damaged in enumerate((flipped, whole[:30], b"", other), 1):
        first.path.write_bytes(damaged)
        reference_statistics._statistics.cache_clear()
        again = reference_statistics.statistics(small, net, "train", 100)
        torch.testing.assert_close(again.rows, rows, rtol=0, atol=0)
        assert again.path.read_bytes() == whole
        assert caplog.text.count("is damaged") == number
    first.path.write_bytes(flipped)
    with pytest.raises(Damaged, match=r"features is not what its sha256 says"):
        reference_statistics.opened(first.path).verify()


def test_training_images_themselves_are_at_distance_zero(data):
    for n in (3000, 10):  # more than features, and fewer
        own = task(noise(n, 1), noise(50, 2))
        assert abs(choice_distance(own, noise(n, 1))) < 1e-6


def choice_distance(data, raw, **settings):
    from genbench.metrics.image.feature_sets import IMAGES, feature_sets
    from genbench.metrics.image.fid import to_reference

    sets = feature_sets(Evaluation(data, 0, x=data.space.encode(raw)), "pixels", IMAGES)
    return to_reference(sets.samples, sets.reference)


def test_a_distance_is_the_closed_form_and_knows_its_bias_and_floor(data):
    from genbench.metrics.image.feature_sets import IMAGES, feature_sets
    from genbench.metrics.image.fid import _distance

    # Mean shifted by 10 in 12 dimensions, deviations 20 and 30: 12 (10^2 + 10^2).
    far = noise(2000, 7, mean=138.0, sd=30.0)
    sets = feature_sets(Evaluation(data, 0, x=data.space.encode(far)), "pixels", IMAGES)
    value = _distance(sets)
    assert value.value == pytest.approx(2400, rel=0.03)
    fresh = [noise(2000, seed) for seed in range(20, 30)]
    found = [_distance(feature_sets(Evaluation(data, 0, x=data.space.encode(raw)), "pixels", IMAGES)) for raw in fresh]
    mean = sum(each.value for each in found) / len(found)
    assert mean == pytest.approx(found[0].details["bias"], rel=0.25)
    # The floor was measured on 1,000 held-out images and brought to 2,000.
    assert found[0].details["n_floor"] == 1000
    assert found[0].floor == pytest.approx(mean, rel=0.4)


def test_infinity_takes_the_bias_of_the_samples_off(data):
    values = [read("fd-infinity", data, noise(1000, seed))["fd-infinity"] for seed in range(4)]
    plain = [choice_distance(data, noise(1000, seed)) for seed in range(4)]
    mean = sum(row["value"] for row in values) / 4
    of_reference = 12 * 400 * 1.5 / 3000 * 13 / 14
    assert abs(mean - of_reference) < sum(plain) / 4 / 3


def test_kernel_distance_is_unbiased_and_knows_its_error(data):
    values = [read("kid", data, noise(400, seed), subsets=20, size=100)["kid"] for seed in range(30, 46)]
    spread = torch.tensor([row["value"] for row in values])
    error = values[0]["details"]["standard_error"]
    assert abs(spread.mean()) < 4 * spread.std() / 4
    assert 1 < error / spread.std() < 4
    far = [read("kid", data, noise(400, seed, mean=140.0), subsets=20, size=100)["kid"] for seed in range(16)]
    assert far[0]["value"] > 10 * error
    assert far[0]["protocol"].endswith("20 subsets of 100")
    spread = torch.tensor([row["value"] for row in far]).std()
    assert 0.5 < far[0]["details"]["standard_error"] / spread < 2
    few = read("kid", data, noise(150, 0))["kid"]
    assert "100 subsets of 150" in few["protocol"]
    assert "standard_error" not in few["details"]


def test_precision_falls_with_bad_samples_and_recall_with_missing_ones(data):
    real = noise(3000, 1)
    values = read("precision_recall", data, torch.cat([real[:200], noise(200, 4, mean=220.0, sd=2.0)]))
    assert values["precision_recall.precision"]["value"] == pytest.approx(0.5, abs=0.02)
    modes = torch.cat([noise(100, 8, mean=60.0), noise(100, 9, mean=200.0)]).flatten(1).float()
    assert precision_and_recall(Neighborhoods(modes[:100]), Neighborhoods(modes), 3)["recall"] == pytest.approx(
        0.5, abs=0.05
    )
    assert precision_and_recall(Neighborhoods(modes), Neighborhoods(modes), 3) == {"precision": 1.0, "recall": 1.0}


def test_density_is_one_and_coverage_falls_with_missing_modes():
    real = torch.cat([noise(300, 8, mean=60.0), noise(300, 9, mean=200.0)]).flatten(1).float()
    fresh = torch.cat([noise(300, 18, mean=60.0), noise(300, 19, mean=200.0)]).flatten(1).float()
    good, half = (
        density_and_coverage(Neighborhoods(fresh), Neighborhoods(real), 5),
        density_and_coverage(Neighborhoods(fresh[:300]), Neighborhoods(real), 5),
    )
    assert good["density"] == pytest.approx(1, abs=0.15)
    assert half["density"] == pytest.approx(1, abs=0.2)
    assert good["coverage"] > 0.9
    assert half["coverage"] == pytest.approx(good["coverage"] / 2, abs=0.05)


def test_the_score_counts_classes():
    certain = 100 * torch.eye(10).repeat(30, 1)
    torch.testing.assert_close(split_scores(certain, 1, 0), torch.tensor([10.0]).double())
    torch.testing.assert_close(split_scores(certain[::10], 3, 0), torch.ones(3).double())
    torch.testing.assert_close(split_scores(torch.zeros(40, 10), 2, 0), torch.ones(2).double())
    assert split_scores(certain, 10, 0).max() < 10  # a split of 30 has not every class equally often


@pytest.mark.parametrize("repeats", [1, 30])
def test_diversity_is_the_number_of_different_images(repeats):
    kinds = torch.eye(12)[:7] * torch.arange(1, 8)[:, None]
    assert vendi_score(kinds.repeat(repeats, 1)) == pytest.approx(7)


def test_copies_are_found_and_shown_with_their_originals(data):
    train = noise(3000, 1)
    evaluation = Evaluation(data, 0, x=data.space.encode(torch.cat([noise(190, 11), train[:10]])))
    rows = measure(evaluation, "memorisation", {"features": "pixels"}, True)
    assert rows[0]["value"] == pytest.approx(0.05 + 0.01, abs=0.015)
    assert rows[0]["floor"] == 0.01
    assert rows[1]["value"] == pytest.approx(1, abs=0.05)
    page = evaluation.image_grids["neighbours"].unflatten(0, (10, 10))
    torch.testing.assert_close(page[:, 0], page[:, 1], rtol=0, atol=0)  # each copy beside its original
    assert {image.numpy().tobytes() for image in page[:, 0]} == {image.numpy().tobytes() for image in train[:10]}
    copies = read("memorisation", data, train[:200])
    assert copies["memorisation"]["value"] == 1.0
    assert copies["memorisation.ratio"]["value"] == 0.0


def test_published_statistics_stand_in_for_real_images(data, tmp_path):
    from genbench.metrics.image.feature_sets import IMAGES, feature_sets
    from genbench.metrics.image.fid import _distance

    sets = feature_sets(Evaluation(data, 0, x=data.space.encode(noise(500, 3))), "pixels", IMAGES)
    moments = Moments([noise(3000, 1).flatten(1).double()])
    np.savez(tmp_path / "stats.npz", mu=moments.mean, sigma=moments.covariance)
    ours, theirs = _distance(sets), _distance(sets, str(tmp_path / "stats.npz"))
    assert theirs.value == pytest.approx(ours.value, rel=1e-9)
    assert theirs.floor == pytest.approx(ours.floor, rel=1e-6)
    assert "against stats.npz" in theirs.protocol
    assert _distance(sets, str(sets.reference.path)).value == pytest.approx(ours.value, rel=1e-9)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nowhere.npz", "is no file of statistics"),
        ("cifar10_clean_train_32.npz", "is of another protocol: clean-fid's clean, not pixels"),
        ("narrow.npz", "is of another protocol: of 3 features, not 12"),
        ("other.npz", "holds no statistics"),
        ("other.safetensors", "is of another protocol: its weights is 1111"),
    ],
)
def test_statistics_of_another_protocol_are_refused_with_one_line(data, tmp_path, file, message):
    from genbench.metrics.image.feature_sets import IMAGES, feature_sets
    from genbench.metrics.image.fid import _distance

    small = task(noise(30, 0), noise(30, 1))
    for name in ("cifar10_clean_train_32.npz", "narrow.npz"):
        np.savez(tmp_path / name, mu=np.zeros(3), sigma=np.eye(3))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    theirs = reference_statistics.statistics(small, Raw(sha256="1" * 64), "train", 100).path
    theirs.rename(tmp_path / "other.safetensors")
    sets = feature_sets(Evaluation(small, 0, x=small.space.encode(noise(20, 3))), "pixels", IMAGES)
    with pytest.raises(ConfigError) as said:
        _distance(sets, str(tmp_path / file))
    assert message in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("name", "n", "settings", "message"),
    [
        ("kid", 1, {}, "needs 2 images at least, there are 1"),
        ("precision_recall", 3, {}, "needs 4 images at least, there are 3"),
        ("precision_recall", 20, {"k": 15}, "needs 16 train images at least, there are 12"),
        ("fd-infinity", 30, {}, "needs 100 images at least, there are 30"),
        ("kid", 20, {"n": 50}, "needs 50 samples, there are 20"),
        ("memorisation", 20, {}, "10 test images are too few to know the nearest 1.00% of them"),
        ("vendi", 1, {}, "needs 2 images"),
    ],
)
def test_too_few_images_are_one_line(name, n, settings, message):
    (row,) = read(name, task(noise(12, 0), noise(10, 1)), noise(n, 2), **settings).values()
    assert row["value"] is None
    assert message in row["reason"]


def test_vectors_have_no_features():
    from genbench.registry import datasets

    moons = datasets["moons"].build()
    for name in ("kid", "fid-legacy", "fd-efficientnet_lite0", "inception_score", "memorisation"):
        (row,) = measure(Evaluation(moons, 0, x=moons.test.take(64, 0).x), name, {}, True)
        assert row["reason"] == "features are of images"


def test_the_norm_is_that_of_model_space(data):
    row = read("norm", data, noise(500, 3))["norm"]
    x = data.space.encode(noise(500, 3)).double().flatten(1)
    assert row["value"] == pytest.approx(float(x.square().sum(1).sqrt().mean()))
    assert row["floor"] == pytest.approx(row["value"], rel=0.05)
    assert row["better"] == "none"
    torch.testing.assert_close(row["details"]["mean_square"], float(x.square().sum(1).mean()))


def test_statistics_of_ours_in_a_file_know_how_many_images_they_are_of(tmp_path):
    moments = Moments([torch.randn(50, 4, dtype=torch.float64)])
    tensors = {"mean": moments.mean, "covariance": moments.covariance, "features": torch.randn(50, 4)}
    about = {"extractor": "given", "weights": "w", "resize": "none", "images": "i", "part": "train", "n": 50}
    about |= {
        "source": "here",
        "sha256": {name: reference_statistics._sha256(value) for name, value in tensors.items()},
    }
    kept = tmp_path / "own.safetensors"
    save_file(tensors, kept, {"about": json.dumps(about)})
    given = Raw("given", "w")
    assert published(str(kept), given).n == 50
    save_file(tensors, kept, {"about": json.dumps({"n": 50})})
    with pytest.raises(Damaged, match="does not say extractor"):
        reference_statistics.opened(kept)


@pytest.mark.parametrize(
    ("mu", "sigma", "message"),
    [
        (np.zeros(4), np.zeros(4), "mu must be a vector and sigma its matrix"),
        (np.zeros(4), np.full((4, 4), np.nan), "must be finite"),
        (np.zeros(3), np.eye(4), "mu must be a vector and sigma its matrix"),
    ],
)
def test_wrong_statistics_are_one_line(tmp_path, mu, sigma, message):
    np.savez(tmp_path / "x.npz", mu=mu, sigma=sigma)
    with pytest.raises(ConfigError, match=message):
        published(str(tmp_path / "x.npz"), Raw("given"))
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match="holds no statistics"):
        published(str(tmp_path / "empty.npz"), Raw("given"))
