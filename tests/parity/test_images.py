"""The arithmetic of image metrics against the libraries that published numbers come from, on the same inputs."""

import cleanfid.features
import cleanfid.fid
import numpy as np
import pytest
import torch
from helpers.photographs import CIFAR10, cifar10, patches
from helpers.pixel_features import PixelExtractor
from PIL import Image
from prdc import compute_prdc
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from genbench.metrics.extractors import feature_extractor
from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.kid import squared_mmd
from genbench.metrics.image.precision_recall import Neighborhoods, density_and_coverage, precision_and_recall
from genbench.metrics.image.reference_statistics import published

TIGHT = {"rtol": 1e-6, "atol": 0.0}


def features(n, k, seed, shift=0.0):
    """Return correlated, skewed, positive features, as a layer behind a ReLU has them."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(k, k, dtype=torch.float64, generator=torch.Generator().manual_seed(99)) / k**0.5
    return (torch.randn(n, k, dtype=torch.float64, generator=stream) @ mixing + shift).exp()


@pytest.fixture(scope="module")
def pair():
    return features(700, 48, 0), features(600, 48, 1, shift=0.1)


def cleanfid_distance(a, b, monkeypatch):
    """Return clean-fid's distance, whichever SciPy is installed: it wants a keyword that SciPy 1.18 removed."""
    sqrtm = cleanfid.fid.linalg.sqrtm
    monkeypatch.setattr(cleanfid.fid.linalg, "sqrtm", lambda m, disp=True: sqrtm(m) if disp else (sqrtm(m), 0.0))
    return cleanfid.fid.frechet_distance(a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy())


def test_statistics_are_read_as_clean_fid_reads_them(pair, tmp_path, monkeypatch):
    moments = Moments(pair[0].split(64))
    path = tmp_path / "cifar10_clean_train_32.npz"
    np.savez(path, mu=moments.mean.numpy(), sigma=moments.covariance.numpy())
    monkeypatch.setattr(
        cleanfid.features, "check_download_url", lambda local_folder, url: tmp_path / url.rpartition("/")[2]
    )
    theirs = cleanfid.features.get_reference_statistics("cifar10", 32, mode="clean", split="train")
    ours = published(str(path), PixelExtractor(name="inception-clean", num_features=48)).moments
    for one, other in zip((ours.mean, ours.covariance), theirs, strict=True):
        torch.testing.assert_close(one, torch.from_numpy(other), rtol=1e-12, atol=0)


class Identity(torch.nn.Module):
    num_features = 48

    def forward(self, x):
        return x


def test_frechet_distance_is_that_of_clean_fid_torch_fidelity_and_torchmetrics(pair, monkeypatch):
    a, b = (Moments(x.split(64)) for x in pair)
    ours = frechet(a, b)
    assert ours > 1
    assert cleanfid_distance(a, b, monkeypatch) == pytest.approx(ours, rel=1e-6)
    statistics = [{"mu": m.mean.numpy(), "sigma": m.covariance.numpy()} for m in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert theirs == pytest.approx(ours, rel=1e-6)
    metric = FrechetInceptionDistance(Identity()).set_dtype(torch.float64)
    for x, real in zip(pair, (True, False), strict=True):
        metric.update(x, real=real)
    torch.testing.assert_close(float(metric.compute()), ours, **TIGHT)


def test_kernel_distance_is_that_of_torch_fidelity_torchmetrics_and_clean_fid(pair):
    x, y = pair[0][:500], pair[1][:500]
    ours = squared_mmd(x, y)
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    theirs = kernel_mmd(x.numpy(), y.numpy(), **settings, kid_kernel_poly_coef0=1)
    assert theirs == pytest.approx(ours, rel=1e-6)
    torch.testing.assert_close(float(poly_mmd(x, y)), ours, **TIGHT)
    assert cleanfid.fid.kernel_distance(x.numpy(), y.numpy(), 1, 500) == pytest.approx(ours, rel=1e-6)


def test_precision_and_recall_are_those_of_torch_fidelity_and_prdc(pair):
    x, y = pair
    ours = precision_and_recall(Neighborhoods(x), Neighborhoods(y), 3)
    assert 0 < ours["precision"] < 1
    assert 0 < ours["recall"] < 1
    theirs = prc_features_to_metric(x, y, prc_neighborhood=3, prc_batch_size=200, save_cpu_ram=False, verbose=False)
    assert theirs["precision"] == pytest.approx(ours["precision"], rel=1e-6)
    assert theirs["recall"] == pytest.approx(ours["recall"], rel=1e-6)
    others = compute_prdc(y.numpy(), x.numpy(), nearest_k=3)
    assert others["precision"] == pytest.approx(ours["precision"], rel=1e-6)
    assert others["recall"] == pytest.approx(ours["recall"], rel=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_are_those_of_prdc(pair, k):
    x, y = pair
    ours, theirs = (
        density_and_coverage(Neighborhoods(x), Neighborhoods(y), k),
        compute_prdc(y.numpy(), x.numpy(), nearest_k=k),
    )
    assert theirs["density"] == pytest.approx(ours["density"], rel=1e-6)
    assert theirs["coverage"] == pytest.approx(ours["coverage"], rel=1e-6)
    assert 0 < ours["coverage"] < 1


IMAGES = {
    "photographs": lambda: patches(8),
    "larger than the network": lambda: patches(2, 340),
    "oblong": lambda: patches(4, 64)[:, :, :40],
} | ({"CIFAR-10": cifar10} if CIFAR10.exists() else {})


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    ("resize", "size", "kind"), [(feature_extractor.clean, 299, np.float32), (feature_extractor.pillow, 224, np.uint8)]
)
def test_resizing_is_that_of_pillow_to_the_last_bit_on_floats_or_on_levels(name, resize, size, kind):
    images = IMAGES[name]()

    def theirs(channel):
        shown = Image.fromarray(channel.numpy().astype(kind)).resize((size, size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(shown).astype(np.float32)).clamp(0, 255)

    expected = torch.stack([torch.stack([theirs(channel) for channel in image]) for image in images])
    torch.testing.assert_close(resize(images, size), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", IMAGES)
def test_tensorflow_resizing_reads_at_multiples_of_the_scale(name):
    """Without half-pixel centers, target pixel i lies at i size / 299: interpolated between its two neighbors."""
    images = IMAGES[name]()
    x = images.double().numpy()
    for axis in (2, 3):
        side = x.shape[axis]
        place = np.arange(299) * side / 299
        low = np.floor(place).astype(int)
        part = (place - low).reshape((-1, 1) if axis == 2 else (-1,))
        high = np.minimum(low + 1, side - 1)
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    torch.testing.assert_close(
        feature_extractor.tensorflow(images, 299), torch.from_numpy(x).float(), rtol=0, atol=2e-2
    )
