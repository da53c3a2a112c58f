"""Samples that come without a model, and reference statistics, from the command line."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.photographs import patches
from PIL import Image

from genbench.errors import ConfigError
from genbench.metrics.extractors import feature_extractor
from genbench.registry import datasets
from genbench.results.external_samples import measure_samples, read, task_without_model

SIZE = 16


def write(folder, images, names=None):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / (names[i] if names else f"{i:03}.png"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with real images and samples."""
    root, images = tmp_path_factory.mktemp("images"), patches(70, SIZE)
    write(root / "real" / "train", images[:40])
    write(root / "real" / "test", images[40:60])
    write(root / "samples", images[60:])
    return root


@pytest.fixture
def data(place):
    return datasets["folder"].build(path=str(place / "real"), size=SIZE)


def test_samples_of_others_keep_their_pages_and_say_where_everything_is_from(inside, place, tmp_path):
    chosen = ["--metric", "memorization", "--set", "metric.memorization.features=efficientnet_lite0"]
    chosen += ["--set", "metric.memorization.share=0.1", "--set", f"data.path={place / 'real'}"]
    asked = ["eval", place / "samples", "--dataset", "folder", "--set", f"data.size={SIZE}", *chosen]
    code, out, _ = inside(*asked, "--json")
    said = json.loads(out)
    assert code == 0
    (page,) = said["pages"]
    assert Image.open(tmp_path / page).size == (10 * 2 * (SIZE + 1), 10 * 2 * (SIZE + 1))
    assert said["provenance"]["data"]["original"] is False
    assert said["provenance"]["code"]["genbench"]
    _, out, _ = inside(*asked)
    assert "data: real, sha256" in out
    assert page in out
    shutil.rmtree(tmp_path / "results/foreign")
    (tmp_path / "results/foreign").touch()
    code, out, err = inside(*asked, "--json")
    assert (code, json.loads(out)["results"]) == (0, said["results"])
    assert (json.loads(out)["pages"], "no pictures of the samples: " in err) == ([], True)


def test_a_tree_of_several_parts_is_not_taken_for_one_set_of_samples(place, data):
    with pytest.raises(ConfigError, match="real has the parts train, test: give the path of one part"):
        read(place / "real", data, "folder")
    assert len(read(place / "real" / "test", data, "folder").raw) == 20


def test_a_folder_and_arrays_of_both_layouts_are_the_same_samples(place, data, tmp_path):
    raw = patches(70, SIZE)[60:]
    np.save(tmp_path / "first.npy", raw.numpy())
    np.savez(tmp_path / "last.npz", raw.permute(0, 2, 3, 1).numpy())  # named arr_0, as numpy does
    found = {
        name: read(path, data, "folder")
        for name, path in {
            "a folder or archive of images": place / "samples",
            "channels first": tmp_path / "first.npy",
            "channels last": tmp_path / "last.npz",
        }.items()
    }
    for layout, each in found.items():
        torch.testing.assert_close(each.raw, raw, rtol=0, atol=0)
        assert each.description["layout"] == layout
        assert each.description["n"] == 10
        assert len(each.description["sha256"]) == 64


def test_a_table_with_the_columns_of_the_data_is_read_as_the_same_samples(inside, tmp_path):
    rows = np.random.default_rng(0).normal(size=(400, 2)).round(6)
    np.savetxt(tmp_path / "own.csv", rows, delimiter=",", header="a,b", comments="", fmt="%.6f")
    (tmp_path / "two.csv").write_text((tmp_path / "own.csv").read_text())
    np.save(tmp_path / "two.npy", rows)
    np.savetxt(tmp_path / "turned.csv", rows[:, ::-1], delimiter=",", header="b,a", comments="", fmt="%.6f")
    asked = ["--dataset", "own.csv", "--metric", "w2", "--json"]
    values = [
        json.loads(inside("eval", f"two.{kind}", *asked).stdout)["results"][0]["value"] for kind in ("csv", "npy")
    ]
    assert values[0] == values[1] > 0
    assert inside("eval", "two.csv", *asked[:-1]).stdout.startswith("400 samples of two.csv against own\n")
    code, _, err = inside("eval", "turned.csv", *asked)
    assert (code, "turned.csv has the columns b, a, but points has a, b" in err) == (2, True)
    code, _, err = inside("eval", "none.csv", *asked)
    assert (code, "none.csv does not exist" in err) == (2, True)


