"""Ensembles: a member is what it would be alone, whatever the other members are, and if they fail."""

import json
import math
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import ConfigError, RunFailed
from genbench.runs.fitting import fresh
from genbench.runs.spec import build_data, plan_of, resolve, restore
from genbench.runs.store import Store, read_weights
from genbench.sweeps.ensembles import ensemble_of
from genbench.sweeps.execution.executors import execute, local
from genbench.sweeps.execution.jobs import make_jobs
from genbench.sweeps.shell_commands import command
from genbench.sweeps.suite import load
from genbench.training import checkpoint
from genbench.training.ensemble import Ensemble
from genbench.training.group import start_group
from genbench.training.loop import fit

PLAN = {"batch_size": 32, "schedule": "cosine", "ema": 0.99, "clip": 0.5}


def specs_of(model, own, dataset="moons", settings=None, **plan):
    settings = {"plan": PLAN | plan, "model": settings or {}}
    chosen = [{**settings, "model": {**settings["model"], **{k: v for k, v in o.items() if k != "seed"}}} for o in own]
    return [resolve(model, dataset, seed=o["seed"], metrics=[], settings=s) for o, s in zip(own, chosen, strict=True)]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(specs, folder=None, **options):
    """Train specs alone, or as a stack if there are several."""
    data, plan = build_data(specs[0].data), plan_of(specs[0])
    models = [fresh(spec, data) for spec in specs]
    learner = models[0] if len(models) == 1 else Ensemble(models, [spec.seed for spec in specs])
    folders = folder and [folder / str(i) for i in range(len(specs))]
    fit(learner, data, plan, start_group("cpu"), seed=specs[0].seed, folder=folders, **options)
    return models


