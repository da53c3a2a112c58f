"""Training a budget of a track: what is missing, also where only published records are left."""

import shutil
import sys

import numpy as np
from PIL import Image

from benchmarks.rung import main, missing
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.store import Store
from genbench.sweeps.suite import load

TRACK = """
datasets = ["moons"]
models = [{ name = "gaussian", plan = { steps = 0 } }, "cfm", "wcfm"]
metrics = ["sliced_w2"]
budgets = [{ steps = 4, seeds = [0, 1] }, { steps = 8, seeds = [0, 1] }]
plan = { batch_size = 8 }
evaluation = { n = 32, curve = [] }
[track]
baseline = "gaussian"
tuning = { steps = 4, seeds = 1 }
"""


IMAGES = """
datasets = ["digits"]
models = ["gaussian"]
metrics = ["failed"]
budgets = [{ steps = 4, seeds = [0, 1] }]
evaluation = { n = 32, curve = [] }
[track]
baseline = "gaussian"
tuning = { steps = 4, seeds = 1 }
"""


def test_the_first_samples_of_one_seed_are_saved(tmp_path, monkeypatch):
    (tmp_path / "some.toml").write_text(IMAGES)
    command = ["rung", str(tmp_path / "some.toml"), "4", "--results", str(tmp_path / "results"), "--pictures", "1"]
    monkeypatch.setattr(sys, "argv", command)
    main()
    (path,) = (tmp_path / "results" / "some" / "pictures").iterdir()
    assert path.name.startswith("gaussian-digits-1-")
    assert np.asarray(Image.open(path)).max() > 0


def test_published_cells_are_not_trained_again(tmp_path, monkeypatch):
    (tmp_path / "some.toml").write_text(TRACK)
    track, store = load(tmp_path / "some.toml"), Store(tmp_path / "results")
    cells = missing(track, 4, store)
    assert [(spec.seed, spec.model["name"]) for spec in cells] == [
        (seed, name) for seed in (0, 1) for name in ("gaussian", "cfm", "wcfm")
    ]
    monkeypatch.setattr(sys, "argv", ["rung", str(tmp_path / "some.toml"), "4", "--results", str(store.root)])
    main()
    records = store.root / "some" / RECORDS
    assert len(read_published(records)) == 6
    records.unlink()
    main()  # killed before it published
    assert len(read_published(records)) == 6
    shutil.rmtree(store.root / "runs")
    assert missing(track, 4, store) == []
    assert {spec.plan["steps"] for spec in missing(track, 8, store)} == {8}
