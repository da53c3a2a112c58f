"""Image metrics beside clean-fid, torch-fidelity, torchmetrics and prdc.

All libraries get equal means and covariances. Features are correlated, skewed and positive, as after a ReLU layer.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import cleanfid.fid
import numpy as np
import torch
from harness import Row, Sides
from prdc import compute_prdc
from scipy import linalg
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3 as fidelity
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from genbench.core import Data
from genbench.metrics.extractors.feature_extractor import BATCH, build_extractor, extract
from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.kid import squared_mmd
from genbench.metrics.image.precision_recall import Neighborhoods, density_and_coverage, precision_and_recall
from genbench.registry import datasets

Timed = dict[str, Callable[[], float]]


def features(n: int, dims: int, seed: int, shift: float = 0.0) -> Tensor:
    """Return n feature vectors."""
    mixing = torch.randn(dims, dims, generator=torch.Generator().manual_seed(99)) / dims**0.5
    normal = torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))
    return (0.5 * normal @ mixing + shift).exp()


def sqrtm(matrix: np.ndarray, disp: bool = True) -> object:
    """Return SciPy's matrix square root with the keyword that clean-fid passes; SciPy 1.18 removed it."""
    root = ROOT(matrix)
    return root if disp else (root, 0.0)


ROOT = linalg.sqrtm


def distances(x: Tensor, y: Tensor) -> Timed:
    """Return each library's Frechet distance, computed from means and covariances."""
    a, b = Moments(x.split(1000)), Moments(y.split(1000))
    means, covariances = (a.mean.numpy(), b.mean.numpy()), (a.covariance.numpy(), b.covariance.numpy())
    said = [{"mu": mean, "sigma": covariance} for mean, covariance in zip(means, covariances, strict=True)]
    cleanfid.fid.linalg.sqrtm = sqrtm

    def theirs() -> float:
        return fid_statistics_to_metric(*said, verbose=False)["frechet_inception_distance"]

    return {
        "genbench": lambda: frechet(a, b),
        "clean-fid": lambda: float(cleanfid.fid.frechet_distance(means[0], covariances[0], means[1], covariances[1])),
        "torch-fidelity": theirs,
        "torchmetrics": lambda: float(_compute_fid(a.mean, a.covariance, b.mean, b.covariance)),
    }


def kernels(x: Tensor, y: Tensor) -> Timed:
    """Return each library's kernel distance on one subset of 1,000."""
    x, y = x[:1000].double(), y[:1000].double()
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    return {
        "genbench": lambda: squared_mmd(x, y),
        "torch-fidelity": lambda: float(kernel_mmd(x.numpy(), y.numpy(), **settings, kid_kernel_poly_coef0=1)),
        "torchmetrics": lambda: float(poly_mmd(x, y)),
        "clean-fid": lambda: cleanfid.fid.kernel_distance(x.numpy(), y.numpy(), 1, 1000),
    }


def neighborhoods(x: Tensor, y: Tensor) -> Timed:
    """Return the sum of precision, recall, density and coverage for each library."""
    x, y = x.double(), y.double()  # in float32, rounding moves points across the boundary of a neighborhood

    def ours() -> float:
        samples, real = Neighborhoods(x), Neighborhoods(y)  # shared by both metrics
        return sum(precision_and_recall(samples, real, 5).values()) + sum(
            density_and_coverage(samples, real, 5).values()
        )

    return {"genbench": ours, "prdc": lambda: float(sum(compute_prdc(y.numpy(), x.numpy(), nearest_k=5).values()))}


def inception(folder: Path) -> tuple[str, str]:
    """Write Inception with random weights in torch-fidelity's format; return its path and sha256."""
    with (
        contextlib.suppress(TypeError),
        mock.patch.object(fidelity, "load_state_dict_from_url", return_value={}),
        mock.patch.object(fidelity.FeatureExtractorInceptionV3, "load_state_dict", return_value=None),
    ):
        net = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in net.modules():  # so that activations neither vanish nor explode
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    path = folder / "state.pth"
    torch.save(net.state_dict(), path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def images(n: int, folder: Path) -> tuple[Tensor, Data]:
    """Return n images of 32x32 pixels, and a data set of such images."""
    from PIL import Image

    drawn = torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for part in ("train", "test"):
        (folder / part / "noise").mkdir(parents=True)
        for i in range(2):
            Image.fromarray(drawn[i].permute(1, 2, 0).numpy()).save(folder / part / "noise" / f"{i}.png")
    return drawn, datasets["folder"].build(path=str(folder), size=32, valid=0)


def network() -> Sides:
    """Return Inception features with equal weights, on both sides in the batches of genbench."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        weights, sha256 = inception(folder)
        theirs = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], weights).eval()
        drawn, data = images(64, folder / "images")
        ours = build_extractor(data, {"name": "inception-fidelity", "weights": weights, "sha256": sha256})
    batch = BATCH["cpu"]
    features = torch.no_grad()(lambda: torch.cat([theirs(part)[0] for part in drawn.split(batch)]))
    torch.testing.assert_close(extract(ours, drawn), features(), rtol=1e-3, atol=1e-3)
    note = f"time per image; random weights; batches of {batch} on both sides"
    return Sides(lambda: extract(ours, drawn), features, (len(drawn), len(drawn)), note)


def rows() -> list[Row]:
    """Return the rows of image metrics."""

    def sides(timed: Callable[[Tensor, Tensor], Timed], peer: str, n: int, dims: int) -> Callable[[], Sides]:
        def build() -> Sides:
            methods = timed(features(n, dims, 0), features(n, dims, 1, 0.05))
            ours, theirs = methods["genbench"], methods[peer]
            np.testing.assert_allclose(ours(), theirs(), rtol=1e-6)
            return Sides(ours, theirs, note=f"{dims} features of {n:,} images")

        return build

    def row(name: str, work: str, timed: Callable, peer: str, n: int, dims: int, aim: float | None, rounds: int) -> Row:
        return Row(
            name=name,
            work=work,
            peer=peer,
            sides=sides(timed, peer, n, dims),
            aim=aim,
            rounds=rounds,
            warm=False,
            threads=2,
        )

    frechet_work = "Frechet distance, from means and covariances"
    return [
        row("frechet-cleanfid", frechet_work, distances, "clean-fid", 5000, 2048, 8.0, 3),
        row("frechet-fidelity", frechet_work, distances, "torch-fidelity", 5000, 2048, 8.0, 3),
        row("frechet-torchmetrics", frechet_work, distances, "torchmetrics", 5000, 2048, None, 3),
        row("kid", "a subset of the kernel distance", kernels, "torch-fidelity", 1000, 2048, 1.0, 9),
        row("prdc", "precision, recall, density, coverage", neighborhoods, "prdc", 5000, 2048, 1.0, 3),
        Row(
            name="inception",
            work="features of Inception",
            peer="torch-fidelity",
            sides=network,
            aim=1.0,
            rounds=3,
            threads=2,
        ),
    ]
