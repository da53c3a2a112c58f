"""A report draws what one's own runs have saved, without executing their Python files."""

import numpy as np
import pytest
from PIL import Image

import genbench
from genbench import user_code
from genbench.analysis.values import load_suites
from genbench.registry import datasets, models
from genbench.report import pictures
from genbench.report.pictures import sample_picture
from genbench.runs.store import Store

OWN = """
from genbench.registry import datasets, models
from genbench.testing.toys import AffineFlow, toy_tasks
@models.register("mine")
def mine(event, source) -> AffineFlow:
    "Mine."
    return AffineFlow(event, source)
@datasets.register("blobs")
def blobs():
    "Blobs."
    return toy_tasks()["vectors"]
"""


@pytest.fixture
def forget(monkeypatch):
    """Forget the Python files of the user, as the next process does."""

    def call():
        monkeypatch.setenv(user_code.FILES, "")
        for registry in (models, datasets):
            kept = {name: entry for name, entry in registry._entries.items() if "@" not in name}
            monkeypatch.setattr(registry, "_entries", kept)

    monkeypatch.setenv(user_code.FILES, "")
    return call


@pytest.mark.parametrize("data", ["moons", "blobs"])
def test_samples_of_ones_own_model_and_data_are_drawn_without_their_file(tmp_path, forget, data):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    settings = {"plan": {"steps": 3}, "evaluation": {"n": 64}}
    dataset = f"{file}:blobs" if data == "blobs" else data
    genbench.run(f"{file}:mine", dataset, metrics=["norm"], settings=settings, results=tmp_path / "r")
    forget()
    (suite,) = load_suites(Store(tmp_path / "r"))
    assert {(run.model, run.data) for run in suite.runs} == {("mine", data)}
    found = sample_picture(tmp_path, data, suite.runs)
    assert "Not shown" not in found.caption
    drawn = np.asarray(Image.open(found.path).convert("RGBA"))
    colors = drawn[drawn[..., 3] > 200][:, :3].astype(int)
    assert (np.abs(colors - pictures.COLOR).max(1) < 3).any()
