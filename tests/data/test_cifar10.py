"""CIFAR-10 as it is, from an archive of JPEG files; decoded once for all tests of a session."""

import pytest
import torch
from photographs import CIFAR10

from genbench.data.image_files import originals
from genbench.registry import datasets


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10.exists(), reason="the CIFAR-10 archive is not at hand")
def test_cifar10_from_its_archive():
    data = datasets["cifar10"].build(path=str(CIFAR10))
    assert (data.train.size, data.valid.size, data.test.size) == (49_000, 1000, 10_000)
    assert data.provenance["classes"] == list(originals.CIFAR10.classes) == sorted(originals.CIFAR10.classes)
    assert data.provenance["note"].startswith("60000 of 60000 images are JPEG")
    test = data.test.take(10_000, 0)
    assert torch.bincount(test.label).tolist() == [1000] * 10
    assert torch.bincount(data.train.batch(0, 49_000, 0).label).tolist() == [4900] * 10
    # The known channel means of the training set, in units of [0, 1].
    raw = (data.train.batch(0, 10_000, 0).x + 1) / 2
    torch.testing.assert_close(raw.mean((0, 2, 3)), torch.tensor([0.4914, 0.4822, 0.4465]), rtol=0, atol=0.01)
