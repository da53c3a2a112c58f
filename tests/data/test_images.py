"""Image data sets: originals and their stand-ins from a folder, and CIFAR-10 from its archive."""

import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from helpers.image_trees import write_images
from helpers.photographs import CIFAR10
from PIL import Image

from genbench.data import images
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets
from genbench.storage import cache, content_hash, files


def ten_classes(root, size=(32, 32), mode="RGB", classes=10):
    counts = {f"{part}/{name}": n for part, n in (("train", 5), ("test", 2)) for name in "abcdefghij"[:classes]}
    return write_images(root, counts, mode=mode, size=size)


@pytest.mark.usefixtures("own_home")
def test_an_original_may_come_from_a_folder(tmp_path):
    ten_classes(tmp_path / "tree")
    for item in list((tmp_path / "tree").rglob("*.png"))[:3]:
        Image.open(item).save(item.with_suffix(".jpg"))
        item.unlink()
    data = datasets["cifar10"].build(path=str(tmp_path / "tree"), valid=10)
    assert (data.train.size, data.valid.size, data.test.size, data.event.classes) == (40, 10, 20, 10)
    assert torch.bincount(data.valid.take(10, 0).label).tolist() == [1] * 10
    assert data.provenance["note"] == "3 of 70 images are JPEG: compressed with loss"
    assert data.provenance["original"] is False
    gray = tmp_path / "gray"
    ten_classes(gray, (28, 28), "L")
    assert datasets["mnist"].build(path=str(gray), valid=0).train.batch(0, 4, 0).x.shape == (4, 1, 28, 28)


@pytest.mark.usefixtures("own_home")
def test_a_folder_unlike_the_original_is_refused(tmp_path):
    ten_classes(tmp_path / "nine", classes=9)
    with pytest.raises(ConfigError, match=r"is not cifar10: it needs train and test with 10 class folders each"):
        datasets["cifar10"].build(path=str(tmp_path / "nine"))
    ten_classes(tmp_path / "small", (32, 30))
    data = datasets["cifar10"].build(path=str(tmp_path / "small"), valid=0)
    with pytest.raises(ConfigError, match=r"\.png has 30x32 pixels, not 32x32"):
        data.train.batch(0, 2, 0)


@pytest.mark.usefixtures("own_home")
def test_copies_of_images_are_said(tmp_path):
    write_images(tmp_path / "tree", {"a": 30, "b": 30})
    assert not [line for line in datasets["folder"].build(path=str(tmp_path / "tree")).remarks if "copies" in line]
    for name in ("0.png", "1.png"):
        shutil.copy(tmp_path / "tree/a" / name, tmp_path / "tree/b" / f"other-{name}")
    said = (
        "tree: 2 images are copies of others: if test images are copies of training images, values favor models that "
        "memorize"
    )
    assert datasets["folder"].build(path=str(tmp_path / "tree")).remarks[-1] == said


@pytest.mark.parametrize(("name", "train", "shape"), [("cifar10", 49_000, (3, 32, 32)), ("mnist", 55_000, (1, 28, 28))])
def test_originals_are_known_without_a_download(name, train, shape):
    data = datasets[name].build()
    assert (data.train.size, data.test.size, data.event.shape, data.event.classes) == (train, 10_000, shape, 10)
    assert data.provenance["original"] is True
    assert len(data.provenance["sha256"]) == 64


class TinyMNIST:
    """What torchvision's MNIST does, without a network: leaves its archive in the root, and has data and targets."""

    def __init__(self, root, train, download):
        assert download
        print("Files already downloaded and verified")
        Path(root).mkdir(parents=True, exist_ok=True)
        (Path(root) / "archive.gz").write_bytes(b"archive")
        self.targets = torch.tensor([1, 0, 1, 1] if train else [0, 1])
        self.data = (3 + self.targets).to(torch.uint8)[:, None, None].expand(-1, 4, 4)

    def __len__(self):
        return len(self.targets)


def tiny_original(content=b"archive"):
    file = cache.home() / "expected"
    files.write(file, content)
    return images.Original(
        "MNIST", (1, 4, 4), {"archive.gz": content_hash.sha256(file)}, (1, 3), (1, 1), ("zero", "one")
    )


@pytest.mark.usefixtures("own_home")
def test_an_original_is_downloaded_verified_and_kept(monkeypatch, capsys):
    monkeypatch.setattr(torchvision.datasets, "MNIST", TinyMNIST)
    stored, label = images._downloaded("tiny", tiny_original()).load()
    assert label.tolist() == [1, 0, 1, 1, 0, 1]
    assert stored.shape == (6, 1, 4, 4)
    raw = stored[torch.arange(6)]
    torch.testing.assert_close(raw[:, 0, 0, 0].long(), label + 3)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(torchvision.datasets, "MNIST", None)
    torch.testing.assert_close(images._downloaded("tiny", tiny_original()).load()[0][torch.arange(6)], raw)


@pytest.mark.usefixtures("own_home")
def test_a_file_that_is_not_the_original_is_refused(monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "MNIST", TinyMNIST)
    with pytest.raises(RunFailed, match="has the sha256"):
        images._downloaded("tiny", tiny_original(b"other")).load()


@pytest.mark.usefixtures("own_home")
def test_without_a_network_one_line_names_the_alternative(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Error downloading x:\nTried this\nTried that")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(RunFailed, match=r"tiny cannot be downloaded \(Error downloading x\).*data.path") as caught:
        images._downloaded("tiny", tiny_original()).load()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10.exists(), reason="the CIFAR-10 archive is not at hand")
def test_cifar10_from_its_archive():
    data = datasets["cifar10"].build(path=str(CIFAR10))
    assert (data.train.size, data.valid.size, data.test.size) == (49_000, 1000, 10_000)
    assert data.provenance["classes"] == list(images.CIFAR10.classes) == sorted(images.CIFAR10.classes)
    assert data.provenance["note"].startswith("60000 of 60000 images are JPEG")
    test = data.test.take(10_000, 0)
    assert torch.bincount(test.label).tolist() == [1000] * 10
    assert torch.bincount(data.train.batch(0, 49_000, 0).label).tolist() == [4900] * 10
    # The known channel means of the training set, in units of [0, 1].
    raw = (data.train.batch(0, 10_000, 0).x + 1) / 2
    torch.testing.assert_close(raw.mean((0, 2, 3)), torch.tensor([0.4914, 0.4822, 0.4465]), rtol=0, atol=0.01)
