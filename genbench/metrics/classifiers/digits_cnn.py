"""A small classifier of 8x8 digits, trained once on the training split: an extractor of features, and of classes."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.core import Batch, Data
from genbench.errors import Unsupported
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.registry import extractors
from genbench.seeds import derive
from genbench.space import Pixels
from genbench.storage import cache, tensors

SHAPE, LEVELS = (1, 8, 8), 17
MIN_ACCURACY = 0.97
BATCH, LEARNING_RATE = 64, 3e-3


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        name: of the classifier.
        version: raised whenever the network or its training changes, so that older weights are not used.
        epochs: passes over the training images.
    """

    name: str
    version: int
    epochs: int


RECIPE = Recipe("digits_cnn", version=1, epochs=40)


class Net(nn.Module):
    """Two convolutions, a layer of 64 features, and logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 64, 3, padding=1)
        self.third = nn.Linear(64 * 4 * 4, 64)
        self.last = nn.Linear(64, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the layer before the logits."""
        # GELU rather than ReLU: a unit that is never active would make every covariance singular.
        x = images.to(self.last.weight.dtype) / (LEVELS - 1)
        x = F.max_pool2d(F.gelu(self.second(F.gelu(self.first(x)))), 2)
        return F.gelu(self.third(x.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.last(F.dropout(self.features(images), 0.3, self.training))


@dataclass(frozen=True, eq=False)
class Classifier(FeatureExtractor):
    """The trained classifier, evaluated in float64 so that no number depends on the batch.

    Args:
        net: the network.
        sha256: of its weights.
        accuracy: share of test images that it classifies as labeled.
        name: of the classifier.
    """

    net: Net
    sha256: str
    accuracy: float
    name: str
    resize: str = "none"

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "b 1 8 8"]) -> Float64[Tensor, "b 64"]:
        """Return the features before the last layer."""
        return self.net.features(images)

    @torch.no_grad()
    def probabilities(self, images: UInt8[Tensor, "n 1 8 8"]) -> Float64[Tensor, "n classes"]:
        """Return the probability of each class."""
        return torch.cat([self.net(batch).softmax(1) for batch in images.split(256)])


@extractors.register("digits_cnn", version=1)
@lru_cache(maxsize=4)
def classifier(data: Data) -> Classifier:
    """A small classifier of 8x8 digits, trained once on the training split: 64 features.

    Raises:
        Unsupported: if the data is not labeled 8x8 images of 17 levels, or the classifier does not learn it.
    """
    if data.event.shape != SHAPE or data.space != Pixels(LEVELS) or not data.event.classes:
        raise Unsupported("the classifier digits_cnn is for labelled 8x8 images of 17 levels")
    if data.captions is not None:
        raise Unsupported("the classifier digits_cnn is not for captions; captions_cnn is")
    trained = trained_classifier(RECIPE, raw_images(data, "train"), raw_images(data, "test"), data.event.classes)
    return require_accuracy(trained, MIN_ACCURACY)


def require_accuracy(trained: Classifier, accuracy: float) -> Classifier:
    """Return the classifier. Raises Unsupported if it is less accurate."""
    if trained.accuracy < accuracy:
        raise Unsupported(f"the classifier {trained.name} is right on {trained.accuracy:.1%} of the test images only")
    return trained


def trained_classifier(recipe: Recipe, train: Batch, test: Batch, classes: int) -> Classifier:
    """Return the classifier trained on raw images, from the cache if it is there.

    Training is deterministic: seeded, and on one thread. The key is the version of the recipe and the images.
    """

    def read(path: Path) -> Classifier:
        state, header = tensors.load(path, ("accuracy",))
        net = Net(classes)
        net.load_state_dict(state)
        frozen = net.double().eval().requires_grad_(False)
        return Classifier(frozen, _sha256(state), float(header["accuracy"]), recipe.name)

    def make(path: Path) -> None:
        net = _train(recipe, train, classes)
        tensors.save(path, net.state_dict(), {"accuracy": str(_accuracy(net, test))})

    return cache.get("classifiers", f"{recipe.name}-{_key(recipe, train, test)}.safetensors", read, make)


def raw_images(data: Data, name: str) -> Batch:
    """Return the raw images of the training or the test split with their labels.

    Raises:
        Unsupported: if the split has no end.
    """
    split = data.train if name == "train" else data.test
    if split.size is None:
        raise Unsupported("a classifier needs a finite training and test split")
    batch = split.take(split.size, 0)
    return Batch(data.space.decode(batch.x), batch.label)


def _train(recipe: Recipe, train: Batch, classes: int) -> Net:
    """Minimize cross-entropy by AdamW on images shifted by up to one pixel, with a cosine schedule to zero."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(derive(0, recipe.name, recipe.version))
            net = Net(classes)
            steps = recipe.epochs * math.ceil(len(train.x) / BATCH)
            optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(recipe.epochs):
                for rows in torch.randperm(len(train.x)).split(BATCH):
                    loss = F.cross_entropy(net(_shifted(train.x[rows])), train.label[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
    finally:
        torch.set_num_threads(threads)
    return net.eval()


def _shifted(images: UInt8[Tensor, "b 1 8 8"]) -> UInt8[Tensor, "b 1 8 8"]:
    """Shift each image by -1, 0 or 1 pixel down and across."""
    padded = F.pad(images, (1, 1, 1, 1))
    down, across = torch.randint(3, (2, len(images), 1))
    rows, columns = down + torch.arange(8), across + torch.arange(8)
    return padded[torch.arange(len(images))[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


@torch.no_grad()
def _accuracy(net: Net, test: Batch) -> float:
    return float((net(test.x).argmax(1) == test.label).double().mean())


def _sha256(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _key(recipe: Recipe, train: Batch, test: Batch) -> str:
    digest = hashlib.sha256(json.dumps({"version": recipe.version, "sealed": True}).encode())
    for values in (*train, *test):
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
