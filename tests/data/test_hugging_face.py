"""Data sets of Hugging Face's library, made on the disk: images, vectors, Parquet, and what is refused."""

import io
import re

import numpy as np
import pytest
from helpers.image_trees import image

from genbench.data.hugging_face import export
from genbench.errors import ConfigError
from genbench.registry import datasets as registry
from genbench.sweeps.user_files import component_name

hf = pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("own_home")
POINTS = np.random.default_rng(0).normal(size=(100, 3))


def photos(n=20, first=0):
    """Images of two classes, whose names are not in the order of their numbers."""
    contents = []
    for number in range(first, first + n):
        image(number).save(buffer := io.BytesIO(), format="PNG")
        contents.append({"bytes": buffer.getvalue(), "path": None})
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=["zebra", "ant/eater"])})
    return hf.Dataset.from_dict({"image": contents, "label": [k % 2 for k in range(n)]}, features=features)


def built(path):
    name, settings = component_name("datasets", f"hf:{path}")
    size = {"size": 8} if name == "folder" else {}
    return registry[name].build(**settings, **size)


def test_images_keep_their_splits_classes_and_pixels(tmp_path):
    hf.DatasetDict({"train": photos(), "Testing": photos(8, 100)}).save_to_disk(tmp_path / "saved")
    data = built(tmp_path / "saved")
    assert data.provenance["classes"] == ["0-zebra", "1-ant-eater"]
    found = data.test.take(8, 0)
    assert sorted(found.label.tolist()) == [0] * 4 + [1] * 4
    expected = {np.asarray(image(100 + k)).transpose(2, 0, 1).tobytes(): k % 2 for k in range(8)}
    raw = data.space.decode(found.x).numpy()
    assert {pixels.astype(np.uint8).tobytes(): int(k) for pixels, k in zip(raw, found.label, strict=True)} == expected


def test_a_split_of_images_is_divided(tmp_path):
    hf.DatasetDict({"train": photos(), "other": photos(8, 100)}).save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match="has the splits train, other: choose one"):
        built(tmp_path / "saved")
    with pytest.raises(ConfigError, match="has no split 'test'; it has train, other"):
        built(f"{tmp_path / 'saved'}:test")
    assert built(f"{tmp_path / 'saved'}:train").train.size == 17


@pytest.mark.parametrize("columns", ["one", "list"])
@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_vectors_are_the_rows_of_the_data_set(tmp_path, columns, kind):
    content = {"point": POINTS.tolist()} if columns == "list" else {c: POINTS[:, k] for k, c in enumerate("abc")}
    rows = hf.Dataset.from_dict(content | {"label": ["x", "y"] * 50})
    if kind == "saved":
        rows.save_to_disk(tmp_path / "here")
    else:
        (tmp_path / "here").mkdir()
        rows.to_parquet(tmp_path / "here/rows.parquet")
    path = export(str(tmp_path / "here"), None)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["samples"], POINTS)
        assert arrays["label"].tolist() == ["x", "y"] * 50
    data = built(tmp_path / "here")
    assert (data.event.shape, data.event.classes) == ((3,), 2)


def test_the_content_is_the_name(tmp_path):
    def sha256(place, values):
        hf.Dataset.from_dict({"a": values}).save_to_disk(tmp_path / place)
        return built(tmp_path / place).provenance["sha256"]

    values = POINTS[:, 0]
    assert sha256("one", values) == sha256("two", values) != sha256("three", values + 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"text": ["a", "b"]}, "text holds neither images nor vectors"),
        ({"point": [[1.0], [1.0, 2.0]]}, "the rows of point differ in length"),
        ({"label": [0, 1]}, "holds no images and no vectors"),
        ({"a": [1.0, 2.0], "Target": [0, 1]}, "call Target label if it holds classes"),
        ({"a": np.arange(60.0), "id": range(60)}, "column id counts the rows: if it is an index"),
        ({"__index_level_0__": [0, 1], "a": [1.0, 2.0]}, "column 1 has no name: if it is an index"),
    ],
)
def test_what_is_neither_is_refused(tmp_path, content, message):
    hf.Dataset.from_dict(content).save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match=re.escape(message)):
        export(str(tmp_path / "saved"), None)


