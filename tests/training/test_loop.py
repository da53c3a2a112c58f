import csv
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Model
from genbench.errors import ConfigError, RunFailed
from genbench.models.build import build_model
from genbench.models.flow_matching.model import FlowMatching
from genbench.runs.spec import build_data, plan_of, resolve
from genbench.training import checkpoint
from genbench.training.fabric import fabric_of
from genbench.training.loop import fit
from genbench.training.plan import Plan


def start(model="cfm", dataset="moons", settings=None, **plan):
    spec = resolve(model, dataset, metrics=[], settings={"plan": plan, "model": settings or {}})
    data = build_data(spec.data)
    torch.manual_seed(0)
    return build_model(spec.model, spec.encoder, data), data, plan_of(spec)


def weights(model: Model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(model="cfm", dataset="moons", folder=None, progress=None, save_every=60.0, settings=None, **plan):
    built, data, bound = start(model, dataset, settings, **plan)
    fabric = fabric_of(bound, "cpu")
    watch = {"progress": progress} if progress else {}
    return fit(built, data, bound, fabric, seed=0, folder=folder, save_every=save_every, **watch)


def test_the_same_seed_gives_the_same_weights():
    assert torch.equal(weights(train(steps=30)), weights(train(steps=30)))


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("model", "settings"), [("cfm", {"ema": 0.999}), ("wcfm", {}), ("otcfm", {"optimizer": "adam"})]
)
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, model, settings):
    def interrupt(step, steps, logs):
        if step == 200:
            raise Stop

    whole = train(model, folder=tmp_path / "whole", steps=300, schedule="cosine", **settings)
    with pytest.raises(Stop):
        train(
            model, folder=tmp_path / "cut", progress=interrupt, save_every=0, steps=300, schedule="cosine", **settings
        )
    resumed = train(model, folder=tmp_path / "cut", steps=300, schedule="cosine", **settings)
    assert torch.equal(weights(whole), weights(resumed))
    assert (tmp_path / "whole/train.csv").read_bytes() == (tmp_path / "cut/train.csv").read_bytes()


def test_moments_of_weights_that_lie_otherwise_in_memory_are_restored(tmp_path):
    """Fused optimisers walk through memory, and files hold tensors row by row."""

    def go(folder, **watch):
        model, data, plan = start("cfm", "digits", steps=8, batch_size=16)
        model.to(memory_format=torch.channels_last)
        return fit(model, data, plan, fabric_of(plan, "cpu"), seed=0, folder=folder, save_every=0, **watch)

    def interrupt(step, steps, logs):
        if step == 8:
            raise Stop

    with pytest.raises(Stop):
        go(tmp_path, progress=interrupt)
    assert torch.equal(weights(go(tmp_path)), weights(go(None)))


KILLED = """
import os, signal, sys, threading
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from test_loop import train


def die_soon(step, steps, logs):
    if step >= 900:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()


train(folder=Path(sys.argv[1]), save_every=0, steps=3000, ema=0.99, progress=die_soon)
"""


@pytest.mark.slow
def test_a_killed_process_resumes_bit_for_bit(tmp_path):
    code = KILLED.format(tests=str(Path(__file__).parent))
    victim = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert victim.returncode == -signal.SIGKILL
    assert checkpoint.exists(tmp_path / "checkpoint.safetensors")
    seen = []
    resumed = train(folder=tmp_path, steps=3000, ema=0.99, progress=lambda s, n, logs: seen.append(s))
    assert seen[0] > 1
    assert torch.equal(weights(resumed), weights(train(steps=3000, ema=0.99)))


def truncated(data):
    return data[:-100]


def flipped(data):
    return data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:]


def flipped_in_the_header(data):
    return data.replace(b'"sha256"', b'"sha257"')


