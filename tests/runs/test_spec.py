import gc
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
import torch
from helpers.image_trees import write_images

from genbench.core import Data, Event, Normal, Samples, Source
from genbench.data.splits import Finite
from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import datasets, metrics, models
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec, restore_spec
from genbench.runs.run import run
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.settings import OnDisk
from genbench.space import Pixels
from genbench.storage import content_hash
from genbench.testing.toys import AffineFlow


def key(**settings):
    return make_spec("wcfm", "8gaussians", metrics=[], settings=settings).train_key


def test_the_key_is_free_of_order_spelling_and_typed_out_defaults():
    plain = key()
    assert plain == key(model={"cost": "norm", "normalizer": "constant"})
    assert plain == key(model={"normalizer": "constant", "cost": "norm"}, plan={"lr_min": 0})
    assert key(model={"epsilon": 2}) == key(model={"epsilon": 2.0}) != plain
    assert plain == key(sample={"tol": 1e-3}, evaluation={"n": 100})


def test_whatever_changes_the_model_changes_the_key_and_evaluation_has_a_key_of_its_own():
    others = [
        {"plan": {"steps": 3}},
        {"data": {"std": 0.1}},
        {"model": {"kappa": 3.0}},
        {"model": {"net": {"width": 8}}},
    ]
    assert len({key(), *(key(**settings) for settings in others)}) == 5
    names = [(model, data, seed) for model in ("cfm", "otcfm") for data in ("moons", "mixture") for seed in (0, 1)]
    assert len({make_spec(model, data, seed=seed, metrics=[]).train_key for model, data, seed in names}) == 8
    a, b = (make_spec("cfm", "moons", metrics=[], settings={"sample": {"tol": tol}}) for tol in (1e-5, 1e-4))
    assert a.train_key == b.train_key
    assert a.evaluation_key != b.evaluation_key
    spec = make_spec("wcfm", "moons", seed=3, settings={"model": {"net": {"width": 32}}, "plan": {"betas": [0.8, 0.9]}})
    again = restore_spec(json.loads(json.dumps(spec.json())))
    assert again == spec
    assert (again.train_key, again.evaluation_key) == (spec.train_key, spec.evaluation_key)


@pytest.mark.parametrize(("dataset", "label"), [("folder", "folder size=16"), ("cifar10", "cifar10")])
def test_a_label_names_the_content_of_a_path_not_its_place(dataset, label, tmp_path):
    write_images(tmp_path, {f"{part}/{kind}": 1 for part in ("train", "test") for kind in range(10)}, size=(32, 32))
    settings = {"path": str(tmp_path), "valid": 0} | ({"size": 16} if dataset == "folder" else {})
    spec = make_spec("cfm", dataset, metrics=[], settings={"data": settings})
    said = spec.data_label.replace(" valid=0.0", "").replace(" valid=0", "")
    assert said == f"{label} images={content_hash.sha256(tmp_path)[:8]}"


@pytest.fixture
def points(tmp_path):
    """The path of a file of points, and a function that writes other points into it."""
    path = tmp_path / "mine.csv"

    def write(seed):
        rows = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
        path.write_text("a,b\n" + "".join(f"{x:.3f},{y:.3f}\n" for x, y in rows.tolist()))

    write(0)
    return path, write


def of(path, seed=0):
    settings = {"data": {"path": str(path), "valid": 0.0}, "plan": {"steps": 2, "batch_size": 8}}
    settings["evaluation"] = {"n": 4, "batch": 4, "curve": []}
    return make_spec("cfm", "points", seed=seed, metrics=["norm"], settings=settings)


def test_a_file_of_data_of_the_user_counts_by_what_it_holds(tmp_path, monkeypatch):
    """Also if the data set states no sha256."""
    monkeypatch.setattr(datasets, "_entries", dict(datasets._entries))

    @datasets.register("mine")
    def mine(*, path: Path) -> Data:
        """Build moons."""
        return datasets["moons"].build()

    def spec():
        return make_spec("cfm", "mine", metrics=[], settings={"data": {"path": str(file)}})

    file = tmp_path / "moons.txt"
    file.write_text("1")
    before = spec()
    assert before.build_data() is build_data(before.data)
    assert before.data_label == f"mine file={content_hash.sha256(file)[:8]}"
    file.write_text("2")
    with pytest.raises(ConfigError, match="has changed since the run was requested"):
        before.build_data()
    assert spec().train_key != before.train_key


