"""Decoding: pixels, resizing, what is cached under which content, and images that cannot be decoded."""

import os

import numpy as np
import pytest
from helpers.image_trees import SPLITS, build, deep, encoded, image, pack, png, raw, several, write_images
from PIL import Image

from genbench.data import image_decoding, image_tree
from genbench.data.image_decoding import ImageFormat
from genbench.errors import ConfigError
from genbench.storage import content_hash

pytestmark = pytest.mark.usefixtures("own_home")


def test_building_decodes_nothing_and_a_second_use_reads_no_image(tmp_path, monkeypatch):
    write_images(tmp_path / "tree", SPLITS)
    path = pack(tmp_path / "tree", tmp_path / "a.tar.gz")
    monkeypatch.setattr(content_hash, "DOUBT", -1.0)  # a file of the last seconds is hashed each time

    def refuse(*_):
        raise AssertionError("touched")

    with monkeypatch.context() as patch:
        patch.setattr(image_decoding, "decode", refuse)
        data = build(path)
        assert data.train.size == 7
    first = raw(data.train)[0]
    for module, name in (
        (content_hash, "sha256"),
        (image_tree, "contents"),
        (image_tree, "layout"),
        (image_decoding, "decode"),
    ):
        monkeypatch.setattr(module, name, refuse)
    again = build(path)
    assert again.provenance == data.provenance
    np.testing.assert_array_equal(raw(again.train)[0], first)


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_changed_content_is_another_data_set(tmp_path, form):
    write_images(tmp_path / "tree", SPLITS)
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


def test_content_that_changes_in_use_is_not_kept_under_its_old_name(tmp_path):
    write_images(tmp_path / "tree", SPLITS)
    data = build(tmp_path / "tree")
    image(99).save(tmp_path / "tree" / "train" / "cat" / "0.png")
    with pytest.raises(ConfigError, match="changed during the run"):
        data.train.batch(0, 2, 0)
    assert not list((tmp_path / "home").rglob("*.npy"))


def test_resizing_keeps_flat_colors_averages_fine_patterns_and_keeps_the_center(tmp_path):
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


def test_the_orientation_noted_by_a_camera_is_applied():
    picture, exif = image(0), Image.Exif()
    exif[0x0112] = 6
    found = image_decoding.decode(encoded(picture, exif=exif), "x.png", ImageFormat(8, 3))
    np.testing.assert_array_equal(found.transpose(1, 2, 0), np.rot90(np.asarray(picture), -1))


def test_gray_images(tmp_path):
    made = write_images(tmp_path / "gray", {"": 4}, mode="L")
    alone = raw(build(tmp_path / "gray", channels=1, test=0.0).train)[0]
    repeated = raw(build(tmp_path / "gray", gray="repeat", test=0.0).train)[0]
    np.testing.assert_array_equal(alone[0, 0], np.asarray(made["0.png"]))
    np.testing.assert_array_equal(repeated, alone.repeat(3, 1))
    with pytest.raises(ConfigError, match=r"folder\.gray: repeat needs channels=3"):
        build(tmp_path / "gray", gray="repeat", channels=1)


UNDECODABLE = {
    "noise": (b"noise", r"cannot be decoded: it is none of BMP"),
    "truncated": (encoded(image(0))[:-100], r"cannot be decoded"),
    "rgba": (encoded(image(0, mode="RGBA")), r"has the mode RGBA, not RGB"),
    "gray": (encoded(image(0, mode="L")), r"has the mode L, not RGB"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", UNDECODABLE)
def test_a_wrong_image_is_named_when_used(tmp_path, case, packed):
    content, message = UNDECODABLE[case]
    write_images(tmp_path / "tree", SPLITS)
    (tmp_path / "tree/train/cat/1.png").write_bytes(content)
    data = build(pack(tmp_path / "tree", tmp_path / "a.tar.gz") if packed else tmp_path / "tree")
    with pytest.raises(ConfigError, match=f"train/cat/1.png {message}") as caught:
        data.test.take(1, 0)
    assert "\n" not in str(caught.value)


def test_images_of_two_formats_are_kept_apart(tmp_path):
    write_images(tmp_path / "tree", {"": 3}, size=(12, 12))
    sizes = {raw(build(tmp_path / "tree", size=size, test=0.0).train)[0].shape for size in (8, 12, 8)}
    assert sizes == {(3, 3, 8, 8), (3, 3, 12, 12)}


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    """PostScript would start Ghostscript: one that leaves a trace takes its place."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"
    with pytest.raises(ConfigError, match=r"x\.png cannot be decoded: it is none of BMP, GIF"):
        image_decoding.decode(script, "x.png", ImageFormat(8, 3))
    assert not (tmp_path / "started").exists()
    # Nor is an image believed that claims to be enormous.
    with pytest.raises(ConfigError, match=r"x\.png cannot be decoded"):
        image_decoding.decode(png(60_000, 60_000), "x.png", ImageFormat(8, 3, resize=True))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_pages_and_animations_are_refused_whatever_the_format(kind):
    with pytest.raises(ConfigError, match=r"^x holds 3 images .pages, or frames of an animation.: [^\n]+$"):
        image_decoding.decode(several(kind), "x", ImageFormat(8, 3))


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF"])
def test_images_of_16_bits_are_refused_whatever_the_format(kind):
    with pytest.raises(ConfigError, match=r"^x has 16 bits per channel, not 8; convert it first$"):
        image_decoding.decode(deep(kind), "x", ImageFormat(8, 3))
    gray = encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)), kind)
    with pytest.raises(ConfigError, match=r"^x has 16 bits per channel"):
        image_decoding.decode(gray, "x", ImageFormat(8, 1))