@pytest.mark.parametrize("damage", [truncated, flipped, flipped_in_the_header, lambda data: b""])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one_and_then_to_the_beginning(tmp_path, caplog, damage):
    def interrupt(step, steps, logs):
        if step == 300:
            raise Stop

    whole = train(steps=400)
    with pytest.raises(Stop):
        train(folder=tmp_path, progress=interrupt, save_every=0, steps=400)
    path, seen = tmp_path / "checkpoint.safetensors", []
    path.write_bytes(damage(path.read_bytes()))
    resumed = train(folder=tmp_path, steps=400, progress=lambda s, n, logs: seen.append(s))
    assert torch.equal(weights(resumed), weights(whole))
    assert "checkpoint.safetensors is damaged" in caplog.text
    assert seen[0] > 1
    for name in ("checkpoint.safetensors", "previous-checkpoint.safetensors"):
        (tmp_path / name).write_bytes(b"nothing")
    seen.clear()
    again = train(folder=tmp_path, steps=400, progress=lambda s, n, logs: seen.append(s))
    assert seen[0] == 1
    assert torch.equal(weights(again), weights(whole))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    with pytest.raises(Stop):
        train(
            folder=tmp_path,
            progress=lambda s, n, logs: (_ for _ in ()).throw(Stop) if s == 200 else None,
            save_every=0,
            steps=300,
        )
    with pytest.raises(ConfigError, match="another model"):
        train("cfm", "digits", folder=tmp_path, steps=300)


def test_a_checkpoint_of_another_run_is_refused_though_its_net_is_the_same(tmp_path):
    def interrupt(step, steps, logs):
        if step == 200:
            raise Stop

    def go(model, run, **watch):
        built, data, plan = start(model, steps=300)
        fit(built, data, plan, fabric_of(plan, "cpu"), seed=0, folder=tmp_path, run=run, save_every=0, **watch)

    with pytest.raises(Stop):
        go("cfm", "abc", progress=interrupt)
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors belongs to another run, abc: remove it"):
        go("otcfm", "def")
    go("cfm", "abc")


def test_rows_of_several_steps_are_the_same_after_a_resumed_run(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.training.train_log.steps_per_row", lambda steps: 7)

    def interrupt(step, steps, logs):
        if step == 200:
            raise Stop

    train(folder=tmp_path / "whole", steps=230)
    with pytest.raises(Stop):
        train(folder=tmp_path / "cut", progress=interrupt, save_every=1e-9, steps=230)
    assert checkpoint.exists(tmp_path / "cut" / "checkpoint.safetensors")
    train(folder=tmp_path / "cut", steps=230)
    whole = (tmp_path / "whole/train.csv").read_text()
    assert whole.count("\n") == 1 + 230 // 7
    assert (tmp_path / "cut/train.csv").read_text() == whole


def test_accumulated_parts_make_the_same_step():
    whole, parts = train(steps=20), train(steps=20, accumulate=4)
    assert_close(weights(parts), weights(whole), rtol=0, atol=1e-4)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match="cannot be divided"):
        train(steps=1, batch_size=10, accumulate=3)


def test_warm_up_and_average_shrink_with_the_run():
    plan = Plan(steps=1500, warmup=5000, ema=0.9999, lr=1.0)
    assert plan.lr_at(0) == pytest.approx(1 / 150)
    assert plan.lr_at(150) == 1.0
    kept = 1.0
    for step in range(1500):
        kept *= plan.ema_at(step)
    assert kept < 1e-9  # with a constant .9999 the average would keep 86 % of the initial weights
    assert Plan(steps=400_000, ema=0.9999).ema_at(399_999) == 0.9999


def test_the_cosine_starts_at_the_peak_and_ends_at_its_floor():
    plan = Plan(steps=1000, lr=2.0, schedule="cosine", lr_min=0.1)
    assert plan.lr_at(0) == 2.0
    assert plan.lr_at(500) == pytest.approx(1.1)
    assert plan.lr_at(1000) == pytest.approx(0.2)


def test_a_loss_that_is_not_finite_names_its_step():
    model, data, plan = start(steps=300)
    inner, calls = model.loss, []

    def loss(example):
        calls.append(1)
        scalars = inner(example)
        return {**scalars, "loss": scalars["loss"] * (float("nan") if len(calls) == 42 else 1.0)}

    model.loss = loss
    with pytest.raises(RunFailed, match=r"step 42$"):
        fit(model, data, plan, fabric_of(plan, "cpu"), seed=0)


