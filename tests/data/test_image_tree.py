"""Trees of images: every layout as a folder and as an archive, and every wrong one in one line."""

import os
import shutil
import tarfile

import numpy as np
import pytest
import torch
from helpers.image_trees import SPLITS, build, header, image, pack, raw, write_images

from genbench.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz", "wrapped", "inside"])
def test_every_form_of_a_tree_gives_the_same_pixels_and_alphabetical_labels(tmp_path, form):
    made = write_images(tmp_path / "tree", SPLITS)
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
        pixels, label = raw(split)
        names = sorted(name for name in made if name.startswith(part))
        assert label == [("cat", "dog").index(name.split("/")[1]) for name in names]
        for found, name in zip(pixels, names, strict=True):
            np.testing.assert_array_equal(found.transpose(1, 2, 0), np.asarray(made[name]))


def test_splits_and_classes_may_be_missing(tmp_path):
    write_images(tmp_path / "flat", {"": 20})
    data = build(tmp_path / "flat", test=0.25, valid=0.1)
    assert (data.event.classes, data.train.size, data.valid.size, data.test.size) == (0, 13, 2, 5)
    assert data.train.take(13, 0).label.tolist() == [0] * 13
    write_images(tmp_path / "classes", {"a": 40, "trains": 20})
    data = build(tmp_path / "classes", test=0.2, valid=0.1)
    assert (data.event.classes, data.train.size, data.valid.size, data.test.size) == (2, 42, 6, 12)
    assert torch.bincount(data.test.take(12, 0).label).tolist() == [8, 4]


@pytest.mark.parametrize("classes", [("bullet_train", "train_station"), ("trainers", "contest", "valley", "latest")])
def test_classes_that_mean_no_two_splits_are_classes(tmp_path, classes):
    write_images(tmp_path / "tree", dict.fromkeys(classes, 20))
    assert build(tmp_path / "tree", test=0.2).event.classes == len(classes)


@pytest.mark.parametrize(
    "names", [("train", "val", "TEST"), ("Training", "DEV", "testing"), ("train", "validation", "test")]
)
@pytest.mark.parametrize("classes", [("",), ("/a", "/b")])
def test_splits_by_any_of_their_usual_names_are_splits(tmp_path, names, classes):
    counts = dict(zip(names, (9, 2, 3), strict=True))
    write_images(tmp_path / "tree", {f"{split}{kind}": n for split, n in counts.items() for kind in classes})
    data, each = build(tmp_path / "tree"), len(classes)
    assert data.event.classes == (each if each > 1 else 0)
    assert [split.size for split in (data.train, data.valid, data.test)] == [9 * each, 2 * each, 3 * each]


def replace_by_half_an_archive(root):
    whole = pack(root, root.with_name("whole.tar.gz")).read_bytes()
    shutil.rmtree(root)
    root.write_bytes(whole[: len(whole) // 2])


def replace_by_members(root, *headers):
    """Put an archive of empty files, or of links, in place of a folder."""
    shutil.rmtree(root)
    root.write_bytes(b"".join(headers) + bytes(1024))


def move_away(root, counts):
    """Put other folders in place of those of a tree."""
    shutil.rmtree(root)
    write_images(root, counts)


WRONG = {
    "no such path": (shutil.rmtree, r"tree cannot be read: No such file or directory"),
    "text": (
        lambda root: (shutil.rmtree(root), root.write_text("")),
        r"tree is neither a folder nor a readable tar archive",
    ),
    "half an archive": (replace_by_half_an_archive, r"tree is neither a folder nor a readable tar archive"),
    "link": (
        lambda root: replace_by_members(root, header("train/cat/9.png", 0, tarfile.SYMTYPE)),
        r"train/cat/9.png is a link",
    ),
    "same name twice": (
        lambda root: replace_by_members(root, *[header("train/cat/0.png", 0)] * 2),
        r"holds train/cat/0.png twice",
    ),
    "no images": (lambda root: [p.unlink() for p in root.rglob("*.png")], r"tree holds no images"),
    "stray file": (
        lambda root: (root / "train/cat/notes.txt").write_text(""),
        r"train/cat/notes.txt is in a folder of images",
    ),
    "empty class": (lambda root: (root / "train" / "eel").mkdir(), r"class 'eel' of train holds no images"),
    "class missing in test": (
        lambda root: shutil.rmtree(root / "test" / "dog"),
        r"class 'dog' is in train but not in test",
    ),
    "class missing in train": (
        lambda root: write_images(root, {"test/eel": 1}),
        r"class 'eel' is in test but not in train",
    ),
    "no train": (lambda root: shutil.rmtree(root / "train"), r"tree has test but no folder train"),
    "class beside splits": (
        lambda root: write_images(root, {"more": 1}),
        r"more is beside test, train, which is read as",
    ),
    "class beside a split": (
        lambda root: (root / "test").rename(root / "dog"),
        r"dog is beside train, which is read as",
    ),
    "two names": (lambda root: write_images(root, {"val/cat": 1, "Dev/cat": 1}), r"two of Dev, .*val are names of one"),
    "splits of two kinds": (
        lambda root: move_away(root, {f"{split}{kind}": 1 for split in ("train", "test") for kind in "AB"}),
        r"trainA and testA may be splits: arrange splits as train/CLASS and test/CLASS; if the two are classes, rename",
    ),
    "splits after a name": (
        lambda root: move_away(root, {"cifar_train": 1, "cifar_test": 1}),
        r"cifar_train and cifar_test may be splits",
    ),
    "splits after a name, without test": (
        lambda root: move_away(root, {"images-Training-1": 1, "images-val-1": 1}),
        r"images-Training-1 and images-val-1 may be splits",
    ),
    "split in a class": (
        lambda root: write_images(root, {"train/cat/Test": 1}),
        r"lies in Test .* move it to test/CLASS",
    ),
    "split in a split": (
        lambda root: write_images(root, {"train/training/cat": 1}),
        r"in training .* move it to train/CLASS",
    ),
    "loose": (lambda root: image(0).save(root / "train/0.png"), r"train/0.png is beside class folders"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_tree_is_refused_when_built(tmp_path, case):
    change, message = WRONG[case]
    write_images(tmp_path / "tree", SPLITS)
    change(tmp_path / "tree")
    with pytest.raises(ConfigError, match=message) as caught:
        build(tmp_path / "tree")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_among_images_is_refused(tmp_path):
    for name, make in {"pipe": os.mkfifo, "zeros": lambda path: path.symlink_to("/dev/zero")}.items():
        write_images(tmp_path / name, SPLITS)
        make(tmp_path / name / "train/cat/x.png")
        with pytest.raises(ConfigError, match=r"train/cat/x\.png is neither a file nor a folder"):
            build(tmp_path / name)