def test_large_data_sets_do_not_pile_up_in_memory(monkeypatch):
    monkeypatch.setattr(datasets, "_entries", dict(datasets._entries))
    monkeypatch.setattr(specs, "_built", {})
    alive = []

    @datasets.register("large", version=1)
    def large(*, number: int) -> Data:
        """Build as many images of the size of CIFAR-10's, which are never loaded."""
        space = Pixels()
        splits = [Finite(pytest.fail, size, space) for size in (45_000, 5_000, 10_000)]
        data = Data(Event((3, 32, 32), bin=space.bin), space, Normal((3, 32, 32)), *splits)
        alive.append(weakref.ref(data))
        return data

    small = build_data({"name": "moons", "version": 1})
    for number in range(8):
        part = {"name": "large", "version": 1, "number": number}
        assert build_data(part) is build_data(part)
        assert build_data({"name": "moons", "version": 1}) is small
    gc.collect()
    assert 0 < sum(60_000 * 3 * 32 * 32 for data in alive if data() is not None) <= specs.KEPT


@pytest.mark.parametrize("evicted", [False, True])
def test_a_file_counts_by_what_it_holds_and_is_never_trained_under_an_old_key(points, tmp_path, evicted):
    (path, write), store = points, Store(tmp_path / "results")
    requested = of(path)
    shutil.copy(path, tmp_path / "copy.csv")
    assert of(tmp_path / "copy.csv").train_key == requested.train_key
    run(requested, store)
    other = replace(requested, seed=1)
    assert other.train_key != requested.train_key  # the hash of the content is known
    write(1)
    if evicted:
        specs._built.clear()
    with pytest.raises(ConfigError, match=r"mine\.csv has changed since the run was requested: run it again$"):
        run(other, store)
    assert not store.has_weights(other)
    after = of(path)
    assert (after.train_key == requested.train_key, after.data_label == requested.data_label) == (False, False)
    assert run(after, store)["provenance"]["data"]["sha256"] == content_hash.sha256(path)
    write(0)
    assert of(path).train_key == requested.train_key


class Listed(AffineFlow):
    def sample(self, x0, *, label=None, table: Annotated[Path | None, "a file"] = None) -> Samples:
        return super().sample(x0 if table is None else x0 + float(table.read_text()))


@pytest.mark.parametrize(("section", "name"), [("model", "start"), ("sample", "table")])
def test_a_file_that_a_setting_names_counts_by_its_content(tmp_path, monkeypatch, section, name):
    monkeypatch.setattr(models, "_entries", dict(models._entries))

    @models.register("listed", version=1)
    def listed(event: Event, source: Source, *, start: Path | None = None) -> Listed:
        """Build a model that samples by a file.

        Args:
            start: another file.
        """
        return Listed(event, source)

    def spec(path):
        settings = {"plan": {"steps": 0}, section: {name: str(path)}, "evaluation": {"n": 16, "curve": []}}
        return make_spec("listed", "moons", metrics=["norm"], settings=settings)

    one, copy, store = tmp_path / "one", tmp_path / "copy", Store(tmp_path / "results")
    with pytest.raises(ConfigError, match=rf"^{section}.*\.{name}: .*one does not exist$"):
        spec(one)
    for path in (one, copy):
        path.write_text("1")
    first, same = spec(one), spec(copy)
    assert (same.train_key, same.evaluation_key) == (first.train_key, first.evaluation_key)
    before = run(first, store)["results"][0]["value"]
    one.write_text("5")
    other = spec(one)
    assert (other.train_key == first.train_key) == (section == "sample")
    assert (other.train_key, other.evaluation_key) != (first.train_key, first.evaluation_key)
    assert section == "model" or run(other, store)["results"][0]["value"] > before + 2
    store.record_path(first).unlink()
    store.weights_path(first).unlink()
    with pytest.raises(
        ConfigError, match="a file in its settings has changed since the run was requested: run it again"
    ):
        run(first, store)
    one.write_text("1")
    assert spec(one).train_key == first.train_key


def test_a_file_that_a_metric_names_counts_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "_entries", dict(metrics._entries))

    @metrics.register("read", version=1, better="none", of="model")
    def read_number(evaluation: Evaluation, *, path: Annotated[str, OnDisk(), "a file"]) -> Value:
        """Return the number in a file."""
        return Value(float(Path(path).read_text()), 1, "as it stands")

    store, numbers = Store(tmp_path / "results"), [tmp_path / name for name in ("one", "copy")]

    def measured(path, seed=0):
        settings = {"plan": {"steps": 2}, "metric": {"read": {"path": str(path)}}, "evaluation": {"n": 16, "curve": []}}
        spec = make_spec("cfm", "moons", seed=seed, metrics=["read"], settings=settings)
        assert restore_spec(json.loads(json.dumps(spec.json()))) == spec
        known_before = store.is_complete(spec, store.record(spec))
        (row,) = run(spec, store)["results"]
        return known_before, row["value"], row["protocol"]

    for path in numbers:
        path.write_text("1")
    first = measured(numbers[0])
    assert first[:2] == (False, 1.0)
    assert measured(numbers[1]) == (True, *first[1:])  # the same content elsewhere
    numbers[0].write_text("2")
    other = measured(numbers[0], seed=1)
    assert other[:2] == (False, 2.0)
    assert other[2] != first[2]  # so that no table averages the two
    assert measured(numbers[0]) == (False, *other[1:])
