import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec, restore_spec
from genbench.runs.run import run
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.storage import content_hash


def key(**settings):
    return make_spec("wcfm", "8gaussians", metrics=[], settings=settings).train_key


def test_the_key_is_free_of_order_spelling_and_typed_out_defaults():
    plain = key()
    assert plain == key(model={"cost": "norm", "normaliser": "constant"})
    assert plain == key(model={"normaliser": "constant", "cost": "norm"}, plan={"lr_min": 0})
    assert key(model={"epsilon": 2}) == key(model={"epsilon": 2.0}) != plain
    assert plain == key(sample={"tol": 1e-3}, evaluation={"n": 100})


@pytest.mark.parametrize(
    "settings",
    [{"plan": {"steps": 3}}, {"data": {"std": 0.1}}, {"model": {"kappa": 3.0}}, {"model": {"net": {"width": 8}}}],
    ids=str,
)
def test_whatever_changes_the_model_changes_the_key(settings):
    assert key(**settings) != key()


def test_seed_and_names_are_part_of_the_key():
    keys = {
        make_spec(model, data, seed=seed, metrics=[]).train_key
        for model in ("cfm", "otcfm")
        for data in ("moons", "mixture")
        for seed in (0, 1)
    }
    assert len(keys) == 8


def test_evaluation_has_a_key_of_its_own():
    a, b = (make_spec("cfm", "moons", metrics=[], settings={"sample": {"tol": tol}}) for tol in (1e-5, 1e-4))
    assert a.train_key == b.train_key
    assert a.evaluation_key != b.evaluation_key


def test_a_spec_survives_json():
    spec = make_spec("wcfm", "moons", seed=3, settings={"model": {"net": {"width": 32}}, "plan": {"betas": [0.8, 0.9]}})
    again = restore_spec(json.loads(json.dumps(spec.json())))
    assert again == spec
    assert (again.train_key, again.evaluation_key) == (spec.train_key, spec.evaluation_key)


def test_a_path_counts_by_what_it_holds(tmp_path):
    from PIL import Image

    def tree(name, shade):
        for split in ("train", "test"):
            for one in ("a", "b"):
                folder = tmp_path / name / split / one
                folder.mkdir(parents=True)
                for i in range(12):
                    Image.new("RGB", (32, 32), (shade, i, 0)).save(folder / f"{i}.png")
        return str(tmp_path / name)

    def keyed(path):
        settings = {"data": {"path": path, "size": 32}}
        return make_spec("cfm", "folder", metrics=[], settings=settings).train_key

    here, there, other = tree("here", 5), tree("there", 5), tree("other", 6)
    assert keyed(here) == keyed(there) != keyed(other)


@pytest.mark.parametrize(("dataset", "label"), [("folder", "folder size=16"), ("cifar10", "cifar10")])
def test_a_label_names_the_content_of_a_path_not_its_place(dataset, label, tmp_path):
    for part in ("train", "test"):
        for kind in range(10):
            (tmp_path / part / str(kind)).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / part / str(kind) / "a.png")
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


def test_a_file_that_is_overwritten_is_another_data_set(points):
    path, write = points
    before = of(path)
    label = before.data_label
    write(1)
    after = of(path)
    assert before.train_key != after.train_key
    assert label != after.data_label
    assert after.build_data().provenance["sha256"] == content_hash.sha256(path)
    write(0)
    assert of(path).train_key == before.train_key


@pytest.mark.parametrize("others", [0, 9], ids=["overwritten", "evicted"])
def test_a_file_that_changed_since_the_request_is_never_trained_under_its_old_key(points, tmp_path, others):
    path, write = points
    requested = of(path)
    run(requested, Store(tmp_path / "results"))
    other = replace(requested, seed=1)
    assert other.train_key != requested.train_key  # the hash of the content is known
    write(1)
    for std in range(others):  # more data sets than stay in memory
        build_data({"name": "8gaussians", "version": 1, "std": 0.01 * (std + 1)})
    with pytest.raises(ConfigError, match=r"mine\.csv has changed since the run was requested$"):
        run(other, Store(tmp_path / "results"))
    assert not Store(tmp_path / "results").has_weights(other)
    assert run(of(path), Store(tmp_path / "results"))["provenance"]["data"]["sha256"] == content_hash.sha256(path)
