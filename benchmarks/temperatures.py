"""The picture of five temperatures in results/findings.md: samples of the runs of cifar10-small, from the same noise.

    genbench sweep cifar10-small --set data.path=ARCHIVE --results FOLDER
    python -m benchmarks.temperatures FOLDER    # writes results/cifar10-small/pictures/temperatures.png

Samples and weights are not published: the sweep trains all models again, in about five hours. ARCHIVE holds the images
of CIFAR-10.
"""

import argparse
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from genbench.runs.record_types import Record
from genbench.runs.store import Store
from genbench.storage import arrays

Samples = UInt8[np.ndarray, "n 3 height width"]

PICTURE = Path(__file__).parents[1] / "results" / "cifar10-small" / "pictures" / "temperatures.png"
SHOWN, LABEL, GAP, SCALE = 16, 13, 1, 2
"""Samples of a model, pixels of their name's height and of the gap below them, and enlargement."""
INK, SHADES = (90, 90, 90), 128
"""Color of names, and number of colors."""


def first_samples(saved: Iterable[tuple[Path, Record]]) -> dict[str, Samples]:
    """Return {name: first samples} of the runs with seed 0: CFM, then W-CFM by temperature, without the control.

    Args:
        saved: records with their paths; the samples are in files beside them.
    """
    found: dict[float, Samples] = {}
    for path, record in saved:
        model = record["spec"]["model"]
        if record["spec"]["seed"] == 0 and model.get("weigh", "pair") == "pair":
            samples = arrays.load(path.with_name("samples.npz"), "samples")[:SHOWN]
            found[model.get("kappa", 0.0) * math.sqrt(samples[0].size)] = samples
    return {f"W-CFM, epsilon {epsilon:.2g}" if epsilon else "CFM": found[epsilon] for epsilon in sorted(found)}


def picture(models: dict[str, Samples]) -> Image.Image:
    """Draw a row of samples for each model, below its name, in few colors."""
    rows = [Image.fromarray(np.concatenate([*samples.transpose(0, 2, 3, 1)], axis=1)) for samples in models.values()]
    height = LABEL + rows[0].height + GAP
    canvas = Image.new("RGB", (rows[0].width, height * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    for top, name, row in zip(range(0, canvas.height, height), models, rows, strict=True):
        draw.text((0, top), name, fill=INK)
        canvas.paste(row, (0, top + LABEL))
    return canvas.resize((SCALE * canvas.width, SCALE * canvas.height), Image.Resampling.NEAREST).quantize(SHADES)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="Results folder of the sweep.")
    picture(first_samples(Store(parser.parse_args().results).saved())).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