COMPILED = """
import sys
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from test_ensemble import specs_of, train, weights
own = [{{"seed": 3, "kappa": .5}}, {{"seed": 1, "kappa": 2.}}]
eager, compiled = (train(specs_of("wcfm", own, steps=50, compile=flag)) for flag in (False, True))
print(max(float((weights(a) - weights(b)).abs().max()) for a, b in zip(eager, compiled)))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_a_compiled_stack_takes_the_same_steps():
    # In a process of its own: what checks shapes in tests cannot be compiled.
    script = COMPILED.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=300, capture_output=True, text=True)
    assert float(done.stdout) < 1e-4


WCFM = [{"seed": s, "kappa": k, "normaliser": n} for s, k, n in ((3, 0.5, "constant"), (1, 2.0, "running"))]
WCFM += [{"seed": 3, "kappa": 2.0, "normaliser": "batch"}]


@pytest.mark.parametrize(
    ("model", "own", "dataset", "settings"),
    [
        ("cfm", [{"seed": 5, "sigma": 0.0}, {"seed": 5, "sigma": 0.3}], "moons", {"conditional": True}),
        ("otcfm", [{"seed": 0}, {"seed": 1}], "8gaussians-moons", {}),
        ("wcfm", WCFM, "moons", {}),
    ],
)
def test_members_are_what_they_are_alone(model, own, dataset, settings):
    specs = specs_of(model, own, dataset, settings, steps=200)
    for spec, member in zip(specs, train(specs), strict=True):
        (alone,) = train([spec])
        assert_close(weights(member), weights(alone), rtol=0, atol=1e-4)
        for name, buffer in alone.named_buffers():
            assert_close(dict(member.named_buffers())[name], buffer, equal_nan=True)


@pytest.mark.parametrize("model", ["tarflow", "starflow"])
def test_members_of_transformer_flows_are_what_they_are_alone(model):
    specs = specs_of(model, [{"seed": 0}, {"seed": 1}], settings={"width": 16, "blocks": [2, 1]}, steps=60)
    for spec, member in zip(specs, train(specs), strict=True):
        assert_close(weights(member), weights(train([spec])[0]), rtol=0, atol=1e-4)


class Stop(Exception):
    pass


def test_an_interrupted_stack_resumes_bit_for_bit(tmp_path):
    def interrupt(step, steps, logs):
        if step == 200:
            raise Stop

    specs = specs_of("wcfm", WCFM, steps=210)
    whole = train(specs, tmp_path / "whole")
    with pytest.raises(Stop):
        train(specs, tmp_path / "cut", progress=[interrupt], save_every=0)
    assert checkpoint.exists(tmp_path / "cut/0/checkpoint.safetensors")
    seen = []
    again = train(specs, tmp_path / "cut", progress=[lambda step, steps, logs: seen.append(step)])
    assert seen[0] > 100
    for i, (one, other) in enumerate(zip(whole, again, strict=True)):
        assert torch.equal(weights(one), weights(other))
        assert_close(one.coupling.log_mean, other.coupling.log_mean, rtol=0, atol=0, equal_nan=True)
        logs = [(tmp_path / folder / str(i) / "train.csv").read_bytes() for folder in ("whole", "cut")]
        assert logs[0] == logs[1]


def test_a_member_that_fails_leaves_the_others_alone_also_when_resumed(tmp_path):
    def interrupt(step, steps, logs):
        if step == 100:
            raise Stop

    def started(spoiled):
        specs = specs_of("cfm", [{"seed": 0}, {"seed": 1}, {"seed": 2}], steps=130)
        data, plan = build_data(specs[0].data), plan_of(specs[0])
        stack = Ensemble([fresh(spec, data) for spec in specs], [0, 1, 2])
        inner, count = stack.members[1].draw, iter(range(1, 1000))

        def draw(batch, generator):
            example = inner(batch, generator)
            return example._replace(weight=example.weight * (math.nan if next(count) == 42 else 1.0))

        if spoiled:
            stack.members[1].draw = draw
        return stack, data, plan

    stack, data, plan = started(True)
    folders = [tmp_path / str(i) for i in range(3)]
    with pytest.raises(Stop):
        fit(stack, data, plan, start_group("cpu"), seed=0, folder=folders, progress=[interrupt], save_every=0)
    stack, data, plan = started(False)
    fit(stack, data, plan, start_group("cpu"), seed=0, folder=folders)
    assert stack.reasons == [None, "the loss is not finite at step 42", None]
    other, data, plan = started(False)
    fit(other, data, plan, start_group("cpu"), seed=0)
    for i in (0, 2):
        assert torch.equal(weights(stack.members[i]), weights(other.members[i]))
    assert (tmp_path / "0/train.csv").read_text().count("\n") == 131
    assert "nan" not in (tmp_path / "1/train.csv").read_text()


def test_a_stack_of_which_all_fail_fails():
    stack = Ensemble(
        [fresh(spec, build_data(spec.data)) for spec in specs_of("cfm", [{"seed": 0}, {"seed": 1}])], [0, 1]
    )
    stack.diverged([0, 7])
    stack.diverged([0, 8])
    with pytest.raises(RunFailed, match=r"step 9; the loss is not finite at step 7$"):
        stack.diverged([9, 10])


def test_gradients_are_clipped_by_member():
    specs = specs_of("cfm", [{"seed": 0}, {"seed": 1}])
    data = build_data(specs[0].data)
    models = [fresh(spec, data) for spec in specs]
    stack = Ensemble(models, [0, 1])
    example = stack.example(stack.batch_source(data), 0, 64, 0, torch.Generator())
    (stack(example)["loss"] * torch.tensor([1.0, 1e-4])).sum().backward()
    before = [p.grad.clone() for p in stack.stacked]
    stack.clip(1e-2)
    norms = torch.stack([p.grad.flatten(1).square().sum(1) for p in stack.stacked]).sum(0).sqrt()
    assert norms[0] == pytest.approx(1e-2, rel=1e-4)
    assert all(torch.equal(a[1], p.grad[1]) for a, p in zip(before, stack.stacked, strict=True))


def test_members_of_different_shapes_are_refused():
    models = [fresh(spec, build_data(spec.data)) for spec in specs_of("cfm", [{"seed": 0}])]
    models += [
        fresh(s, build_data(s.data))
        for s in specs_of("cfm", [{"seed": 1}], settings={"net": {"name": "mlp", "width": 8}})
    ]
    with pytest.raises(ConfigError, match="differ in the shapes"):
        Ensemble(models, [0, 1])


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


def test_the_members_of_a_spec_are_the_cells_of_its_stack(tmp_path):
    cells = [spec for spec in suite(tmp_path, 'stack = ["seed", "kappa"]') if spec.stack]
    for spec in cells:
        assert spec in spec.members
        assert {m.train_key for m in spec.members} <= {cell.train_key for cell in cells}
        assert restore(spec.json()) == spec
    assert len(make_jobs(cells)) == 3


def test_excluded_cells_are_no_members_and_one_is_no_stack(tmp_path):
    cells = suite(tmp_path, 'stack = ["seed"]\nexclude = [{seed = 1, model = "cfm"}, {dataset = "digits"}]')
    assert {spec.model["name"] for spec in cells if spec.stack is None} == {"cfm"}
    cells = suite(tmp_path, 'stack = ["seed"]\ninclude = [{dataset = "moons", model = "cfm", seeds = [7]}]')
    assert cells[0].stack == [{"seed": 0}, {"seed": 1}, {"seed": 7}]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('stack = ["sed"]', "stack: no model has a setting 'sed'; did you mean 'seed'"),
        (
            'stack = ["seed", "width"]',
            "starflow can differ in seed, noise, label_dropout within a stack, not in 'width'",
        ),
        ('stack = "seed"', "stack: 'seed' is wrong: input should be a valid list"),
    ],
)
def test_wrong_stacks_of_suites_are_refused(tmp_path, extra, message):
    with pytest.raises(ConfigError, match=message):
        suite(tmp_path, extra)


@pytest.mark.parametrize(
    ("model", "dataset", "stack", "settings", "message"),
    [
        ("cfm", "moons", [{"seed": 0}], {}, "at least two different members"),
        ("cfm", "moons", [{"seed": 0}, {"seed": 0}], {}, "at least two different members"),
        ("cfm", "moons", [0, 1], {}, "write a list"),
        ("cfm", "digits", [{"seed": 0}, {"seed": 1}], {}, "small network"),
        ("cfm", "moons", [{"seed": 0}, {"seed": 1}], {"plan": {"accumulate": 2}}, "trained alone"),
        ("wcfm", "moons", [{"seed": 0, "kapa": 1}, {"seed": 1, "kapa": 2}], {}, "did you mean 'kappa'"),
    ],
)
def test_wrong_stacks_are_refused(model, dataset, stack, settings, message):
    with pytest.raises(ConfigError, match=message):
        ensemble_of(model, dataset, stack, [], settings)


def rows(store, specs):
    return [store.record(spec)["results"] for spec in specs]


def run(specs, folder, jobs=1):
    store, said = Store(folder), []
    return store, execute(specs, store, local(store, jobs), said.append), said


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


def test_weights_that_are_missing_are_made_again_by_the_whole_stack(tmp_path):
    cells = [spec for spec in suite(tmp_path, 'stack = ["seed"]') if spec.model["name"] == "cfm" and spec.stack]
    store, _, _ = run(cells, tmp_path / "results")
    path = store.folder(cells[1]) / "model.safetensors"
    before, others = read_weights(path)[0], (store.folder(cells[0]) / "model.safetensors").stat().st_mtime_ns
    path.unlink()
    store.record_path(cells[1]).unlink()
    _, outcomes, _ = run(cells[1:2], tmp_path / "results")
    assert outcomes == [None]
    assert all(torch.equal(value, before[name]) for name, value in read_weights(path)[0].items())
    assert (store.folder(cells[0]) / "model.safetensors").stat().st_mtime_ns == others


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stack_that_does_not_go_with_its_data_is_unsupported_and_no_failure(tmp_path, jobs):
    text = SUITE.replace('["moons", "digits"]', '["8gaussians-moons"]').replace('"starflow"', '"starflow", "vp"')
    cells = [s for s in suite(tmp_path, 'stack = ["seed"]', text) if s.model["name"] in ("starflow", "vp")]
    assert len(cells) == 4
    store, said = Store(tmp_path / "results"), []
    assert execute(cells, store, local(store, jobs), said.append) == [None] * 4
    assert sorted(event.cell for event in said if event.kind == "done") == [0, 1, 2, 3]
    for spec in cells:
        (row,) = store.record(spec)["results"]
        assert row["value"] is None
        assert "N(0, I)" in row["reason"]
        assert not list(store.folder(spec).rglob("failure.txt"))


def test_the_command_of_a_stack_is_the_stack(tmp_path):
    for spec in [spec for spec in suite(tmp_path, 'stack = ["seed", "kappa"]') if spec.stack]:
        words = shlex.split(command(spec, tmp_path))
        assert json.loads(words[words.index("--stack") + 1]) == spec.stack
        assert "--seed" not in words