def test_samples_that_are_all_not_finite_are_refused(tmp_path):
    raw = np.zeros((6, 2))
    raw[:, 1] = np.nan
    np.save(tmp_path / "x.npy", raw)
    with pytest.raises(ConfigError, match="not one of 6 samples is finite"):
        read(tmp_path / "x.npy", datasets["moons"].build(), "moons")
    raw[0] = 0.0
    np.save(tmp_path / "x.npy", raw)
    assert len(read(tmp_path / "x.npy", datasets["moons"].build(), "moons").raw) == 6


def test_labels_come_along(tmp_path):
    data = datasets["digits"].build()
    raw = np.zeros((6, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", samples=raw, label=np.arange(6))
    assert read(tmp_path / "x.npz", data, "digits").label.tolist() == list(range(6))
    np.savez(tmp_path / "x.npz", samples=raw, label=np.arange(6) + 5)
    with pytest.raises(ConfigError, match="labels must be 6 whole numbers from 0 to 9"):
        read(tmp_path / "x.npz", data, "digits")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 3, SIZE, SIZE)), "images must be uint8 levels 0..255, not float64"),
        (np.zeros((4, 3, 8, 8), np.uint8), "samples have shape (3, 8, 8), but folder has (3, 16, 16), or (16, 16, 3)"),
        (np.zeros((4, SIZE, SIZE), np.uint8), "samples have shape (16, 16)"),
        (np.zeros((4, SIZE, SIZE, 4), np.uint8), "samples have shape (16, 16, 4)"),
    ],
)
def test_wrong_arrays_say_what_would_be_right(data, tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ConfigError) as said:
        read(tmp_path / "x.npy", data, "folder")
    assert message in str(said.value)


def test_several_arrays_and_a_folder_of_samples_of_digits_are_refused(place, data, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(ConfigError, match="holds a, b; write one array of all samples, called 'samples'"):
        read(tmp_path / "x.npz", data, "folder")
    with pytest.raises(ConfigError, match=r"samples: write samples of digits as \.npy or \.npz$"):
        read(place / "samples", datasets["digits"].build(), "digits")


def test_the_command_line_measures_a_folder_and_keeps_its_reference(inside, place, own_home, monkeypatch):
    monkeypatch.setitem(feature_extractor.BATCH, "cpu", 4)
    where = ["--set", f"data.path={place / 'real'}", "--set", f"data.size={SIZE}"]
    own = ["--metric", "fd-efficientnet_lite0", "--metric", "norm", "--set", "metric.fd-efficientnet_lite0.n_real=12"]
    code, out, said = inside("eval", place / "samples", "--dataset", "folder", *where, *own, "--json")
    assert code == 0
    assert "once, for the cache" in said
    told = json.loads(out)
    assert told["samples"]["n"] == 10
    rows = {row["metric"]: row for row in told["results"]}
    assert rows["fd-efficientnet_lite0"]["value"] > 0
    assert "n=10 against 12 train images" in rows["fd-efficientnet_lite0"]["protocol"]
    assert rows["norm"]["floor"] > 0
    (path,) = (own_home / "references").glob("*-train-12-*.safetensors")
    before = path.stat()
    assert inside("eval", place / "samples", "--dataset", "folder", *where, *own, "--json")[0] == 0
    assert path.stat() == before  # nothing is made again


def test_samples_sorted_by_class_are_measured_like_any_others(tmp_path):
    """A metric that looks at the first 80 of 800 samples, sorted by mode, must not see one mode of eight."""
    spec, chosen = task_without_model("8gaussians", ["sliced_w2"], {"metric": {"sliced_w2": {"n": 80}}})
    batch = datasets["8gaussians"].build().train.take(800, 0)
    x = batch.x[batch.label.argsort()]
    np.save(tmp_path / "sorted.npy", x.numpy())
    np.save(tmp_path / "one.npy", x[:80].numpy())
    (found,), *_ = measure_samples(tmp_path / "sorted.npy", spec, chosen, 0)
    (one,), *_ = measure_samples(tmp_path / "one.npy", spec, chosen, 0)
    assert one["value"] > 3
    assert found["value"] < 1.5
