"""Estimates: what cannot fit into memory is refused before it is allocated, and what fits is not."""

import re
import resource
from contextlib import nullcontext

import pytest
import torch

import genbench
from genbench.errors import ConfigError
from genbench.models.build import build_model
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.runs.make_spec import make_spec
from genbench.runs.memory_estimate import check_memory, exhausted
from genbench.runs.spec import build_data


@pytest.mark.parametrize(("dims", "width"), [(2, 64), (1000, 64), (2, 3000)])
def test_the_estimate_is_that_of_the_largest_part(monkeypatch, dims, width):
    settings = {"data": {"dims": dims}, "model": {"net": {"name": "mlp", "width": width}}}
    settings |= {"plan": {"batch_size": 1000}, "evaluation": {"n": 3000}}
    spec = make_spec("cfm", "gaussian", metrics=[], settings=settings)
    weights = sum(p.numel() for p in build_model(spec.model, None, build_data(spec.data)).parameters())
    least = max(
        4 * 4 * dims * 1000, 3 * 4 * dims * 3000, 16 * weights
    )  # batch, samples, weights with gradient and Adam
    state = torch.get_rng_state()
    for size, fits in ((least, True), (least - 1, False)):
        monkeypatch.setattr("genbench.storage.memory.total", lambda size=size: float(size))
        with nullcontext() if fits else pytest.raises(ConfigError, match="needs at least"):
            check_memory(spec)
    assert torch.equal(torch.get_rng_state(), state)


PAIRS = [
    ("sdcfm", {"model": {"points": 10**6}}, (), 4 * 2 * 10**6),
    ("otcfm", {"plan": {"batch_size": 3000}, "model": {"pool": 2}}, (), 28 * 6000**2),
    ("otcfm", {"plan": {"batch_size": 3000}, "model": {"plan": "sinkhorn"}}, (), 20 * 3000**2),
    ("eotcfm", {"plan": {"batch_size": 3000}, "model": {"pool": 1000}}, (), 12 * 2 * 3000 * 1000),
    ("wcfm-balanced", {"model": {"reference": 5000}}, (), 20 * 5000**2),
    ("cfm", {"evaluation": {"n": 4000}, "metric": {"w2": {"n": 4000}}}, ("w2",), 56 * 4000**2),
    ("cfm", {"evaluation": {"n": 4000}, "metric": {"w2": {"n": 9000}}}, ("w2",), 56 * 4000**2),  # as many as there are
]


@pytest.mark.parametrize(("model", "settings", "metrics", "least"), PAIRS)
def test_pairs_of_points_are_estimated(monkeypatch, model, settings, metrics, least):
    spec = make_spec(model, "moons", metrics=metrics, settings=settings)
    monkeypatch.setattr("genbench.storage.memory.total", lambda: float(least))
    make_spec(model, "moons", metrics=metrics, settings=settings)
    monkeypatch.setattr("genbench.storage.memory.total", lambda: float(least - 1))
    with pytest.raises(ConfigError, match="needs at least"):
        check_memory(spec)


LARGE = [
    ("plan.batch_size=100000000000", "plan.batch_size=100000000000 needs at least"),
    ("evaluation.n=100000000000", "evaluation.n=100000000000 needs at least"),
    ("model.net.width=10000000", "cfm with 200,000,080,000,002 weights on 2 coordinates needs at least"),
    ("data.dims=1000000", "gaussian.dims=1000000 needs at least"),
    ("metric.npe.n=100000000000", "metric.npe.n=100000000000 needs at least"),
]


@pytest.mark.parametrize(("setting", "message"), LARGE, ids=lambda value: value)
def test_what_cannot_fit_into_memory_is_refused_before_anything_is_allocated(
    cli, tmp_path, monkeypatch, setting, message
):
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    arguments = ("run", "--model", "cfm", "--dataset", "gaussian", "--metric", "npe", "--set", "model.net=mlp")
    arguments = (*arguments, "--set", setting)
    code, _, err = cli(*arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert not (tmp_path / "results").exists()


def test_the_weights_of_an_encoder_count_and_sizes_that_do_not_fit_are_refused_before_training(monkeypatch):
    with pytest.raises(ConfigError, match=r"model\.head=7 must be even"):
        make_spec("starflow", "digits", metrics=[], settings={"model": {"width": 14, "head": 7}})
    monkeypatch.setattr("genbench.runs.memory_estimate.build_model", lambda *_: torch.nn.Linear(1, 1).weight.item())
    make_spec("cfm", "moons", metrics=[])  # a builder that computes with its weights is left to the run
    monkeypatch.undo()
    settings = {"model": {"encoder": {"name": "autoencoder", "width": 2048}}}
    monkeypatch.setattr("genbench.storage.memory.total", lambda: 1e9)
    with pytest.raises(ConfigError, match=r"cfm with [\d,]+ weights on 64 coordinates needs at least"):
        make_spec("cfm", "digits", metrics=[], settings=settings)


def test_an_allocation_that_fails_says_what_to_set(tmp_path, monkeypatch):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a capacity of 79 GiB")
    training = "for training raise plan.accumulate or choose a smaller model"
    said = f"^not enough memory to allocate 2.50 GiB: {training}, for evaluation lower evaluation.batch$"

    def loss(self, example):
        raise error

    monkeypatch.setattr(FlowMatching, "loss", loss)
    with pytest.raises(ConfigError, match=said):
        genbench.run("cfm", "moons", metrics=[], results=tmp_path)
    assert not list(tmp_path.rglob("failure.json"))
    assert exhausted(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), {})
    assert exhausted(RuntimeError("other"), {}) is None


@pytest.mark.parametrize(
    ("name", "settings", "advised"),
    [
        ("cfm", {}, "model.net.checkpoint"),
        ("cfm", {"net": {"checkpoint": True}}, None),
        ("cfm", {"net": "dit"}, None),
        ("starflow", {}, "model.checkpoint"),
    ],
)
def test_a_failed_allocation_advises_a_setting_that_the_model_has(name, settings, advised):
    error = exhausted(MemoryError(), make_spec(name, "digits", metrics=[], settings={"model": settings}).model)
    assert error is not None
    assert re.findall(r"set (\S+)=true", error) == ([] if advised is None else [advised])
