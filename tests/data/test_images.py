"""Images: trees and archives, cuts, caches, originals, and every kind of bad input in one line."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from genbench.core import Split
from genbench.data.image_files import decoding, originals, tree
from genbench.data.image_files.decoding import ImageFormat
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets
from genbench.runs.spec import resolve
from genbench.settings import settings_of
from genbench.storage import cache, content_hash, files


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))


def image(seed, size=(8, 8), mode="RGB"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def plant(root, counts, *, mode="RGB", size=(8, 8)):
    """Write a tree {folder: number of images} of PNGs; return {name: image}."""
    made = {}
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            name = f"{folder}/{i}.png" if folder else f"{i}.png"
            made[name] = image(len(made), size, mode)
            made[name].save(root / name)
    return made


def pack(folder, archive, prefix=""):
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
        tar.add(folder, arcname=prefix or ".")
    return archive


def build(path, **settings):
    return datasets["folder"].build(path=str(path), **{"size": 8, "valid": 0.0, "flip": False} | settings)


def raw(split):
    batch = split.take(split.size, 0)
    return (torch.floor((batch.x + 1) * 128)).numpy().astype(np.uint8), batch.label.tolist()


PARTS = {"train/dog": 4, "train/cat": 3, "test/dog": 1, "test/cat": 2}


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz", "wrapped", "inside"])
def test_every_form_of_a_tree_gives_the_same_pixels_and_alphabetical_labels(tmp_path, form):
    made = plant(tmp_path / "tree", PARTS)
    (tmp_path / "tree" / "README.md").write_text("about")
    (tmp_path / "tree" / "train" / "cat" / ".DS_Store").write_text("junk")
    path = {
        "folder": lambda: tmp_path / "tree",
        "tar": lambda: pack(tmp_path / "tree", tmp_path / "a.tar"),
        "tar.gz": lambda: pack(tmp_path / "tree", tmp_path / "a.tar.gz"),
        "wrapped": lambda: pack(tmp_path / "tree", tmp_path / "a.tar", prefix="some/where"),
        "inside": lambda: shutil.copytree(tmp_path / "tree", tmp_path / "out" / "er" / "tree").parents[1],
    }[form]()
    data = build(path)
    assert (data.event.shape, data.event.classes, data.event.bin) == ((3, 8, 8), 2, 2 / 256)
    assert data.provenance["classes"] == ["cat", "dog"]
    assert data.provenance["original"] is False
    for split, part in ((data.train, "train"), (data.test, "test")):
        assert isinstance(split, Split)
        pixels, label = raw(split)
        names = sorted(name for name in made if name.startswith(part))
        assert label == [("cat", "dog").index(name.split("/")[1]) for name in names]
        for found, name in zip(pixels, names, strict=True):
            np.testing.assert_array_equal(found.transpose(1, 2, 0), np.asarray(made[name]))


def test_parts_and_classes_may_be_missing(tmp_path):
    plant(tmp_path / "flat", {"": 20})
    data = build(tmp_path / "flat", test=0.25, valid=0.1)
    assert (data.event.classes, data.train.size, data.valid.size, data.test.size) == (0, 13, 2, 5)
    assert data.train.take(13, 0).label.tolist() == [0] * 13
    plant(tmp_path / "classes", {"a": 40, "train": 20})  # a class may be called like a part
    data = build(tmp_path / "classes", test=0.2, valid=0.1)
    assert (data.event.classes, data.train.size, data.valid.size, data.test.size) == (2, 42, 6, 12)
    assert torch.bincount(data.test.take(12, 0).label).tolist() == [8, 4]
    plant(tmp_path / "parts", {"train": 9, "val": 2, "test": 3})
    data = build(tmp_path / "parts")
    assert (data.event.classes, data.train.size, data.valid.size, data.test.size) == (0, 9, 2, 3)


def test_what_is_taken_out_of_train_is_disjoint_and_always_the_same(tmp_path):
    made = plant(tmp_path / "tree", {"a": 30, "b": 30})
    first, second = (build(tmp_path / "tree", valid=0.2, test=0.3) for _ in range(2))
    parts = [raw(split)[0] for split in (first.train, first.valid, first.test)]
    assert len({item.tobytes() for part in parts for item in part}) == len(made)
    for part, split in zip(parts, (second.train, second.valid, second.test), strict=True):
        np.testing.assert_array_equal(part, raw(split)[0])


def test_building_decodes_nothing_and_a_second_use_reads_nothing(tmp_path, monkeypatch):
    plant(tmp_path / "tree", PARTS)
    path = pack(tmp_path / "tree", tmp_path / "a.tar.gz")

    def refuse(*_):
        raise AssertionError("touched")

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode", refuse)
        data = build(path)
        assert data.train.size == 7
    first = raw(data.train)[0]
    for module, name in ((content_hash, "sha256"), (tree, "contents"), (tree, "layout"), (decoding, "decode")):
        monkeypatch.setattr(module, name, refuse)
    again = build(path)
    assert again.provenance == data.provenance
    np.testing.assert_array_equal(raw(again.train)[0], first)


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_changed_content_is_another_data_set(tmp_path, form):
    plant(tmp_path / "tree", PARTS)
    path = tmp_path / "tree" if form == "folder" else pack(tmp_path / "tree", tmp_path / "a.tar")
    before = build(path)
    old = raw(before.train)[0]
    image(99).save(tmp_path / "tree" / "train" / "cat" / "0.png")
    if form == "tar":
        pack(tmp_path / "tree", tmp_path / "a.tar")
    after = build(path)
    assert (
        after.provenance["sha256"]
        == content_hash.remembered(path)
        == content_hash.sha256(path)
        != before.provenance["sha256"]
    )
    new = raw(after.train)[0]
    np.testing.assert_array_equal(new[0].transpose(1, 2, 0), np.asarray(image(99)))
    np.testing.assert_array_equal(new[1:], old[1:])


def test_two_trees_are_two_data_sets_in_tables(tmp_path):
    plant(tmp_path / "one" / "tree", PARTS)
    plant(tmp_path / "two" / "tree", PARTS)
    image(99).save(tmp_path / "two" / "tree" / "train" / "cat" / "0.png")
    shutil.copytree(tmp_path / "one", tmp_path / "three")

    def label(name):
        settings = {"data": {"path": str(tmp_path / name / "tree"), "size": 16}}
        return resolve("cfm", "folder", metrics=[], settings=settings).data_label

    assert label("one") == label("three") != label("two")
    assert label("one") == f"folder size=16 images={content_hash.sha256(tmp_path / 'one' / 'tree')[:8]}"


def test_an_empty_class_folder_is_found_when_the_rest_was_read_before(tmp_path):
    plant(tmp_path / "tree", PARTS)
    build(tmp_path / "tree")
    (tmp_path / "tree" / "train" / "eel").mkdir()
    with pytest.raises(ConfigError, match="train/eel holds no images"):
        build(tmp_path / "tree")
    (tmp_path / "tree" / "train" / "eel").rmdir()
    build(tmp_path / "tree")


def test_content_that_changes_in_use_is_not_kept_under_its_old_name(tmp_path):
    plant(tmp_path / "tree", PARTS)
    data = build(tmp_path / "tree")
    image(99).save(tmp_path / "tree" / "train" / "cat" / "0.png")
    with pytest.raises(ConfigError, match="was changed while it was in use"):
        data.train.batch(0, 2, 0)
    assert not list((tmp_path / "home").rglob("*.npy"))


def test_a_failed_decoding_leaves_nothing_behind(tmp_path):
    plant(tmp_path / "tree", PARTS)
    (tmp_path / "tree" / "train" / "dog" / "3.png").write_bytes(b"\x89PNG broken")
    data = build(tmp_path / "tree")
    with pytest.raises(ConfigError):
        data.train.batch(0, 2, 0)
    left = {item.suffix for item in (tmp_path / "home" / "images").iterdir()}
    assert left == {".json", ".lock"}


def test_resizing_keeps_flat_colours_averages_fine_patterns_and_keeps_the_centre(tmp_path):
    (tmp_path / "tree").mkdir()
    flat = np.full((40, 64, 3), (10, 200, 60), np.uint8)
    board = np.indices((64, 64)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    stripes = np.zeros((16, 48, 3), np.uint8)
    stripes[:, :16, 0] = stripes[:, 16:32, 1] = stripes[:, 32:, 2] = 255  # the middle third is green
    small = np.full((4, 5, 3), 77, np.uint8)
    for i, pixels in enumerate((flat, board, stripes, small)):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "tree" / f"{i}.png")
    found = raw(build(tmp_path / "tree", test=0.0).train)[0]
    np.testing.assert_array_equal(found[0], np.full((3, 8, 8), 0) + np.array([10, 200, 60])[:, None, None])
    assert np.abs(found[1].astype(int) - 127.5)[:, 1:-1, 1:-1].max() < 2
    np.testing.assert_array_equal(found[2, 1, :, 1:-1], np.full((8, 6), 255))
    assert found[2, 0, :, 2:-2].max() == found[2, 2, :, 2:-2].max() == 0
    np.testing.assert_array_equal(found[3], np.full((3, 8, 8), 77))


def test_a_cameras_orientation_is_applied(tmp_path):
    (tmp_path / "tree").mkdir()
    picture = image(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "tree" / "0.png", exif=exif)
    found = raw(build(tmp_path / "tree", test=0.0).train)[0][0]
    np.testing.assert_array_equal(found.transpose(1, 2, 0), np.rot90(np.asarray(picture), -1))


def test_grey_images(tmp_path):
    made = plant(tmp_path / "grey", {"": 4}, mode="L")
    alone = raw(build(tmp_path / "grey", channels=1, test=0.0).train)[0]
    repeated = raw(build(tmp_path / "grey", grey="repeat", test=0.0).train)[0]
    np.testing.assert_array_equal(alone[0, 0], np.asarray(made["0.png"]))
    np.testing.assert_array_equal(repeated, alone.repeat(3, 1))


def spoil_text(root):
    shutil.rmtree(root)
    root.write_text("no archive")


def spoil_truncated(root):
    whole = pack(root, root.with_name("whole.tar.gz")).read_bytes()
    shutil.rmtree(root)
    root.write_bytes(whole[: len(whole) // 2])


def spoil_link(root):
    with tarfile.open(root.with_name("made"), "w") as tar:
        link = tarfile.TarInfo("train/cat/9.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0.png"
        tar.addfile(link)
    shutil.rmtree(root)
    root.with_name("made").rename(root)


def spoil_twice(root):
    data = io.BytesIO()
    image(0).save(data, "PNG")
    with tarfile.open(root.with_name("made"), "w") as tar:
        for _ in range(2):
            info = tarfile.TarInfo("train/cat/0.png")
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
    shutil.rmtree(root)
    root.with_name("made").rename(root)


def spoil_mixed(root):
    image(0).save(root / "train" / "0.png")


SPOILT = {
    "no such path": (shutil.rmtree, r"tree cannot be read: No such file or directory"),
    "text": (spoil_text, r"tree is neither a folder nor a readable tar archive"),
    "half an archive": (spoil_truncated, r"tree is neither a folder nor a readable tar archive"),
    "link": (spoil_link, r"train/cat/9.png is a link"),
    "same name twice": (spoil_twice, r"holds train/cat/0.png twice"),
    "no images": (lambda root: [p.unlink() for p in root.rglob("*.png")], r"tree holds no images"),
    "stray file": (
        lambda root: (root / "train/cat/notes.txt").write_text(""),
        r"train/cat/notes.txt lies among images",
    ),
    "empty class": (lambda root: (root / "train" / "eel").mkdir(), r"train/eel holds no images"),
    "class missing in test": (
        lambda root: shutil.rmtree(root / "test" / "dog"),
        r"class 'dog' is in train and not in test",
    ),
    "class missing in train": (lambda root: plant(root, {"test/eel": 1}), r"class 'eel' is in test and not in train"),
    "no train": (lambda root: shutil.rmtree(root / "train"), r"tree has test and no train"),
    "part or class": (lambda root: plant(root, {"more": 1}), r"more lies beside test, train"),
    "two names": (lambda root: plant(root, {"val/cat": 1, "validation/cat": 1}), r"are two names of one split"),
    "loose": (spoil_mixed, r"train/0.png lies beside class folders"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_tree_that_is_wrong_is_refused_when_built(tmp_path, case):
    spoil, message = SPOILT[case]
    plant(tmp_path / "tree", PARTS)
    spoil(tmp_path / "tree")
    with pytest.raises(ConfigError, match=message) as caught:
        build(tmp_path / "tree")
    assert "\n" not in str(caught.value)


def noise(root):
    (root / "train" / "cat" / "1.png").write_bytes(b"noise")


def truncate(root):
    file = root / "train" / "cat" / "1.png"
    file.write_bytes(file.read_bytes()[:-100])


UNDECODABLE = {
    "noise": (noise, r"train/cat/1.png cannot be decoded: unknown format"),
    "truncated": (truncate, r"train/cat/1.png cannot be decoded"),
    "rgba": (
        lambda root: image(0, mode="RGBA").save(root / "train/cat/1.png"),
        r"cat/1.png has the mode RGBA, not RGB",
    ),
    "grey": (lambda root: image(0, mode="L").save(root / "train/cat/1.png"), r"cat/1.png has the mode L, not RGB"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", UNDECODABLE)
def test_an_image_that_is_wrong_is_named_when_used(tmp_path, case, packed):
    spoil, message = UNDECODABLE[case]
    plant(tmp_path / "tree", PARTS)
    spoil(tmp_path / "tree")
    data = build(pack(tmp_path / "tree", tmp_path / "a.tar.gz") if packed else tmp_path / "tree")
    with pytest.raises(ConfigError, match=message) as caught:
        data.test.take(1, 0)
    assert "\n" not in str(caught.value)


def test_too_few_images_to_hold_some_out(tmp_path):
    plant(tmp_path / "tree", {"a": 30, "b": 3})
    with pytest.raises(ConfigError, match=r"class 'b' has 3 images in train, too few"):
        build(tmp_path / "tree", test=0.1)
    with pytest.raises(ConfigError, match=r"33 of 33 training images are to be held out for valid and test"):
        build(tmp_path / "tree", test=0.6, valid=0.4)


def ten(root, size=(32, 32), mode="RGB", classes=10):
    counts = {f"{part}/{name}": n for part, n in (("train", 5), ("test", 2)) for name in "abcdefghij"[:classes]}
    return plant(root, counts, mode=mode, size=size)


def test_a_named_set_from_a_folder(tmp_path):
    ten(tmp_path / "tree")
    for item in list((tmp_path / "tree").rglob("*.png"))[:3]:
        Image.open(item).save(item.with_suffix(".jpg"))
        item.unlink()
    data = datasets["cifar10"].build(path=str(tmp_path / "tree"), valid=10)
    assert (data.train.size, data.valid.size, data.test.size, data.event.classes) == (40, 10, 20, 10)
    assert torch.bincount(data.valid.take(10, 0).label).tolist() == [1] * 10
    assert data.provenance["note"] == "3 of 70 images are JPEG: compressed with loss"
    assert data.provenance["original"] is False
    grey = tmp_path / "grey"
    ten(grey, (28, 28), "L")
    assert datasets["mnist"].build(path=str(grey), valid=0).train.batch(0, 4, 0).x.shape == (4, 1, 28, 28)


def test_a_named_set_of_other_shape_is_refused(tmp_path):
    ten(tmp_path / "nine", classes=9)
    with pytest.raises(ConfigError, match=r"is no cifar10: it needs train and test with 10 class folders each"):
        datasets["cifar10"].build(path=str(tmp_path / "nine"))
    ten(tmp_path / "small", (32, 30))
    data = datasets["cifar10"].build(path=str(tmp_path / "small"), valid=0)
    with pytest.raises(ConfigError, match=r"\.png has 30x32 pixels, not 32x32"):
        data.train.batch(0, 2, 0)


@pytest.mark.parametrize("name", ["cifar10", "mnist", "fashion_mnist", "folder"])
def test_every_setting_has_a_meaning(name):
    assert all(setting.meaning for setting in settings_of(datasets[name].build).values())


@pytest.mark.parametrize(("name", "train", "shape"), [("cifar10", 49_000, (3, 32, 32)), ("mnist", 55_000, (1, 28, 28))])
def test_originals_are_known_without_a_download(name, train, shape):
    data = datasets[name].build()
    assert (data.train.size, data.test.size, data.event.shape, data.event.classes) == (train, 10_000, shape, 10)
    assert data.provenance["original"] is True
    assert len(data.provenance["sha256"]) == 64


class Tiny:
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


def tiny(content=b"archive", train=(1, 3)):
    file = cache.home() / "expected"
    files.write(file, content)
    return originals.Original(
        "MNIST", (1, 4, 4), {"archive.gz": content_hash.sha256(file)}, train, (1, 1), ("zero", "one")
    )


def test_an_original_is_downloaded_verified_and_kept(monkeypatch, capsys):
    monkeypatch.setattr(torchvision.datasets, "MNIST", Tiny)
    stored = originals.collection("tiny", tiny()).load()
    assert stored.label.tolist() == [1, 0, 1, 1, 0, 1]
    assert stored.raw.shape == (6, 1, 4, 4)
    raw = stored.raw[torch.arange(6)]
    torch.testing.assert_close(raw[:, 0, 0, 0].long(), stored.label + 3)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(torchvision.datasets, "MNIST", None)
    torch.testing.assert_close(originals.collection("tiny", tiny()).load().raw[torch.arange(6)], raw)


def test_checksums_of_originals_are_whole():
    for original in (originals.CIFAR10, originals.MNIST, originals.FASHION_MNIST):
        assert {len(sha256) for sha256 in (*original.archives.values(), original.sha256)} == {64}


@pytest.mark.parametrize(
    ("settings", "message"), [({"content": b"other"}, "has the sha256"), ({"train": (2, 2)}, "has the class counts")]
)
def test_another_original_is_refused(monkeypatch, settings, message):
    monkeypatch.setattr(torchvision.datasets, "MNIST", Tiny)
    with pytest.raises(RunFailed, match=message):
        originals.collection("tiny", tiny(**settings)).load()


def test_no_network_is_one_line_that_names_the_way_out(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Error downloading x:\nTried this\nTried that")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(RunFailed, match=r"tiny cannot be downloaded \(Error downloading x\).*data.path") as caught:
        originals.collection("tiny", tiny()).load()
    assert "\n" not in str(caught.value)


def test_look_is_the_whole_of_what_decoding_depends_on(tmp_path):
    plant(tmp_path / "tree", {"": 3}, size=(12, 12))
    sizes = {raw(build(tmp_path / "tree", size=size, test=0.0).train)[0].shape for size in (8, 12, 8)}
    assert sizes == {(3, 3, 8, 8), (3, 3, 12, 12)}
    assert decoding.decode((tmp_path / "tree" / "0.png").read_bytes(), "0", ImageFormat(12, 3)).shape == (3, 12, 12)
