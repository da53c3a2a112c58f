"""Originals: downloaded, verified and kept; what is not the original is refused."""

from pathlib import Path

import pytest
import torch
import torchvision

from genbench.data import image_originals
from genbench.errors import RunFailed
from genbench.storage import cache, content_hash, files

pytestmark = pytest.mark.usefixtures("own_home")


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


def tiny_original(content=b"archive", train=(1, 3)):
    file = cache.home() / "expected"
    files.write(file, content)
    return image_originals.Original(
        "MNIST", (1, 4, 4), {"archive.gz": content_hash.sha256(file)}, train, (1, 1), ("zero", "one")
    )


def test_an_original_is_downloaded_verified_and_kept(monkeypatch, capsys):
    monkeypatch.setattr(torchvision.datasets, "MNIST", TinyMNIST)
    stored, label = image_originals.collection("tiny", tiny_original()).load()
    assert label.tolist() == [1, 0, 1, 1, 0, 1]
    assert stored.shape == (6, 1, 4, 4)
    raw = stored[torch.arange(6)]
    torch.testing.assert_close(raw[:, 0, 0, 0].long(), label + 3)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(torchvision.datasets, "MNIST", None)
    torch.testing.assert_close(image_originals.collection("tiny", tiny_original()).load()[0][torch.arange(6)], raw)


@pytest.mark.parametrize(
    ("settings", "message"), [({"content": b"other"}, "has the sha256"), ({"train": (2, 2)}, "has the class counts")]
)
def test_a_file_that_is_not_the_original_is_refused(monkeypatch, settings, message):
    monkeypatch.setattr(torchvision.datasets, "MNIST", TinyMNIST)
    with pytest.raises(RunFailed, match=message):
        image_originals.collection("tiny", tiny_original(**settings)).load()


def test_without_a_network_one_line_names_the_alternative(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Error downloading x:\nTried this\nTried that")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(RunFailed, match=r"tiny cannot be downloaded \(Error downloading x\).*data.path") as caught:
        image_originals.collection("tiny", tiny_original()).load()
    assert "\n" not in str(caught.value)