@pytest.mark.parametrize("settings", [{}, {"plan": "sinkhorn", "reg": 1.0}])
def test_a_plan_made_during_the_step_before_is_the_same_plan(monkeypatch, settings):
    threads = set()
    pair = FlowMatching.draw

    def draw(self, batch, generator):
        threads.add(threading.current_thread())
        return pair(self, batch, generator)

    monkeypatch.setattr(FlowMatching, "draw", draw)
    during = weights(train("otcfm", "8gaussians", settings=settings, steps=30))
    assert threading.main_thread() not in threads
    monkeypatch.setattr("genbench.training.loop.has_idle_core", lambda device: False)
    assert torch.equal(during, weights(train("otcfm", "8gaussians", settings=settings, steps=30)))
    assert threading.main_thread() in threads


def test_a_plan_that_fails_fails_at_its_step(monkeypatch):
    model, data, plan = start("otcfm", steps=30)
    inner, steps = model.loss, []
    model.loss = lambda example: (steps.append(1), inner(example))[1]
    pair, calls = model.coupling.forward, []

    def forward(*args):
        calls.append(1)
        if len(calls) == 12:
            raise RunFailed("no plan")
        return pair(*args)

    model.coupling.forward = forward
    with pytest.raises(RunFailed, match="no plan"):
        fit(model, data, plan, fabric_of(plan, "cpu"), seed=0)
    assert len(steps) == 11


def test_every_step_is_logged_with_its_effective_sample_size(tmp_path):
    train("wcfm", folder=tmp_path, steps=130)
    rows = list(csv.DictReader((tmp_path / "train.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(1, 131))
    assert all(0 < float(row["ess"]) < 1 for row in rows)


def test_bf16_trains_close_to_fp32():
    a, b = train(steps=50), train(steps=50, precision="bf16")
    assert not torch.equal(weights(a), weights(b))
    assert_close(weights(a), weights(b), rtol=0, atol=0.05)


def test_clipping_bounds_the_step():
    """Adam's steps do not depend on the gradient's scale, its relative size between steps does."""
    model, data, plan = start(steps=1, clip=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, data, plan, fabric_of(plan, "cpu"), seed=0)
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None] or [torch.zeros(1)]).norm()
    assert norm <= 1e-3 * 1.01
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_absent_accelerator_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigError, match=r"^devices: "):
        fabric_of(Plan(), "cuda")


DISTRIBUTED = """
import sys, torch
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from test_loop import start, weights
from genbench.training.fabric import fabric_of
from genbench.training.loop import fit
model, data, plan = start({model!r}, steps=20, batch_size=64, accumulate=2, settings={settings!r})
fabric = fabric_of(plan, "cpu", 2)
fit(model, data, plan, fabric, seed=0, folder=Path(sys.argv[1]))
if fabric.is_global_zero:
    torch.save(weights(model), sys.argv[1] + "/weights.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "settings"),
    [("cfm", {}), ("otcfm", {}), ("wcfm", {}), ("wcfm", {"normaliser": "batch"}), ("starflow", {})],
)
def test_two_processes_train_the_same_model_on_the_same_global_batch(tmp_path, model, settings):
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED.format(tests=str(Path(__file__).parent), model=model, settings=settings))
    subprocess.run([sys.executable, str(script), str(tmp_path / "two")], check=True, timeout=600)
    both = torch.load(tmp_path / "two" / "weights.pt", weights_only=True)
    one = train(model, folder=tmp_path / "one", steps=20, batch_size=64, settings=settings)
    assert_close(both, weights(one), rtol=0, atol=1e-4)
    curves = [list(csv.DictReader((tmp_path / name / "train.csv").open())) for name in ("one", "two")]
    assert len(curves[0]) == 20
    for a, b in zip(*curves, strict=True):  # the loss, and what is logged of the weights of the global batch
        assert {name: float(value) for name, value in a.items()} == pytest.approx(
            {name: float(value) for name, value in b.items()}, rel=1e-5
        )


COMPILED = """
import sys
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from test_loop import train, weights
settings = {{"checkpoint": True, "width": 16, "head": 16, "blocks": [1, 1]}}
eager, compiled = (weights(train("starflow", settings=settings, steps=5, compile=flag)) for flag in (False, True))
print(float((eager - compiled).abs().max()))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_a_compiled_step_is_the_same_step():
    # In a process of its own: what checks shapes in tests cannot be compiled.
    script = COMPILED.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=300, capture_output=True, text=True)
    assert float(done.stdout) < 1e-5


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler on CPU, and there is no no-such-compiler"):
        train("cfm", steps=1, compile=True)
