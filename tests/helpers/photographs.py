"""Small color images that are always at hand: patches of the photographs that come with scikit-learn."""

import tarfile
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.space import Pixels

SIZE = 32
CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg.tar.gz"
"""An archive of CIFAR-10 that lies beside some checkouts."""


@cache
def cifar10(n=64):
    """Return images of CIFAR-10 from the archive."""
    with tarfile.open(CIFAR10, "r|*") as archive:
        members = (member for member in archive if member.name.endswith((".jpg", ".jpeg", ".png")))
        shown = [np.asarray(Image.open(archive.extractfile(member)).convert("RGB")) for member in islice(members, n)]
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)


@cache
def patches(n, size=SIZE, seed=0):
    """Return n patches, uint8 (n, 3, size, size), each of its own place."""
    stream = torch.Generator().manual_seed(seed)
    photos = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
    found = []
    for i in range(n):
        photo = photos[i % len(photos)]
        top, left = (int(torch.randint(side - size, (), generator=stream)) for side in photo.shape[1:])
        found.append(photo[:, top : top + size, left : left + size])
    return torch.stack(found)


def task(train, test, valid=0, size=SIZE):
    """Return a task of that many patches."""
    space, total = Pixels(256), train + valid + test
    arrays = Arrays(patches(total, size), torch.zeros(total, dtype=torch.long), torch.arange(total))

    def part(start, count):
        return Finite(lambda: arrays._replace(rows=torch.arange(start, start + count)), count, space)

    shape = (3, size, size)
    return Data(
        event=Event(shape, 0, space.bin),
        space=space,
        source=Normal(shape),
        train=part(0, train),
        valid=part(train, valid),
        test=part(train + valid, test),
        provenance={"source": "patches of photographs"},
    )
