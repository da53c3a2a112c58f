"""Published networks of torchvision, which metrics of other libraries contain: verified, then loaded from our cache."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import torch

from genbench.errors import Unsupported
from genbench.metrics.extractors.weights import WeightFile, read

CHECKPOINTS = "checkpoints"
"""The folder of torch.hub in which torchvision looks for its files."""


def published(weights: str) -> WeightFile:
    """Return the file of published weights, such as "AlexNet_Weights".

    Its name ends in the first 8 digits of its sha256; torchvision states no more.
    """
    import torchvision

    url = getattr(torchvision.models, weights).DEFAULT.url
    name = url.rpartition("/")[2]
    digits = Path(name).stem.rpartition("-")[2]
    return WeightFile(name, url, digits, (Path(torch.hub.get_dir()) / CHECKPOINTS,))


@contextmanager
def verified(weights: str) -> Iterator[str]:
    """Let torchvision load published weights that were verified, and yield their sha256.

    torchvision itself would take any file of that name, and unpickle it.

    Raises:
        Unsupported: if they are not here and cannot be downloaded, or hold more than tensors.
    """
    file = published(weights)
    content, sha256 = read(file)
    try:
        state = torch.load(io.BytesIO(content), weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise Unsupported(f"{file.name} holds more than tensors, or is damaged: it is not loaded") from error
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CHECKPOINTS).mkdir()
        torch.save(state, Path(folder) / CHECKPOINTS / file.name)
        torch.hub.set_dir(folder)
        try:
            yield sha256
        finally:
            torch.hub.set_dir(before)