@pytest.mark.parametrize("name", ["LABEL", "kind"])
def test_a_label_in_any_case_or_the_only_class_label_is_the_label(tmp_path, name):
    kind = hf.ClassLabel(names=["x", "y"]) if name == "kind" else hf.Value("int64")
    features = hf.Features({"a": hf.Value("float64"), name: kind})
    hf.Dataset.from_dict({"a": [1.0, 2.0], name: [0, 1]}, features=features).save_to_disk(tmp_path / "saved")
    with np.load(export(str(tmp_path / "saved"), None)) as arrays:
        assert (arrays["samples"].tolist(), arrays["label"].tolist()) == ([[1.0], [2.0]], [0, 1])


@pytest.mark.parametrize("name", ["label", "kind"])
def test_further_columns_beside_images_with_a_clear_class_need_no_other_name(tmp_path, name):
    rows = photos().rename_columns({"label": name} if name != "label" else {})
    rows.add_column("target", ["a text"] * 20).save_to_disk(tmp_path / "saved")
    assert built(tmp_path / "saved").provenance["classes"] == ["0-zebra", "1-ant-eater"]


def classes_twice():
    kind = hf.ClassLabel(names=["x", "y"])
    features = hf.Features({"a": hf.Value("float64"), "fine": kind, "coarse": kind})
    return hf.Dataset.from_dict({"a": [1.0, 2.0], "fine": [0, 1], "coarse": [0, 1]}, features=features)


def with_labels(label, name="label"):
    return photos().remove_columns("label").add_column(name, label)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (lambda: {"train": with_labels(["a", None] * 10)}, "image 2 has no class"),
        (lambda: {"train": with_labels([[1], [2]] * 10)}, "cannot be exported"),
        (lambda: {"train": photos(), "test": hf.Dataset.from_dict({"x": [1.0]})}, "cannot be exported"),
        (lambda: {"": hf.Dataset.from_dict({"a": [1.0, 2.0], "label": [[1], [2, 3]]})}, "cannot be exported"),
        (lambda: {}, "it has no splits"),
        (lambda: {"train": with_labels(["a", "b"] * 10, "target")}, "call target label if it holds classes"),
        (lambda: {"train": classes_twice()}, "fine, coarse hold classes: keep one such column, and call it label"),
    ],
)
def test_odd_labels_and_splits_are_refused_in_one_line(tmp_path, splits, message):
    hf.DatasetDict(splits()).save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match=f"^[^\n]*{message}[^\n]*$"):
        export(str(tmp_path / "saved"), None)


def test_offsets_that_point_out_of_a_file_are_not_followed(tmp_path):
    """Where the texts of a column begin; Arrow would read the memory there."""
    hf.Dataset.from_dict({"a": [1.0] * 50, "label": ["x"] * 50}).save_to_disk(tmp_path / "saved")
    (path,) = (tmp_path / "saved").glob("*.arrow")
    sound = np.arange(51, dtype="<i4").tobytes()
    assert sound in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(sound, sound[:-4] + np.int32(2**30).tobytes()))
    with pytest.raises(ConfigError, match="cannot be read as a data set"):
        export(str(tmp_path / "saved"), None)


def test_an_image_in_a_file_outside_is_not_opened(tmp_path):
    image(0).save(tmp_path / "secret.png")
    content = {"image": [{"bytes": None, "path": str(tmp_path / "secret.png")}]}
    rows = hf.Dataset.from_dict(content, features=hf.Features({"image": hf.Image(decode=False)}))
    (tmp_path / "saved").mkdir()
    rows.to_parquet(tmp_path / "saved/rows.parquet")
    with pytest.raises(ConfigError, match="image 1 is missing, or in a file outside"):
        export(str(tmp_path / "saved"), None)


def test_folders_that_are_none_and_names_offline_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/state.json").write_text("{")
    for name, message in (
        (tmp_path / "empty", "holds no Parquet files"),
        (tmp_path / "broken", "cannot be read as a data set"),
        ("nobody/nothing", "GENBENCH_OFFLINE"),
        ("../no/where", "is neither a folder nor a name on the hub"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            component_name("datasets", f"hf:{name}")
        assert "\n" not in str(error.value)


def test_a_folder_of_images_needs_no_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    assert component_name("datasets", "pictures") == ("folder", {"path": "pictures"})
    assert component_name("datasets", "moons") == ("moons", {})
