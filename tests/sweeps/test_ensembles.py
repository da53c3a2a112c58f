"""Stacks of a suite: which cells they have, what is refused, and what is trained when some are missing."""

import pytest
import torch

from genbench.errors import ConfigError
from genbench.runs.make_spec import restore_spec
from genbench.runs.run import train
from genbench.runs.store import Store
from genbench.runs.weights_file import read_weights
from genbench.sweeps.cells import make_jobs
from genbench.sweeps.execution import execute
from genbench.sweeps.suite import load
from genbench.training.process_group import Group

SUITE = """
datasets = ["moons", "digits"]
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0], sample = {method = "euler", steps = [1, 2]}}, "starflow"]
metrics = ["sliced_w2"]
seeds = [0, 1]
plan = {steps = 3, batch_size = 16}
evaluation = {n = 32}
"""


def suite(tmp_path, extra="", text=SUITE):
    path = tmp_path / "suite.toml"
    path.write_text(text + extra)
    return load(path).specs


def test_the_suite_chooses_what_is_stacked(tmp_path):
    bare, seeds, both = (
        suite(tmp_path),
        suite(tmp_path, 'stack = ["seed"]'),
        suite(tmp_path, 'stack = ["seed", "kappa"]'),
    )
    assert not any(spec.stack for spec in bare)
    assert [(s.model_label, s.data_label, s.seed) for s in both] == [
        (s.model_label, s.data_label, s.seed) for s in bare
    ]
    found = {(s.model["name"], s.data["name"], len(s.stack or ())) for s in seeds}
    assert found == {(m, d, 2 * (d == "moons")) for m in ("cfm", "wcfm", "starflow") for d in ("moons", "digits")}
    wide = next(spec for spec in both if spec.model["name"] == "wcfm")
    assert wide.stack == [{"seed": s, "kappa": k} for k in (0.5, 1.0) for s in (0, 1)]
    keys = [len({spec.train_key for spec in specs}) for specs in (bare, seeds, both)]
    assert keys == [16, 16, 16]
    assert (
        len({spec.train_key for specs in (bare, seeds, both) for spec in specs if spec.data["name"] == "moons"}) == 20
    )


def test_the_members_of_a_spec_are_the_cells_of_its_stack_and_one_cell_is_none(tmp_path):
    cells = [spec for spec in suite(tmp_path, 'stack = ["seed", "kappa"]') if spec.stack]
    for spec in cells:
        assert spec in spec.members
        assert {m.train_key for m in spec.members} <= {cell.train_key for cell in cells}
        assert restore_spec(spec.json()) == spec
    assert len(make_jobs(cells)) == 3
    included = suite(tmp_path, 'stack = ["seed"]\ninclude = [{dataset = "moons", model = "cfm", seeds = [7]}]')
    assert included[0].stack == [{"seed": 0}, {"seed": 1}, {"seed": 7}]
    text = SUITE.replace("seeds = [0, 1]", "seeds = [0]").replace('"digits"', '"8gaussians"')
    assert not any(spec.stack for spec in suite(tmp_path, 'stack = ["seed"]', text))
    both = suite(tmp_path, 'stack = ["seed", "kappa"]', text)
    assert {(s.model["name"], s.stack is None) for s in both} == {("cfm", True), ("wcfm", False), ("starflow", True)}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('stack = ["sed"]', "stack: no model has a setting 'sed'; did you mean 'seed'"),
        (
            'stack = ["seed", "width"]',
            "starflow can differ in seed, noise, label_dropout within a stack, not in 'width'",
        ),
        ('stack = "seed"', r"stack: 'seed' is wrong: it should be a list, in \[ \]$"),
    ],
)
def test_wrong_stacks_of_suites_are_refused(tmp_path, extra, message):
    with pytest.raises(ConfigError, match=message):
        suite(tmp_path, extra)


def test_processes_do_not_share_the_training_of_an_ensemble(tmp_path, monkeypatch):
    """They would divide the members, which are the first axis of an example, instead of the batch."""
    monkeypatch.setattr("genbench.runs.run.start_group", lambda *_: Group(torch.device("cpu"), rank=0, size=2))
    monkeypatch.setattr(Group, "broadcast", lambda group, value: value)
    spec = next(spec for spec in suite(tmp_path, 'stack = ["seed"]') if spec.stack)
    with pytest.raises(ConfigError, match="start it without torchrun"):
        train(spec, Store(tmp_path), {})


def rows(store, specs):
    return [store.record(spec)["results"] for spec in specs]


def run(specs, folder, jobs=1):
    store, said = Store(folder), []
    return store, execute(specs, store, jobs, said.append), said


def test_which_cells_are_missing_changes_nothing(tmp_path):
    cells = [
        spec for spec in suite(tmp_path, 'stack = ["seed", "kappa"]') if spec.model["name"] == "wcfm" and spec.stack
    ]
    one, _, _ = run(cells, tmp_path / "one")
    two, outcomes, _ = run(cells[3:4], tmp_path / "two")
    assert outcomes == [None]
    kept = [read_weights(two.folder(m) / "model.safetensors") for m in cells[0].members]
    assert all(kept)  # all members were trained, one was measured
    assert two.record(cells[3]) is not None
    assert two.record(cells[0]) is None
    run(cells, tmp_path / "two")
    assert rows(one, cells) == rows(two, cells)

    store = one  # weights that are missing are made again by the whole stack
    path = store.folder(cells[1]) / "model.safetensors"
    before, others = read_weights(path)[0], (store.folder(cells[0]) / "model.safetensors").stat().st_mtime_ns
    path.unlink()
    store.record_path(cells[1]).unlink()
    _, outcomes, _ = run(cells[1:2], tmp_path / "one")
    assert outcomes == [None]
    assert all(torch.equal(value, before[name]) for name, value in read_weights(path)[0].items())
    assert (store.folder(cells[0]) / "model.safetensors").stat().st_mtime_ns == others


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stack_that_does_not_go_with_its_data_is_unsupported_and_no_failure(tmp_path, jobs, forked_workers):
    text = SUITE.replace('["moons", "digits"]', '["8gaussians-moons"]').replace('"starflow"', '"starflow", "vp"')
    cells = [s for s in suite(tmp_path, 'stack = ["seed"]', text) if s.model["name"] in ("starflow", "vp")]
    assert len(cells) == 4
    store, said = Store(tmp_path / "results"), []
    assert execute(cells, store, jobs, said.append) == [None] * 4
    assert sorted(event.cell for event in said if event.kind == "done") == [0, 1, 2, 3]
    for spec in cells:
        (row,) = store.record(spec)["results"]
        assert row["value"] is None
        assert "N(0, I)" in row["reason"]
        assert not list(store.folder(spec).rglob("failure.json"))
