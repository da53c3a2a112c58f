"""The suites that come with genbench: where they are found, and what their files say."""

import tomllib
from pathlib import Path

import pytest
from helpers.photographs import patches
from PIL import Image

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.runs.run import run
from genbench.runs.store import Store
from genbench.settings import merge
from genbench.suites import FOLDER, find, packaged
from genbench.sweeps.suite import load, track_rows
from genbench.sweeps.suite_file import read


def test_suites_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("smoke") == find(FOLDER / "smoke.toml") == FOLDER / "smoke.toml"
    assert packaged()["smoke"].startswith("A minute of everything")
    assert load("smoke").name == "smoke"
    (tmp_path / "smoke").touch()
    assert find("smoke") == Path("smoke")
    with pytest.raises(ConfigError, match="no suite 'smokee'; did you mean 'smoke'"):
        find("smokee")
    with pytest.raises(ConfigError, match=r"no suite at other/smoke\.toml"):
        load("other/smoke.toml")


EARLIER = sorted((Path(__file__).parents[1] / "benchmarks/studies/earlier").glob("*.toml"))
"""Suites that tracks have replaced, and whose records findings cite."""


@pytest.mark.parametrize("name", [*packaged(), *EARLIER], ids=lambda name: Path(name).stem)
def test_suites_name_known_components(name):
    assert read(find(name)).models


def test_every_shipped_record_belongs_to_a_track():
    shipped = [*FOLDER.glob("*/records.jsonl.gz")]
    assert shipped
    assert all((FOLDER / f"{path.parent.name}.toml").is_file() for path in shipped)


def test_suites_with_a_decoder_tuned_on_noised_latents_say_whether_a_step_along_the_score_comes_before_it():
    """By default the step is taken; STARFlow has either the step or such a decoder."""
    suites = [tomllib.loads(path.read_text()) for path in (*FOLDER.glob("*.toml"), *EARLIER)]
    models = [model for suite in suites for model in suite.get("models", []) if isinstance(model, dict)]
    tuned = [model for model in models if isinstance(model.get("encoder"), dict) and model["encoder"].get("tune")]
    assert tuned
    assert all("denoise" in model.get("sample", {}) for model in tuned)


def test_flows_and_flow_matching_take_steps_in_latents_v1(tmp_path):
    """The others differ in their couplings, and the Gaussian needs more images than latents have dimensions."""
    for i, image in enumerate(patches(40)):
        folder = tmp_path / "images" / ("train" if i < 30 else "test") / f"class{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    small = {"n": 4, "batch": 4, "curve": [], "curve_metrics": []}
    plan = {"steps": 2, "batch_size": 4, "compile": False}  # what checks shapes in tests cannot be compiled
    settings = {"data": {"path": str(tmp_path / "images"), "valid": 10}, "plan": plan}
    rows = {row.model.name: row for row in track_rows(read(find("latents-v1")))}
    for name in ("cfm", "starflow"):
        own = merge(rows[name].settings, settings, {"evaluation": small}) | {"metric": {}}
        record = run(make_spec(name, "cifar10", metrics=["validation_loss"], settings=own), Store(tmp_path / "results"))
        assert all(row["value"] is not None for row in record["results"])


@pytest.mark.parametrize("track", ["latents-v1", "cifar10-v1"])
def test_the_headline_of_a_track_of_cifar10_has_a_floor(track):
    """cifar10-v1 ranked by FID with 50,000 samples: with 10,000 held-out images, no method could have an excess."""
    headline, *_ = read(find(track)).metrics
    for spec in load(track).specs:
        assert (spec.metrics[headline]["n"] or spec.evaluation["n"]) <= 10_000
